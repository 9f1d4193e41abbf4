"""What may be typed into the templates' parameters, and what is refused before anything is created?"""

import re
from itertools import product

import pytest

from deployment import PUBLISHED, RELEASED
from template import Refused, Stack

# Fargate's own table of sizes, in MiB by CPU units: from, to, and the steps between.
FARGATE_MEMORY = {
    256: {512, 1024, 2048},
    512: set(range(1024, 4096 + 1, 1024)),
    1024: set(range(2048, 8192 + 1, 1024)),
    2048: set(range(4096, 16384 + 1, 1024)),
    4096: set(range(8192, 30720 + 1, 1024)),
}

# What somebody may mistype, and what the template must then say no to.
BAD_VALUES = [
    ("machine", "ClientCidr", "203.0.113.7"),
    ("machine", "ClientCidr", "300.0.0.0/8"),
    ("machine", "ClientCidr", "10.0.0.0/33"),
    ("machine", "DatasetUrl", "ftp://example.com/history.csv"),
    ("machine", "DatasetUrl", "https://example.com/" + "a" * 2000),
    ("machine", "DatasetSha256", "cd" * 31),
    ("machine", "DatasetSha256", "CD" * 32),
    ("machine", "ReleaseUrl", "http://example.com/assay.tar.gz"),
    ("machine", "ReleaseSha256", ""),
    ("machine", "OnMissingData", "ignore"),
    ("machine", "Learner", "neural-network"),
    ("machine", "InstanceType", "t4g.small"),
    ("machine", "InstanceType", "t3.nano"),
    ("machine", "RootVolumeGiB", "7"),
    ("machine", "RootVolumeGiB", "16 GiB"),
    ("machine", "BootTimeoutSeconds", "43201"),
    ("machine", "LogRetentionDays", "0"),
    ("machine", "SubnetCidr", "10.0.0.0/29"),
    ("build", "RepositoryName", "Fraud-Detection"),
    ("build", "RepositoryName", "fraud--detection"),
    ("build", "ImageTag", "release 7"),
    ("build", "ImageTag", "a" * 129),
    ("build", "ImageUriParameter", "fraud-detection/image-uri"),
    ("build", "ImageUriParameter", "/aws/image-uri"),
    ("build", "SourceLocation", "https://example.com/assay.git"),
    ("build", "BuildspecPath", "deploy/image/Dockerfile"),
    ("build", "KeepImages", "1"),
    ("build", "EmptyOnDelete", "yes"),
    ("build", "Architecture", "aarch64"),
    ("service", "CertificateArn", "scores.example.com"),
    ("service", "DomainName", "https://scores.example.com"),
    ("service", "KeysSecretArn", "keys"),
    ("service", "KeysSecretArn", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:fraud-keys"),
    ("machine", "KeysSecretArn", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:*"),
    ("machine", "KeysSecretArn", "arn:aws:ssm:eu-west-1:123456789012:parameter/keys"),
    ("service", "Capacity", "fargate"),
    ("service", "DesiredCount", "0"),
    ("service", "MaxCount", "1000"),
    ("service", "TaskCpu", "300"),
    ("service", "InstanceType", "t3.micro"),
    ("service", "PublicSubnetACidr", "10.1.0.0/28"),
    ("service", "AlarmEmail", "alarms"),
    ("service", "PrivateTasks", "maybe"),
]

GOOD_VALUES = [
    ("machine", "ClientCidr", "203.0.113.7/32"),
    ("machine", "DatasetUrl", "https://example.com/a.csv?X-Amz-Signature=ab%2Fcd&X-Amz-Date=20260101T000000Z#top"),
    ("build", "RepositoryName", "team/fraud-detection_2.x"),
    ("build", "ImageTag", "v1.2.3_rc-1"),
    ("build", "ImageUriParameter", "/team/fraud.detection/image_uri-2"),
    ("build", "SourceLocation", "https://github.com/some-one/assay.rs"),
    ("build", "SourceVersion", "feature/new-learner"),
    ("service", "CertificateArn", "arn:aws-us-gov:acm:us-gov-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"),
    ("service", "DomainName", "a.b-c.example.co.uk"),
    ("machine", "KeysSecretArn", "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:team/keys_1-a1B2c3"),
    ("service", "AlarmEmail", "first.last+alarms@example.co.uk"),
]


def test_every_default_satisfies_its_own_constraints(deployment):
    for template in deployment.templates:
        for parameter, declared in template.parameters.items():
            assert "Default" in declared, f"{template.name}: {parameter} has no default, so the console cannot be left as it is"
            complaint = template.complaint(parameter, declared["Default"])
            assert not complaint, f"{template.name}: the default of {parameter}: {complaint}"


@pytest.mark.parametrize(("template", "parameter", "value"), BAD_VALUES)
def test_a_value_that_cannot_work_is_refused(deployment, template, parameter, value):
    assert getattr(deployment, template).complaint(parameter, value)


@pytest.mark.parametrize(("template", "parameter", "value"), GOOD_VALUES)
def test_a_value_that_works_is_taken(deployment, template, parameter, value):
    assert getattr(deployment, template).complaint(parameter, value) is None


def test_every_parameter_says_what_it_is_and_what_it_must_be(deployment):
    for template in deployment.templates:
        for parameter, declared in template.parameters.items():
            where = f"{template.name}: {parameter}"
            assert declared.get("Description", "").endswith("."), f"{where} has no description that ends as a sentence"
            if "AllowedPattern" in declared or "MinValue" in declared:
                assert declared.get("ConstraintDescription", "").startswith("must be"), f"{where} does not say what it must be"
            if declared["Type"] == "Number":
                bounded = "AllowedValues" in declared or {"MinValue", "MaxValue"} <= set(declared)
                assert bounded, f"{where} takes any number"
            elif declared["Type"] == "String":
                assert {"AllowedValues", "AllowedPattern"} & set(declared), f"{where} takes any text"


def test_the_console_shows_every_parameter_once_and_with_a_label(deployment):
    for template in deployment.templates:
        interface = template.tree["Metadata"]["AWS::CloudFormation::Interface"]
        shown = [parameter for group in interface["ParameterGroups"] for parameter in group["Parameters"]]
        assert sorted(shown) == sorted(template.parameters), template.name
        assert sorted(interface["ParameterLabels"]) == sorted(template.parameters), template.name


def test_no_parameter_can_break_out_of_the_quotes_of_a_script(deployment):
    """User data and logs hold parameters in single quotes; a value with one of these would run as a command, as root."""
    for template in deployment.templates:
        for parameter, declared in template.parameters.items():
            if declared["Type"] != "String" or "AllowedValues" in declared:
                continue
            for sample in ("", str(declared["Default"]), "https://example.com/a", "a"):
                for character in "'\"$`\\\n ":
                    for value in (sample + character, character + sample, sample[:9] + character + sample[9:]):
                        if value == sample or parameter == "AlarmEmail":  # No script sees the address.
                            continue
                        assert template.complaint(parameter, value), f"{template.name}: {parameter} takes {value!r}"


def test_every_choice_of_the_matrix_is_accepted(deployment):
    for stack in deployment.stacks():
        assert stack.broken_rules == [], stack
        assert stack.resources and stack.outputs, stack


def test_a_template_from_the_source_tree_is_refused_until_it_is_released(deployment):
    """Its defaults name no release and no repository: nobody's code runs by mistake."""
    for template, given in ((deployment.machine, RELEASED), (deployment.build, PUBLISHED)):
        assert len(Stack(template).broken_rules) == 1, template.name
        assert Stack(template, given).broken_rules == [], template.name
    assert ".example/" in deployment.machine.parameters["ReleaseUrl"]["Default"], "somebody could own that name"
    owner = deployment.build.parameters["SourceLocation"]["Default"].split("/")[3]
    assert "_" in owner, f"GitHub could give somebody the name {owner}"


def test_a_size_that_fargate_does_not_have_is_refused(deployment):
    declared = deployment.service.parameters
    for capacity in ("FARGATE", "FARGATE_SPOT"):
        for cpu, memory in product(declared["TaskCpu"]["AllowedValues"], declared["TaskMemory"]["AllowedValues"]):
            stack = Stack(deployment.service, {"Capacity": capacity, "TaskCpu": cpu, "TaskMemory": memory})
            assert (stack.broken_rules == []) == (memory in FARGATE_MEMORY[cpu]), f"{stack}: {stack.broken_rules}"


def test_machines_take_tasks_of_any_size(deployment):
    declared = deployment.service.parameters
    for cpu, memory in product(declared["TaskCpu"]["AllowedValues"], declared["TaskMemory"]["AllowedValues"]):
        stack = Stack(deployment.service, {"TaskCpu": cpu, "TaskMemory": memory})
        assert stack.broken_rules == [], stack


def test_more_tasks_than_may_run_are_refused(deployment):
    declared = deployment.service.parameters
    for wanted, most in product(declared["DesiredCount"]["AllowedValues"], declared["MaxCount"]["AllowedValues"]):
        stack = Stack(deployment.service, {"DesiredCount": wanted, "MaxCount": most})
        assert (stack.broken_rules == []) == (wanted <= most), f"{stack}: {stack.broken_rules}"


def test_a_machine_with_another_processor_than_the_image_is_refused(deployment):
    for kind in deployment.service.parameters["InstanceType"]["AllowedValues"]:
        arm = re.match(r"[a-z]+\d+g", kind) is not None  # Amazon's name for its own arm64 processors.
        for architecture in ("x86_64", "arm64"):
            stack = Stack(deployment.service, {"InstanceType": kind, "Architecture": architecture})
            assert (stack.broken_rules == []) == (arm == (architecture == "arm64")), stack
            stack = Stack(deployment.service, {"InstanceType": kind, "Architecture": architecture, "Capacity": "FARGATE"})
            assert stack.broken_rules == [], stack


def test_the_machine_that_trains_has_the_processor_of_the_release(deployment):
    for kind in deployment.machine.parameters["InstanceType"]["AllowedValues"]:
        assert not re.match(r"[a-z]+\d+g", kind), f"{kind} is arm64, and the release is built for x86-64"


def test_the_parts_of_environment_2_agree_by_default(deployment):
    build, service = deployment.build.parameters, deployment.service.parameters
    assert build["ImageUriParameter"]["Default"] == service["ImageUri"]["Default"]
    assert build["RepositoryName"]["Default"] == service["RepositoryName"]["Default"]
    assert build["Architecture"]["Default"] == service["Architecture"]["Default"]


def test_the_history_is_the_same_in_both_environments(deployment):
    for parameter in ("DatasetUrl", "DatasetSha256", "OnMissingData", "Learner"):
        machine, build = deployment.machine.parameters[parameter], deployment.build.parameters[parameter]
        for key in ("Default", "AllowedValues", "AllowedPattern", "MaxLength"):
            assert machine.get(key) == build.get(key), f"{parameter} differs in {key}"
    default = deployment.machine.parameters["DatasetUrl"]["Default"]
    assert default == "https://clouda-datasets.s3.amazonaws.com/creditcard.csv.zip", "the seed's data set"
    assert deployment.dockerfile.arguments["DATASET_URL"] == default


def test_a_name_that_no_template_knows_is_refused(deployment):
    with pytest.raises(Refused):
        Stack(deployment.service, {"KeyName": "my-key"})
