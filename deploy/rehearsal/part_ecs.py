"""Does environment 2 run: two tasks behind a load balancer, replaced under load, rolled back, and restarted when one dies?"""

import json
import subprocess
import time

from botocore.exceptions import ClientError

import part_buildspec
from balancer import Balancer
from checks import check, figure, output, wait_until
from clients import Keys, only_holders_are_answered
from part_registry import log_in
from strip import REMOVALS, strip, unasserted
from under_load import RATE, SETTLED_S, Load

STACK = "fraud-run"
TEMPLATE = "deploy/vpc-ml/cloudacademy.vpc.ml.ecs.yaml"
PARAMETER = "/fraud-detection/image-uri"


def rehearse(box):
    with check("dockerd, MiniStack and the registry hold an image that the build pushed", vital=True) as note:
        uri = pushed_image(box)
        note(uri)
    with check("all that is taken out of the template for MiniStack is there to be taken out, and asserted by a test") as note:
        template = strip((box.repository / TEMPLATE).read_text())
        missing = unasserted(box.repository / "deploy/checks")
        assert not missing, f"no test asserts {missing}"
        note(f"{len(REMOVALS)} items")
    with check("the stack of environment 2 is created, as Fargate and otherwise with every default", vital=True):
        service = Service(box, template)
    try:
        runs(service, uri)
        rolls_over(service, uri)
        rolls_back(service)
        loses_a_task(service)
        asks_for_keys(service)
    finally:
        with check("deleting the stack takes all containers with it"):
            service.delete()


def pushed_image(box):
    """The image that the build of this run pushed; alone, this part runs the build first."""
    box.registry()
    log_in(box)
    if not box.image_uri:
        part_buildspec.prepare(box)
        box.image_uri, _ = part_buildspec.succeeds(box, part_buildspec.create_stack(box))
    return box.image_uri


class Service:
    """The stack, and what it runs."""

    def __init__(self, box, template):
        self.box, self.template = box, template
        clients = (box.client_2(name) for name in ("cloudformation", "ecs", "ssm", "logs"))
        self.cloudformation, self.ecs, self.ssm, self.logs = clients
        self.cloudformation.create_stack(StackName=STACK, TemplateBody=template, Capabilities=["CAPABILITY_IAM"],
                                         Parameters=[{"ParameterKey": "Capacity", "ParameterValue": "FARGATE"}])
        self.wait_for_stack("CREATE_COMPLETE")
        described = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in described["Outputs"]}
        self.balancer = Balancer(box, self.outputs["LoadBalancerDnsName"])

    def status(self):
        return self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]

    def wait_for_stack(self, status):
        def ended():
            now = self.status()
            return now if not now.endswith("_IN_PROGRESS") else None
        now = wait_until(ended, 120, "the stack comes to an end")
        if now != status:
            events = self.cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
            said = [event for event in events if "FAILED" in event["ResourceStatus"]]
            reasons = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in said]
            raise AssertionError(f"the stack is {now}, not {status}: {reasons}")

    def described(self):
        cluster, service = self.outputs["ClusterName"], self.outputs["ServiceName"]
        return self.ecs.describe_services(cluster=cluster, services=[service])["services"][0]

    def deploy(self, uri):
        """As the owner does: the build has written a new URI, and the stack is updated with the template that it has."""
        self.ssm.put_parameter(Name=PARAMETER, Value=uri, Type="String", Overwrite=True)
        self.update()

    def update(self, **values):
        """Update the stack with the template that it has, and these values of parameters."""
        known = [parameter["ParameterKey"] for parameter in
                 self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["Parameters"]]
        parameters = [{"ParameterKey": key, "ParameterValue": values[key]} if key in values else
                      {"ParameterKey": key, "UsePreviousValue": True} for key in known]
        self.cloudformation.update_stack(StackName=STACK, UsePreviousTemplate=True, Capabilities=["CAPABILITY_IAM"],
                                         Parameters=parameters)

    def definition(self):
        """The container as the service's present task definition has it."""
        definition = self.ecs.describe_task_definition(taskDefinition=self.described()["taskDefinition"])["taskDefinition"]
        return definition["containerDefinitions"][0]

    def containers(self):
        return output("docker", "ps", "--quiet", "--no-trunc", "--filter", "label=com.amazonaws.ecs.container-name=assay").split()

    def steady(self, image):
        """Whether two tasks of `image` alone run, and both get requests."""
        described = self.described()
        return (described["runningCount"] == 2 and len(described["deployments"]) == 1 and self.definition()["image"] == image
                and described["deployments"][0]["rolloutState"] == "COMPLETED" and len(self.balancer.healthy()) == 2)

    def settled(self, image):
        """As `steady`, but a deployment that failed may still be told of."""
        described = self.described()
        primary = next(one for one in described["deployments"] if one["status"] == "PRIMARY")
        return (described["runningCount"] == 2 and self.definition()["image"] == image
                and primary["rolloutState"] == "COMPLETED" and len(self.balancer.healthy()) == 2)

    def delete(self):
        self.balancer.stop()
        self.cloudformation.delete_stack(StackName=STACK)
        wait_until(lambda: not self.containers(), 60, "all containers are gone")
        wait_until(self.gone, 60, "the stack is gone")

    def gone(self):
        try:
            return self.status() == "DELETE_COMPLETE"
        except ClientError:  # It is not known any more.
            return True


