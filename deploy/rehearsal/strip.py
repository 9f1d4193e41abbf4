"""What of the running part's template can MiniStack not create, and who looks after it instead?

The ECS stack is rehearsed with real containers on a template from which the items below are taken, and nothing else. Each says why,
and which test of deploy/checks asserts it; an item that the template no longer has, or a test that is no longer there, fails the
rehearsal.
"""

import json
from dataclasses import dataclass

import yaml


@dataclass(frozen=True)
class Removal:
    """One thing taken out or replaced: at `path`, by `value` (nothing takes it out), because of `reason`; `test` asserts it."""

    path: tuple
    reason: str
    test: str
    value: object = None

    def place(self):
        return "/".join(map(str, self.path))


REMOVALS = [
    Removal(("Resources", "CapacityProviders"), "MiniStack has no resource of this type",
            "test_the_service_asks_for_capacity_that_its_cluster_has"),
    Removal(("Resources", "Service", "DependsOn", "CapacityProviders"), "it names what was taken out",
            "test_everything_waits_for_what_it_needs_to_work"),
    Removal(("Resources", "CapacityProvider"), "MiniStack has no resource of this type",
            "test_the_service_asks_for_capacity_that_its_cluster_has"),
    Removal(("Resources", "Service", "Properties", "CapacityProviderStrategy"), "it names what was taken out",
            "test_the_service_asks_for_capacity_that_its_cluster_has", [{"CapacityProvider": "FARGATE", "Weight": 1}]),
    Removal(("Resources", "Service", "Properties", "DesiredCount"), "MiniStack cannot count with a number that a parameter holds",
            "test_there_are_two_tasks_and_the_default_machine_has_room_for_them", 2),
    Removal(("Resources", "CpuScaling"), "MiniStack has no resource of this type",
            "test_scaling_moves_this_service_between_the_counts_that_were_chosen"),
    Removal(("Resources", "RequestScaling"), "MiniStack has no resource of this type",
            "test_scaling_moves_this_service_between_the_counts_that_were_chosen"),
    Removal(("Resources", "ScalableTarget"), "MiniStack has no resource of this type",
            "test_scaling_moves_this_service_between_the_counts_that_were_chosen"),
    Removal(("Resources", "HttpsIngress"), "MiniStack has no resource of this type",
            "test_clients_reach_tasks_and_with_a_certificate_only_over_tls"),
    Removal(("Resources", "HttpsListener", "DependsOn"), "it names what was taken out",
            "test_everything_waits_for_what_it_needs_to_work"),
    Removal(("Parameters", "EcsAmi"), "MiniStack lets nobody write AWS's public parameters, and has none for ECS",
            "test_the_image_of_a_machine_is_looked_up_and_not_written_down", {"Type": "String", "Default": "ami-0123456789abcdef0"}),
    Removal(("Resources", "TaskDefinition", "Properties", "ContainerDefinitions", 0, "Secrets"),
            "MiniStack passes secrets on to its ECS by CloudFormation's names, which that does not know",
            "test_tasks_get_keys_as_a_secret_and_never_as_text",
            {"Fn::If": ["Keys", [{"name": "ASSAY_KEYS", "valueFrom": {"Ref": "KeysSecretArn"}}], {"Ref": "AWS::NoValue"}]}),
]


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the long ones."""


def long_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", long_form)


def strip(template):
    """The template's text without the removals, as JSON; says in an assertion which of them does not apply."""
    known = yaml.load(template, Loader)
    for removal in REMOVALS:
        *parents, last = removal.path
        place = known
        for name in parents:
            assert has(place, name), f"strip.py takes {removal.place()} out of the template, which has no {name} any more"
            place = place[name]
        assert has(place, last), f"strip.py takes {removal.place()} out of the template, which has none any more"
        if isinstance(place, list):
            place.remove(last)
        elif removal.value is None:
            del place[last]
        else:
            place[last] = removal.value
    return json.dumps(known)


def has(place, name):
    """Whether a mapping or a list holds this name, or a list has an element of this number."""
    return name < len(place) if isinstance(name, int) else name in place


def unasserted(checks):
    """Removals whose test is not in the folder `checks`."""
    tests = "".join(file.read_text() for file in checks.glob("test_*.py"))
    return [removal for removal in REMOVALS if f"def {removal.test}(" not in tests]
