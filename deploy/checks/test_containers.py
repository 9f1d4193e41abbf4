"""Does the container hold nothing but the service, run without a right, stay healthy, and get replaced without a gap?"""

import json
import re

from deployment import REPOSITORY
from template import Stack

# Which providers Fargate brings; the other is the stack's own group of machines.
FARGATE_PROVIDERS = ["FARGATE", "FARGATE_SPOT"]
# What a t3.small, the default, offers: MiB less what the system and the agent take, and interfaces less the machine's own.
SMALL_MEMORY_MIB = 1900
SMALL_TASKS = 2
# How long the service drains after SIGTERM and then waits for requests under way, how long it keeps idle connections, and how
# many it takes (docs/serving.md).
DRAIN_SECONDS = 5 + 10
KEEP_ALIVE_SECONDS = 75
CONNECTIONS = 10_000


def containers(deployment):
    for stack in deployment.services():
        for container in stack.properties("TaskDefinition")["ContainerDefinitions"]:
            yield stack, container


def seconds(text):
    return int(text.removesuffix("s"))


def test_the_image_holds_the_program_and_the_model_and_nothing_else(deployment):
    image = deployment.dockerfile
    assert image.last_stage == "runtime", "docker builds the last stage unless told otherwise"
    assert image.base_of["runtime"] == "scratch", "a base image brings a shell"
    copied = [arguments.split() for arguments in image.of_last_stage("COPY")]
    assert [words[-1] for words in copied] == ["/assay", "/fraud.model"]
    assert [words[0] for words in copied] == ["--from=builder", "--from=trainer"]
    assert "/programs/assay-serve" in copied[0], "the serving program is the static one"
    assert not image.of_last_stage("RUN") and not image.of_last_stage("ADD")


def test_the_builder_sees_every_file_that_the_sources_include(deployment):
    """The demo once took its definition from `examples`, which only a build of the image, ten minutes in, found missing."""
    copied = [arguments.split() for instruction, arguments in deployment.dockerfile.stages["builder"] if instruction == "COPY"]
    copied = {word for words in copied for word in words[:-1]}
    let_through = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    included = set()
    for source in sorted((REPOSITORY / "crates").rglob("*.rs")):
        for path in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
            included.add((source.parent / path).resolve().relative_to(REPOSITORY))
    assert any(path.parts[0] != "crates" for path in included), "nothing lies outside the crates: leave the copy out, and this test"
    for path in sorted(included):
        folders = {str(folder) for folder in [path, *path.parents]}
        assert folders & copied, f"{path}: the builder does not copy it"
        assert folders & let_through, f"{path}: .dockerignore keeps it from the builder"


def test_the_image_runs_as_a_user_without_a_name(deployment):
    user, = deployment.dockerfile.of_last_stage("USER")
    assert all(part.isdecimal() and int(part) >= 10000 for part in user.split(":")), user
    # What reads the history from the Internet is not root either.
    trainer = deployment.dockerfile.stages["trainer"]
    before_training = trainer[:next(place for place, (_, arguments) in enumerate(trainer) if "make-model --assay" in arguments)]
    assert ("USER", user) in before_training, "the training runs as root"


def test_the_image_serves_the_model_and_asks_itself_for_its_health(deployment):
    image = deployment.dockerfile
    assert json.loads(image.of_last_stage("ENTRYPOINT")[0]) == ["/assay"]
    assert json.loads(image.of_last_stage("CMD")[0])[:3] == ["serve", "--model", "/fraud.model"]
    check, = image.of_last_stage("HEALTHCHECK")
    assert check.endswith('CMD ["/assay", "health"]')
    times = dict(part.removeprefix("--").split("=") for part in check.split(" CMD ")[0].split())
    assert seconds(times["timeout"]) < seconds(times["interval"])
    for stack, container in containers(deployment):
        in_task = container["HealthCheck"]
        assert {"interval": in_task["Interval"], "timeout": in_task["Timeout"], "start-period": in_task["StartPeriod"]} == {
            name: seconds(time) for name, time in times.items() if name != "retries"}, f"{stack}: image and task differ"


def test_no_base_image_moves_or_comes_from_where_pulls_are_counted(deployment):
    for stage, base in deployment.dockerfile.base_of.items():
        assert base == "scratch" or base.startswith("public.ecr.aws/"), f"{stage}: {base} comes from Docker Hub"
        assert base == "scratch" or base.endswith(":bookworm-slim"), f"{stage}: {base} is not Debian 12, which the release is for"