def load(service):
    """Clients at the service's own address."""
    return Load(f"http://{service.outputs['LoadBalancerDnsName']}/predict", service.box.repository / "deploy/vpc-ml/fraudtest.json")


def runs(service, uri):
    with check("two tasks run the image that was pushed, healthy by their own and the target group's check", vital=True) as note:
        wait_until(lambda: service.steady(uri), 60, "two tasks run and get requests")
        containers = service.containers()
        assert len(containers) == 2, containers
        task = json.loads(service.template)["Resources"]["TaskDefinition"]["Properties"]
        command = task["ContainerDefinitions"][0]["HealthCheck"]["Command"]
        assert command[0] == "CMD", command
        for container in containers:
            output("docker", "exec", container, *command[1:])
        note(uri)
    with check("FraudDetectionPredictCommand, run as it stands in the vpc-ml folder, scores the transaction", vital=True) as note:
        folder = service.box.repository / "deploy/vpc-ml"
        command = service.outputs["FraudDetectionPredictCommand"]
        said = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
        assert "< HTTP/1.1 200 OK" in said.stderr, said.stderr
        assert 0 <= json.loads(said.stdout)["scores"][0] <= 1, said.stdout
        note(f"200, {said.stdout}")
        figure("environment 2: FraudDetectionPredictCommand", "200, {\"scores\":[p]}", f"200, {said.stdout}")
    with check("HealthCommand answers OK"):
        assert output("sh", "-c", service.outputs["HealthCommand"]) == "OK"
    with check("both tasks' logs are in the stack's log group, a JSON object a line") as note:
        streams = wait_until(lambda: logged(service), 20, "two streams with the service's log")
        note(", ".join(streams))


def logged(service):
    group = service.outputs["LogGroupName"]
    streams = [stream["logStreamName"] for stream in service.logs.describe_log_streams(logGroupName=group)["logStreams"]]
    for stream in streams:
        events = service.logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
        if not any("listening" in json.loads(event["message"])["message"] for event in events):
            return None
    return streams if len(streams) >= 2 else None


def variant(box, uri, name, dockerfile):
    """Another image, made of this one and pushed beside it."""
    folder = box.run / f"image-{name}"
    folder.mkdir()
    other = f"{uri.rsplit(':', 1)[0]}:{name}"
    (folder / "Dockerfile").write_text(f"FROM {uri}\n{dockerfile}\n")
    output("docker", "build", "--quiet", "--tag", other, str(folder))
    output("docker", "push", "--quiet", other)
    output("docker", "rmi", other)
    return other


