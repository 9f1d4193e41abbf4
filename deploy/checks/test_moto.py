"""Does an independent engine, moto, create the three stacks, and come to the same resources and outputs as our renderer?

moto skips the kinds that it does not know and keeps less than AWS of those it does; what it keeps is compared. Three things that
our templates need and it lacks are added below.
"""

import base64
import json
import re
import warnings
from ast import literal_eval
from datetime import UTC, datetime

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup
from moto.ssm.models import Parameter, ssm_backends

from deployment import KEYS, PUBLISHED, RELEASED
from template import ACCOUNT, IMAGE_URI, PARAMETER_STORE, REGION, Stack

ADDRESS = r"\d+\.\d+\.\d+\.\d+"
NOT_IN_MOTO = {
    "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::CloudWatch::Alarm",
    "AWS::CodeBuild::Project", "AWS::ECS::CapacityProvider", "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::S3::BucketPolicy",
}
WAIT_URL = "https://cloudformation-waitcondition-eu-west-1.s3.eu-west-1.amazonaws.com/arn%3Aaws%3A?X-Amz-Signature=ab"


class Signalled:
    """What a wait condition and its handle have in common here: the signal came already."""

    __module__ = "moto.cloudformation.waiting"  # moto reads its own service's name from here.
    physical_resource_id = WAIT_URL

    @staticmethod
    def cloudformation_name_type():
        return None

    @classmethod
    def create_from_cloudformation_json(cls, *arguments, **options):
        return cls()

    def get_cfn_attribute(self, attribute):
        return f'{{"assay":"{attribute}"}}'

    @classmethod
    def has_cfn_attr(cls, attribute):
        return attribute == "Data"


class WaitConditionHandle(Signalled, CloudFormationModel):
    __module__ = Signalled.__module__

    @staticmethod
    def cloudformation_type():
        return "AWS::CloudFormation::WaitConditionHandle"


class WaitCondition(Signalled, CloudFormationModel):
    __module__ = Signalled.__module__

    @staticmethod
    def cloudformation_type():
        return "AWS::CloudFormation::WaitCondition"


def full_name(resource, attribute):
    """The end of an ARN, which is all that a balancer or a target group is called in metrics."""
    if attribute not in ("LoadBalancerFullName", "TargetGroupFullName"):
        return known_attribute(resource, attribute)
    return resource.arn.split(":", 5)[5].removeprefix("loadbalancer/")


known_attribute = FakeLoadBalancer.get_cfn_attribute


class Created:
    """A stack in moto, and the same one as our renderer sees it, with the IDs that moto gave."""

    def __init__(self, template, choices=None):
        self.cloudformation = boto3.client("cloudformation")
        parameters = [{"ParameterKey": name, "ParameterValue": str(value)} for name, value in (choices or {}).items()]
        # moto reads the short form of a condition as a function that it does not know.
        body = re.sub(r"!Condition (\w+)", r"{Condition: \1}", template.text)
        self.cloudformation.create_stack(
            StackName="fraud", TemplateBody=body, Parameters=parameters, Capabilities=["CAPABILITY_IAM"])
        self.described, = self.cloudformation.describe_stacks(StackName="fraud")["Stacks"]
        resources = self.cloudformation.describe_stack_resources(StackName="fraud")["StackResources"]
        # What moto skipped it lists without a name, and a rule of a security group without an ID.
        self.made = {resource["LogicalResourceId"] for resource in resources if "LogicalResourceId" in resource}
        self.ids = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in resources if "PhysicalResourceId" in resource}
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in self.described["Outputs"]}
        self.ours = Stack(template, choices, known=self.ids)

    def assert_complete(self):
        assert self.described["StackStatus"] == "CREATE_COMPLETE"
        wanted = {logical_id for logical_id, resource in self.ours.resources.items() if resource["Type"] not in NOT_IN_MOTO}
        assert self.made == wanted, f"moto and our renderer differ in {self.made ^ wanted}"


