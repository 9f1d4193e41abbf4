"""Is a machine as closed as it can be, and does its user data fit, run no parameter as a command, and say how it went?"""

import json
import re
import shutil
import subprocess
from re import _parser as pattern_parser

import pytest

from template import SUBSTITUTION, Stack

# EC2 takes 16 KB before it is encoded.
USER_DATA_BYTES = 16 * 1024

# The longest that AWS gives: a signed URL of a wait condition (550 seen), a region, a stack's name.
LONGEST_KNOWN = {"ReadyHandle": "h" * 1000, "LogGroup": "/assay/" + "n" * 128, "Cluster": "c" * 255}

# What `systemd-analyze security` calls the exposure of assay.service, of 10; 1.4 when this was written.
MOST_EXPOSURE = 1.5

HARDENING = {
    "User": "assay",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateIPC": "yes",
    "NoExecPaths": "/",
    "ExecPaths": "/usr/local/bin/assay-serve",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "RestrictAddressFamilies": "AF_INET AF_INET6",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "RemoveIPC": "yes",
    "KeyringMode": "private",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
    "Restart": "always",
    "StartLimitIntervalSec": "0",
}


def machines(deployment):
    """Every machine that any stack would start: where it is, and its properties."""
    for stack in deployment.stacks():
        for logical_id, properties in stack.of_type("AWS::EC2::Instance").items():
            yield f"{stack}: {logical_id}", properties
        for logical_id, properties in stack.of_type("AWS::EC2::LaunchTemplate").items():
            yield f"{stack}: {logical_id}", properties["LaunchTemplateData"]


def user_data_nodes(template):
    """The text of every user data as it was written, with its substitutions."""
    instance = template.resources.get("Instance", {}).get("Properties", {})
    launch = template.resources.get("LaunchTemplate", {}).get("Properties", {}).get("LaunchTemplateData", {})
    return [node["UserData"]["Fn::Base64"]["Fn::Sub"] for node in (instance, launch) if "UserData" in node]


def longest_value(declared):
    """The longest value that a parameter takes, as text; its characters do not matter."""
    if "AllowedValues" in declared:
        return max(map(str, declared["AllowedValues"]), key=len)
    if declared["Type"] == "Number":
        return str(declared["MaxValue"])
    widest = pattern_parser.parse(declared["AllowedPattern"]).getwidth()[1] if "AllowedPattern" in declared else 4096
    return "x" * min(declared.get("MaxLength", 4096), widest)


def test_the_metadata_of_a_machine_answers_to_tokens_only_and_on_the_machine_only(deployment):
    for where, machine in machines(deployment):
        options = machine.get("MetadataOptions", {})
        assert options.get("HttpTokens") == "required", f"{where} answers without a token"
        assert options.get("HttpPutResponseHopLimit") == 1, f"{where} answers to what is a hop away"


def test_every_disk_is_encrypted_gp3_and_goes_with_its_machine(deployment):
    for where, machine in machines(deployment):
        disks = machine["BlockDeviceMappings"]
        assert [disk["DeviceName"] for disk in disks] == ["/dev/xvda"], f"{where}: another name adds a second disk"
        for disk in disks:
            assert disk["Ebs"].get("Encrypted") is True, f"{where}: a disk in the clear"
            assert disk["Ebs"]["VolumeType"] == "gp3", where
            assert disk["Ebs"]["DeleteOnTermination"] is True, where
            assert 8 <= disk["Ebs"]["VolumeSize"] <= 1024, where


def test_the_image_of_a_machine_is_looked_up_and_not_written_down(deployment):
    for template in deployment.templates:
        assert not re.search(r"\bami-[0-9a-f]{8,}", template.text), template.name
    for stack in deployment.services():
        for template in stack.of_type("AWS::EC2::LaunchTemplate").values():
            arm = "arm64" in str(template["LaunchTemplateData"]["ImageId"])
            assert arm == (stack.parameters["Architecture"] == "arm64"), stack


def test_user_data_fits_however_long_the_parameters_are(deployment):
    for template in deployment.templates:
        longest = {name: longest_value(declared) for name, declared in template.parameters.items()} | LONGEST_KNOWN
        for text in user_data_nodes(template):
            rendered = SUBSTITUTION.sub(lambda match, values=longest: values.get(match[1], "r" * 20), text)
            size = len(rendered.encode())
            assert size < USER_DATA_BYTES, f"{template.name}: {size} bytes"


def test_user_data_holds_every_text_from_outside_in_single_quotes(deployment):
    """test_parameters.py shows that no parameter holds a single quote; so nothing in quotes can become a command."""
    for template in deployment.templates:
        for text in user_data_nodes(template):
            for line in text.splitlines():
                for match in SUBSTITUTION.finditer(line):
                    if template.parameters.get(match[1], {}).get("Type") == "Number":
                        continue
                    quoted = line[: match.start()].count("'") % 2 == 1
                    assert quoted, f"{template.name}: {match[0]} outside of quotes: {line.strip()}"


