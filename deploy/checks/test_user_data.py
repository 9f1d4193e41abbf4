"""What does user data do when it runs? Here it does, with the real bash, curl, tar and sha256sum, against a host of the test's own.

Only its paths under /var and /etc and the addresses it fetches from are others; test_machine.py looks at its text.
"""

import hashlib
import io
import json
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deployment import KEYS, RELEASED
from template import Stack

TOP = "assay-1.0.0-x86_64"
WORKS = '#!/bin/sh\necho installing\necho "boosted-trees trained on a history" >"$ORIGIN"\n'


class Host(ThreadingHTTPServer):
    """Serves a release, and takes signals as the wait condition's address does."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.release, self.signals = None, []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404 if self.server.release is None else 200)
        self.end_headers()
        self.wfile.write(self.server.release or b"")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.signals.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def host():
    with Host() as host:
        yield host
        host.shutdown()


def tarball(installer):
    """A release whose installer is this script."""
    buffer, content = io.BytesIO(), installer.encode()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(f"{TOP}/ec2/install")
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def boot(deployment, host, folder, installer=WORKS, **choices):
    """Run the user data of environment 1 once; returns its exit code, the one signal that it sent, and its log."""
    if installer is not None:
        host.release = tarball(installer)
    sha256 = hashlib.sha256(host.release or b"").hexdigest()
    path = "/signal/arn%3Aaws%3Acloudformation?X-Amz-Date=1&X-Amz-Signature=ab%2F"
    stack = Stack(deployment.machine, RELEASED | {"ReleaseSha256": sha256} | choices, known={
        "ReadyHandle": host.address + path, "LogGroup": "/assay/fraud"})
    text = stack.properties("Instance")["UserData"]
    for ours, theirs in ((f"{folder}/userdata.log", "/var/log/userdata.log"), (f"{folder}/origin", "/var/lib/assay/origin"),
                         (f"{host.address}/assay.tar.gz", RELEASED["ReleaseUrl"])):
        assert theirs in text
        text = text.replace(theirs, ours)
    script = folder / "user-data"
    script.write_text(text)
    # Services of the machine that runs the tests are no business of theirs.
    commands = folder / "commands"
    commands.mkdir()
    (commands / "systemctl").symlink_to("/bin/true")
    done = subprocess.run(
        ["bash", script], capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        env={"PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin", "ORIGIN": f"{folder}/origin", "TMPDIR": str(folder)})
    assert len(host.signals) == 1, f"{len(host.signals)} signals: {host.signals}"
    where, content_type, body = host.signals[0]
    assert where == path, "the address must arrive as AWS signed it"
    assert content_type is None, "S3 signed the address for no content type"
    try:
        signal = json.loads(body)
    except ValueError as error:
        raise AssertionError(f"the signal is no JSON: {body}") from error
    assert signal["UniqueId"] == "assay" and signal["Reason"] == signal["Data"]
    assert f"{signal['Status']}: {signal['Reason']}" in done.stdout, "the console does not show how it went"
    return done.returncode, signal, (folder / "userdata.log").read_text()


def test_a_machine_that_was_installed_reports_what_it_learnt_from(deployment, host, tmp_path):
    code, signal, log = boot(deployment, host, tmp_path)
    assert (code, signal["Status"]) == (0, "SUCCESS"), log
    assert signal["Data"] == "boosted-trees trained on a history"
    assert "installing" in log, "what the installer says must be in the log"
    assert not list(tmp_path.glob("tmp.*")), "the unpacked release is left behind"


def test_the_installer_gets_every_parameter_as_it_was_typed(deployment, host, tmp_path):
    url = "https://example.com/a.csv?a=(1);reboot&b=*!#~@x"
    installer = WORKS + 'for argument in "$@"; do echo "[$argument]"; done\n'
    _, signal, log = boot(deployment, host, tmp_path, installer, DatasetUrl=url, OnMissingData="simulate", Learner="logistic",
                          KeysSecretArn=KEYS)
    assert signal["Status"] == "SUCCESS", log
    given = [line[1:-1] for line in log.splitlines() if line.startswith("[")]
    options = dict(zip(given[::2], given[1::2], strict=True))
    assert options == {
        "--dataset-url": url, "--dataset-sha256": "", "--on-missing-data": "simulate", "--learner": "logistic",
        "--keys-secret": KEYS, "--log-group": "/assay/fraud", "--region": "eu-west-1",
        "--session-agent-url":
            "https://s3.eu-west-1.amazonaws.com/amazon-ssm-eu-west-1/latest/debian_amd64/amazon-ssm-agent.deb",
    }


def test_an_installer_that_fails_fails_the_stack_with_what_it_said(deployment, host, tmp_path):
    installer = '#!/bin/bash\necho \'the history "a\\b" is ‘gone’\' >&2\nexit 3\n'
    code, signal, log = boot(deployment, host, tmp_path, installer)
    assert code == 1 and signal["Status"] == "FAILURE", log
    assert signal["Reason"].startswith("user data line "), signal
    assert "the history  a b  is" in signal["Reason"], signal
    assert not list(tmp_path.glob("tmp.*")), "the unpacked release is left behind"


def test_a_release_that_is_not_the_one_that_was_pinned_is_not_run(deployment, host, tmp_path):
    code, signal, log = boot(deployment, host, tmp_path, ReleaseSha256="ab" * 32)
    assert code == 1 and signal["Status"] == "FAILURE", log
    assert "is not the release with SHA-256 abab" in signal["Reason"], signal
    assert "installing" not in log


def test_a_release_that_is_not_there_fails_the_stack_at_once(deployment, host, tmp_path):
    code, signal, log = boot(deployment, host, tmp_path, installer=None)
    assert code == 1 and signal["Status"] == "FAILURE", log
    assert "404" in signal["Reason"], signal


def test_a_program_that_ends_by_a_signal_fails_the_stack(deployment, host, tmp_path):
    """As one does that the kernel kills for want of memory."""
    code, signal, log = boot(deployment, host, tmp_path, "#!/bin/sh\nkill -KILL $$\n")
    assert code == 1 and signal["Status"] == "FAILURE", log


def test_machines_of_the_cluster_are_told_which_and_what_tasks_may_not(deployment, tmp_path):
    stack = Stack(deployment.service, known={"Cluster": "fraud-Cluster-1"})
    text = stack.properties("LaunchTemplate")["LaunchTemplateData"]["UserData"]
    config = tmp_path / "ecs.config"
    config.write_text("ECS_OF_THE_IMAGE=1\n")
    subprocess.run(["bash", "-c", text.replace("/etc/ecs/ecs.config", str(config))], check=True)
    assert set(config.read_text().splitlines()) == {
        "ECS_OF_THE_IMAGE=1", "ECS_CLUSTER=fraud-Cluster-1", "ECS_AWSVPC_BLOCK_IMDS=true", "ECS_DISABLE_PRIVILEGED=true",
        "ECS_ENABLE_TASK_IAM_ROLE=true"}
