"""What do the templates say, as far as a picture wants to know?"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "checks"))

try:
    from template import SUBSTITUTION, Template
except ImportError as missing:
    sys.exit(f"picture: {missing}; run `scripts/setup checks`, then `.tools/bin/python deploy/picture`")


class Untrue(Exception):
    """The picture would say something that the templates do not; the text tells what."""


class Source:
    """A template as the picture asks it: its resources, what each refers to, and which were given a place."""

    def __init__(self, path):
        template = Template(path)
        self.name, self.resources, self.parameters = template.name, template.resources, template.parameters
        self.conditions = template.tree.get("Conditions", {})
        self.placed = set()
        known = {**self.resources, **template.tree["Outputs"]}
        self.references = {name: names_in(entry) for name, entry in known.items()}

    def key(self, name):
        """What arrows call a resource of this template."""
        return f"{self.name} {name}"

    def place(self, name):
        if name not in self.resources:
            raise Untrue(f"{self.name} has no resource {name} any more; take it out of the picture")
        if name in self.placed:
            raise Untrue(f"{name} of {self.name} would be drawn twice")
        self.placed.add(name)
        return self.resources[name]

    def joined(self, one, other):
        """Whether one of the two refers to the other; each is a resource, an output or a parameter."""
        return other in self.references.get(one, ()) or one in self.references.get(other, ())

    def belongs(self, inner, outer):
        """Whether something inside a frame has to do with it: one leads to the other, or something refers to both."""
        return (outer in self.reached(inner) or inner in self.reached(outer)
                or any({inner, outer} <= names for names in self.references.values()))

    def reached(self, name):
        reached, ahead = {name}, [name]
        while ahead:
            found = self.references.get(ahead.pop(), set()) & set(self.resources) - reached
            reached |= found
            ahead += found
        return reached

    def property(self, name, *path):
        value = self.resources[name]["Properties"]
        for key in path:
            value = value[key]
        return value

    def default(self, parameter):
        return str(self.parameters[parameter]["Default"])

    def in_words(self, condition):
        """A condition as its owner would say it, in names of parameters."""
        (function, of), = condition.items() if isinstance(condition, dict) else self.conditions[condition].items()
        match function:
            case "Condition":
                return self.in_words(of)
            case "Fn::Equals":
                return f"{of[0]['Ref']} is {of[1]}"
            case "Fn::Not" if "Fn::Equals" in of[0]:
                parameter, value = of[0]["Fn::Equals"]
                return f"{parameter['Ref']} is given" if value == "" else f"{parameter['Ref']} is not {value}"
            case "Fn::And":
                return " and ".join(map(self.in_words, of))
        raise Untrue(f"{self.name}: the picture has no words for a condition with {function}")


def names_in(node):
    """Everything that a part of a template names by Ref, GetAtt, Sub or DependsOn."""
    if isinstance(node, list):
        return set().union(*map(names_in, node))
    if not isinstance(node, dict):
        return set()
    names = set()
    for key, value in node.items():
        match key:
            case "Ref":
                names.add(value)
            case "Fn::GetAtt":
                names.add(value[0])
            case "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                names |= {match[1].split(".")[0] for match in SUBSTITUTION.finditer(text)}
            case "DependsOn":
                names |= {value} if isinstance(value, str) else set(value)
        names |= names_in(value)
    return names
