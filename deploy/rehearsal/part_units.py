"""Do the systemd units of docs/reliability.md keep what the page promises? Installs them as the page shows them on a machine under
systemd, then restarts the service, kills it, damages its model and reboots, while clients go on.
"""

import json
import subprocess
import time
from pathlib import Path

import pages
from checks import check, figure, output, wait_until
from machine import Machine
from roots import installed_layer, machine_root
from served import release, tarball
from under_load import RATE, Load

PAGE = "docs/reliability.md"
DEFINITION = "examples/cards/handbook.sql"
STATE = "/var/lib/assay"
NUMBER = 30  # Of the machine, beyond those of environment 1.
URL = "http://127.0.0.1:5000"
DECIDED = '{"decision_id":'
RESTARTS = 3
HASTY_RESTARTS = 7  # Within 10 s more than systemd puts up with by default.
FALLS = 3


def rehearse(box):
    with check("a release and a Debian 12 root are at hand", vital=True):
        archive = tarball(release(box))
        layers = [installed_layer(box), machine_root(box)]
    with check("a machine without user data is under way to systemd's default target", vital=True):
        machine = boots(box, layers, archive)
    return lambda: goes_on(box, machine)


def goes_on(box, machine):
    service = Service(box, machine)
    try:
        with check("a model with a definition is trained on it", vital=True):
            trains(machine)
        starts(service)
        is_confined(service)
        restarts(service)
        is_killed(service)
        falls_often(service)
        reboots(service)
        proves(service)
    finally:
        machine.stop()


def boots(box, layers, archive):
    machine = Machine(box, "units", NUMBER, layers)
    (machine.root / "etc/cloud/cloud-init.disabled").touch()
    # It has nobody to ask; environment 1 counts what its machines ask the name server for.
    (machine.root / "etc/resolv.conf").write_text("")
    output("tar", "--extract", "--gzip", "--strip-components=2", f"--directory={machine.root}/root", "--wildcards",
           f"--file={archive}", "*/bin/assay")
    output("cp", str(box.repository / DEFINITION), f"{machine.root}/root/")
    machine.boot()
    return machine


def up(machine):
    """Whether systemd has started what it starts at boot."""
    assert machine.process.poll() is None, f"the machine went off; its console: {machine.log}"
    try:
        return machine.run("systemctl", "is-system-running").strip() == "running"
    except subprocess.CalledProcessError as error:
        return (error.stdout or "").strip() == "degraded"
    except (IndexError, FileNotFoundError):
        return False


def trains(machine):
    wait_until(lambda: up(machine), 60, "systemd has started everything")
    inside(machine, "./assay simulate --days 60 --customers 200 --out history.csv")
    inside(machine, f"./assay train history.csv --definition {Path(DEFINITION).name} --amount tx_amount --learner logistic --out fraud.model")


def inside(machine, script):
    """What a script prints that root runs on the machine."""
    return machine.run("sh", "-euc", f"cd /root; export HOME=/root; {script}")


class Service:
    """The service on the machine, and who calls it from there."""

    def __init__(self, box, machine):
        self.box, self.machine = box, machine
        self.network = ("ip", "netns", "exec", machine.name)
        self.loads = self.answered = self.asked = 0

    def curl(self, path, *options):
        command = [*self.network, "curl", "--silent", "--show-error", "--max-time", "10", *options, URL + path]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def is_ready(self):
        return self.curl("/ready", "--output", "/dev/null", "--write-out", "%{http_code}") == "200"

    def decide(self, identity):
        body = transaction(identity)
        said = self.curl("/v1/decisions", "--data", body)
        assert said.startswith(DECIDED), said
        return said

    def load(self):
        """Clients that ask for a decision about another transaction each time."""
        self.loads += 1
        body = self.box.run / f"units-{self.loads}.json"
        body.write_text(transaction(f"{self.loads}NUMBER"))
        return Load(f"{URL}/v1/decisions", body, DECIDED, self.network)

    def count(self, clients):
        self.answered += clients.answered()
        self.asked += clients.said["requests"]

    def process(self):
        return int(self.show("MainPID"))

    def show(self, name, unit="assay.service"):
        return self.machine.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def log(self):
        """What the service said in this boot, line for line."""
        lines = self.machine.run("journalctl", "--unit", "assay.service", "--output", "cat", "--boot").splitlines()
        return [json.loads(line)["message"] for line in lines if line.startswith("{")]


def transaction(identity):
    return (f'{{"transaction_id": {identity}, "tx_datetime": "2026-09-30T02:10:00Z", "customer_id": 12, "terminal_id": 7, '
            '"tx_amount": 812.5}')


