"""Who may do what, and is there anything secret where it could be read?"""

import json
import re

# Actions that know no resources, so that "*" is all that a policy can say.
WITHOUT_RESOURCES = {
    "ecr:GetAuthorizationToken": "the token opens only what other statements allow",
    "ecs:DiscoverPollEndpoint": "the agent asks where ECS is before it has a name",
    "ssmmessages:CreateControlChannel": "Session Manager's channels have no names in IAM",
    "ssmmessages:CreateDataChannel": "the same",
    "ssmmessages:OpenControlChannel": "the same",
    "ssmmessages:OpenDataChannel": "the same",
}

# Everything that each role may do, on what.
OWN_LOG = {"logs:CreateLogStream": "«LogGroup.Arn»", "logs:PutLogEvents": "«LogGroup.Arn»"}
MAY = {
    "Role": OWN_LOG | {
        "ssm:UpdateInstanceInformation": "arn:aws:ec2:eu-west-1:123456789012:instance/*",
        "ssmmessages:CreateControlChannel": "*",
        "ssmmessages:CreateDataChannel": "*",
        "ssmmessages:OpenControlChannel": "*",
        "ssmmessages:OpenDataChannel": "*",
    },
    "BuildRole": OWN_LOG | {
        "ecr:GetAuthorizationToken": "*",
        "ecr:BatchCheckLayerAvailability": "«Repository.Arn»",
        "ecr:BatchGetImage": "«Repository.Arn»",
        "ecr:CompleteLayerUpload": "«Repository.Arn»",
        "ecr:InitiateLayerUpload": "«Repository.Arn»",
        "ecr:PutImage": "«Repository.Arn»",
        "ecr:UploadLayerPart": "«Repository.Arn»",
        "ssm:PutParameter": "arn:aws:ssm:eu-west-1:123456789012:parameter/fraud-detection/image-uri",
    },
    "ExecutionRole": OWN_LOG | {
        "ecr:GetAuthorizationToken": "*",
        "ecr:BatchCheckLayerAvailability": "arn:aws:ecr:eu-west-1:123456789012:repository/fraud-detection",
        "ecr:BatchGetImage": "arn:aws:ecr:eu-west-1:123456789012:repository/fraud-detection",
        "ecr:GetDownloadUrlForLayer": "arn:aws:ecr:eu-west-1:123456789012:repository/fraud-detection",
    },
    "InstanceRole": {
        "ecs:DiscoverPollEndpoint": "*",
        "ecs:DeregisterContainerInstance": "«Cluster.Arn»",
        "ecs:RegisterContainerInstance": "«Cluster.Arn»",
        "ecs:SubmitAttachmentStateChanges": "«Cluster.Arn»",
        "ecs:SubmitContainerStateChange": "«Cluster.Arn»",
        "ecs:SubmitTaskStateChange": "«Cluster.Arn»",
        "ecs:Poll": "arn:aws:ecs:eu-west-1:123456789012:container-instance/«Cluster»/*",
        "ecs:StartTelemetrySession": "arn:aws:ecs:eu-west-1:123456789012:container-instance/«Cluster»/*",
        "ecs:UpdateContainerInstancesState": "arn:aws:ecs:eu-west-1:123456789012:container-instance/«Cluster»/*",
    },
}

# Who takes each role, and whether only for this account.
TAKEN_BY = {
    "Role": ("ec2.amazonaws.com", False),
    "InstanceRole": ("ec2.amazonaws.com", False),
    "BuildRole": ("codebuild.amazonaws.com", True),
    "ExecutionRole": ("ecs-tasks.amazonaws.com", True),
}

SECRET_NAME = re.compile(r"(KEY|SECRET|_SEC$|PASS|TOKEN|CREDENTIAL)", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # An access key of AWS.
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}\b"  # A token of GitHub.
    # A secret key of AWS: 40 characters, more capitals among them than a path or a hash has.
    r"|(?<![A-Za-z0-9/+=])(?=(?:[a-z0-9/+]*[A-Z]){6})(?=[A-Z0-9/+]*[a-z])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
ENVIRONMENT_KEYS = ("Environment", "EnvironmentVariables")


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements(stack):
    """Every statement about what may be done: where it stands, and itself."""
    for logical_id, resource in stack.resources.items():
        for document in policies(resource):
            for statement in as_list(document["Statement"]):
                yield logical_id, statement


def policies(resource, *more):
    """The policy documents of a resource: what may be done and, where `more` names it, who may take a role."""
    properties = resource.get("Properties", {})
    inline = [policy["PolicyDocument"] for policy in properties.get("Policies", []) if "PolicyDocument" in policy]
    return inline + [properties[key] for key in ("PolicyDocument", *more) if key in properties]


