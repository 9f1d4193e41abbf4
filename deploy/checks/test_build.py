"""Does a build make an image that was tried before it is pushed, and leave nothing that outlives its use?"""

import json
import os
import re

from template import Stack

# CodeBuild's own names: the images that AWS keeps, by processor, and the sizes that both processors have.
IMAGES = {
    "x86_64": ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:6.0"),
    "arm64": ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:4.0"),
}
SIZES = {"BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE", "BUILD_GENERAL1_XLARGE", "BUILD_GENERAL1_2XLARGE"}
ENOUGH_MEMORY = SIZES - {"BUILD_GENERAL1_SMALL"}  # Linking wants more than its 4 GB.

# What a build of CodeBuild finds in its environment by itself.
GIVEN_BY_CODEBUILD = {"AWS_REGION", "CODEBUILD_BUILD_NUMBER", "CODEBUILD_RESOLVED_SOURCE_VERSION", "CODEBUILD_BUILD_SUCCEEDING"}
OF_THE_SEED = {"AWS_REG", "AWS_ACCOUNT_ID", "IMAGE_REPO_NAME", "IMAGE_TAG"}
NOT_NEEDED = {"AWS_KEY", "AWS_SEC", "AWS_OUT", "AWS_PROF", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

SELECTION_KEYS = {"tagStatus", "tagPrefixList", "tagPatternList", "countType", "countUnit", "countNumber"}


def project(stack):
    return stack.properties("Project")


def variables(stack):
    return {variable["Name"]: variable for variable in project(stack)["Environment"]["EnvironmentVariables"]}


def commands(deployment):
    """Every command of the buildspec in the order in which they run."""
    phases = deployment.buildspec["phases"]
    assert list(phases) == ["pre_build", "build", "post_build"]
    return [command for phase in phases.values() for command in phase["commands"]]


def place(deployment, pattern):
    """Where the one command is that matches."""
    found = [position for position, command in enumerate(commands(deployment)) if re.search(pattern, command)]
    assert len(found) == 1, f"{len(found)} commands match {pattern}"
    return found[0]


def test_the_build_runs_on_the_processor_that_the_image_is_for(deployment):
    for stack in deployment.builds():
        machine = project(stack)["Environment"]
        assert (machine["Type"], machine["Image"]) == IMAGES[stack.parameters["Architecture"]], stack
        assert machine["ComputeType"] in SIZES, f"{stack}: CodeBuild has no {machine['ComputeType']}"
        assert machine["ComputeType"] in ENOUGH_MEMORY, f"{stack}: linking would run out of memory"
        assert machine["PrivilegedMode"] is True, f"{stack}: docker needs it"


def test_the_build_has_the_variables_of_the_seed_and_no_keys(deployment):
    for stack in deployment.builds():
        given = variables(stack)
        wanted = OF_THE_SEED if stack.parameters["ImageTag"] else OF_THE_SEED - {"IMAGE_TAG"}
        assert wanted <= set(given), stack
        assert not NOT_NEEDED & set(given), stack
        assert all(variable.get("Type", "PLAINTEXT") == "PLAINTEXT" for variable in given.values()), stack
        # CodeBuild refuses an empty value.
        assert all(str(variable["Value"]) for variable in given.values()), f"{stack}: an empty variable"


def test_every_variable_that_the_project_sets_is_read_by_the_build(deployment):
    scripts = "".join((deployment.deploy / "image" / name).read_text() for name in ("buildspec.yml", "build"))
    for stack in deployment.builds():
        for name in variables(stack):
            code = "\n".join(line for line in scripts.splitlines() if not line.lstrip().startswith("#"))
            assert re.search(rf"\b{name}\b", code), f"{stack}: nothing reads {name}"


def test_every_variable_that_the_buildspec_reads_is_set_somewhere(deployment):
    text = "\n".join(commands(deployment))
    read = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]+)", text))
    made = set(re.findall(r"(?:export |\s)([A-Z][A-Z0-9_]+)=", text))
    given = set.union(*(set(variables(stack)) for stack in deployment.builds()))
    assert read <= made | given | GIVEN_BY_CODEBUILD, read - made - given - GIVEN_BY_CODEBUILD
    assert set(deployment.buildspec["env"]["exported-variables"]) <= made


def test_the_build_logs_in_with_a_token_that_is_never_shown(deployment):
    login, = [command for command in commands(deployment) if "docker login" in command]
    assert re.search(r"aws ecr get-login-password [^|]*\| docker login [^|]*--password-stdin", login), login
    text = "\n".join(commands(deployment))
    assert "get-login " not in text and "-p $" not in text and "set -x" not in text
    assert not [name for name in NOT_NEEDED if re.search(rf"\b{name}\b", text)], "a long-lived key"


