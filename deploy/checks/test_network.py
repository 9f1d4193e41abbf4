"""Who can reach what, in which zone, and is every door that is open meant to be?"""

import ipaddress
import json
import re

from deployment import CERTIFICATE
from template import Stack

PORT = 5000
ANYWHERE = "0.0.0.0/0"
NOTHING = ("out", "-1", None, None, "127.0.0.1/32")  # Egress to oneself: a group without any rule would let everything out.

REGION_NAME = re.compile(r"\b(af|ap|ca|cn|eu|il|me|mx|sa|us)(-gov|-iso\w?)?-(north|south|east|west|central){1,2}-\d[a-z]?\b")
ACCOUNT_NUMBER = re.compile(r"\b\d{12}\b")
FIXED_ARN = re.compile(r"\barn:aws")


def intended_rules(stack):
    """Every rule that there should be, by security group."""
    if stack.template.name == "cloudacademy.vpc.ml.yaml":
        return {"SecurityGroup": {
            ("in", "tcp", PORT, PORT, stack.parameters["ClientCidr"]),
            ("out", "tcp", 443, 443, ANYWHERE),
            ("out", "tcp", 80, 80, ANYWHERE),
        }}
    choices = stack.parameters
    ec2, private = choices["Capacity"] == "EC2", choices["PrivateTasks"] == "true"
    rules = {
        "LoadBalancerSecurityGroup": {
            ("in", "tcp", 80, 80, choices["ClientCidr"]),
            ("out", "tcp", PORT, PORT, choices["VpcCidr"]),
        },
        "TaskSecurityGroup": {
            ("in", "tcp", PORT, PORT, "«LoadBalancerSecurityGroup»"),
            NOTHING if ec2 else ("out", "tcp", 443, 443, ANYWHERE),
        },
    }
    if choices["CertificateArn"]:
        rules["LoadBalancerSecurityGroup"].add(("in", "tcp", 443, 443, choices["ClientCidr"]))
    if ec2:
        rules["InstanceSecurityGroup"] = {("out", "tcp", 443, 443, ANYWHERE)}
    if private:
        rules["EndpointSecurityGroup"] = {("in", "tcp", 443, 443, choices["VpcCidr"]), NOTHING}
    return rules


def rules(stack):
    """Every rule that the template makes, by security group."""
    def as_tuple(direction, rule):
        other = rule.get("CidrIp") or rule.get("SourceSecurityGroupId") or f"not understood: {rule}"
        return direction, str(rule["IpProtocol"]), rule.get("FromPort"), rule.get("ToPort"), other

    made = {}
    for group, properties in stack.of_type("AWS::EC2::SecurityGroup").items():
        made[group] = {as_tuple("in", rule) for rule in properties.get("SecurityGroupIngress", [])}
        made[group] |= {as_tuple("out", rule) for rule in properties.get("SecurityGroupEgress", [])}
    for direction, kind in (("in", "AWS::EC2::SecurityGroupIngress"), ("out", "AWS::EC2::SecurityGroupEgress")):
        for rule in stack.of_type(kind).values():
            made[rule["GroupId"].strip("«»")].add(as_tuple(direction, rule))
    return made


def networks(deployment):
    yield from deployment.machines()
    yield from deployment.services()
    # ClientCidr meets no other choice but TLS.
    for certificate in ("", CERTIFICATE):
        yield Stack(deployment.service, {"ClientCidr": "203.0.113.0/24", "CertificateArn": certificate})


def test_security_groups_have_exactly_the_rules_that_are_meant(deployment):
    for stack in networks(deployment):
        assert rules(stack) == intended_rules(stack), stack


def test_every_rule_of_a_security_group_says_what_it_is_for(deployment):
    for stack in networks(deployment):
        for group, properties in stack.of_type("AWS::EC2::SecurityGroup").items():
            for rule in properties.get("SecurityGroupIngress", []) + properties["SecurityGroupEgress"]:
                assert rule.get("Description"), f"{stack}: {group}: {rule}"


