"""Does the image serve as SageMaker runs it, put there by the commands of docs/serving.md? SageMaker starts an image with the word
`serve`, its model unpacked in /opt/ml/model, asks /ping and /invocations on port 8080, and ends it 30 s after SIGTERM.
"""

import csv
import io
import json
import subprocess
import tarfile
import time
import zipfile
from urllib.parse import urlsplit

import pages
from box import ECR_HOST
from checks import check, figure, output, wait_until
from part_image import IMAGE, build, prepare
from served import dataset, release, tarball
from under_load import RATE, Load

PAGE = "docs/serving.md"
NAME = "fraud-detection"  # Of the image on the page, as deploy/README.md has it built.
URL = "http://127.0.0.1:8080"
PING_WITHIN_S, ANSWER_WITHIN_S, STARTED_WITHIN_S, KILLED_AFTER_S = "2", "60", 240, 30  # SageMaker's own.
ROWS = 500


def rehearse(box):
    with check("the runtime image, its model, the release and stand-ins for ECR, S3, IAM and SageMaker are at hand", vital=True):
        platform = Platform(box)
        rows = some_rows(box, platform.folder)
        expected = scores(box, platform.folder, rows)
    return lambda: goes_on(platform, rows, expected)


def goes_on(platform, rows, expected):
    with check(f"the commands of {PAGE} put the image to ECR, the model to S3, and make role, model and endpoint",
               vital=True) as note:
        image, model = put_there(platform)
        note(image)
    for what, started in (("the image as it is built", IMAGE), ("the image that the page makes of it", image)):
        with check(f"{what} starts with the word `serve`, without a network or a file to write, and scores in CSV and JSON as "
                   "`assay score` does, to the bit") as note:
            with Container(started, model) as container:
                note(f"/ping after {container.seconds:.1f} s; {answers(container, platform.folder, rows, expected)}")
    with check(f"told to stop under {RATE} requests a second, it fails none and ends with 0 before it would be killed") as note:
        note(stops(platform, image, model))
    for what, make, words in (("no model", nothing, "no file that ends in .model"),
                              ("a model in a folder of the archive", hidden, "no file that ends in .model"),
                              ("a damaged model", damaged, "checksum"),
                              ("a model that was cut off", cut_off, "should have")):
        with check(f"with {what} it never answers /ping with 200, and ends with a sentence") as note:
            broken = platform.folder / make.__name__
            broken.mkdir()
            make(model, broken)
            note(ends(image, broken, words))
    with check("the commands of the page that clean up leave nothing"):
        cleans_up(platform)


class Platform:
    """What stands in for AWS, and the folder in which the page's reader types."""

    def __init__(self, box):
        self.box, self.folder = box, box.run / "sagemaker"
        self.folder.mkdir()
        box.registry()
        self.sagemaker, self.s3, self.iam = (box.client_1(service) for service in ("sagemaker", "s3", "iam"))
        if not box.image:
            prepare(box)
            build(box)
        output("docker", "tag", IMAGE, NAME)
        container = output("docker", "create", IMAGE).strip()
        output("docker", "cp", f"{container}:/fraud.model", str(self.folder / "fraud.model"))
        output("docker", "rm", container)

    def typed(self, *words):
        """Types the blocks of the page that have these words in them, one after the other in one shell."""
        script = "\n".join(pages.commands(self.box.repository / PAGE, word) for word in words)
        registry = self.box.environment_2()["AWS_ENDPOINT_URL"]
        output("bash", "-euo", "pipefail", "-c", script, cwd=self.folder,
               env=dict(self.box.environment_1(), AWS_ENDPOINT_URL_ECR=registry))


def put_there(platform):
    """What SageMaker finds when it starts the endpoint: the image, pulled, and the folder that it unpacks the model into."""
    platform.typed("docker push", "aws s3 cp", "create-endpoint ")
    assert platform.sagemaker.describe_endpoint(EndpointName="fraud")["EndpointStatus"] == "InService"
    variant, = platform.sagemaker.describe_endpoint_config(EndpointConfigName="fraud")["ProductionVariants"]
    container = platform.sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
    image, place = container["Image"], urlsplit(container["ModelDataUrl"])
    assert image.startswith(ECR_HOST), image
    output("docker", "rmi", image)
    output("docker", "pull", "--quiet", image)
    archive = platform.s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read()
    unpacked = platform.folder / "model"
    unpacked.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(unpacked, filter="data")
    return image, unpacked


def some_rows(box, folder):
    """Transactions as the data set has them, number for number, without the label."""
    with zipfile.ZipFile(dataset(box)) as archive, archive.open(archive.namelist()[0]) as table:
        read = csv.reader(io.TextIOWrapper(table))
        names = next(read)
        rows = [row[:-1] for row, _ in zip(read, range(ROWS))]
    with open(folder / "rows.csv", "w") as file:
        csv.writer(file).writerows([names[:-1], *rows])
    return rows


def scores(box, folder, rows):
    """What `assay score` of the release gives them."""
    program = folder / "assay"
    with open(program, "wb") as file:
        subprocess.run(["tar", "--extract", "--gzip", "--to-stdout", "--wildcards", f"--file={tarball(release(box))}", "*/bin/assay"],
                       stdout=file, check=True)
    program.chmod(0o755)
    output(str(program), "score", "fraud.model", "rows.csv", "--output", "scores.csv", cwd=folder)
    scored = (folder / "scores.csv").read_text().splitlines()
    assert len(scored) == len(rows) + 1, scored[:3]
    return [float(score) for score in scored[1:]]


