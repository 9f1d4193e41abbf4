"""What stands where in the pictures of the two environments, and what leads to what?

Here stand places alone; names, types, conditions, ports, counts and parameters are the templates' own.
"""

from arrow import Arrow, middle_x, streets
from drawing import picture
from layout import PAD, Across, Chip, Column, Frame, Note, Resource, Row, Space
from source import Source, Untrue


def draw(templates):
    """Every picture, by the name of its file."""
    machine, build, run = (Source(templates / name) for name in (
        "cloudacademy.vpc.ml.yaml", "cloudacademy.buildenv.yaml", "cloudacademy.vpc.ml.ecs.yaml"))
    return {"environment-1.svg": environment_1(machine), "environment-2.svg": environment_2(build, run)}


def environment_1(machine):
    def chips(*names):
        return [Chip(machine, name) for name in names]

    port = machine.property("SecurityGroup", "SecurityGroupIngress", 0, "FromPort")
    history = Note("history", "History of transactions", "DatasetUrl", machine, "DatasetUrl")
    release = Note("release", "Release of Assay", "ReleaseUrl, ReleaseSha256", machine, "ReleaseUrl")
    clients = Note("clients", "Clients", f"ClientCidr, {machine.default('ClientCidr')}", machine, "ClientCidr", least=200)
    first_boot = Note("first boot", "first boot", "fetch, check, train", machine, "Instance")
    service = Note("service", "assay.service", f"serves on port {port}", machine, "Instance")
    control = Column(
        Frame("Complete once it answers", *chips("Ready", "ReadyHandle"), gap=28),
        Frame("Log", *chips("LogGroup")),
        Frame("A shell without an open port", Note("session", "Session Manager", "SessionCommand", machine, "SessionCommand")),
        Frame("What the machine may", *chips("InstanceProfile", "Role")),
        gap=20)
    subnet = Frame(
        Resource(machine, "Subnet"), Frame(
            Resource(machine, "SecurityGroup"),
            Row(Space(), *chips("ElasticIp"), same=True),
            Frame(Resource(machine, "Instance"), Row(first_boot, service, gap=66)), gap=34),
        *chips("SubnetRouteTable"), style="subnet", gap=14)
    network = Frame(
        Resource(machine, "Vpc"),
        Row(Column(*chips("InternetGatewayAttachment", "InternetRoute", "RouteTable")),
            Chip(machine, "InternetGateway", grow=True), same=True),
        subnet, style="vpc", gap=18)
    stack = Frame("Stack", Row(control, network, gap=90), style="stack", kind=machine.name)
    outside = Row(Row(history, release, gap=14), clients, apart=True)
    content = Column(outside, Frame("Region", stack, style="region", kind="of one account"), gap=28)

    def arrows(nodes):
        street = streets(control.x + control.w, network.x, 5)
        gateway, address, instance, handle, ready, log = map(
            machine.key, ["InternetGateway", "ElasticIp", "Instance", "ReadyHandle", "Ready", "LogGroup"])
        straight = middle_x(nodes["service"])
        return [
            Arrow("call", ("clients", "b"), (gateway, "t"), at=straight, facts=[(machine, "SecurityGroup", "ClientCidr")]),
            Arrow("call", (gateway, "b"), (address, "t"), at=straight, facts=[
                (machine, "ElasticIp", "InternetGatewayAttachment"), (machine, "InternetGatewayAttachment", "InternetGateway")]),
            Arrow("call", (address, "b"), ("service", "t"), "POST /predict", at=straight, along=0.28,
                  facts=[(machine, "ElasticIp", "Instance")]),
            Arrow("bring", ("first boot", "r"), ("service", "l"), "model"),
            Arrow("bring", ("release", "b"), ("first boot", "l"), at=street[4], to=0.2),
            Arrow("bring", ("history", "b"), ("first boot", "l"), via=[outside.y + outside.h + 14, street[3]], to=0.45),
            Arrow("tell", ("first boot", "l"), (handle, "r"), "SUCCESS or FAILURE", via=[street[2]], at=0.7, turned=True, on=1),
            Arrow("tell", (handle, "t"), (ready, "b")),
            Arrow("tell", (instance, "l"), (log, "r"), "logs", via=[street[1]], at=0.85, turned=True, on=1),
            Arrow("call", ("session", "r"), (instance, "l"), via=[street[0]], to=0.93),
        ]

    return picture("Environment 1: one machine", [machine], content, arrows)