def test_port_22_is_open_nowhere_and_there_are_no_keys_for_it(deployment):
    for stack in networks(deployment):
        for group, made in rules(stack).items():
            for direction, protocol, lowest, highest, _ in made:
                covers = protocol == "-1" or lowest <= 22 <= highest
                assert direction == "out" or not covers, f"{stack}: {group} lets SSH in"
        assert "KeyName" not in json.dumps(stack.resources), f"{stack}: a key pair"
    assert not [port for port in deployment.dockerfile.of_last_stage("EXPOSE") if "22" in port.split()]


def test_everything_that_has_an_interface_has_its_own_security_group(deployment):
    for stack in deployment.machines():
        assert stack.properties("Instance")["SecurityGroupIds"] == ["«SecurityGroup»"], stack
    for stack in deployment.services():
        assert stack.properties("LoadBalancer")["SecurityGroups"] == ["«LoadBalancerSecurityGroup»"], stack
        assert awsvpc(stack)["SecurityGroups"] == ["«TaskSecurityGroup»"], stack
        for template in stack.of_type("AWS::EC2::LaunchTemplate").values():
            interface, = template["LaunchTemplateData"]["NetworkInterfaces"]
            assert interface["Groups"] == ["«InstanceSecurityGroup»"], stack
        for endpoint, properties in stack.of_type("AWS::EC2::VPCEndpoint").items():
            if properties["VpcEndpointType"] == "Interface":
                assert properties["SecurityGroupIds"] == ["«EndpointSecurityGroup»"], f"{stack}: {endpoint}"


def test_subnets_lie_in_their_vpc_and_do_not_overlap(deployment):
    for template in (deployment.machine, deployment.service):
        defaults = {name: declared["Default"] for name, declared in template.parameters.items() if name.endswith("Cidr")}
        vpc = ipaddress.ip_network(defaults.pop("VpcCidr"))
        del defaults["ClientCidr"]
        subnets = {name: ipaddress.ip_network(cidr) for name, cidr in defaults.items()}
        assert vpc.is_private, f"{template.name}: {vpc} belongs to somebody"
        for name, subnet in subnets.items():
            assert subnet.subnet_of(vpc), f"{template.name}: {name} {subnet} lies outside of {vpc}"
            for other, other_subnet in subnets.items():
                assert name == other or not subnet.overlaps(other_subnet), f"{template.name}: {name} and {other} overlap"
    for stack in networks(deployment):
        used = [properties["CidrBlock"] for properties in stack.of_type("AWS::EC2::Subnet").values()]
        assert len(used) == len(set(used)), f"{stack}: two subnets with the same addresses, {used}"


def test_balancer_tasks_and_machines_are_spread_over_two_zones(deployment):
    for stack in deployment.services():
        zone = {f"«{key}»": subnet["AvailabilityZone"] for key, subnet in stack.of_type("AWS::EC2::Subnet").items()}
        spread = {
            "LoadBalancer": stack.properties("LoadBalancer")["Subnets"],
            "Service": awsvpc(stack)["Subnets"],
        }
        for group, properties in stack.of_type("AWS::AutoScaling::AutoScalingGroup").items():
            spread[group] = properties["VPCZoneIdentifier"]
        for what, subnets in spread.items():
            assert len({zone[subnet] for subnet in subnets}) == 2, f"{stack}: {what} is in {subnets}"


def test_a_vpc_has_names_and_a_gateway(deployment):
    for stack in networks(deployment):
        vpc = stack.properties("Vpc")
        assert vpc.get("EnableDnsSupport") is vpc.get("EnableDnsHostnames") is True, f"{stack}: endpoints need both for their names"
        assert vpc["CidrBlock"] == stack.parameters["VpcCidr"], stack
        attachment = stack.properties("InternetGatewayAttachment")
        assert attachment == {"VpcId": "«Vpc»", "InternetGatewayId": "«InternetGateway»"}, stack