def test_an_image_is_pushed_only_after_it_was_built_and_has_scored(deployment):
    order = [
        place(deployment, r"docker login"),
        place(deployment, r"^deploy/image/build \"\$IMAGE_URI\""),
        place(deployment, r"^deploy/image/smoke-run \"\$IMAGE_URI\" deploy/vpc-ml/fraudtest.json"),
        place(deployment, r"^test \"\$CODEBUILD_BUILD_SUCCEEDING\" = 1$"),
        place(deployment, r"^docker push \"\$IMAGE_URI\"$"),
        place(deployment, r"aws ssm put-parameter"),
    ]
    assert order == sorted(order), commands(deployment)
    after = deployment.buildspec["phases"]["post_build"]["commands"]
    assert "CODEBUILD_BUILD_SUCCEEDING" in after[0], "post_build also runs after a build that failed"
    assert "aws ssm put-parameter" in after[-1], "what the parameter names must be there to be pulled"


def test_a_phase_that_fails_ends_the_build(deployment):
    for name, phase in deployment.buildspec["phases"].items():
        assert phase.get("on-failure") == "ABORT", name
        assert not set(phase) & {"finally"}, f"{name}: what runs in any case must not be needed"
    assert deployment.buildspec["env"]["shell"] == "bash"
    assert not any(re.search(r"\|\| *true|; *true", command) for command in commands(deployment)), "a fault is passed over"


def test_every_script_that_the_build_calls_is_there_and_may_be_run(deployment):
    called = {match for command in commands(deployment) for match in re.findall(r"\bdeploy/image/[a-z-]+", command)}
    assert called == {"deploy/image/build", "deploy/image/smoke-run"}
    for script in called:
        assert os.access(deployment.root / script, os.X_OK), script
    source = deployment.build.parameters["BuildspecPath"]["Default"]
    assert (deployment.root / source).is_file(), f"the project's default buildspec {source} is not there"


def test_the_project_builds_one_image_at_a_time_from_the_repository_and_keeps_its_log(deployment):
    for stack in deployment.builds():
        made = project(stack)
        assert made["ConcurrentBuildLimit"] == 1, f"{stack}: two builds would race for the SSM parameter"
        assert made["Source"] == {
            "Type": "GITHUB", "Location": stack.parameters["SourceLocation"], "BuildSpec": stack.parameters["BuildspecPath"]}, stack
        assert made["SourceVersion"] == stack.parameters["SourceVersion"], stack
        assert made["LogsConfig"]["CloudWatchLogs"] == {"Status": "ENABLED", "GroupName": "«LogGroup»"}, stack
        assert made["Artifacts"] == {"Type": "NO_ARTIFACTS"}, stack
        assert made["ServiceRole"] == "«BuildRole.Arn»", stack
        assert made.get("TimeoutInMinutes", 0) >= 60, f"{stack}: a first build compiles LightGBM and trains"


def test_images_are_scanned_encrypted_and_never_replaced(deployment):
    for stack in deployment.builds():
        repository = stack.properties("Repository")
        assert repository.get("RepositoryName") == stack.parameters["RepositoryName"], stack
        assert repository["ImageTagMutability"] == "IMMUTABLE", stack
        assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}, stack
        assert repository["EncryptionConfiguration"] == {"EncryptionType": "AES256"}, stack
        assert repository["EmptyOnDelete"] == stack.parameters["EmptyOnDelete"], stack


def test_the_repository_keeps_as_many_images_as_was_asked(deployment):
    for keep in (10, 2, 1000):
        stack = Stack(deployment.build, {"KeepImages": keep})
        try:
            rules = json.loads(stack.properties("Repository")["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        except ValueError as error:
            raise AssertionError(f"the lifecycle policy is no JSON: {error}") from error
        priorities = [rule["rulePriority"] for rule in rules]
        assert priorities == sorted(set(priorities)), "each rule has a priority of its own"
        for rule in rules:
            assert set(rule) == {"rulePriority", "description", "action", "selection"}, rule
            assert rule["action"] == {"type": "expire"}, rule
            selection = rule["selection"]
            assert set(selection) <= SELECTION_KEYS and selection["countNumber"] > 0, rule
            assert ("countUnit" in selection) == (selection["countType"] == "sinceImagePushed"), rule
        assert [rule["selection"]["tagStatus"] for rule in rules] == ["untagged", "any"], "a rule for any comes last"
        assert rules[-1]["selection"]["countType"] == "imageCountMoreThan"
        assert rules[-1]["selection"]["countNumber"] == keep