def starts(service):
    page, machine = service.box.repository / PAGE, service.machine
    with check(f"the units of {PAGE} are installed and started as it says, and systemd has nothing to say against them",
               vital=True) as note:
        units = pages.files(page, "ini")
        assert {Path(path).name for path in units} == {"assay.socket", "assay.service"}, units
        for path, content in units.items():
            (machine.root / path.lstrip("/")).write_text(content)
        inside(machine, pages.commands(page, "systemctl enable"))
        said = machine.run("systemd-analyze", "verify", "--recursive-errors=no", *units)
        assert not said, said
        wait_until(service.is_ready, 30, "/ready answers 200")
        service.first = service.decide(900000001)
        service.answered += 1
        service.asked += 1
        note(service.first[:100] + "…")


def is_confined(service):
    with check("it runs as a user of its own, without a capability, and nobody else reads what it keeps") as note:
        status = service.machine.run("cat", f"/proc/{service.process()}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        user = fields["Uid"].split()[0]
        assert user != "0" and int(fields["CapEff"], 16) == 0 and fields["NoNewPrivs"] == "1", status
        said = inside(service.machine, f"setpriv --reuid 65534 --clear-groups ls {STATE}/data 2>&1 || true")
        assert "Permission denied" in said, said
        limits = service.machine.run("cat", f"/proc/{service.process()}/limits")
        files = int(next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3])
        assert files > 10_000, f"it may have {files} files open, and takes 10,000 connections"
        rating = service.machine.run("systemd-analyze", "security", "--no-pager", "assay.service").splitlines()[-1]
        note(f"uid {user}; {rating.strip(' →')}")


def restarts(service):
    times = f"{RESTARTS} times, then {HASTY_RESTARTS} times without waiting for its start, under {RATE} decisions a second"
    with check(f"systemctl restart assay, {times}, fails no request") as note:
        before = service.process()
        with service.load() as clients:
            for _ in range(RESTARTS):
                service.machine.run("systemctl", "restart", "assay")
                wait_until(service.is_ready, 30, "/ready answers 200")
            for _ in range(HASTY_RESTARTS):
                service.machine.run("systemctl", "restart", "assay")
        service.count(clients)
        note(clients.text())
        figure(f"`systemctl restart assay` {times}", "0 failed requests", clients.text())
        assert service.process() != before
        clients.nothing_failed()


def is_killed(service):
    with check(f"killed with SIGKILL under {RATE} decisions a second, it comes back by itself") as note:
        before = service.process()
        with service.load() as clients:
            service.machine.run("systemctl", "kill", "--signal", "KILL", "assay.service")
            begun = time.monotonic()
            wait_until(lambda: service.process() not in (0, before) and service.is_ready(), 30, "another process is ready")
            seconds = time.monotonic() - begun
        service.count(clients)
        note(f"{clients.text()}; ready after {seconds:.1f} s")
        figure("the service of `docs/reliability.md` killed", "back by itself, every answered decision kept",
               f"ready after {seconds:.1f} s; {clients.text()}")
        # Only what had arrived at the process that was killed; whoever came later waited in the socket.
        assert clients.failed() <= RATE / 10, f"{clients.said['ended']}, {clients.said['failures']}"
        assert service.decide(900000001) == service.first


def falls_often(service):
    model = f"{STATE}/fraud.model"
    with check(f"with a damaged model it falls {FALLS} times, saying why, and serves by itself once the model is whole") as note:
        inside(service.machine, f"cp {model} whole; head -c -1 whole >{model}")
        before = int(service.show("NRestarts"))
        try:
            service.machine.run("systemctl", "restart", "assay")
            wait_until(lambda: int(service.show("NRestarts")) >= before + FALLS, 60, "it is started again and again")
            said = next(message for message in reversed(service.log()) if "fraud.model" in message)
        finally:
            inside(service.machine, f"install -m 0644 whole {model}")
        wait_until(service.is_ready, 30, "/ready answers 200")
        note(said)


def reboots(service):
    with check("after a reboot it serves again, and answers a known transaction as before, to the byte") as note:
        begun = time.monotonic()
        service.machine.reboot()
        wait_until(service.is_ready, 60, "/ready answers 200", every=0.05)
        note(f"{time.monotonic() - begun:.1f} s")
        assert service.decide(900000001) == service.first


def proves(service):
    with check("stopped without its socket, it is started by the next client, as the page says"):
        service.machine.run("systemctl", "stop", "assay")
        assert service.decide(900000001) == service.first
    with check("stopped, its journal holds every decision that was answered, and `assay verify` proves them all") as note:
        service.machine.run("systemctl", "stop", "assay.socket", "assay.service")
        assert service.show("ActiveState") == "inactive", service.show("ActiveState")
        found = json.loads(inside(service.machine, f"/usr/local/bin/assay verify --json {STATE}/data"))["decisions"]
        note(f"{service.answered} answered, {found} in the journal")
        assert service.answered <= found <= service.asked, f"{service.asked} were asked for"
