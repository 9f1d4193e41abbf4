"""What do other people's checkers say about the deployment?

    linters.py      asks each of them, and prints a line for each

Each function gives its findings as lines that name the rule; none means well. What a finding may be passed over for stands in the
templates' own metadata, beside what it is about, with a reason; `suppressions` finds those without.
"""

import json
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from functools import cache
from importlib.metadata import files
from pathlib import Path

from deployment import CERTIFICATE, Deployment
from template import Stack

# Lines are as long as elsewhere in this project; AWS's templates have no document start.
YAMLLINT = """
extends: default
rules:
  line-length: {max: 132}
  document-start: disable
  braces: {max-spaces-inside: 0}
  truthy: {check-keys: false}
"""

# What `shellcheck` and EC2 see: user data with the values that AWS would fill in, and the longest choices among the parameters.
KNOWN = {
    "ReadyHandle": "https://cloudformation-waitcondition-eu-west-1.s3.amazonaws.com/arn%3Aaws%3A?X-Amz-Date=1&X-Amz-Expires=2",
    "LogGroup": "/assay/fraud",
    "Cluster": "fraud-Cluster-0123456789ab",
}

# The stacks that cfn-guard sees; it cannot follow conditions, so it gets templates rendered with everything off and on.
EVERYTHING_ON = {
    "PrivateTasks": "true", "CertificateArn": CERTIFICATE, "AccessLogs": "true", "DeletionProtection": "true",
    "AlarmEmail": "alarms@example.com",
}

BESIDE_PYTHON = Path(sys.executable).parent


def yamllint(deployment):
    from yamllint import linter
    from yamllint.config import YamlLintConfig

    config = YamlLintConfig(YAMLLINT)
    paths = [template.path for template in deployment.templates] + [deployment.deploy / "image/buildspec.yml"]
    return [f"{path.name}:{problem.line}: {problem.rule}: {problem.desc}"
            for path in paths for problem in linter.run(path.read_text(), config, str(path))]


def cfn_lint(deployment, templates=None):
    from cfnlint.config import ConfigMixIn

    findings, runner = [], cfn_lint_runner()
    for template in templates or deployment.templates:
        runner.config = ConfigMixIn(["--include-checks", "I", "--template", str(template.path)])
        findings += [f"{template.name}:{match.linenumber}: {match.rule.id}: {match.message}" for match in runner.run()]
    return findings


@cache
def cfn_lint_runner():
    """Its rules take longer to load than a template to check."""
    from cfnlint.config import ConfigMixIn
    from cfnlint.runner import Runner

    return Runner(ConfigMixIn(["--include-checks", "I"]))


def shellcheck(deployment):
    findings = run("shellcheck", "--format", "gcc", *deployment.bash_scripts)
    for stack in (next(deployment.machines()), next(deployment.services())):
        rendered = Stack(stack.template, stack.choices, known=KNOWN)
        machine = rendered.properties("Instance" if "Instance" in rendered.resources else "LaunchTemplate")
        user_data = machine.get("LaunchTemplateData", machine)["UserData"]
        said = run("shellcheck", "--format", "gcc", "-", stdin=user_data)
        findings += [f"user data of {stack.template.name}: {line}" for line in said]
    return findings


def hadolint(deployment):
    return run(BESIDE_PYTHON / "hadolint", "--no-color", deployment.deploy / "image/Dockerfile")


def checkov(deployment, paths=None):
    paths = paths or [template.path for template in deployment.templates] + [deployment.deploy / "image/Dockerfile"]
    done = subprocess.run(
        [sys.executable, "-m", "checkov.main", "--skip-download", "--quiet", "--output", "json",
         "--framework", "cloudformation", "dockerfile", "--file", *paths],
        capture_output=True, text=True, check=False)
    assert done.stdout, f"checkov said nothing: {done.stderr}"
    reports = json.loads(done.stdout)
    return [f"{Path(failed['file_path']).name}: {failed['check_id']}: {failed['resource']}: {failed['check_name']}"
            for report in (reports if isinstance(reports, list) else [reports])
            for failed in report.get("results", {}).get("failed_checks", [])]


