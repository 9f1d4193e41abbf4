"""What does an owner see and keep: outputs, logs, alarms, the dashboard, and what is left when a stack goes?"""

import json
import re

import yaml

from deployment import RELEASED
from template import MARK, Loader, Stack

# The longest template that `aws cloudformation create-stack --template-body` sends.
TEMPLATE_BYTES = 51_200

# The metrics of AWS that alarms and dashboard may name, with the dimensions that each needs.
BALANCER, GROUP = {"LoadBalancer"}, {"LoadBalancer", "TargetGroup"}
METRICS = {
    ("AWS/ApplicationELB", "HTTPCode_Target_2XX_Count"): [BALANCER, GROUP],
    ("AWS/ApplicationELB", "HTTPCode_Target_4XX_Count"): [BALANCER, GROUP],
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): [BALANCER, GROUP],
    ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"): [BALANCER],
    ("AWS/ApplicationELB", "TargetResponseTime"): [BALANCER, GROUP],
    ("AWS/ApplicationELB", "HealthyHostCount"): [GROUP],
    ("AWS/ApplicationELB", "UnHealthyHostCount"): [GROUP],
    ("AWS/ECS", "CPUUtilization"): [{"ClusterName", "ServiceName"}],
    ("AWS/ECS", "MemoryUtilization"): [{"ClusterName", "ServiceName"}],
}
DIMENSIONS = {
    "LoadBalancer": "«LoadBalancer.LoadBalancerFullName»",
    "TargetGroup": "«TargetGroup.TargetGroupFullName»",
    "ClusterName": "«Cluster»",
    "ServiceName": "«Service.Name»",
}
DASHBOARD_COLUMNS = 24

# What happens to a resource that holds something when its stack is deleted, and when it is replaced.
POLICIES = {
    "AWS::Logs::LogGroup": ("Delete", "Delete"),
    "AWS::ECR::Repository": ("Delete", "Retain"),
    "AWS::S3::Bucket": ("Retain", "Retain"),
}

OUTPUTS = {
    "machine": {"FraudDetectionPredictCommand", "HealthCommand", "SessionCommand", "ModelOrigin", "PublicIp", "InstanceId", "VpcId",
                "LogGroupName"},
    "build": {"RepositoryUri", "ImageUriParameter", "ProjectName", "StartBuildCommand", "LogGroupName", "RemoveParameterCommand"},
    "service": {"FraudDetectionPredictCommand", "HealthCommand", "LoadBalancerDnsName", "ClusterName", "ServiceName", "ImageUri",
                "DashboardUrl", "LogGroupName", "VpcId"},
}

# The seed's own command, with the address of the time.
PREDICT_COMMAND = "curl --header 'Content-Type: application/json' -vX POST {address}/predict -d @fraudtest.json"


def test_the_files_have_the_names_of_the_seed(deployment):
    names = {path.name for path in deployment.templates_folder.iterdir()}
    assert names == {"cloudacademy.vpc.ml.yaml", "cloudacademy.buildenv.yaml", "cloudacademy.vpc.ml.ecs.yaml", "fraudtest.json"}


def test_the_example_is_one_transaction_of_30_numbers(deployment):
    example = json.loads((deployment.templates_folder / "fraudtest.json").read_text())
    assert list(example) == ["features"] and len(example["features"]) == 30
    assert all(type(value) in (int, float) for value in example["features"])


def test_the_predict_command_is_the_seeds_own(deployment):
    for stack in deployment.machines():
        assert stack.outputs["FraudDetectionPredictCommand"] == PREDICT_COMMAND.format(address="http://«ElasticIp»:5000"), stack
    for stack in deployment.services():
        certificate, name = stack.parameters["CertificateArn"], stack.parameters["DomainName"]
        host = name if certificate and name else "«LoadBalancer.DNSName»"
        address = f"{'https' if certificate else 'http'}://{host}"
        assert stack.outputs["FraudDetectionPredictCommand"] == PREDICT_COMMAND.format(address=address), stack
        assert stack.outputs["HealthCommand"] == f"curl {address}/health", stack