def environment_2(build, run):
    def chips(*names):
        return [Chip(run, name) for name in names]

    parameter = run.default("ImageUri")
    if parameter != build.default("ImageUriParameter"):
        raise Untrue(f"by default {build.name} writes {build.default('ImageUriParameter')}, and {run.name} reads {parameter}")
    container = run.property("TaskDefinition", "ContainerDefinitions", 0)
    port = container["PortMappings"][0]["ContainerPort"]
    http, https = run.property("HttpListener", "Port"), run.property("HttpsListener", "Port")
    count = run.default("DesiredCount")

    source = Note("source", "Repository on GitHub", "SourceLocation, SourceVersion", build, "SourceLocation")
    history = Note("history", "History of transactions", "DatasetUrl", build, "DatasetUrl")
    clients = Note("clients", "Clients", f"ClientCidr, {run.default('ClientCidr')}", run, "ClientCidr", least=200)
    uri = Note("uri", f"SSM parameter {parameter}", "URI of the newest image, read at each update of part 2", build,
               "ImageUriParameter", least=310)
    part_1 = Frame(
        "Part 1", Row(*[Chip(build, name) for name in ("LogGroup", "Project", "Repository", "BuildRole")], gap=62),
        style="stack", kind=build.name)

    control = Column(
        Frame("Task", *chips("TaskDefinition", "ExecutionRole")),
        Frame(Resource(run, "Cluster"), *chips("Service", "CapacityProviders"),
              Frame("Machines", condition="Ec2", *chips(
                  "CapacityProvider", "AutoScalingGroup", "LaunchTemplate", "InstanceProfile", "InstanceRole"))),
        Frame("Scaling", *chips("ScalableTarget", "CpuScaling", "RequestScaling")),
        Frame("Logs", *chips("LogGroup", "InsightsLogGroup")),
        Frame("Alarms", *chips("TargetErrorAlarm", "LoadBalancerErrorAlarm", "UnhealthyTaskAlarm", "LatencyAlarm")),
        gap=20)

    def tasks(maybe=False):
        one, other = (Note(None, f"task: {container['Name']}", f"port {port}", run, "Service", maybe=maybe) for _ in "AB")
        return Row(one, other, gap=34)

    def subnet(name):
        return Frame(Resource(run, name), *chips(f"{name}RouteTable"), style="subnet")

    balancer = Frame(
        Resource(run, "LoadBalancer"),
        Row(Column(*chips("LoadBalancerSecurityGroup", "HttpsIngress")), Column(*chips("HttpListener", "HttpsListener")),
            same=True),
        Row(Space(), *chips("TargetGroup"), same=True), gap=24)
    public = Across(
        [subnet("PublicSubnetA"), subnet("PublicSubnetB")],
        balancer,
        Frame(f"{count} tasks of Service, unless Private", tasks(),
              Row(*chips("TaskSecurityGroup", "InstanceSecurityGroup"), same=True), key="tasks"))
    private = Across(
        [subnet("PrivateSubnetA"), subnet("PrivateSubnetB")],
        Frame(f"{count} tasks of Service", tasks(maybe=True), condition="Private", key="private tasks"))
    endpoints = Frame(
        "The only way out: to AWS",
        Row(Column(*chips("PrivateRouteTable", "EcrApiEndpoint", "LogsEndpoint")),
            Column(*chips("EndpointSecurityGroup", "EcrDockerEndpoint", "S3Endpoint")), same=True),
        Frame("For machines",
              Row(Column(*chips("EcsEndpoint", "EcsAgentEndpoint")), Column(*chips("EcsTelemetryEndpoint")), same=True),
              condition="PrivateEc2"),
        condition="Private", key="endpoints")
    network = Frame(
        Resource(run, "Vpc"),
        Row(Column(*chips("InternetGatewayAttachment", "InternetRoute", "PublicRouteTable")),
            Chip(run, "InternetGateway", grow=True), same=True),
        public, private, endpoints, style="vpc", gap=20)

    watching = Row(
        Frame("Seen by people", Row(*chips("AlarmTopic", "Dashboard"))),
        Frame("Access logs", Row(*chips("AccessLogBucketPolicy", "AccessLogBucket")), condition="KeepAccessLogs"), gap=40)
    part_2 = Frame("Part 2", Row(Space(14), Row(control, network, gap=62), Space(18), gap=0), watching,
                   style="stack", kind=run.name, gap=30)
    outside = Row(Row(source, history, gap=14), clients, apart=True)
    region = Frame("Region", Row(part_1, Space(), apart=True), Row(uri, Space(), apart=True), part_2,
                   style="region", kind="of one account", gap=28)
    content = Column(outside, region, gap=28)

    def arrows(nodes):
        street = streets(control.x + control.w, network.x, 1)[0]
        project, repository, build_log = map(build.key, ["Project", "Repository", "LogGroup"])
        gateway, http_listener, https_listener, group, task, service, log, alarm, topic, bucket = map(run.key, [
            "InternetGateway", "HttpListener", "HttpsListener", "TargetGroup", "TaskDefinition", "Service", "LogGroup",
            "TargetErrorAlarm", "AlarmTopic", "AccessLogBucket"])
        straight = nodes[gateway].x + nodes[gateway].w * 0.85
        return [
            # Requests.
            Arrow("call", ("clients", "b"), (gateway, "t"), f"port {http}; {https} with a certificate", at=straight,
                  facts=[(run, "LoadBalancerSecurityGroup", "ClientCidr")]),
            Arrow("call", (gateway, "b"), (balancer.key, "t"), at=straight,
                  facts=[(run, "LoadBalancer", "InternetRoute"), (run, "InternetRoute", "InternetGateway")]),
            Arrow("call", (http_listener, "r"), (group, "r"), via=[balancer.x + balancer.w - PAD / 2]),
            Arrow("call", (https_listener, "b"), (group, "t")),
            Arrow("call", (group, "b"), ("tasks", "t"), f"port {port}", facts=[(run, "Service", "TargetGroup")]),
            Arrow("call", ("private tasks", "b"), ("endpoints", "t"), facts=[(run, "EndpointSecurityGroup", "VpcCidr")]),
            # From code to tasks.
            Arrow("bring", ("source", "b"), (project, "t"), via=[outside.y + outside.h + 14], to=0.3),
            Arrow("bring", ("history", "b"), (project, "t"), at=nodes[project].x + nodes[project].w * 0.7),
            Arrow("bring", (project, "r"), (repository, "l"), "push"),
            Arrow("bring", (project, "b"), ("uri", "t"), "put"),
            Arrow("bring", ("uri", "b"), (task, "t"), at=nodes[task].x + nodes[task].w * 0.92,
                  facts=[(run, "TaskDefinition", "ImageUri")]),
            Arrow("bring", (repository, "b"), (service, "r"), "pull", via=[uri.y + uri.h + 14, street], to=0.3, turned=True, on=2,
                  facts=[(build, "Repository", "RepositoryName"), (run, "ExecutionRole", "RepositoryName")]),
            Arrow("bring", (service, "r"), ("tasks", "l"), via=[street], at=0.7, to=0.3,
                  facts=[(run, "Service", "TaskDefinition")]),
            # What is told.
            Arrow("tell", (project, "l"), (build_log, "r"), "log"),
            Arrow("tell", ("tasks", "l"), (log, "r"), "logs", via=[street], at=0.7, turned=True, on=1,
                  facts=[(run, "TaskDefinition", "LogGroup")]),
            Arrow("tell", (alarm, "l"), (service, "l"), "rolls back", via=[control.x - 8], turned=True, on=1),
            Arrow("tell", ("Alarms", "b"), (topic, "t"), facts=[(run, "TargetErrorAlarm", "AlarmTopic")]),
            Arrow("tell", (balancer.key, "r"), (bucket, "r"), "access logs", via=[network.x + network.w + 12], turned=True, on=1),
        ]

    return picture("Environment 2: two tasks behind a load balancer", [build, run], content, arrows)
