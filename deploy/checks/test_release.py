"""Does `make release` write templates that work with every default left as it is, and the same bytes every time?"""

import hashlib
import subprocess
import tarfile

import pytest

from template import Stack, Template

BASE = "https://releases.example.com/assay"
REPOSITORY_URL = "https://github.com/example/assay.git"


@pytest.fixture(scope="module")
def release(deployment, tmp_path_factory):
    """A release of programs that are not there: the dynamic one only has to ask for a glibc, the static one to say its version."""
    binaries = tmp_path_factory.mktemp("binaries")
    version = next(line for line in (deployment.root / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
    (binaries / "assay").write_text("GLIBC_2.34")
    (binaries / "assay-serve").write_text(f"#!/bin/sh\necho assay {version.split(chr(34))[1]}\n")
    (binaries / "assay-serve").chmod(0o755)
    return lambda: run_release(deployment, binaries, tmp_path_factory.mktemp("dist"))


def run_release(deployment, binaries, out):
    done = subprocess.run(
        [deployment.deploy / "release", "--url-base", BASE, "--source-location", REPOSITORY_URL, "--binaries", binaries,
         "--out", out],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_released_templates_need_nothing_to_be_typed(deployment, release):
    out = release()
    tarball, = out.glob("*.tar.gz")
    names = {path.name for path in deployment.templates_folder.iterdir()}
    assert {path.name for path in (out / "vpc-ml").iterdir()} == names
    for written in deployment.templates:
        released = Template(out / "vpc-ml" / written.name)
        stack = Stack(released)
        assert stack.broken_rules == [] and stack.outputs, stack
        changed = {name for name, declared in released.parameters.items() if declared != written.parameters[name]}
        assert changed <= {"ReleaseUrl", "ReleaseSha256", "SourceLocation", "SourceVersion"}, f"{written.name}: {changed}"
        assert released.resources == written.resources, written.name
    machine = Template(out / "vpc-ml" / deployment.machine.name)
    assert machine.parameters["ReleaseUrl"]["Default"] == f"{BASE}/{tarball.name}"
    assert machine.parameters["ReleaseSha256"]["Default"] == hashlib.sha256(tarball.read_bytes()).hexdigest()
    assert Template(out / "vpc-ml" / deployment.build.name).parameters["SourceLocation"]["Default"] == REPOSITORY_URL


def test_the_tarball_holds_the_programs_and_the_installer_and_belongs_to_nobody(deployment, release):
    tarball, = release().glob("*.tar.gz")
    with tarfile.open(tarball) as archive:
        members = archive.getmembers()
    top = tarball.name.removesuffix(".tar.gz")
    inside = {member.name.removeprefix(f"{top}/") for member in members if member.isfile()}
    installer = {f"ec2/{path.name}" for path in (deployment.deploy / "ec2").iterdir() if path.is_file()}
    assert inside == installer | {"bin/assay", "bin/assay-serve", "LICENSE"}
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}
    assert not [member.name for member in members if member.mode & 0o022], "somebody else than root could write"
    by_name = {member.name: member for member in members}
    assert by_name[f"{top}/ec2/install"].mode & 0o111, "user data could not run the installer"


def test_two_releases_of_one_commit_are_the_same_bytes(release):
    first, second = ((path.name, path.read_bytes()) for out in (release(), release()) for path in out.glob("*.tar.gz"))
    assert first == second


def test_a_release_from_nowhere_is_refused(deployment):
    for arguments in ([], ["--url-base", "http://releases.example.com"], ["--url-base", "https://a b"], ["--frobnicate", "x"]):
        done = subprocess.run([deployment.deploy / "release", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and done.stderr.startswith("release: "), f"{arguments}: {done.stderr}"