@pytest.fixture(autouse=True)
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(parsing, "NULL_MODELS", [])
    monkeypatch.setattr(FakeLoadBalancer, "get_cfn_attribute", full_name)
    monkeypatch.setattr(FakeTargetGroup, "get_cfn_attribute", full_name, raising=False)
    with mock_aws(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in PARAMETER_STORE.items():  # By its own API nobody may write what belongs to AWS.
            ssm_backends[ACCOUNT][REGION]._parameters[name].append(Parameter(
                account_id=ACCOUNT, name=name, value=value, parameter_type="String", description=None, allowed_pattern=None,
                keyid=None, last_modified_date=datetime(2026, 1, 1, tzinfo=UTC), version=1, data_type="text"))
        yield


@pytest.fixture
def certificate():
    return boto3.client("acm").request_certificate(DomainName="scores.example.com")["CertificateArn"]


def ingress(group):
    """What a security group lets in, as moto keeps it."""
    described, = boto3.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return {
        (rule["FromPort"], rule["ToPort"], source)
        for rule in described["IpPermissions"]
        for source in [entry["CidrIp"] for entry in rule["IpRanges"]] + [entry["GroupId"] for entry in rule["UserIdGroupPairs"]]
    }


def test_environment_1_is_created_with_the_command_of_the_seed(deployment):
    stack = Created(deployment.machine, RELEASED | {"ClientCidr": "203.0.113.0/24"})
    stack.assert_complete()
    command = stack.outputs["FraudDetectionPredictCommand"]
    shape = rf"curl --header 'Content-Type: application/json' -vX POST http://({ADDRESS}):5000/predict -d @fraudtest\.json"
    assert re.fullmatch(shape, command)[1] == stack.outputs["PublicIp"]
    for name in ("HealthCommand", "SessionCommand", "VpcId", "LogGroupName", "InstanceId"):
        assert stack.outputs[name] == stack.ours.outputs[name], name


def test_the_machine_of_environment_1_is_as_it_was_described(deployment):
    stack = Created(deployment.machine, RELEASED | {"ClientCidr": "203.0.113.0/24"})
    ec2 = boto3.client("ec2")
    machine = ec2.describe_instances(InstanceIds=[stack.ids["Instance"]])["Reservations"][0]["Instances"][0]
    image = PARAMETER_STORE["/aws/service/debian/release/12/latest/amd64"]
    assert (machine["ImageId"], machine["InstanceType"]) == (image, "t3.small")
    assert (machine["SubnetId"], machine["VpcId"]) == (stack.ids["Subnet"], stack.ids["Vpc"])
    assert "KeyName" not in machine
    assert ingress(stack.ids["SecurityGroup"]) == {(5000, 5000, "203.0.113.0/24")}

    said = ec2.describe_instance_attribute(InstanceId=stack.ids["Instance"], Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(said).decode() == stack.ours.properties("Instance")["UserData"]
    assert WAIT_URL in stack.ours.properties("Instance")["UserData"]
    assert stack.outputs["ModelOrigin"] == '{"assay":"Data"}'

    routes = ec2.describe_route_tables(RouteTableIds=[stack.ids["RouteTable"]])["RouteTables"][0]
    assert ("0.0.0.0/0", stack.ids["InternetGateway"]) in {
        (route["DestinationCidrBlock"], route["GatewayId"]) for route in routes["Routes"]}
    address, = ec2.describe_addresses()["Addresses"]
    assert address["InstanceId"] == stack.ids["Instance"]
    group, = boto3.client("logs").describe_log_groups(logGroupNamePrefix="/assay/fraud")["logGroups"]
    assert group["retentionInDays"] == 30


def test_the_build_is_created_with_a_repository_and_a_narrow_role(deployment):
    stack = Created(deployment.build, PUBLISHED)
    stack.assert_complete()
    repository, = boto3.client("ecr").describe_repositories()["repositories"]
    assert (repository["repositoryName"], repository["imageTagMutability"]) == ("fraud-detection", "IMMUTABLE")
    assert stack.outputs["RepositoryUri"] == repository["repositoryUri"]
    assert stack.outputs["ImageUriParameter"] == "/fraud-detection/image-uri"
    iam = boto3.client("iam")
    assert iam.list_role_policies(RoleName=stack.ids["BuildRole"])["PolicyNames"] == ["build"]
    assert iam.list_attached_role_policies(RoleName=stack.ids["BuildRole"])["AttachedPolicies"] == []


@pytest.mark.parametrize("choices", [
    {},
    {"Capacity": "FARGATE"},
    {"Capacity": "FARGATE_SPOT", "PrivateTasks": "true", "CertificateArn": "made", "AccessLogs": "true",
     "AlarmEmail": "alarms@example.com"},
    {"PrivateTasks": "true", "Architecture": "arm64", "InstanceType": "t4g.small", "DeletionProtection": "true"},
], ids=["as it is", "on Fargate", "with everything", "private on arm64"])
def test_environment_2_is_created_with_the_command_of_the_seed(deployment, choices, certificate):
    if "CertificateArn" in choices:
        choices = choices | {"CertificateArn": certificate}
    stack = Created(deployment.service, choices)
    stack.assert_complete()
    balancer, = boto3.client("elbv2").describe_load_balancers()["LoadBalancers"]
    scheme = "https" if "CertificateArn" in choices else "http"
    assert stack.outputs["LoadBalancerDnsName"] == balancer["DNSName"]
    assert stack.outputs["FraudDetectionPredictCommand"] == (
        f"curl --header 'Content-Type: application/json' -vX POST {scheme}://{balancer['DNSName']}/predict -d @fraudtest.json")
    assert stack.outputs["ImageUri"] == IMAGE_URI
    assert stack.outputs["DashboardUrl"] == stack.ours.outputs["DashboardUrl"]


def test_environment_2_runs_the_container_and_checks_it_as_described(deployment, certificate):
    stack = Created(deployment.service, {"Capacity": "FARGATE", "CertificateArn": certificate})
    task = boto3.client("ecs").describe_task_definition(taskDefinition=stack.ids["TaskDefinition"])["taskDefinition"]
    container, = task["containerDefinitions"]
    assert (container["name"], container["image"], container["user"]) == ("assay", IMAGE_URI, "65532:65532")
    assert container["readonlyRootFilesystem"] is True
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert container["healthCheck"]["command"] == ["CMD", "/assay", "health"]
    assert container["portMappings"][0]["containerPort"] == 5000

    elb = boto3.client("elbv2")
    group, = elb.describe_target_groups()["TargetGroups"]
    assert (group["TargetType"], group["Port"], group["HealthCheckPath"]) == ("ip", 5000, "/ready")
    assert group["HealthCheckTimeoutSeconds"] < group["HealthCheckIntervalSeconds"]
    listeners = elb.describe_listeners(LoadBalancerArn=stack.ids["LoadBalancer"])["Listeners"]
    assert {listener["Port"]: listener["DefaultActions"][0]["Type"] for listener in listeners} == {80: "redirect", 443: "forward"}
    assert ingress(stack.ids["LoadBalancerSecurityGroup"]) == {(80, 80, "0.0.0.0/0"), (443, 443, "0.0.0.0/0")}
    assert ingress(stack.ids["TaskSecurityGroup"]) == {(5000, 5000, stack.ids["LoadBalancerSecurityGroup"])}

    subnets = boto3.client("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [stack.ids["Vpc"]]}])["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    cloudwatch = boto3.client("cloudwatch")
    dashboard, = cloudwatch.list_dashboards()["DashboardEntries"]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=dashboard["DashboardName"])["DashboardBody"])
    assert len(body["widgets"]) == 5
    service, = boto3.client("ecs").describe_services(cluster=stack.ids["Cluster"], services=[stack.ids["Service"]])["services"]
    assert service["desiredCount"] == 2


def test_the_machines_of_environment_2_join_their_cluster(deployment):
    stack = Created(deployment.service)
    version, = boto3.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=stack.ids["LaunchTemplate"])["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required" and data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    ours = stack.ours.properties("LaunchTemplate")["LaunchTemplateData"]["UserData"]
    assert base64.b64decode(data["UserData"]).decode() == ours
    assert f"ECS_CLUSTER={stack.outputs['ClusterName']}" in ours
    group, = boto3.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["MinSize"], len(group["VPCZoneIdentifier"].split(","))) == (1, 2)