def test_the_container_may_do_nothing_but_serve(deployment):
    user, = deployment.dockerfile.of_last_stage("USER")
    for stack, container in containers(deployment):
        assert container["User"] == user, f"{stack}: it runs as {container['User']}, the image as {user}"
        assert container["ReadonlyRootFilesystem"] is True, f"{stack}: it may write"
        assert container.get("Privileged", False) is False, f"{stack}: it is privileged"
        linux = container["LinuxParameters"]
        assert linux.get("Capabilities") == {"Drop": ["ALL"]}, f"{stack}: it keeps capabilities"
        assert linux["InitProcessEnabled"] is True, stack
        assert not {"Devices", "Tmpfs", "SharedMemorySize"} & set(linux), stack
        assert not {"MountPoints", "VolumesFrom", "Command", "EntryPoint", "Environment", "EnvironmentFiles", "Secrets"} & set(
            container), f"{stack}: it is given more than the image has"
        options = container.get("DockerSecurityOptions")
        assert options == (["no-new-privileges"] if stack.parameters["Capacity"] == "EC2" else None), stack


def test_the_task_shares_nothing_with_its_machine_and_may_ask_aws_for_nothing(deployment):
    for stack in deployment.services():
        task = stack.properties("TaskDefinition")
        assert not {"TaskRoleArn", "Volumes", "PidMode", "IpcMode", "ProxyConfiguration"} & set(task), stack
        assert task.get("ExecutionRoleArn") == "«ExecutionRole.Arn»", f"{stack}: without it no image is pulled and no log written"
        assert stack.properties("Service")["EnableExecuteCommand"] is False, stack


def test_the_task_is_for_the_capacity_and_the_processor_that_were_chosen(deployment):
    for stack in deployment.services():
        task = stack.properties("TaskDefinition")
        ec2, arm = stack.parameters["Capacity"] == "EC2", stack.parameters["Architecture"] == "arm64"
        assert task["RequiresCompatibilities"] == ["EC2" if ec2 else "FARGATE"], stack
        assert task["RuntimePlatform"] == {"OperatingSystemFamily": "LINUX", "CpuArchitecture": "ARM64" if arm else "X86_64"}, stack
        container, = task["ContainerDefinitions"]
        assert (task["Cpu"], task["Memory"]) == (stack.parameters["TaskCpu"], stack.parameters["TaskMemory"]), stack
        assert container["Memory"] == task["Memory"], f"{stack}: the container has no hard limit of memory"
        assert container["Essential"] is True, f"{stack}: a container that ended would leave its task running"
        assert container["Image"] == stack.parameters["ImageUri"], stack


def test_the_logs_of_the_container_go_to_the_group_of_the_stack(deployment):
    for stack, container in containers(deployment):
        log = container["LogConfiguration"]
        assert log["LogDriver"] == "awslogs", stack
        options = log["Options"]
        assert (options["awslogs-group"], options["awslogs-region"]) == ("«LogGroup»", "eu-west-1"), stack
        assert options["awslogs-stream-prefix"], stack
        assert options["mode"] == "non-blocking", f"{stack}: scoring would wait for CloudWatch"


def test_every_health_check_ends_before_the_next_begins(deployment):
    for stack, container in containers(deployment):
        check = container["HealthCheck"]
        assert check["Command"] == ["CMD", "/assay", "health"], f"{stack}: the image has no shell"
        assert check["Timeout"] < check["Interval"], stack
        group = stack.properties("TargetGroup")
        assert group["HealthCheckTimeoutSeconds"] < group["HealthCheckIntervalSeconds"], stack
        assert group["HealthCheckPath"] == "/ready", f"{stack}: only /ready says that a task is about to stop"
        assert group["Matcher"] == {"HttpCode": "200"}, stack
        grace = stack.properties("Service")["HealthCheckGracePeriodSeconds"]
        first_healthy = group["HealthCheckIntervalSeconds"] * group["HealthyThresholdCount"]
        assert grace >= max(check["StartPeriod"], first_healthy), f"{stack}: a task could be stopped before it could be healthy"


