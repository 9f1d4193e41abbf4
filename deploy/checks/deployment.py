"""Which files make a deployment, and which installations can come of them?"""

import re
from functools import cached_property
from itertools import product
from pathlib import Path

import yaml

from template import ACCOUNT, REGION, Stack, Template

REPOSITORY = Path(__file__).resolve().parents[2]

# A template from the source tree asks for these; `make release` writes them into its defaults.
RELEASED = {"ReleaseUrl": "https://releases.example.com/assay-1.0.0-x86_64.tar.gz", "ReleaseSha256": "ab" * 32}
PUBLISHED = {"SourceLocation": "https://github.com/example/assay.git"}
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/12345678-1234-1234-1234-123456789012"
# A secret that somebody made, with the six letters that AWS adds to its name.
KEYS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:keys-a1B2c3"

MACHINE_CHOICES = {
    "OnMissingData": ["fail", "simulate"],
    "Learner": ["boosted-trees", "logistic"],
    "DatasetSha256": ["", "cd" * 32],
    "ClientCidr": ["0.0.0.0/0", "203.0.113.0/24"],
    "InstanceType": ["t3.small", "m7i.xlarge"],
}
BUILD_CHOICES = {
    "Architecture": ["x86_64", "arm64"],
    "ImageTag": ["", "release-7"],
    "DatasetSha256": ["", "cd" * 32],
    "EmptyOnDelete": ["false", "true"],
    "OnMissingData": ["fail", "simulate"],
    "Learner": ["boosted-trees", "logistic"],
}
SERVICE_CHOICES = {
    "Capacity": ["EC2", "FARGATE", "FARGATE_SPOT"],
    "PrivateTasks": ["false", "true"],
    "CertificateArn": ["", CERTIFICATE],
    "DomainName": ["", "scores.example.com"],
    "Architecture": ["x86_64", "arm64"],
    "AccessLogs": ["false", "true"],
    "DeletionProtection": ["false", "true"],
    "AlarmEmail": ["", "alarms@example.com"],
}


def installations(choices, always=None):
    """Every combination of choices: the defaults first, then those that differ in one choice, and so on. A fault shows early."""
    def differences(combination):
        return sum(value != values[0] for value, values in zip(combination, choices.values(), strict=True))

    for combination in sorted(product(*choices.values()), key=differences):
        chosen = {name: value for (name, values), value in zip(choices.items(), combination, strict=True) if value != values[0]}
        if chosen.get("Architecture") == "arm64" and "Capacity" in choices:
            chosen["InstanceType"] = "t4g.small"
        yield (always or {}) | chosen


class Deployment:
    """The files under a root, each read once. Stacks are rendered when they are looked at, and kept."""

    def __init__(self, root=REPOSITORY):
        self.root = Path(root)
        self.deploy = self.root / "deploy"
        self.templates_folder = self.deploy / "vpc-ml"
        self._rendered = {}

    @cached_property
    def machine(self):
        return Template(self.templates_folder / "cloudacademy.vpc.ml.yaml")

    @cached_property
    def build(self):
        return Template(self.templates_folder / "cloudacademy.buildenv.yaml")

    @cached_property
    def service(self):
        return Template(self.templates_folder / "cloudacademy.vpc.ml.ecs.yaml")

    @property
    def templates(self):
        return [self.machine, self.build, self.service]

    def machines(self):
        return self._stacks(self.machine, MACHINE_CHOICES, RELEASED)

    def builds(self):
        return self._stacks(self.build, BUILD_CHOICES, PUBLISHED)

    def services(self):
        return self._stacks(self.service, SERVICE_CHOICES, {})

    def stacks(self):
        """Every installation of every template."""
        yield from self.machines()
        yield from self.builds()
        yield from self.services()

    def defaults(self):
        """One stack of each template as it is installed with every default left as it is."""
        return [next(self.machines()), next(self.builds()), next(self.services())]

    def _stacks(self, template, choices, always):
        rendered = self._rendered.setdefault(template.name, [])
        for position, chosen in enumerate(installations(choices, always)):
            if position == len(rendered):
                rendered.append(Stack(template, chosen))
            yield rendered[position]

    @cached_property
    def dockerfile(self):
        return Dockerfile((self.deploy / "image/Dockerfile").read_text())

    @cached_property
    def buildspec(self):
        return yaml.safe_load((self.deploy / "image/buildspec.yml").read_text())

    @cached_property
    def unit(self):
        """The settings of the systemd unit that serves, each with all its values in order."""
        settings = {}
        for line in (self.deploy / "ec2/assay.service").read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                name, value = line.split("=", 1)
                settings.setdefault(name, []).append(value)
        return settings

    @cached_property
    def bash_scripts(self):
        return sorted(
            path for path in self.deploy.rglob("*")
            if path.is_file() and path.read_bytes().startswith((b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh")))


class Dockerfile:
    """The instructions of each stage, in order, continued lines joined and comments left out."""

    def __init__(self, text):
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
        self.stages, self.base_of = {}, {}
        stage = None
        for line in filter(None, map(str.strip, joined.splitlines())):
            instruction, arguments = line.split(None, 1)
            if instruction == "FROM":
                base, _, stage = re.fullmatch(r"(\S+)( AS (\S+))?", arguments).groups()
                self.stages[stage], self.base_of[stage] = [], base
            else:
                self.stages[stage].append((instruction, arguments))
        self.last_stage = stage

    @property
    def arguments(self):
        """What each ARG of any stage defaults to."""
        found = [arguments.partition("=") for stage in self.stages.values() for name, arguments in stage if name == "ARG"]
        return {name: default.strip('"') for name, _, default in found}

    def of_last_stage(self, instruction):
        return [arguments for name, arguments in self.stages[self.last_stage] if name == instruction]
