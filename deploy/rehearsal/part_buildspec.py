"""Does the build of environment 2 end with an image in the registry and its URI where the running part looks, or with neither?"""

import json
import shutil

from box import ECR_HOST
from buildspec import project_variables, run
from checks import check, output
from part_image import prepare
from part_registry import log_in

STACK = "fraud-build"
SPARE_URL = "https://github.com/example/assay.git"  # The source tree names no repository; any that the pattern takes will do.
GONE_URL = "https://clouda-datasets.s3.amazonaws.com/gone.csv.zip"


def rehearse(box):
    with check("dockerd, MiniStack and the registry under ECR's real name are up", vital=True):
        box.registry()
        prepare(box)
    with check("the build's stack is created with its defaults, and the address of a repository", vital=True):
        outputs = create_stack(box)
    with check("a build without its data set fails with the reason, pushes nothing and writes no URI") as note:
        fails(box, outputs, note)
    with check("the build builds, lets the image score, pushes, and writes the URI to the SSM parameter", vital=True) as note:
        uri, exported = succeeds(box, outputs)
        note(uri)
        assert exported == uri, f"it exported IMAGE_URI={exported}"
    with check("the tag is of the commit and the build's number, and nothing else in the registry has changed"):
        commit = output("git", "rev-parse", "HEAD", cwd=box.repository).strip()
        assert uri == f"{outputs['RepositoryUri']}:{commit[:12]}-2", uri
        assert tags(box) == [f"{commit[:12]}-2"], tags(box)
    with check("the image in the registry is the one that was built"):
        log_in(box)
        built = output("docker", "image", "inspect", "--format", "{{.Id}}", uri)
        output("docker", "rmi", uri)
        output("docker", "pull", "--quiet", uri)
        assert output("docker", "image", "inspect", "--format", "{{.Id}}", uri) == built
    box.image_uri = uri


def create_stack(box):
    cloudformation = box.client_2("cloudformation")
    template = (box.repository / "deploy/vpc-ml/cloudacademy.buildenv.yaml").read_text()
    cloudformation.create_stack(StackName=STACK, TemplateBody=template, Capabilities=["CAPABILITY_IAM"],
                                Parameters=[{"ParameterKey": "SourceLocation", "ParameterValue": SPARE_URL}])
    cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    described = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    return {entry["OutputKey"]: entry["OutputValue"] for entry in described["Outputs"]}


def build(box, outputs, number, **overrides):
    """One build of the project, from a copy of what Git knows of the source: (succeeded, exported variables, phases, log)."""
    codebuild = box.client_2("codebuild")
    project = codebuild.batch_get_projects(names=[outputs["ProjectName"]])["projects"][0]
    commit = output("git", "rev-parse", "HEAD", cwd=box.repository).strip()
    source = copy_of_source(box.repository, box.run / f"source-{number}")
    endpoint = box.environment_2()["AWS_ENDPOINT_URL"]
    variables = {**project_variables(project, commit, number), "AWS_ENDPOINT_URL": endpoint, **overrides}
    log = box.logs / f"build-{number}.log"
    return *run(source / project["source"]["buildspec"], source, variables, log), log.read_text()


def copy_of_source(repository, folder):
    """What Git knows of the source and what it does not ignore, as CodeBuild would find it once that is committed."""
    for name in output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=repository).split("\0"):
        if name and (repository / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, folder / name)
    return folder


def fails(box, outputs, note):
    succeeded, _, _, log = build(box, outputs, 1, DATASET_URL=GONE_URL)
    assert not succeeded, "it succeeded"
    assert f"no history could be fetched from {GONE_URL}" in log, log[-3000:]
    assert tags(box) == [], f"the registry holds {tags(box)}"
    assert parameter(box, outputs) is None, f"the parameter says {parameter(box, outputs)}"
    note(next(line for line in log.splitlines() if "no history could be fetched" in line).split("make-model: ")[-1])


def succeeds(box, outputs):
    succeeded, exported, phases, log = build(box, outputs, 2)
    assert succeeded and phases == ["pre_build", "build", "post_build"], f"phases {phases}; the log ends with\n{log[-3000:]}"
    return parameter(box, outputs), exported["IMAGE_URI"]


def parameter(box, outputs):
    ssm = box.client_2("ssm")
    try:
        return ssm.get_parameter(Name=outputs["ImageUriParameter"])["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


def tags(box):
    """Tags of the image's repository in the registry, asked of the registry itself."""
    password = output("aws", "ecr", "get-login-password", env=box.environment_2()).strip()
    said = output("curl", "--silent", "--cacert", str(box.authority()[0]), "--user", f"AWS:{password}",
                  f"https://{ECR_HOST}/v2/fraud-detection/tags/list")
    return sorted(json.loads(said).get("tags") or [])
