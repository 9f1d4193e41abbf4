"""Do keys reach the service, and nobody else, where somebody asked for them; and is all as before where nobody did?"""

import copy
import re
import stat
import subprocess

from deployment import KEYS, RELEASED
from template import Stack
from test_permissions import as_list, policies, statements

READ = {"Sid": "ReadKeys", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": KEYS}
FILE = "/etc/assay/keys.json"


def with_keys(deployment):
    """Every installation that can have keys, as it is without and with them."""
    for without in (*deployment.machines(), *deployment.services()):
        if without.parameters.get("PrivateTasks") != "true":
            yield without, Stack(without.template, without.choices | {"KeysSecretArn": KEYS})


def test_keys_are_read_by_who_needs_them_and_from_the_one_secret(deployment):
    for _, stack in with_keys(deployment):
        reader = "Role" if stack.template is deployment.machine else "ExecutionRole"
        reads = [(role, statement) for role, statement in statements(stack)
                 if any(action.startswith("secretsmanager:") for action in as_list(statement["Action"]))]
        assert reads == [(reader, READ)], stack
    for template in (deployment.machine, deployment.service):
        for every in (KEYS.replace("keys-a1B2c3", "*"), KEYS.replace("a1B2c3", "*"), "*"):
            assert template.complaint("KeysSecretArn", every), f"{template.name}: {every} would open more than one secret"


def test_the_name_of_a_secret_is_refused_unless_it_is_whole(deployment):
    """IAM compares the whole ARN, so that the right to read a shorter one would come to nothing, and only at the end."""
    for template in (deployment.machine, deployment.service):
        assert template.complaint("KeysSecretArn", KEYS) is None, template.name
        for part in (KEYS.removesuffix("-a1B2c3"), KEYS + ":ASSAY_KEYS::", "keys", "keys-a1B2c3"):
            assert template.complaint("KeysSecretArn", part), f"{template.name} takes {part}"


def test_tasks_get_keys_as_a_secret_and_never_as_text(deployment):
    for without, stack in with_keys(deployment):
        if stack.template is deployment.service:
            container, = stack.properties("TaskDefinition")["ContainerDefinitions"]
            assert container.get("Secrets") == [{"Name": "ASSAY_KEYS", "ValueFrom": KEYS}], stack
            assert "Environment" not in container, f"{stack}: whoever may read the task definition would read it"
            container, = without.properties("TaskDefinition")["ContainerDefinitions"]
            assert "Secrets" not in container, without
    private = Stack(deployment.service, {"KeysSecretArn": KEYS, "PrivateTasks": "true"})
    assert private.broken_rules, "private tasks have no way to Secrets Manager and would not start"


def test_keys_change_nothing_but_who_reads_them(deployment):
    for without, stack in with_keys(deployment):
        resources = copy.deepcopy(stack.resources)
        for resource in resources.values():
            for policy in policies(resource):
                policy["Statement"] = [statement for statement in as_list(policy["Statement"]) if statement != READ]
        if "TaskDefinition" in resources:
            for container in resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]:
                container.pop("Secrets", None)
        else:
            machine = resources["Instance"]["Properties"]
            machine["UserData"] = machine["UserData"].replace(f"--keys-secret '{KEYS}'", "--keys-secret ''")
        assert resources == without.resources, f"{stack}: {changed(resources, without.resources)}"
        assert stack.outputs == without.outputs, stack
        assert not stack.broken_rules, stack


def changed(one, other):
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def test_a_machine_with_keys_is_told_its_secret_and_asks_for_keys(deployment):
    """The installer takes the place of being open with the keys, in the unit as it is, and looks again and again."""
    stack = Stack(deployment.machine, RELEASED | {"KeysSecretArn": KEYS})
    assert f"--keys-secret '{KEYS}'" in stack.properties("Instance")["UserData"]
    installer = (deployment.deploy / "ec2/install").read_text()
    edits = re.findall(r"sed --in-place '([^']+)' /etc/systemd/system/assay\.service\n", installer)
    assert len(edits) == 1, "the installer edits the service's unit once"
    unit = (deployment.deploy / "ec2/assay.service").read_text()
    edited = subprocess.run(["sed", edits[0]], input=unit, capture_output=True, text=True, check=True).stdout
    started, = re.findall(r"^ExecStart=(.*)$", edited, re.MULTILINE)
    assert "--insecure" not in started and started.endswith(f" --keys {FILE}"), f"the machine would run {started}"
    assert len(set(edited.splitlines()) ^ set(unit.splitlines())) == 2, "more than one line of the unit is another"
    assert "systemctl enable --quiet --now assay-keys.timer" in installer, "keys that are taken back would stay good"
    looks = (deployment.deploy / "ec2/assay-keys.service").read_text()
    assert f"ExecStart=/usr/local/bin/assay-fetch-keys ${{KEYS_SECRET}} {FILE}\n" in looks, "it would look after another file"
    assert "OnUnitActiveSec=60\n" in (deployment.deploy / "ec2/assay-keys.timer").read_text(), "deploy/README.md says a minute"


def test_keys_that_cannot_be_fetched_leave_the_old_ones(deployment, tmp_path):
    file = tmp_path / "keys.json"
    file.write_text("old\n")
    command(tmp_path / "chown", "exit 0")
    for says, code, then in (("exit 255", 255, "old\n"), ("echo half; exit 1", 1, "old\n"), ("echo new", 0, "new\n")):
        command(tmp_path / "aws", f'echo "$@" >{tmp_path}/asked; {says}')
        done = subprocess.run([deployment.deploy / "ec2/fetch-keys", KEYS, file], check=False, capture_output=True, text=True,
                              env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
        assert (done.returncode, file.read_text()) == (code, then), f"{says}: {done.stderr}"
        assert not list(tmp_path.glob(".keys*")), f"{says}: something is left behind"
        asked = (tmp_path / "asked").read_text()
        assert asked.startswith(f"--region eu-west-1 secretsmanager get-secret-value --secret-id {KEYS} "), asked
    assert stat.S_IMODE(file.stat().st_mode) == 0o640, "others on the machine could read it"


def command(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