def test_every_output_is_there_and_says_what_it_is(deployment):
    stacks = {"machine": deployment.machines, "build": deployment.builds, "service": deployment.services}
    for part, wanted in OUTPUTS.items():
        for stack in stacks[part]():
            conditional = {"AccessLogBucketName"} if stack.parameters.get("AccessLogs") == "true" else set()
            assert set(stack.outputs) == wanted | conditional, stack
            assert all(value not in ("", None) for value in stack.outputs.values()), stack
        for name, output in getattr(deployment, part).tree["Outputs"].items():
            assert output.get("Description", "").endswith("."), f"{part}: {name}"


def test_no_reference_is_left_as_text(deployment):
    """A forgotten !Sub leaves its `${…}` standing."""
    for stack in deployment.stacks():
        for name, value in stack.outputs.items():
            assert "${" not in str(value), f"{stack}: {name} is {value}"
        for logical_id, resource in stack.resources.items():
            text = json.dumps({key: value for key, value in resource.items() if key != "Metadata"}, ensure_ascii=False)
            if "UserData" not in text:  # Scripts have variables of their own; test_machine.py looks at them.
                assert "${" not in text, f"{stack}: {logical_id}"


def test_a_template_is_short_enough_for_the_command_line_and_uses_nothing_that_the_console_does_not_take(deployment):
    for template in deployment.templates:
        size = len(template.text.encode())
        assert size <= TEMPLATE_BYTES, f"{template.name}: {size} bytes"
        assert "Transform" not in template.tree, template.name
        anchors = [event.anchor for event in yaml.parse(template.text, Loader) if getattr(event, "anchor", None)]
        assert not anchors, f"{template.name}: CloudFormation refuses the anchors {anchors}"
        assert "AWS::CloudFormation::Stack" not in template.text, f"{template.name}: a nested stack"


def test_every_log_is_kept_as_long_as_was_asked(deployment):
    for stack in deployment.stacks():
        groups = stack.of_type("AWS::Logs::LogGroup")
        assert groups["LogGroup"].get("LogGroupName", "").startswith(f"/assay/{stack.name}"), f"{stack}: nobody would find the log"
        for name, group in groups.items():
            # What Container Insights measures is in its metrics; the group holds what they were made from.
            days = 1 if name == "InsightsLogGroup" else stack.parameters["LogRetentionDays"]
            assert group.get("RetentionInDays") == days, f"{stack}: {name}"


def test_the_cluster_is_measured_and_what_that_writes_goes_with_the_stack(deployment):
    """ECS makes a log group for it by a name of its own, unless there is one, and would leave that behind for ever."""
    for stack in deployment.services():
        assert stack.properties("Cluster").get("ClusterSettings") == [{"Name": "containerInsights", "Value": "enabled"}], stack
        group = stack.properties("InsightsLogGroup").get("LogGroupName")
        assert group == "/aws/ecs/containerinsights/«Cluster»/performance", stack
        assert "InsightsLogGroup" in stack.waits_for("Service"), f"{stack}: ECS would be quicker"


def test_what_holds_something_says_what_becomes_of_it(deployment):
    for template in deployment.templates:
        for logical_id, resource in template.resources.items():
            said = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
            assert said == POLICIES.get(resource["Type"], (None, None)), f"{template.name}: {logical_id}"


def test_two_stacks_in_one_region_share_no_name_that_a_parameter_does_not_set(deployment):
    given = {deployment.machine: RELEASED}
    for template in deployment.templates:
        first, second = (Stack(template, given.get(template), name=name) for name in ("first", "second"))
        for logical_id, resource in first.resources.items():
            last = resource["Type"].rsplit("::", 1)[1]
            for key, value in resource.get("Properties", {}).items():
                if key not in {"Name", f"{last}Name", "Family", "AlarmName", "DashboardName", "BucketName", "ClusterName"}:
                    continue
                if template.resources[logical_id]["Properties"][key] == {"Ref": "RepositoryName"}:
                    continue  # Its description says that two stacks need two.
                if resource["Type"] == "AWS::ApplicationAutoScaling::ScalingPolicy":
                    continue  # A name within its own scalable target.
                if MARK.search(str(value)):
                    continue  # Named after another resource of its own stack.
                assert second.properties(logical_id)[key] != value, f"{template.name}: {logical_id} is always called {value}"


