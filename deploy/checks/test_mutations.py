"""Do the checks see? Each planted fault of mutations.py must be caught by the check that it names."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest

import linters
from deployment import REPOSITORY, Deployment
from mutations import MUTATIONS
from template import Refused

HERE = Path(__file__).resolve().parent
NOT_MUTATED = shutil.ignore_patterns("checks", "rehearsal", "__pycache__", "README.md")


def checks_by_name():
    """Every test of this folder that looks at the deployment alone."""
    modules = [import_module(path.stem) for path in sorted(HERE.glob("test_*.py")) if path.stem not in ("test_mutations", "test_moto")]
    return {name: test for module in modules for name, test in vars(module).items() if name.startswith("test_")}


CHECKS = checks_by_name()


def changed(linter, deployment, mutation):
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
def test_a_planted_fault_is_caught(mutation, tmp_path):
    shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy", ignore=NOT_MUTATED)
    file = tmp_path / mutation.file
    text = file.read_text()
    times = text.count(mutation.text)
    assert times == 1, f"{mutation.file} has the text of this mutation {times} times; bring mutations.py up to date:\n{mutation.text}"
    file.write_text(text.replace(mutation.text, mutation.instead))

    deployment = Deployment(tmp_path)
    if mutation.caught_by in CHECKS:
        with pytest.raises((AssertionError, Refused)):
            CHECKS[mutation.caught_by](deployment)
        return
    linter, rule = mutation.caught_by.split()
    findings = changed(linter, deployment, mutation)
    assert any(rule in finding for finding in findings), f"{linter} does not say {rule}, but {findings or 'nothing'}"


def test_every_fault_has_a_name_of_its_own():
    faults = [mutation.fault for mutation in MUTATIONS]
    assert len(faults) == len(set(faults)) >= 40