def test_the_way_to_the_internet_is_there_for_public_subnets_only(deployment):
    for stack in networks(deployment):
        table_of = {
            properties["SubnetId"]: properties["RouteTableId"]
            for properties in stack.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
        }
        routes = {
            properties["RouteTableId"]: (properties["DestinationCidrBlock"], properties["GatewayId"])
            for properties in stack.of_type("AWS::EC2::Route").values()
        }
        for subnet in stack.of_type("AWS::EC2::Subnet"):
            route = routes.get(table_of.get(f"«{subnet}»"))
            wanted = None if subnet.startswith("Private") else (ANYWHERE, "«InternetGateway»")
            assert route == wanted, f"{stack}: {subnet} has the route {route}"


def test_tasks_have_a_public_address_only_where_they_need_one_to_start(deployment):
    for stack in deployment.services():
        choices = stack.parameters
        private, ec2 = choices["PrivateTasks"] == "true", choices["Capacity"] == "EC2"
        kind = "Private" if private else "Public"
        subnets = [f"«{kind}SubnetA»", f"«{kind}SubnetB»"]
        assert stack.properties("LoadBalancer")["Subnets"] == ["«PublicSubnetA»", "«PublicSubnetB»"], stack
        assert awsvpc(stack)["Subnets"] == subnets, stack
        assert awsvpc(stack)["AssignPublicIp"] == ("DISABLED" if private or ec2 else "ENABLED"), stack
        if ec2:
            interface, = stack.properties("LaunchTemplate")["LaunchTemplateData"]["NetworkInterfaces"]
            assert interface["AssociatePublicIpAddress"] is not private, stack
            assert stack.properties("AutoScalingGroup")["VPCZoneIdentifier"] == subnets, stack
    for stack in networks(deployment):
        for subnet, properties in stack.of_type("AWS::EC2::Subnet").items():
            assert properties["MapPublicIpOnLaunch"] is False, f"{stack}: {subnet} gives out public addresses"


def test_private_tasks_have_every_endpoint_that_starting_them_needs(deployment):
    for stack in deployment.services():
        private = {name for name in stack.resources if name.startswith("Private")}
        if stack.parameters["PrivateTasks"] == "false":
            assert not private, f"{stack}: {private} serve nothing"
        wanted = set()
        if stack.parameters["PrivateTasks"] == "true":
            wanted = {"ecr.api", "ecr.dkr", "logs", "s3"}
            if stack.parameters["Capacity"] == "EC2":
                wanted |= {"ecs", "ecs-agent", "ecs-telemetry"}
        endpoints = stack.of_type("AWS::EC2::VPCEndpoint")
        assert {endpoint["ServiceName"].split(".", 3)[3] for endpoint in endpoints.values()} == wanted, stack
        for name, endpoint in endpoints.items():
            if endpoint["VpcEndpointType"] == "Gateway":
                assert endpoint["RouteTableIds"] == ["«PrivateRouteTable»"], f"{stack}: {name}"
            else:
                assert endpoint["PrivateDnsEnabled"] is True, f"{stack}: {name} is not found by its usual name"
                assert endpoint["SubnetIds"] == ["«PrivateSubnetA»", "«PrivateSubnetB»"], f"{stack}: {name}"


def test_everything_waits_for_what_it_needs_to_work(deployment):
    """CloudFormation creates in parallel whatever does not name the other: a machine before its route could not fetch a thing."""
    for stack in deployment.machines():
        assert "InternetGatewayAttachment" in stack.waits_for("InternetRoute"), stack
        assert "InternetGatewayAttachment" in stack.waits_for("ElasticIp"), stack
        assert {"InternetRoute", "SubnetRouteTable"} <= stack.waits_for("Instance"), stack
        assert {"Instance", "ElasticIp", "ReadyHandle"} <= stack.waits_for("Ready"), stack
    for stack in deployment.services():
        public = {"InternetGatewayAttachment", "InternetRoute", "PublicSubnetARouteTable", "PublicSubnetBRouteTable"}
        private = {"PrivateSubnetARouteTable", "PrivateSubnetBRouteTable"} & set(stack.resources)
        endpoints = set(stack.of_type("AWS::EC2::VPCEndpoint"))
        assert public <= stack.waits_for("LoadBalancer"), stack
        listeners = set(stack.of_type("AWS::ElasticLoadBalancingV2::Listener"))
        assert public | private | endpoints | listeners | {"CapacityProviders"} <= stack.waits_for("Service"), stack
        if "AccessLogBucketPolicy" in stack.resources:
            assert "AccessLogBucketPolicy" in stack.waits_for("LoadBalancer"), f"{stack}: it could not write its logs yet"
        if "AutoScalingGroup" in stack.resources:
            to_ecs = {name for name in endpoints if name.startswith("Ecs")}
            assert public | private | to_ecs <= stack.waits_for("AutoScalingGroup"), stack