def guard(deployment, stacks=None):
    """cfn-guard with the rules of AWS Control Tower; also finds suppressions that suppress nothing any more."""
    if stacks is None:
        stacks = [*deployment.defaults(), Stack(deployment.service, {"Capacity": "FARGATE"})]
        stacks += [Stack(deployment.service, EVERYTHING_ON | {"Capacity": capacity}) for capacity in ("EC2", "FARGATE")]
    findings, skipped, used = set(), set(), set()
    with tempfile.TemporaryDirectory() as folder:
        program, rules = unpack_guard(Path(folder))
        by_file = {}
        for number, stack in enumerate(stacks):
            data = Path(folder) / f"{number}.json"
            data.write_text(json.dumps({"Resources": stack.resources}))
            by_file[data.name] = stack
            skipped |= {(stack.template.name, logical_id, skip["id"])
                        for logical_id, resource in stack.resources.items()
                        for skip in resource.get("Metadata", {}).get("guard", {}).get("skip", [])}
        done = subprocess.run(
            [program, "validate", "--rules", rules, "--data", *(Path(folder) / name for name in by_file), "--structured",
             "--output-format", "json", "--show-summary", "none"],
            capture_output=True, text=True, check=False)
        assert done.stdout, f"cfn-guard said nothing: {done.stderr}"
        for report in json.loads(done.stdout):
            stack = by_file[Path(report["name"]).name]
            for rule, logical_id in guard_failures(report):
                found = stack.template.name, logical_id, rule
                if found in skipped:
                    used.add(found)
                else:
                    findings.add(f"{stack.template.name}: {rule}: {logical_id}")
    findings |= {f"{name}: {rule}: {logical_id} passes it, so its suppression can go" for name, logical_id, rule in skipped - used}
    return sorted(findings)


def guard_failures(report):
    """Each failed rule with each resource that failed it."""
    if isinstance(report, dict):
        if "name" in (failed := report.get("Rule") or {}):
            text = json.dumps(failed)
            for rule in set(re.findall(r"\[(CT\.[A-Z0-9.]+)\]", text)):
                for logical_id in set(re.findall(r"/Resources/(\w+)", text)):
                    yield rule, logical_id
        for value in report.values():
            yield from guard_failures(value)
    elif isinstance(report, list):
        for value in report:
            yield from guard_failures(value)


def unpack_guard(folder):
    """The program and the rules out of the package that AWS publishes for its CDK."""
    package, = [file.locate() for file in files("cdklabs.cdk-validator-cfnguard") if file.name.endswith(".jsii.tgz")]
    wanted = f"package/bin/ubuntu/{platform.machine()}/", "package/rules/control-tower/cfn-guard/"
    with tarfile.open(package) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(wanted):
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())
    program = folder / wanted[0] / "cfn-guard"
    assert program.exists(), f"the package has no cfn-guard for {platform.machine()}"
    program.chmod(0o755)
    return program, folder / wanted[1]


def suppressions(deployment):
    """Every suppression has a reason: a sentence, or a pointer to one on the same resource or for the same rule on another."""
    findings = []
    for template in deployment.templates:
        skips = {
            (logical_id, skip["id"]): skip.get("comment") or ""
            for logical_id, resource in template.resources.items()
            for tool in ("checkov", "guard")
            for skip in resource.get("Metadata", {}).get(tool, {}).get("skip", [])
        }
        for logical_id, rule in skips:
            reason = followed(skips, logical_id, rule)
            if len(reason.split()) < 5 or not reason.endswith("."):
                findings.append(f"{template.name}: {rule}: {logical_id}: no reason given")
    # Where a tool has no room for a reason, a comment above gives it.
    dockerfile = deployment.deploy / "image/Dockerfile"
    paths = [*(template.path for template in deployment.templates), dockerfile, *deployment.bash_scripts]
    for path in paths:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.search(r"ignore_checks:|# *hadolint ignore=|# *shellcheck disable=|# *checkov:skip=|# *yamllint disable", line):
                above = lines[number - 1].strip() if number else ""
                if not (above.startswith("#") and above.endswith(".") and len(above.split()) >= 6):
                    findings.append(f"{path.name}:{number + 1}: {line.strip()}: no reason in a comment above")
    return findings


def followed(skips, logical_id, rule, steps=3):
    """The reason of a suppression; where it only says "See X.", that of rule X here, or of the same rule on resource X."""
    reason = skips.get((logical_id, rule), "")
    pointer = re.fullmatch(r"See (\w+)\.", reason)
    if not pointer or not steps:
        return reason
    place = (logical_id, pointer[1]) if (logical_id, pointer[1]) in skips else (pointer[1], rule)
    return followed(skips, *place, steps - 1)


def run(*command, stdin=None):
    done = subprocess.run(list(map(str, command)), input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), f"{command[0]} failed: {done.stderr}"
    return [line for line in done.stdout.splitlines() if line.strip()]


ALL = [yamllint, cfn_lint, shellcheck, hadolint, checkov, guard, suppressions]


def main():
    deployment, failed = Deployment(), False
    for linter in ALL:
        begun = time.monotonic()
        findings = linter(deployment)
        failed |= bool(findings)
        verdict = f"{len(findings)} findings" if findings else "no finding"
        print(f"{linter.__name__.replace('_', '-'):13} {time.monotonic() - begun:5.1f} s  {verdict}", flush=True)
        for finding in findings:
            print(f"    {finding}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