def test_a_stack_may_be_called_anything_that_cloudformation_takes(deployment):
    """ECS refuses capacity providers whose names begin with aws, ecs or fargate, and log groups have 512 characters."""
    for name in ("aws-fraud", "ecs", "Fargate-1", "A" + "b-" * 63 + "c"):
        stack = Stack(deployment.service, name=name)
        provider = stack.properties("CapacityProvider")["Name"]
        assert not re.match("aws|ecs|fargate", provider, re.IGNORECASE) and len(provider) <= 255, provider
        assert len(stack.properties("LogGroup")["LogGroupName"]) <= 512
        assert len(stack.properties("TaskDefinition")["Family"]) <= 255
        for group in stack.of_type("AWS::EC2::SecurityGroup").values():
            assert re.fullmatch(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}", group["GroupDescription"])


def test_every_alarm_watches_a_metric_that_there_is_and_tells_who_was_named(deployment):
    for stack in deployment.services():
        alarms = stack.of_type("AWS::CloudWatch::Alarm")
        assert len(alarms) == 4, stack
        topic = ["«AlarmTopic»"] if stack.parameters["AlarmEmail"] else []
        for name, alarm in alarms.items():
            where = f"{stack}: {name}"
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
            assert set(dimensions) in METRICS.get((alarm["Namespace"], alarm["MetricName"]), []), f"{where} has no such metric"
            assert all(DIMENSIONS[key] == value for key, value in dimensions.items()), where
            assert alarm["AlarmActions"] == alarm["OKActions"] == topic, f"{where} tells nobody"
            assert alarm["TreatMissingData"] == "notBreaching", f"{where}: without requests there is no alarm"
            assert ("Statistic" in alarm) != ("ExtendedStatistic" in alarm), where
        if topic:
            subscription = {"Protocol": "email", "Endpoint": stack.parameters["AlarmEmail"]}
            assert stack.properties("AlarmTopic")["Subscription"] == [subscription], stack


def test_the_dashboard_shows_metrics_and_alarms_that_there_are(deployment):
    for stack in deployment.services():
        try:
            widgets = json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
        except ValueError as error:
            raise AssertionError(f"{stack}: the dashboard is no JSON: {error}") from error
        taken = set()
        for widget in widgets:
            properties = widget["properties"]
            cells = {(x, y) for x in range(widget["x"], widget["x"] + widget["width"])
                     for y in range(widget["y"], widget["y"] + widget["height"])}
            assert not cells & taken, f"{stack}: {properties['title']} covers another"
            assert widget["x"] + widget["width"] <= DASHBOARD_COLUMNS, f"{stack}: {properties['title']} is too wide"
            taken |= cells
            if widget["type"] == "alarm":
                shown = {alarm.rsplit(":", 1)[1].strip("«»") for alarm in properties["alarms"]}
                assert all(alarm.startswith("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:") for alarm in properties["alarms"])
                assert shown == set(stack.of_type("AWS::CloudWatch::Alarm")), stack
                continue
            assert properties["region"] == "eu-west-1", stack
            for namespace, metric, *rest in properties["metrics"]:
                pairs = [part for part in rest if isinstance(part, str)]
                dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
                assert set(dimensions) in METRICS.get((namespace, metric), []), f"{stack}: there is no {namespace} {metric}"
                assert all(DIMENSIONS[key] == value for key, value in dimensions.items()), f"{stack}: {metric}"
        assert stack.outputs["DashboardUrl"].endswith("dashboards:name=«Dashboard»"), stack


def test_every_resource_that_takes_a_name_tag_carries_the_name_of_its_stack(deployment):
    for stack in deployment.stacks():
        for logical_id, resource in stack.resources.items():
            if resource["Type"] in {"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup", "AWS::EC2::Instance"}:
                names = [tag["Value"] for tag in resource["Properties"].get("Tags", []) if tag["Key"] == "Name"]
                assert names and names[0].startswith("fraud"), f"{stack}: {logical_id}"


def test_everything_that_is_referred_to_is_there_whatever_was_chosen(deployment):
    """Rendering refuses a reference to a resource that a condition left out; this looks at the marks as well."""
    for stack in deployment.stacks():
        text = json.dumps([stack.resources, stack.outputs], ensure_ascii=False)
        assert {match[1] for match in MARK.finditer(text)} <= set(stack.resources), stack
