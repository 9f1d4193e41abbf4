"""How does CodeBuild run a buildspec? Phase by phase in one shell, as its reference says of version 0.2.

A command that fails ends its phase; the phase's `finally` still runs. Then `on-failure: ABORT` ends the build; without it a
failed `build` goes on to `post_build`, and a failed `install` or `pre_build` ends the build. CODEBUILD_BUILD_SUCCEEDING tells
every command whether all went well so far.
"""

import os
import shlex
import subprocess

import yaml

PHASES = ["install", "pre_build", "build", "post_build"]
GOES_ON = {"build"}  # Phases after whose failure the next one runs by default.


def run(buildspec, folder, variables, log):
    """Run the buildspec in `folder` with these variables and nothing else: (succeeded, exported variables, phases that ran)."""
    known = yaml.safe_load(buildspec.read_text())
    assert known["version"] == 0.2, f"{buildspec} is of version {known['version']}; this runner knows 0.2"
    env = known.get("env", {})
    for key in env:
        assert key in ("shell", "variables", "exported-variables"), f"this runner does not know env/{key} of {buildspec}"
    assert env.get("shell", "sh") == "bash", "this runner has bash alone"
    exported = env.get("exported-variables", [])
    result = folder / ".codebuild-result"
    script = "\n".join([
        "succeeding=1; phases=; export CODEBUILD_BUILD_SUCCEEDING=1",
        *(line for phase in PHASES for line in phase_lines(phase, known["phases"].get(phase))),
        f"printf '%s\\0' \"$succeeding\" \"$phases\" >{shlex.quote(str(result))}",
        *(f"printf '%s\\0' \"${{{name}:-}}\" >>{shlex.quote(str(result))}" for name in exported),
    ])
    with open(log, "w") as output:
        subprocess.run(["bash", "-c", script], cwd=folder, env={**env.get("variables", {}), **variables}, timeout=3600,
                       stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False)
    succeeding, phases, *values = result.read_text().split("\0")[:-1]
    result.unlink()
    return succeeding == "1", dict(zip(exported, values)), phases.split()


def phase_lines(phase, known):
    """One phase as lines of the script. Each command is evaluated in the script's own shell, so that what it exports stays."""
    if not known:
        return []
    on_failure = known.get("on-failure", "CONTINUE" if phase in GOES_ON else "ABORT")
    assert on_failure in ("ABORT", "CONTINUE"), f"this runner does not know on-failure: {on_failure}"
    lines = ['if [ -z "${stopped:-}" ]; then', f'phases="$phases {phase}"; echo "[phase {phase}]"', "failed="]
    for command in known.get("commands", []):
        lines += ['if [ -z "$failed" ]; then', *command_lines(command), "fi"]
    for command in known.get("finally", []):
        lines += command_lines(command)
    lines += ['if [ -n "$failed" ]; then', 'echo "[the phase failed with $failed]"']
    lines += ["succeeding=0; export CODEBUILD_BUILD_SUCCEEDING=0"]
    lines += ["stopped=1"] if on_failure == "ABORT" else []
    return [*lines, "fi", "fi"]


def command_lines(command):
    return [f"echo {shlex.quote('$ ' + command)}", f"eval {shlex.quote(command)} || failed=$?"]


def project_variables(project, commit, number):
    """What CodeBuild gives to a build of this project: its own variables, the project's, and a role's credentials."""
    region = project["arn"].split(":")[3]
    kept = ("PATH", "HOME", "LANG", "DOCKER_HOST", "DOCKER_CONFIG", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
        "CODEBUILD_BUILD_ARN": f"{project['arn'].replace(':project/', ':build/')}:{number}",
        "CODEBUILD_BUILD_NUMBER": str(number), "CODEBUILD_RESOLVED_SOURCE_VERSION": commit, "CODEBUILD_SOURCE_VERSION": commit,
        "CODEBUILD_INITIATOR": "rehearsal",
        **{entry["name"]: entry["value"] for entry in project["environment"]["environmentVariables"]},
    }
