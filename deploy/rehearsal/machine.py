"""How does a fresh EC2 machine boot here? A Debian 12 root under systemd-nspawn, its user data handed over by a metadata service
and run by cloud-init under systemd, in a network from which nothing but the stand-ins can be reached.
"""

import os
import signal
import subprocess
from pathlib import Path

from box import STANDIN_ADDRESS
from checks import output
from standins import METADATA_ADDRESS

GATEWAY = "10.0.0.1"  # Of the stack's subnet, 10.0.0.0/24 by default.
NETWORK = "machines"
EXIT_REBOOT = 133  # systemd-nspawn's way to say that the machine wants to be started again.

CLOUD_CONFIG = """# As Debian's own machine images for EC2 have it, and without DHCP: the rehearsal sets the address.
datasource_list: [ Ec2 ]
datasource: { Ec2: { strict_id: false, max_wait: 20, timeout: 5 } }
apt_preserve_sources_list: true
manage_etc_hosts: true
network: { config: disabled }
locale: C.UTF-8
"""

# A container has no BIOS whose serial number begins with "ec2", by which cloud-init knows where it is.
IDENTIFIES_AWS = ("def identify_aws(data):\n", "def identify_aws(data):\n    return CloudNames.AWS\n")
CLOUD_INIT = "usr/lib/python3/dist-packages/cloudinit/sources/DataSourceEc2.py"

# systemd inside learns that a service's last process has gone from version 2 of control groups alone: under version 1, which older
# hosts still mount beside it, a container is not told, and a boot hangs now and then.
IN_ITS_OWN_CONTROL_GROUP = """set -e
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/assay-rehearsal/$0"
echo $$ >"/sys/fs/cgroup/assay-rehearsal/$0/cgroup.procs"
exec "$@"
"""


class Machine:
    """One machine; `boot` starts it, `stop` takes its power."""

    def __init__(self, box, name, number, layers, options=()):
        self.box, self.name = box, name
        self.address = f"10.0.0.{10 + number}"
        self.folder = box.run / "machines" / name
        self.root = self.folder / "root"
        self.log = box.logs / f"machine-{name}.log"
        self.log.unlink(missing_ok=True)
        self.options = options
        self.process = None
        changes, work = self.folder / "changes", self.folder / "work"
        for folder in (self.root, changes, work):
            folder.mkdir(parents=True)
        lower = ":".join(map(str, layers))
        output("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={changes},workdir={work}", str(self.root))
        (self.root / "etc/cloud/cloud.cfg.d/90_rehearsal.cfg").write_text(CLOUD_CONFIG)
        source = (self.root / CLOUD_INIT).read_text()
        assert IDENTIFIES_AWS[0] in source, f"{CLOUD_INIT} has changed"
        (self.root / CLOUD_INIT).write_text(source.replace(*IDENTIFIES_AWS))
        (self.root / "etc/resolv.conf").write_text(f"nameserver {STANDIN_ADDRESS}\n")
        self.network()

    def network(self):
        """A cable to the subnet, and routes to nothing but the stand-ins."""
        if subprocess.run(["ip", "link", "show", NETWORK], capture_output=True).returncode != 0:
            output("ip", "link", "add", NETWORK, "type", "bridge")
            output("ip", "address", "add", f"{GATEWAY}/24", "dev", NETWORK)
            output("ip", "link", "set", NETWORK, "up")
        output("ip", "netns", "add", self.name)
        cable = f"v-{self.name}"[:15]
        output("ip", "link", "add", cable, "type", "veth", "peer", "name", "ens5", "netns", self.name)
        output("ip", "link", "set", cable, "master", NETWORK, "up")
        inside = ("ip", "-netns", self.name)
        output(*inside, "link", "set", "lo", "up")
        output(*inside, "address", "add", f"{self.address}/24", "dev", "ens5")
        output(*inside, "link", "set", "ens5", "up")
        for address in (STANDIN_ADDRESS, METADATA_ADDRESS):
            output(*inside, "route", "add", f"{address}/32", "via", GATEWAY)

    def boot(self):
        log = open(self.log, "a")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", IN_ITS_OWN_CONTROL_GROUP, self.name,
             "systemd-nspawn", "--directory", str(self.root), "--boot", "--quiet", "--register=no", "--keep-unit",
             f"--network-namespace-path=/run/netns/{self.name}", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
             "--console=pipe", f"--machine={self.name}", *self.options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def first_process(self):
        """systemd inside, as this side numbers it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def run(self, *command, **options):
        """What a command prints inside the machine."""
        return output("nsenter", "--all", "--target", str(self.first_process()), "--wdns=/", *command,
                      env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}, **options)

    def reboot(self):
        """As `systemctl reboot` does, by systemd's own signal; systemd-nspawn ends saying so, and the machine is started again."""
        os.kill(self.first_process(), signal.SIGRTMIN + 5)
        assert self.process.wait(60) == EXIT_REBOOT, f"{self.name} went off instead of rebooting"
        self.boot()

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.first_process(), signal.SIGKILL)
            self.process.wait(30)
