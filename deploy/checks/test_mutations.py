"""Do the checks see? Each planted fault of mutations.py must be caught by the check that it names."""

import shutil
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

import linters
from deployment import REPOSITORY, Deployment
from mutations import MUTATIONS
from template import Refused
from test_user_data import host  # noqa: F401 - a fixture that some of the checks ask for

HERE = Path(__file__).resolve().parent
NOT_MUTATED = shutil.ignore_patterns("checks", "rehearsal", "__pycache__", "README.md")


def checks_by_name():
    """Every test of this folder."""
    modules = [import_module(path.stem) for path in sorted(HERE.glob("test_*.py")) if path.stem != "test_mutations"]
    return {name: test for module in modules for name, test in vars(module).items() if name.startswith("test_")}


CHECKS = checks_by_name()


def findings_of(linter, deployment, mutation):
    """Findings about the file with the fault; the linters that take their time look at nothing else."""
    templates = [template for template in deployment.templates if template.path.name == Path(mutation.file).name]
    match linter:
        case "cfn-lint":
            return linters.cfn_lint(deployment, templates)
        case "checkov":
            return linters.checkov(deployment, [template.path for template in templates])
        case "guard":
            return linters.guard(deployment, [stack for stack in deployment.defaults() if stack.template in templates])
    return getattr(linters, linter)(deployment)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.fault for mutation in MUTATIONS])
def test_a_planted_fault_is_caught(mutation, tmp_path, request):
    shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy", ignore=NOT_MUTATED)
    file = tmp_path / mutation.file
    text = file.read_text()
    times = text.count(mutation.text)
    assert times == 1, f"{mutation.file} has this text {times} times; bring mutations.py up to date:\n{mutation.text}"
    file.write_text(text.replace(mutation.text, mutation.instead))

    deployment = Deployment(tmp_path)
    if mutation.caught_by in CHECKS:
        check = CHECKS[mutation.caught_by]
        others = {name: request.getfixturevalue(name) for name in signature(check).parameters if name != "deployment"}
        with pytest.raises((AssertionError, Refused)):
            check(deployment, **others)
        return
    linter, rule = mutation.caught_by.split()
    findings = findings_of(linter, deployment, mutation)
    assert any(rule in finding for finding in findings), f"{linter} does not say {rule}, but {findings or 'nothing'}"


def test_every_fault_has_a_name_of_its_own():
    faults = [mutation.fault for mutation in MUTATIONS]
    assert len(faults) == len(set(faults)) >= 40