def test_a_task_that_stops_has_the_time_that_its_requests_need(deployment):
    for stack, container in containers(deployment):
        attributes = {pair["Key"]: pair["Value"] for pair in stack.properties("TargetGroup")["TargetGroupAttributes"]}
        delay = int(attributes["deregistration_delay.timeout_seconds"])
        assert container["StopTimeout"] >= max(delay, DRAIN_SECONDS), f"{stack}: it is killed while it drains"
        balancer = {pair["Key"]: pair["Value"] for pair in stack.properties("LoadBalancer")["LoadBalancerAttributes"]}
        assert int(balancer["idle_timeout.timeout_seconds"]) < KEEP_ALIVE_SECONDS, f"{stack}: tasks close connections in use"
    assert seconds(deployment.unit["TimeoutStopSec"][0] + "s") > DRAIN_SECONDS


def test_a_deployment_keeps_answering_and_goes_back_when_it_fails(deployment):
    """On EC2, where a third task finds no interface, half of the tasks stop first; a single task never does."""
    single = [Stack(deployment.service, {"Capacity": capacity, "DesiredCount": 1}) for capacity in ("EC2", "FARGATE")]
    for stack in [*deployment.services(), *single]:
        service = stack.properties("Service")
        in_place = stack.parameters["Capacity"] == "EC2" and service["DesiredCount"] > 1
        rollout = service["DeploymentConfiguration"]
        assert rollout["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}, stack
        assert rollout["Alarms"] == {"Enable": True, "Rollback": True, "AlarmNames": ["«TargetErrorAlarm»"]}, stack
        lowest, highest = rollout["MinimumHealthyPercent"], rollout["MaximumPercent"]
        assert (lowest, highest) == ((50, 100) if in_place else (100, 200)), stack
        # Rebalancing starts a task before it stops one, and ECS refuses it without room for that.
        assert service["AvailabilityZoneRebalancing"] == ("ENABLED" if highest > 100 else "DISABLED"), stack


def test_the_service_runs_its_own_task_in_its_own_cluster(deployment):
    """Without a cluster it would run in whichever is called default."""
    for stack in deployment.services():
        service = stack.properties("Service")
        assert (service.get("Cluster"), service.get("TaskDefinition")) == ("«Cluster»", "«TaskDefinition»"), stack
        assert stack.properties("CapacityProviders").get("Cluster") == "«Cluster»", stack


def test_every_connection_that_the_service_takes_has_a_file(deployment):
    for stack, container in containers(deployment):
        limits = {limit["Name"]: (limit["SoftLimit"], limit["HardLimit"]) for limit in container.get("Ulimits", [])}
        assert min(limits.get("nofile", (0,))) > CONNECTIONS, stack
    assert int(deployment.unit["LimitNOFILE"][0]) > CONNECTIONS


def test_there_are_two_tasks_and_the_default_machine_has_room_for_them(deployment):
    stack = next(deployment.services())
    assert stack.properties("Service")["DesiredCount"] == 2 == SMALL_TASKS
    assert stack.parameters["InstanceType"] == "t3.small"
    assert 2 * stack.parameters["TaskMemory"] <= SMALL_MEMORY_MIB
    assert stack.properties("AutoScalingGroup")["MinSize"] == 1, "the seed has one machine"


def test_scaling_moves_this_service_between_the_counts_that_were_chosen(deployment):
    for stack in deployment.services():
        target = stack.properties("ScalableTarget")
        counts = stack.parameters["DesiredCount"], stack.parameters["MaxCount"]
        assert (target["MinCapacity"], target["MaxCapacity"]) == counts, stack
        assert target["ResourceId"] == "service/«Cluster»/«Service.Name»", stack
        assert (target["ServiceNamespace"], target["ScalableDimension"]) == ("ecs", "ecs:service:DesiredCount"), stack
        policies = stack.of_type("AWS::ApplicationAutoScaling::ScalingPolicy")
        metrics = set()
        for name, policy in policies.items():
            assert policy["ScalingTargetId"] == "«ScalableTarget»", f"{stack}: {name}"
            metric = policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
            metrics.add(metric["PredefinedMetricType"])
            if metric["PredefinedMetricType"] == "ALBRequestCountPerTarget":
                assert metric["ResourceLabel"] == "«LoadBalancer.LoadBalancerFullName»/«TargetGroup.TargetGroupFullName»", stack
        assert metrics == {"ECSServiceAverageCPUUtilization", "ALBRequestCountPerTarget"}, stack


def test_the_service_asks_for_capacity_that_its_cluster_has(deployment):
    for stack in deployment.services():
        associated = stack.properties("CapacityProviders")
        ec2 = stack.parameters["Capacity"] == "EC2"
        assert associated["CapacityProviders"] == (["«CapacityProvider»"] if ec2 else FARGATE_PROVIDERS), stack
        service = stack.properties("Service")
        strategies = service["CapacityProviderStrategy"], associated["DefaultCapacityProviderStrategy"]
        for strategy in strategies:
            wanted = [part["CapacityProvider"] for part in strategy]
            assert set(wanted) <= set(associated["CapacityProviders"]), f"{stack}: {wanted}"
            assert any(part["Weight"] > 0 for part in strategy), stack
        if stack.parameters["Capacity"] == "FARGATE_SPOT":
            assert service["CapacityProviderStrategy"] == [
                {"CapacityProvider": "FARGATE", "Base": 1, "Weight": 0}, {"CapacityProvider": "FARGATE_SPOT", "Weight": 1},
            ], f"{stack}: AWS could take all tasks back"
        assert "LaunchType" not in service, f"{stack}: a launch type and a strategy exclude each other"
        assert ("PlacementStrategies" in service) == ec2, f"{stack}: Fargate places tasks by itself"
        assert ("PlatformVersion" in service) != ec2, stack
        if ec2:
            provider = stack.properties("CapacityProvider")["AutoScalingGroupProvider"]
            assert provider["AutoScalingGroupArn"] == "«AutoScalingGroup»", stack
            assert provider["ManagedTerminationProtection"] == "DISABLED", f"{stack}: the stack could not be deleted"
            managed = {"Key": "AmazonECSManaged", "Value": "true", "PropagateAtLaunch": True}
            assert managed in stack.properties("AutoScalingGroup")["Tags"], stack


def test_what_machines_need_is_there_with_machines_only(deployment):
    theirs = {"InstanceRole", "InstanceProfile", "InstanceSecurityGroup", "LaunchTemplate", "AutoScalingGroup", "CapacityProvider"}
    for stack in deployment.services():
        wanted = theirs if stack.parameters["Capacity"] == "EC2" else set()
        assert theirs & set(stack.resources) == wanted, stack


def test_machines_come_and_go_one_at_a_time_after_their_tasks(deployment):
    declared = deployment.service.parameters
    # A rolling update starts the new machine before it stops an old one.
    assert declared["MaxInstanceCount"]["MinValue"] > declared["InstanceCount"]["MaxValue"]
    for stack in deployment.services():
        if stack.parameters["Capacity"] == "EC2":
            rolling = stack.resources["AutoScalingGroup"]["UpdatePolicy"]["AutoScalingRollingUpdate"]
            least, most = stack.parameters["InstanceCount"], stack.parameters["MaxInstanceCount"]
            assert (rolling.get("MinInstancesInService"), rolling.get("MaxBatchSize")) == (least, 1), stack
            group = stack.properties("AutoScalingGroup")
            assert (group["MinSize"], group["MaxSize"]) == (least, most), stack
            provider = stack.properties("CapacityProvider")["AutoScalingGroupProvider"]
            assert provider.get("ManagedDraining") == "ENABLED", f"{stack}: tasks would be cut off"
            assert provider.get("ManagedScaling", {}).get("Status") == "ENABLED", f"{stack}: more tasks would find no machine"


def test_the_balancer_honours_what_was_chosen_for_it(deployment):
    for stack in deployment.services():
        balancer = stack.properties("LoadBalancer")
        attributes = {pair["Key"]: pair["Value"] for pair in balancer["LoadBalancerAttributes"]}
        assert attributes["deletion_protection.enabled"] == stack.parameters["DeletionProtection"], stack
        assert attributes["access_logs.s3.enabled"] == stack.parameters["AccessLogs"], stack
        bucket = "«AccessLogBucket»" if stack.parameters["AccessLogs"] == "true" else None
        assert attributes.get("access_logs.s3.bucket") == bucket, stack
        assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true", stack
        assert attributes.get("routing.http.desync_mitigation_mode") == "defensive", stack
        assert balancer["Scheme"] == "internet-facing", stack
