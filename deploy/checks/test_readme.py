"""Does README of the deployment name only what there is: templates, parameters, outputs, logs, files?"""

import re
import shlex

from deployment import PUBLISHED, RELEASED
from template import Stack

PAGES = ["deploy/README.md", "docs/deployment.md"]


def readme(deployment):
    return (deployment.deploy / "README.md").read_text()


def commands(deployment):
    """Every command line of the page as words; what the shell would fill in becomes the word VALUE."""
    for block in re.findall(r"```sh\n(.*?)```", readme(deployment), re.DOTALL):
        joined = re.sub(r"\\\n\s*", " ", block)
        for line in joined.splitlines():
            if "aws cloudformation deploy" in line:
                yield shlex.split(re.sub(r"\$\(.*?\)", "VALUE", line), comments=True)


def option(words, name):
    return words[words.index(name) + 1]


def stacks(deployment):
    """The template of each stack, by the stack's name."""
    templates = {template.name: template for template in deployment.templates}
    return {option(words, "--stack-name"): templates[option(words, "--template-file")] for words in commands(deployment)}


def test_every_command_that_creates_a_stack_names_a_template_and_its_parameters(deployment):
    assert {template.name for template in stacks(deployment).values()} == {template.name for template in deployment.templates}
    templates = {template.name: template for template in deployment.templates}
    for words in commands(deployment):
        template = templates[option(words, "--template-file")]
        assert stacks(deployment)[option(words, "--stack-name")] is template, f"one name for two stacks: {words}"
        assert option(words, "--capabilities") == "CAPABILITY_IAM", words
        chosen = words[words.index("--parameter-overrides") + 1:] if "--parameter-overrides" in words else []
        for parameter, value in (pair.split("=", 1) for pair in chosen):
            assert parameter in template.parameters, f"{template.name} has no parameter {parameter}"
            complaint = template.complaint(parameter, value.replace("VALUE", "203.0.113.7"))
            assert not complaint, f"{template.name}: {parameter}: {complaint}"


def test_every_parameter_resource_and_output_in_the_text_is_one(deployment):
    known = {}
    for template in deployment.templates:
        for name in {*template.parameters, *template.resources, *template.tree["Outputs"]}:
            known.setdefault(name, []).append(template)
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", readme(deployment), flags=re.DOTALL)):
        for name, value in re.findall(r"(?<!\S)([A-Z][a-z]+[A-Za-z0-9]*)(?:=(\S+))?(?!\S)", code):
            assert name in known, f"README speaks of {name}, which no template has"
            if value and "…" not in value:
                complaints = [template.complaint(name, value) for template in known[name] if name in template.parameters]
                assert None in complaints, f"README gives {name} the value {value}: {complaints}"


def test_every_output_that_a_command_asks_for_is_one_of_its_stack(deployment):
    asked = re.findall(r"--stack-name (\S+)[^`]*?OutputKey=='(\w+)'", readme(deployment))
    assert asked
    for stack, output in asked:
        assert output in stacks(deployment)[stack].tree["Outputs"], f"{stack} has no output {output}"


def test_every_log_group_is_that_of_a_stack_in_the_text(deployment):
    groups = set()
    for name, template in stacks(deployment).items():
        choices = {parameter: value for parameter, value in (RELEASED | PUBLISHED).items() if parameter in template.parameters}
        stack = Stack(template, choices, name=name)
        groups |= {properties["LogGroupName"] for properties in stack.of_type("AWS::Logs::LogGroup").values()}
    named = set(re.findall(r"/assay/[a-z/-]+", readme(deployment)))
    assert named and named <= groups, f"no stack of README has the log groups {sorted(named - groups)}"


def test_every_link_leads_somewhere(deployment):
    for page in PAGES:
        text = (deployment.root / page).read_text()
        headings = {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in headings, f"{page} has no heading for {target}"
            elif not target.startswith("https://"):
                assert ((deployment.root / page).parent / target).exists(), f"{page} links to {target}, which is not there"


def slug(heading):
    """A heading as GitHub makes an anchor of it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