def environment(node):
    """Every variable that something would find in its environment: its name and its value."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ENVIRONMENT_KEYS and isinstance(value, list):
                for variable in value:
                    yield variable["Name"], variable.get("Value", "")
            yield from environment(value)
    elif isinstance(node, list):
        for value in node:
            yield from environment(value)


def test_every_role_may_do_exactly_what_it_needs(deployment):
    for stack in deployment.stacks():
        for role in stack.of_type("AWS::IAM::Role"):
            may = {}
            for logical_id, statement in statements(stack):
                if logical_id == role:
                    assert statement["Effect"] == "Allow" and not {"NotAction", "NotResource"} & set(statement), f"{stack}: {role}"
                    may |= dict.fromkeys(as_list(statement["Action"]), statement["Resource"])
            assert may == MAY[role], f"{stack}: {role}"


def test_no_statement_allows_more_than_it_names(deployment):
    for stack in deployment.stacks():
        for logical_id, statement in statements(stack):
            where = f"{stack}: {logical_id}: {statement}"
            if statement["Effect"] == "Deny":
                continue
            for action in as_list(statement["Action"]):
                assert "*" not in action, f"{where} allows all of a service"
                if "*" in as_list(statement["Resource"]):
                    assert action in WITHOUT_RESOURCES, f"{where} allows it on everything"


def test_every_policy_is_in_the_current_language(deployment):
    """Without its version, a policy means what it meant in 2008."""
    for stack in deployment.stacks():
        for logical_id, resource in stack.resources.items():
            for document in policies(resource, "AssumeRolePolicyDocument"):
                assert document.get("Version") == "2012-10-17", f"{stack}: {logical_id}"


def test_no_role_has_policies_that_aws_may_widen(deployment):
    for stack in deployment.stacks():
        for role, properties in stack.of_type("AWS::IAM::Role").items():
            assert not properties.get("ManagedPolicyArns"), f"{stack}: {role}"
            assert "RoleName" not in properties, f"{stack}: {role} has a fixed name, so a second stack could not have it"


def test_every_role_is_taken_by_its_own_service_only(deployment):
    for stack in deployment.stacks():
        for role, properties in stack.of_type("AWS::IAM::Role").items():
            statement, = properties["AssumeRolePolicyDocument"]["Statement"]
            service, own_account_only = TAKEN_BY[role]
            assert statement["Principal"] == {"Service": service}, f"{stack}: {role}"
            assert statement["Action"] == "sts:AssumeRole", f"{stack}: {role}"
            if own_account_only:
                condition = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
                assert statement.get("Condition") == condition, f"{stack}: {role} may be taken through another account's work"


def test_nobody_gets_long_lived_keys(deployment):
    for template in deployment.templates:
        for logical_id, resource in template.resources.items():
            kinds = ("AWS::IAM::User", "AWS::IAM::AccessKey", "AWS::EC2::KeyPair", "AWS::SecretsManager::Secret")
            assert resource["Type"] not in kinds, f"{template.name}: {logical_id}"


def test_no_environment_holds_a_secret(deployment):
    for stack in deployment.stacks():
        for name, value in environment(stack.resources):
            assert not SECRET_NAME.search(name), f"{stack}: the variable {name}"
            assert not SECRET_VALUE.search(str(value)), f"{stack}: the value of {name}"
    image = deployment.dockerfile
    for stage, instructions in image.stages.items():
        for instruction, arguments in instructions:
            if instruction in ("ENV", "ARG"):
                assert not SECRET_NAME.search(arguments.split("=")[0]), f"{stage}: {instruction} {arguments} stays in the image"


def test_no_file_of_the_deployment_holds_a_secret(deployment):
    for path in sorted(deployment.deploy.rglob("*")):
        # The faults that are planted here hold examples of secrets.
        if not path.is_file() or {"checks", "__pycache__"} & set(path.relative_to(deployment.deploy).parts):
            continue
        found = SECRET_VALUE.search(path.read_bytes().decode(errors="replace"))
        assert not found, f"{path.name}: {found[0][:8]}…"


def test_only_the_build_of_images_is_privileged(deployment):
    for stack in deployment.stacks():
        for logical_id, resource in stack.resources.items():
            said = re.findall(r'"Privileged(?:Mode)?": (true|"true")', json.dumps(resource))
            assert not said or resource["Type"] == "AWS::CodeBuild::Project", f"{stack}: {logical_id}"


def test_the_access_logs_are_encrypted_private_and_written_by_balancers_only(deployment):
    for stack in deployment.services():
        for bucket, properties in stack.of_type("AWS::S3::Bucket").items():
            blocked = properties["PublicAccessBlockConfiguration"]
            switches = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
            assert blocked == dict.fromkeys(switches, True), f"{stack}: {bucket}"
            rule, = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256", f"{stack}: {bucket}"
            owned = properties["OwnershipControls"].get("Rules")
            assert owned == [{"ObjectOwnership": "BucketOwnerEnforced"}], f"{stack}: {bucket}: access lists could open objects"
            by_sid = {statement["Sid"]: statement for logical_id, statement in statements(stack) if logical_id == f"{bucket}Policy"}
            allowed = [statement for statement in by_sid.values() if statement["Effect"] == "Allow"]
            writer, = allowed
            assert writer["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}, stack
            assert writer["Action"] == "s3:PutObject", stack
            assert writer["Resource"] == f"«{bucket}.Arn»/AWSLogs/123456789012/*", stack
            source = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/*"
            assert writer["Condition"] == {"ArnLike": {"aws:SourceArn": source}}, stack
            denied = by_sid["NothingInTheClear"]
            assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and denied["Action"] == "s3:*", stack
            assert denied["Resource"] == [f"«{bucket}.Arn»", f"«{bucket}.Arn»/*"], stack


def test_private_tasks_reach_no_bucket_but_that_of_their_images(deployment):
    for stack in deployment.services():
        if stack.parameters["PrivateTasks"] == "true":
            assert stack.properties("S3Endpoint")["PolicyDocument"]["Statement"] == [{
                "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*",
            }], stack