def test_nothing_waits_for_itself(deployment):
    for stack in deployment.stacks():
        for logical_id in stack.resources:
            assert logical_id not in stack.waits_for(logical_id), f"{stack}: {logical_id}"


def test_no_region_zone_account_or_partition_is_written_down(deployment):
    def texts(node):
        if isinstance(node, dict):
            for value in node.values():
                yield from texts(value)
        elif isinstance(node, list):
            for value in node:
                yield from texts(value)
        elif isinstance(node, str):
            yield node

    for template in deployment.templates:
        parts = [template.resources, template.tree["Outputs"]]
        parts += [declared["Default"] for declared in template.parameters.values()]
        for text in texts(parts):
            for pattern in (REGION_NAME, ACCOUNT_NUMBER, FIXED_ARN):
                found = pattern.search(text)
                assert not found, f"{template.name}: {found[0]!r} in {text[:100]!r}"


def test_one_port_runs_through_image_task_balancer_and_machine(deployment):
    """The service listens where everything else looks for it."""
    bind = f"0.0.0.0:{PORT}"
    image = deployment.dockerfile
    assert image.of_last_stage("EXPOSE") == [str(PORT)]
    assert json.loads(image.of_last_stage("CMD")[0])[-3:] == ["--bind", bind, "--insecure"]
    assert deployment.unit["ExecStart"][0].endswith(f"--bind {bind} --insecure")
    installer = (deployment.deploy / "ec2/install").read_text()
    assert f"http://127.0.0.1:{PORT}/health" in installer, "the installer waits for another port"
    for stack in deployment.services():
        container, = stack.properties("TaskDefinition")["ContainerDefinitions"]
        target, = stack.properties("Service")["LoadBalancers"]
        group = stack.properties("TargetGroup")
        assert [mapping["ContainerPort"] for mapping in container["PortMappings"]] == [PORT], stack
        assert (target["ContainerName"], target["ContainerPort"]) == (container["Name"], PORT), stack
        assert (group["Port"], group.get("HealthCheckPort", "traffic-port")) == (PORT, "traffic-port"), stack
        # Each task has an interface of its own, so targets are addresses, not machines.
        network = stack.properties("TaskDefinition")["NetworkMode"]
        assert (network, group["TargetType"], group["Protocol"]) == ("awsvpc", "ip", "HTTP"), stack


def test_clients_reach_tasks_and_with_a_certificate_only_over_tls(deployment):
    forward = [{"Type": "forward", "TargetGroupArn": "«TargetGroup»"}]
    for stack in deployment.services():
        listeners = {
            (listener["Port"], listener["Protocol"]): listener
            for listener in stack.of_type("AWS::ElasticLoadBalancingV2::Listener").values()
        }
        if not stack.parameters["CertificateArn"]:
            assert set(listeners) == {(80, "HTTP")}, stack
            assert listeners[80, "HTTP"]["DefaultActions"] == forward, stack
            continue
        assert set(listeners) == {(80, "HTTP"), (443, "HTTPS")}, stack
        redirect, = listeners[80, "HTTP"]["DefaultActions"]
        assert redirect["Type"] == "redirect", stack
        assert redirect["RedirectConfig"] == {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}, stack
        secure = listeners[443, "HTTPS"]
        assert secure["DefaultActions"] == forward, stack
        assert secure["Certificates"] == [{"CertificateArn": stack.parameters["CertificateArn"]}], stack
        assert re.match(r"ELBSecurityPolicy-TLS13-1-[23]-", secure["SslPolicy"]), f"{stack}: TLS older than 1.2"


def awsvpc(stack):
    return stack.properties("Service")["NetworkConfiguration"]["AwsvpcConfiguration"]
