"""Is the image what it should be: small, nothing in it but the program and the model, and content with nothing granted to it?"""

import io
import json
import os
import socket
import subprocess
import tarfile
import time
from pathlib import Path

from box import BRIDGE_ADDRESS
from checks import check, figure, output, wait_until
from roots import base_image, base_names
from standins import standins

IMAGE = "assay-rehearsal:image"
SIZE_LIMIT = 60_000_000
# What a container engine makes by itself in any container.
MADE_BY_DOCKER = {".dockerenv", "dev", "etc", "proc", "sys", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf",
                  "dev/console", "dev/pts", "dev/shm"}
CONFINED = ["--read-only", "--cap-drop=ALL", "--network=none"]


def rehearse(box):
    with check("the base image and the host of the data set are at hand", vital=True):
        prepare(box)
    with check("deploy/image/build builds the image and trains the model in it", vital=True):
        build(box)
    described = json.loads(output("docker", "image", "inspect", IMAGE))[0]
    with check(f"the image has less than {SIZE_LIMIT / 1e6:.0f} MB") as note:
        note(f"{described['Size'] / 1e6:.1f} MB")
        assert described["Size"] < SIZE_LIMIT
    with check("it holds the static program and the model, and no shell") as note:
        files, program = content()
        note(", ".join(sorted(files)))
        assert files == {"assay", "fraud.model"}, f"it holds {sorted(files)}"
        headers = output("readelf", "--program-headers", str(program))
        assert "INTERP" not in headers, "/assay asks for a dynamic linker"
    with check("it runs as a user that is not root, and has a health check of its own") as note:
        user = described["Config"]["User"].split(":")[0]
        assert user.isdigit() and int(user) != 0, f"the user is '{user}'"
        assert described["Config"]["Healthcheck"]["Test"] == ["CMD", "/assay", "health"], described["Config"].get("Healthcheck")
        note(f"uid {user}")
    with check(f"it starts, is healthy, scores and stops in order with {' '.join(CONFINED)}") as note:
        said = confined(box)
        note(said)
        figure("runtime image", "< 60 MB, 0 shells, uid ≠ 0, starts and scores with `--read-only --cap-drop=ALL --network=none`",
               f"{described['Size'] / 1e6:.1f} MB, 0 shells, uid {user}, {said}")
    with check("an image whose model is damaged does not start, and its log says why") as note:
        note(damaged(box))
    with check("the health check of a service that hangs fails by itself") as note:
        note(hanging())


def prepare(box):
    standins(box)
    base_image(box, base_names(box.repository / "deploy/image/Dockerfile"))


def build(box):
    with open(box.logs / "image.log", "w") as log:
        output("deploy/image/build", IMAGE, cwd=box.repository, log=log, timeout=3600)
    box.image = IMAGE


def content():
    """Names of the files in the image beside what Docker makes, and the program as a file."""
    container = output("docker", "create", IMAGE).strip()
    try:
        exported = subprocess.run(["docker", "export", container], check=True, capture_output=True).stdout
    finally:
        output("docker", "rm", container)
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        program = Path(os.environ["DOCKER_CONFIG"]).parent / "assay"
        program.write_bytes(archive.extractfile("assay").read())
        return {name.rstrip("/") for name in archive.getnames()} - MADE_BY_DOCKER, program


def confined(box):
    """Run the image with nothing granted, score a transaction from inside its empty network, and stop it."""
    transaction = box.repository / "deploy/vpc-ml/fraudtest.json"
    container = output("docker", "run", "--detach", *CONFINED, IMAGE).strip()
    try:
        # Its own check, without waiting for Docker to look at it.
        wait_until(lambda: subprocess.run(["docker", "exec", container, "/assay", "health"], capture_output=True).returncode == 0, 30,
                   "the container is healthy")
        process = output("docker", "inspect", "--format", "{{.State.Pid}}", container).strip()
        said = output("nsenter", "--target", process, "--net", "curl", "--silent", "--show-error", "--fail",
                      "--header", "Content-Type: application/json", "--data", f"@{transaction}", "http://127.0.0.1:5000/predict")
        status = Path(f"/proc/{process}/status").read_text()
        assert "CapEff:\t0000000000000000" in status, status
        assert len(json.loads(said)["scores"]) == 1, said
        output("docker", "stop", "--time", "30", container)
        code = output("docker", "inspect", "--format", "{{.State.ExitCode}}", container).strip()
        assert code == "0", f"it ended with {code} when it was asked to stop"
        return said
    finally:
        output("docker", "rm", "--force", container)


def damaged(box):
    folder = box.run / "damaged-image"
    folder.mkdir(exist_ok=True)
    container = output("docker", "create", IMAGE).strip()
    output("docker", "cp", f"{container}:/fraud.model", str(folder / "fraud.model"))
    output("docker", "rm", container)
    model = bytearray((folder / "fraud.model").read_bytes())
    model[len(model) // 2] ^= 1
    (folder / "fraud.model").write_bytes(model)
    (folder / "fraud.model").chmod(0o444)
    (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nCOPY fraud.model /fraud.model\n")
    output("docker", "build", "--quiet", "--tag", "assay-rehearsal:damaged", str(folder))
    command = ["docker", "run", "--rm", *CONFINED, "assay-rehearsal:damaged"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode != 0 and "checksum" in ended.stderr, ended.stderr
    return json.loads(ended.stderr.splitlines()[-1])["message"]


def hanging():
    """Ask an address that takes connections and never answers."""
    with socket.create_server((BRIDGE_ADDRESS, 0)) as server:
        address = f"{BRIDGE_ADDRESS}:{server.getsockname()[1]}"
        begun = time.monotonic()
        command = ["docker", "run", "--rm", "--read-only", "--cap-drop=ALL", IMAGE, "health", "--address", address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        seconds = time.monotonic() - begun
    assert ended.returncode == 1, f"exit code {ended.returncode}: {ended.stderr}"
    assert seconds < 5, f"it took {seconds:.1f} s, and the container engine gives it 5"
    return f"{ended.stderr.strip()} ({seconds:.1f} s)"