def rolls_over(service, uri):
    with check(f"a new image and an update of the stack replace both tasks under {RATE} requests a second", vital=True) as note:
        newer = variant(service.box, uri, "newer", "LABEL rehearsal=newer")
        before = set(service.containers())
        with load(service) as clients:
            service.deploy(newer)
            wait_until(lambda: service.steady(newer) and not before & set(service.containers()), 90,
                       "two tasks of the new image run, and none of the old one")
        service.wait_for_stack("UPDATE_COMPLETE")
        note(clients.text())
        figure(f"rolling update under {RATE} req/s", "0 failed requests", clients.text())
        clients.nothing_failed()
    service.good = newer


def rolls_back(service):
    with check("an image that does not start is rolled back, and the service answers all the while", vital=True) as note:
        bad = variant(service.box, service.good, "bad", 'CMD ["serve", "--model", "/absent.model", "--bind", "0.0.0.0:5000", "--insecure"]')
        before = set(service.containers())
        with load(service) as clients:
            service.deploy(bad)
            wait_until(lambda: any("circuit breaker" in event["message"] for event in service.described()["events"]), 90,
                       "the circuit breaker says that it was triggered")
            wait_until(lambda: service.settled(service.good), 90, "the service runs the image from before again")
        note(clients.text())
        assert before <= set(service.containers()), "a good task was stopped"
        clients.nothing_failed()
        figure("bad image", "circuit breaker rolls back, service keeps answering", f"rolled back; {clients.text()}")
    service.ssm.put_parameter(Name=PARAMETER, Value=service.good, Type="String", Overwrite=True)


def loses_a_task(service):
    with check(f"a task that is killed under {RATE} requests a second is replaced, and the other answers meanwhile") as note:
        victim = service.containers()[0]
        with load(service) as clients:
            begun = time.monotonic()
            output("docker", "kill", victim)
            wait_until(lambda: replaced(service, victim), 60, "two tasks run and get requests again")
            seconds = time.monotonic() - begun
        note(f"{clients.text()}; two tasks again after {seconds:.1f} s")
        figure(f"a task killed under {RATE} req/s", "(no figure asked)", f"{clients.text()}; two tasks again after {seconds:.1f} s")
        last = max((at for at, _ in clients.said["failures"]), default=0)
        assert clients.failed() <= RATE, f"{clients.said['ended']}"
        assert last < SETTLED_S + 5, f"requests still failed {last - SETTLED_S:.1f} s after the task was killed"


def replaced(service, victim):
    running = service.containers()
    return victim not in running and len(running) == 2 and len(service.balancer.healthy()) == 2


def asks_for_keys(service):
    with check("an update that names a secret with a key replaces both tasks by such that ask for it") as note:
        keys = Keys(service.box.client_2("secretsmanager"), program_of(service), service.box.run / "keys-2")
        before = set(service.containers())
        service.update(KeysSecretArn=keys.arn)
        wait_until(lambda: service.settled(service.good) and not before & set(service.containers()), 90,
                   "two new tasks run and get requests")
        service.wait_for_stack("UPDATE_COMPLETE")
        command, folder = service.outputs["FraudDetectionPredictCommand"], service.box.repository / "deploy/vpc-ml"
        for _ in service.containers():  # The load balancer gives each its turn.
            said = only_holders_are_answered(command, folder, keys.key)
        note(said)
        figure("environment 2 with a key in the secret", "401 without it, 200 with it", said)


def program_of(service):
    """The program out of the image, which makes keys as well as it serves."""
    program = service.box.run / "assay-of-the-image"
    container = output("docker", "create", service.good).strip()
    output("docker", "cp", f"{container}:/assay", str(program))
    output("docker", "rm", container)
    return program
