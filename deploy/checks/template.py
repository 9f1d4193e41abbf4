"""What would CloudFormation make of a template, given these parameters?

A renderer of exactly the functions that our templates use; any other is refused, so that nothing is passed over in silence. What
only AWS can know, such as the ID of a resource, becomes a mark: «Vpc» for `!Ref Vpc`, «Role.Arn» for `!GetAtt Role.Arn`.
"""

import json
import re
from functools import cached_property
from pathlib import Path

import yaml

REGION = "eu-west-1"
ACCOUNT = "123456789012"
IMAGE_URI = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/fraud-detection:0123456789ab-1"

# What the SSM parameters that templates name hold: those of AWS and Debian, and the one that a build writes.
PARAMETER_STORE = {
    "/aws/service/debian/release/12/latest/amd64": "ami-0000000000000000a",
    "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id": "ami-0000000000000000b",
    "/fraud-detection/image-uri": IMAGE_URI,
}

MARK = re.compile(r"«(\w+)(?:\.[\w.]+)?»")
SUBSTITUTION = re.compile(r"\$\{([^}]*)\}")
NO_VALUE = object()


class Refused(Exception):
    """CloudFormation would not create this stack; the text says why."""


class Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms of functions."""


def _function(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


Loader.add_multi_constructor("!", _function)


class Template:
    """One template as it was written."""

    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.name
        self.text = self.path.read_text()
        self.tree = yaml.load(self.text, Loader)
        self.parameters = self.tree["Parameters"]
        self.resources = self.tree["Resources"]

    def complaint(self, parameter, value):
        """What CloudFormation would say against a value of a parameter; nothing if it would take it."""
        declared, text = self.parameters[parameter], str(value)
        allowed = declared.get("AllowedValues")
        if allowed is not None and text not in map(str, allowed):
            return f"{text!r} is none of the allowed values"
        if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], text):
            return f"{text!r} does not match the pattern"
        if not declared.get("MinLength", 0) <= len(text) <= declared.get("MaxLength", 4096):
            return f"{text!r} has a forbidden length"
        if declared["Type"] == "Number":
            if not re.fullmatch(r"-?\d+(\.\d+)?", text):
                return f"{text!r} is no number"
            if not declared.get("MinValue", float("-inf")) <= float(text) <= declared.get("MaxValue", float("inf")):
                return f"{text!r} is out of range"
        return None


class Stack:
    """A template with its parameters chosen. `known` says what AWS would answer instead of a mark, as {"Vpc": "vpc-1"}."""

    def __init__(self, template, choices=None, *, name="fraud", known=None):
        self.template, self.choices, self.name, self.known = template, choices or {}, name, known or {}
        if unknown := set(self.choices) - set(template.parameters):
            raise Refused(f"{template.name} has no parameters {sorted(unknown)}")
        self.parameters = {}
        for parameter, declared in template.parameters.items():
            value = self.choices.get(parameter, declared.get("Default"))
            if complaint := template.complaint(parameter, value):
                raise Refused(f"{template.name}: {parameter}: {complaint}")
            if declared["Type"].startswith("AWS::SSM::Parameter::Value<"):
                if value not in PARAMETER_STORE:
                    raise Refused(f"{template.name}: {parameter}: there is no SSM parameter {value}")
                value = PARAMETER_STORE[value]
            elif declared["Type"] == "Number":
                value = float(value) if "." in str(value) else int(value)
            self.parameters[parameter] = value

    def __str__(self):
        chosen = ", ".join(f"{parameter}={value!r}" for parameter, value in self.choices.items())
        return f"{self.template.name} with {chosen or 'its defaults'}"

    @cached_property
    def broken_rules(self):
        """What the template's own rules have against these parameters."""
        return [
            assertion["AssertDescription"]
            for rule in self.template.tree.get("Rules", {}).values()
            if "RuleCondition" not in rule or self.holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self.holds(assertion["Assert"])
        ]

    @cached_property
    def resources(self):
        """Every resource that there would be, rendered whole."""
        return {
            logical_id: self.render({key: value for key, value in resource.items() if key != "Condition"})
            for logical_id, resource in self.template.resources.items()
            if self.has(logical_id)
        }

    @cached_property
    def outputs(self):
        """The value of every output that there would be."""
        return {
            name: self.render(output["Value"])
            for name, output in self.template.tree["Outputs"].items()
            if "Condition" not in output or self.holds({"Condition": output["Condition"]})
        }

    def properties(self, logical_id):
        return self.resources[logical_id].get("Properties", {})

    def of_type(self, *types):
        """The properties of every resource of these types, by logical ID."""
        return {key: self.properties(key) for key, resource in self.resources.items() if resource["Type"] in types}

    def waits_for(self, logical_id):
        """Every resource that is there before this one is created: named by DependsOn or referred to, directly or not."""
        before, ahead = set(), [logical_id]
        while ahead:
            found = self._needs[ahead.pop()]
            ahead += found - before
            before |= found
        return before

    @cached_property
    def _needs(self):
        """What each resource names or refers to itself."""
        needs = {}
        for logical_id, resource in self.resources.items():
            named = resource.get("DependsOn", [])
            needs[logical_id] = set([named] if isinstance(named, str) else named) & set(self.resources)
            needs[logical_id] |= {match[1] for match in MARK.finditer(json.dumps(resource, ensure_ascii=False))}
        return needs

    def has(self, logical_id):
        resource = self.template.resources[logical_id]
        return "Condition" not in resource or self.holds({"Condition": resource["Condition"]})

    def holds(self, condition):
        """Whether a condition, or what a rule asserts, is true."""
        (function, of), = condition.items()
        match function:
            case "Condition":
                return self.holds(self.template.tree["Conditions"][of])
            case "Fn::Equals":
                return str(self.render(of[0])) == str(self.render(of[1]))
            case "Fn::Not":
                return not self.holds(of[0])
            case "Fn::And":
                return all(map(self.holds, of))
            case "Fn::Or":
                return any(map(self.holds, of))
            case "Fn::Contains":
                return str(self.render(of[1])) in map(str, of[0])
        raise Refused(f"{self.template.name}: {function} is no condition that this renderer knows")

    def render(self, node):
        if isinstance(node, list):
            return [value for value in map(self.render, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1 and ((function := next(iter(node))) == "Ref" or function.startswith("Fn::")):
            return self._call(function, node[function])
        rendered = {key: self.render(value) for key, value in node.items()}
        return {key: value for key, value in rendered.items() if value is not NO_VALUE}

    def _call(self, function, of):
        match function:
            case "Ref":
                return self._ref(of)
            case "Fn::GetAtt":
                return self._attribute(*of)
            case "Fn::Sub":
                text, local = (of, {}) if isinstance(of, str) else of
                return SUBSTITUTION.sub(lambda match: self._substitute(match[1], local), text)
            case "Fn::If":
                condition, then, otherwise = of
                return self.render(then if self.holds({"Condition": condition}) else otherwise)
            case "Fn::Select":
                return self.render(of[1])[int(of[0])]
            case "Fn::GetAZs":
                region = self.render(of) or REGION
                return [region + zone for zone in "abc"]
            case "Fn::Base64":
                return self.render(of)  # As text, which is what there is to look at.
        raise Refused(f"{self.template.name}: {function} is no function that this renderer knows")

    def _substitute(self, name, local):
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        if name in local:
            return str(self.render(local[name]))
        return str(self._attribute(*name.split(".", 1)) if "." in name else self._ref(name))

    def _ref(self, name):
        if name in self.parameters:
            return self.parameters[name]
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": NO_VALUE,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        return pseudo[name] if name in pseudo else self._mark(name, name)

    def _attribute(self, logical_id, attribute):
        return self._mark(logical_id, f"{logical_id}.{attribute}")

    def _mark(self, logical_id, text):
        if logical_id not in self.template.resources or not self.has(logical_id):
            raise Refused(f"{self}: something refers to {logical_id}, which is not there")
        return self.known.get(text, f"«{text}»")