@pytest.mark.parametrize("keys", ["", KEYS], ids=["without keys", "with keys"])
@pytest.mark.parametrize(("name", "more", "reader"), [("machine", RELEASED, "Role"), ("service", {}, "ExecutionRole")],
                         ids=["environment 1", "environment 2"])
def test_one_role_reads_keys_where_there_are_some(deployment, name, more, reader, keys):
    stack = Created(getattr(deployment, name), more | {"KeysSecretArn": keys})
    stack.assert_complete()
    read = {"Sid": "ReadKeys", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": keys}
    readers = [role for role in stack.ours.of_type("AWS::IAM::Role") if read in granted(stack.ids[role])]
    assert readers == ([reader] if keys else [])


def test_tasks_get_keys_from_the_secret_that_was_named(deployment):
    stack = Created(deployment.service, {"KeysSecretArn": KEYS})
    task = boto3.client("ecs").describe_task_definition(taskDefinition=stack.ids["TaskDefinition"])["taskDefinition"]
    container, = task["containerDefinitions"]
    assert container["secrets"] == [{"name": "ASSAY_KEYS", "valueFrom": KEYS}]
    assert not container["environment"]


def granted(role):
    """Every statement of a role's own policies. moto gives them as Python writes them, and leaves a hole where AWS::NoValue takes
    one out of a list, which AWS closes."""
    iam = boto3.client("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [literal_eval(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]) for name in names]
    return [statement for document in documents for statement in document["Statement"] if statement]