def test_user_data_stops_at_the_first_fault_and_checks_the_release_before_it_runs_it(deployment):
    text, = user_data_nodes(deployment.machine)
    lines = text.splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -Eeuo pipefail" in lines
    assert "trap 'fail \"$LINENO\"' ERR" in lines
    in_order = [
        "/var/log/userdata.log",
        "trap 'fail",
        "--output \"$folder/release.tar.gz\" '${ReleaseUrl}'",
        "echo '${ReleaseSha256}'\" $folder/release.tar.gz\" | sha256sum --check",
        "tar --extract",
        "\"$folder/ec2/install\"",
        "[ \"$code\" -eq 0 ]\n",
        "tell SUCCESS",
    ]
    places = [text.find(part) for part in in_order]
    assert -1 not in places and places == sorted(places), dict(zip(in_order, places, strict=True))
    assert lines[-1].startswith("tell SUCCESS"), "the stack must not be told of success before the end"
    assert not re.search(r"curl[^|\n]*\|\s*(ba)?sh|eval ", text), "something fetched is run unseen"


def test_user_data_signals_to_the_wait_condition_in_the_way_that_it_takes(deployment):
    text, = user_data_nodes(deployment.machine)
    tell = text[text.index("tell()"):text.index("fail()")]
    # S3 signed the URL for no content type, and takes nothing else.
    assert "--request PUT" in tell and "--header 'Content-Type:'" in tell and "'${ReadyHandle}'" in tell
    shape = re.search(r"printf '(\{.*\})'", tell)[1]
    assert set(json.loads(shape.replace("%s", "x"))) == {"Status", "UniqueId", "Reason", "Data"}
    assert "tell FAILURE" in text
    for stack in deployment.machines():
        ready = stack.properties("Ready")
        assert (ready["Handle"], ready["Count"]) == ("«ReadyHandle»", 1), stack
        assert ready["Timeout"] == stack.parameters["BootTimeoutSeconds"], stack
        assert stack.outputs["ModelOrigin"] == "«Ready.Data»", stack


def test_the_installer_knows_every_option_that_user_data_gives_it(deployment):
    text, = user_data_nodes(deployment.machine)
    call = text[text.index('"$folder/ec2/install"'):text.index("code=$?")]
    given = set(re.findall(r"(?<=\s)--[a-z0-9-]+", call))
    known = set(re.findall(r"^    (--[a-z0-9-]+)\)", (deployment.deploy / "ec2/install").read_text(), re.MULTILINE))
    assert given == known, "options that are given and not known, or known and not given"


def test_the_log_is_where_the_seed_had_it_and_is_sent_on(deployment):
    text, = user_data_nodes(deployment.machine)
    assert "/var/log/userdata.log" in text
    assert "/var/log/userdata.log" in (deployment.deploy / "ec2/ship-logs").read_text()


def test_tasks_cannot_read_the_role_of_their_machine_or_ask_for_privileges(deployment):
    text, = user_data_nodes(deployment.service)
    for setting in ("ECS_AWSVPC_BLOCK_IMDS=true", "ECS_DISABLE_PRIVILEGED=true"):
        assert f"echo '{setting}'" in text, setting
    stack = next(deployment.services())
    assert "ECS_CLUSTER=«Cluster»" in stack.properties("LaunchTemplate")["LaunchTemplateData"]["UserData"], stack


def test_the_machine_of_environment_1_has_its_network_its_role_and_its_address(deployment):
    for stack in deployment.machines():
        machine = stack.properties("Instance")
        assert machine.get("SubnetId") == "«Subnet»", stack
        assert machine.get("IamInstanceProfile") == "«InstanceProfile»", f"{stack}: neither log nor session would work"
        assert stack.properties("InstanceProfile") == {"Roles": ["«Role»"]}, stack
        address = stack.properties("ElasticIp")
        assert (address.get("InstanceId"), address.get("Domain")) == ("«Instance»", "vpc"), f"{stack}: clients would call nobody"


def test_the_machines_of_the_cluster_have_their_role(deployment):
    for stack in deployment.services():
        if stack.parameters["Capacity"] == "EC2":
            launched = stack.properties("LaunchTemplate")["LaunchTemplateData"]
            assert launched.get("IamInstanceProfile") == {"Arn": "«InstanceProfile.Arn»"}, stack
            assert stack.properties("InstanceProfile") == {"Roles": ["«InstanceRole»"]}, stack
            assert launched.get("InstanceType") == stack.parameters["InstanceType"], stack
            group = stack.properties("AutoScalingGroup")
            version = {"LaunchTemplateId": "«LaunchTemplate»", "Version": "«LaunchTemplate.LatestVersionNumber»"}
            assert group["LaunchTemplate"] == version, f"{stack}: an update would not reach its machines"


def test_user_data_has_no_substitution_left_once_rendered(deployment):
    known = {"ReadyHandle": "https://wait", "LogGroup": "/assay"}
    stack = Stack(deployment.machine, next(deployment.machines()).choices, known=known)
    text = stack.properties("Instance")["UserData"]
    assert "«" not in text and not re.search(r"\$\{[A-Z]", text)


def test_the_service_of_the_machine_may_do_nothing_but_serve(deployment):
    for setting, value in HARDENING.items():
        assert deployment.unit.get(setting) == [value], f"{setting} is {deployment.unit.get(setting)}, not {value!r}"
    assert deployment.unit["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    program, *_ = deployment.unit["ExecStart"][0].split()
    assert deployment.unit["ExecPaths"] == [program], "it may run something else than the service"
    assert not {"ReadWritePaths", "Environment", "EnvironmentFile", "ExecStartPre"} & set(deployment.unit)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed; the test above reads the unit itself")
def test_systemd_itself_finds_the_service_well_closed(deployment):
    unit = deployment.deploy / "ec2/assay.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={round(MOST_EXPOSURE * 10)}", "--no-pager", unit],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-600:] + done.stderr
