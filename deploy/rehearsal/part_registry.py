"""Does the stand-in for ECR behave like ECR to the clients that will use it?"""

import subprocess

from box import ECR_HOST
from checks import check, output
from roots import base_image

NAME = f"{ECR_HOST}/rehearsal"


def rehearse(box):
    with check("dockerd, MiniStack and a registry under ECR's real name with TLS are up", vital=True):
        box.registry()
    with check("`aws ecr get-login-password | docker login` succeeds", vital=True):
        log_in(box)
    with check("a wrong password is refused"):
        command = ["docker", "--config", str(box.run / "nobody"), "login", "--username", "AWS", "--password-stdin", ECR_HOST]
        refused = subprocess.run(command, input="wrong", capture_output=True, text=True)
        assert refused.returncode != 0 and "401 Unauthorized" in refused.stderr, refused.stderr
    with check("a Debian 12 root made with this machine's package settings is at hand as base image", vital=True):
        base_image(box, ["rehearsal-base"])
    with check("an image pushed there comes back with the same content") as note:
        file = box.run / "one-file"
        file.mkdir(exist_ok=True)
        (file / "content").write_text("pushed and pulled\n")
        (file / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
        output("docker", "build", "--quiet", "--tag", f"{NAME}:1", str(file))
        pushed = output("docker", "inspect", "--format", "{{.Id}}", f"{NAME}:1")
        output("docker", "push", "--quiet", f"{NAME}:1")
        output("docker", "rmi", f"{NAME}:1")
        output("docker", "pull", "--quiet", f"{NAME}:1")
        assert output("docker", "inspect", "--format", "{{.Id}}", f"{NAME}:1") == pushed
        note(pushed.strip())
        output("docker", "rmi", f"{NAME}:1")
    with check("a RUN step inside a build reaches Debian's archive"):
        (file / "Dockerfile").write_text("FROM rehearsal-base\nRUN apt-get update -qq && apt-get install -y -qq file >/dev/null\n")
        output("docker", "build", "--pull=false", str(file))


def log_in(box):
    password = output("aws", "ecr", "get-login-password", env=box.environment_2())
    said = output("docker", "login", "--username", "AWS", "--password-stdin", ECR_HOST, input=password)
    assert "Login Succeeded" in said, said
