"""Are the pictures of the environments what the templates say, and does their script notice when they would not be?"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deployment import REPOSITORY

SCRIPT = REPOSITORY / "deploy/picture"
PICTURES = {"environment-1.svg": ["machine"], "environment-2.svg": ["build", "service"]}

# What is changed in a template, and what the script must then say.
FAULTS = [
    ("a resource that nobody gave a place", "build", "\nOutputs:\n", "\n  Spare: {Type: AWS::SNS::Topic}\nOutputs:\n",
     "Spare has no place in the picture"),
    ("a place whose resource has gone", "build", "\n  BuildRole:\n", "\n  RoleOfBuild:\n", "has no resource BuildRole any more"),
    ("a frame around what does not belong to it", "machine", "SecurityGroupIds: [!Ref SecurityGroup]", "SecurityGroupIds: [sg-1]",
     "SecurityGroup stands in Subnet"),
    ("a group whose condition is not that of all in it", "service",
     "  EcsEndpoint:\n    Type: AWS::EC2::VPCEndpoint\n    Condition: PrivateEc2\n",
     "  EcsEndpoint:\n    Type: AWS::EC2::VPCEndpoint\n    Condition: Private\n", "EcsEndpoint stands among"),
    ("an arrow along which nothing goes any more", "service", "Image: !Ref ImageUri", "Image: another",
     "TaskDefinition and ImageUri are joined"),
    ("two parts that do not meet in one SSM parameter", "build", "Default: /fraud-detection/image-uri",
     "Default: /fraud/image-uri", "reads /fraud-detection/image-uri"),
    ("a label that is longer than its place", "service", "      Port: 80\n", f"      Port: {'8' * 60}\n", "would lie over"),
]


def draw(templates, out):
    command = [sys.executable, SCRIPT, "--templates", templates, "--out", out]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_pictures_are_what_their_script_draws(deployment):
    with tempfile.TemporaryDirectory() as out:
        done = draw(deployment.templates_folder, out)
        assert done.returncode == 0, done.stderr
        for name in PICTURES:
            drawn, kept = (Path(out) / name).read_text(), (deployment.deploy / name).read_text()
            assert drawn == kept, f"deploy/{name} shows other templates; run `.tools/bin/python deploy/picture` and look at it"


def test_the_pictures_show_every_resource_by_its_name_and_type(deployment):
    for name, templates in PICTURES.items():
        texts = [text.text for text in ElementTree.parse(deployment.deploy / name).iter("{http://www.w3.org/2000/svg}text")]
        for template in (getattr(deployment, template) for template in templates):
            for logical_id, resource in template.resources.items():
                assert logical_id in texts, f"{name} does not show {logical_id}"
                assert resource["Type"].removeprefix("AWS::") in texts, f"{name} does not show the type of {logical_id}"
        shown = sum(len(getattr(deployment, template).resources) for template in templates)
        names = {logical_id for template in templates for logical_id in getattr(deployment, template).resources}
        assert sum(text in names for text in texts) == shown, f"{name} shows a resource twice"


@pytest.mark.parametrize("fault", FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_picture_that_would_not_be_true_is_not_drawn(deployment, tmp_path, fault):
    _, template, text, instead, words = fault
    shutil.copytree(deployment.templates_folder, tmp_path / "templates")
    file = tmp_path / "templates" / getattr(deployment, template).name
    written = file.read_text()
    assert written.count(text) == 1, f"{file.name} has this text {written.count(text)} times; bring FAULTS up to date: {text}"
    file.write_text(written.replace(text, instead))
    done = draw(tmp_path / "templates", tmp_path)
    assert done.returncode != 0 and words in done.stderr and "Traceback" not in done.stderr, done.stderr or "it was drawn"
    assert not list(tmp_path.glob("*.svg"))
