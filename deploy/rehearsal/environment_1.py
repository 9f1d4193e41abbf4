"""What is an installation of environment 1 here? A stack in moto, and a machine that boots with that stack's user data."""

import subprocess
import threading
import time
from base64 import b64decode

from botocore.exceptions import ClientError

from checks import wait_until
from machine import Machine
from served import RELEASE_HOST, dataset, tarball
from standins import File, Instance, standins

TEMPLATE = "vpc-ml/cloudacademy.vpc.ml.yaml"
HALF_URL = "https://clouda-datasets.s3.amazonaws.com/half.csv.zip"
GONE_URL = "https://clouda-datasets.s3.amazonaws.com/gone.csv.zip"
DAMAGED_URL = f"https://{RELEASE_HOST}/damaged.tar.gz"


class World:
    """What a machine of environment 1 finds around it."""

    def __init__(self, box, folder):
        self.box = box
        self.template = folder / TEMPLATE
        clients = (box.client_1(service) for service in ("cloudformation", "ec2", "logs", "secretsmanager"))
        self.cloudformation, self.ec2, self.logs, self.secrets = clients
        self.standins = standins(box)
        self.dataset = dataset(box)
        damaged = box.run / "damaged.tar.gz"
        damaged.write_bytes(tarball(folder).read_bytes()[:-1] + b"?")
        self.standins.files |= {
            self.default_of("ReleaseUrl"): File(tarball(folder)), DAMAGED_URL: File(damaged),
            HALF_URL: File(self.dataset, cut_at=self.dataset.stat().st_size // 2),
        }

    def default_of(self, parameter):
        known = self.cloudformation.get_template_summary(TemplateBody=self.template.read_text())["Parameters"]
        return next(entry["DefaultValue"] for entry in known if entry["ParameterKey"] == parameter)


class Stack:
    """One stack of environment 1 in moto, being created while its machine boots."""

    def __init__(self, world, name, parameters):
        self.world, self.name, self.failure = world, name, None
        self.creation = threading.Thread(target=self.create, args=(parameters,), daemon=True)
        self.creation.start()
        self.instance = wait_until(self.find_instance, 20, f"stack {name} has a machine with an Elastic IP", every=0.05)

    def create(self, parameters):
        overrides = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        try:
            self.world.cloudformation.create_stack(StackName=self.name, TemplateBody=self.world.template.read_text(),
                                                   Parameters=overrides, Capabilities=["CAPABILITY_IAM"])
        except ClientError as error:
            self.failure = str(error)

    def find_instance(self):
        assert self.creation.is_alive(), f"the stack's creation ended early: {self.failure}"
        ec2 = self.world.ec2
        found = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [self.name]}])["Reservations"]
        if not found:
            return None
        identity = found[0]["Instances"][0]["InstanceId"]
        addresses = ec2.describe_addresses(Filters=[{"Name": "instance-id", "Values": [identity]}])["Addresses"]
        if not addresses:
            return None
        user_data = ec2.describe_instance_attribute(InstanceId=identity, Attribute="userData")["UserData"]["Value"]
        return Instance(identity, None, addresses[0]["PublicIp"], b64decode(user_data).decode())

    def ended(self):
        """Waits for the creation; tells why it failed, if it did."""
        self.creation.join(30)
        assert not self.creation.is_alive(), f"stack {self.name} is still being created 30 s after the signal"
        return self.failure

    def outputs(self):
        assert not self.ended(), self.failure
        described = self.world.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        assert described["StackStatus"] == "CREATE_COMPLETE", described
        return {entry["OutputKey"]: entry["OutputValue"] for entry in described["Outputs"]}


def launch(world, number, name, parameters, layers, options=()):
    """Create a stack and boot its machine: (stack, machine, the time at which it was switched on)."""
    stack = Stack(world, name, parameters)
    machine = Machine(world.box, name, number, layers, options)
    stack.instance.address = machine.address
    world.standins.instances[machine.address] = stack.instance
    begun = time.monotonic()
    machine.boot()
    return stack, machine, begun


def first_signal(world, stack):
    """The first signal that a stack's machine sent, and when, or nothing."""
    return next(((signal, when) for name, signal, when in world.standins.signals if name == stack.name), None)


def failure_of(world, stack):
    sent = first_signal(world, stack)
    return sent[0]["Reason"] if sent and sent[0]["Status"] == "FAILURE" else None


def signal_of(world, stack, seconds):
    """The first signal that a stack's machine sent, and when; waits for it."""
    console = world.box.logs / f"machine-{stack.name}.log"
    return wait_until(lambda: first_signal(world, stack), seconds, f"the machine of {stack.name} signals (its console: {console})")


def healthy(stack):
    return ask(stack, "/health") == "OK"


def ask(stack, path, *options):
    """What the service answers at the stack's public address, or nothing."""
    url = f"http://{stack.instance.public_address}:5000{path}"
    return subprocess.run(["curl", "--silent", "--max-time", "2", *options, url], capture_output=True, text=True).stdout