class Container:
    """One container as SageMaker starts it; `with` waits until it answers /ping with 200, and takes it away."""

    def __init__(self, image, model):
        self.id = output("docker", "run", "--detach", "--network=none", "--read-only", f"--volume={model}:/opt/ml/model:ro",
                         image, "serve").strip()
        self.begun = time.monotonic()
        self.inside = ("nsenter", "--net", f"--target={self.state('Pid')}")

    def __enter__(self):
        try:
            wait_until(self.is_well, STARTED_WITHIN_S, "/ping answers 200")
        except BaseException:
            self.__exit__()
            raise
        self.seconds = time.monotonic() - self.begun
        return self

    def __exit__(self, *_):
        output("docker", "rm", "--force", self.id)

    def state(self, name):
        return output("docker", "inspect", "--format", f"{{{{.State.{name}}}}}", self.id).strip()

    def ping(self):
        """The status that /ping has, 000 where nothing answers in time."""
        command = [*self.inside, "curl", "--silent", "--max-time", PING_WITHIN_S, "--output", "/dev/null", "--write-out",
                   "%{http_code}", f"{URL}/ping"]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def is_well(self):
        assert self.state("Running") == "true", f"it ended; it said:\n{self.log()}"
        return self.ping() == "200"

    def ask(self, path, body, *headers):
        options = [word for header in headers for word in ("--header", header)]
        return output(*self.inside, "curl", "--silent", "--show-error", "--fail", "--max-time", ANSWER_WITHIN_S, *options,
                      "--data-binary", f"@{body}", URL + path)

    def log(self):
        return subprocess.run(["docker", "logs", self.id], capture_output=True, text=True).stderr


def answers(container, folder, rows, expected):
    table, bodies = folder / "headless.csv", folder / "body.json"
    table.write_text("\n".join(map(",".join, rows)) + "\n")
    lists = ",".join(f"[{','.join(row)}]" for row in rows)

    def asked(path, body, *headers):
        bodies.write_text(body)
        return json.loads(container.ask(path, bodies, *headers))

    json_type, csv_type = "Content-Type: application/json", "Content-Type: text/csv"
    objects = ",".join(f'{{"features":[{",".join(row)}]}}' for row in rows)
    given = {
        "/predict": asked("/predict", f'{{"features":[{lists}]}}')["scores"],
        "CSV": [float(line) for line in container.ask("/invocations", table, csv_type, "Accept: text/csv").split()],
        "CSV with names, answered in JSON": json.loads(container.ask("/invocations", folder / "rows.csv", csv_type))["predictions"],
        "JSON": asked("/invocations", f'{{"instances":[{objects}]}}', json_type)["predictions"],
    }
    for what, found in given.items():
        assert found == expected, f"{what} gives other scores than `assay score`"
    return f"{len(rows)} rows the same as by `assay score` as {', '.join(given)}"


def stops(platform, image, model):
    transaction = (platform.box.repository / "deploy/vpc-ml/fraudtest.json").read_text()
    body = platform.folder / "load.json"
    body.write_text(f'{{"instances":[{transaction}]}}')
    with Container(image, model) as container:
        with Load(f"{URL}/invocations", body, '{"predictions":[', container.inside) as clients:
            begun = time.monotonic()
            stopping = subprocess.Popen(["docker", "stop", "--time", str(KILLED_AFTER_S), container.id], stdout=subprocess.DEVNULL)
            # The platform stops sending when /ping fails; whatever comes until then, and for a while after, is answered.
            wait_until(lambda: container.ping() == "503", 5, "/ping answers 503", every=0.05)
        assert stopping.wait(KILLED_AFTER_S + 10) == 0
        seconds, code = time.monotonic() - begun, container.state("ExitCode")
    said = f"ended with {code} after {seconds:.1f} s; {clients.text()}"
    figure(f"a SageMaker container stopped under {RATE} req/s", "0 failed requests, exit code 0 within 30 s", said)
    assert code == "0" and seconds < KILLED_AFTER_S, said
    clients.nothing_failed()
    return said


def nothing(model, folder):
    """An archive without a model."""


def hidden(model, folder):
    (folder / "fraud").mkdir()
    (folder / "fraud/fraud.model").write_bytes((model / "fraud.model").read_bytes())


def damaged(model, folder):
    content = bytearray((model / "fraud.model").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "fraud.model").write_bytes(content)


def cut_off(model, folder):
    content = (model / "fraud.model").read_bytes()
    (folder / "fraud.model").write_bytes(content[:len(content) // 2])


def ends(image, model, words):
    """What a container says last that cannot serve this folder."""
    container = Container(image, model)
    pings = set()
    try:
        wait_until(lambda: pings.add(container.ping()) or container.state("Running") == "false", 10, "it ends")
        code, said = container.state("ExitCode"), json.loads(container.log().splitlines()[-1])["message"]
    finally:
        container.__exit__()
    assert "200" not in pings and code != "0" and "/opt/ml/model" in said and words in said, f"{pings}, exit code {code}: {said}"
    return said


def cleans_up(platform):
    platform.typed("delete-endpoint ")
    sagemaker = platform.sagemaker
    left = [*sagemaker.list_endpoints()["Endpoints"], *sagemaker.list_endpoint_configs()["EndpointConfigs"],
            *sagemaker.list_models()["Models"],
            *(bucket for bucket in platform.s3.list_buckets()["Buckets"] if "sagemaker" in bucket["Name"]),
            *(role for role in platform.iam.list_roles()["Roles"] if "sagemaker" in role["RoleName"])]
    assert not left, left
