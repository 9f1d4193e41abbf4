"""What stands around the deployment in a rehearsal: names, certificates, services, container storage, and where they are kept."""

import atexit
import os
import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

import boto3
from botocore.config import Config

from checks import output, wait_until

ACCOUNT = "123456789012"  # The account that moto and MiniStack play.
REGION = "eu-west-1"
ECR_HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
ECR_ADDRESS = "127.0.0.2"  # On port 443 of its own, as the real one.
BRIDGE_ADDRESS = "172.31.99.1"  # Where containers find their name server.
STANDIN_ADDRESS = "172.31.98.1"  # Where containers and machines find the stand-ins.
BRIDGE_NETWORK = "172.31.99.1/24"
UPSTREAM_NAMESERVER = "10.0.2.3"  # slirp4netns's own.
MOTO_PORT = 5555
MINISTACK_PORT = 4566

WAIT_HOST = f"cloudformation-waitcondition-{REGION}.s3.{REGION}.amazonaws.com"

# Public parameters that AWS resolves and the templates' defaults name; the values are made up.
PUBLIC_PARAMETERS = {
    "/aws/service/debian/release/12/latest/amd64": "ami-0123456789abcdef0",
    "/aws/service/debian/release/12/latest/arm64": "ami-0123456789abcdef1",
}

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

HERE = Path(__file__).resolve().parent


class Box:
    """Folders of one rehearsal, and the services that run in it; a service starts once, when first asked for."""

    def __init__(self, repository, scratch):
        self.repository = Path(repository)
        self.cache = Path(scratch) / "cache"
        self.run = Path(scratch) / "box"
        self.logs = Path(scratch) / "logs"
        self.started = {}
        self.standins = self.image = self.image_uri = None
        self.signals = self.run / "signals"
        self.tools = self.run / "tools"
        self.signals.mkdir()
        self.tools.mkdir()
        # Docker's own client by its own name: another one earlier in PATH may not know BuildKit.
        (self.tools / "docker").symlink_to("/usr/bin/docker" if Path("/usr/bin/docker").exists() else which("docker"))
        (self.tools / "aws").symlink_to(self.cache / "python/bin/aws")
        os.environ["PATH"] = f"{self.tools}:{os.environ['PATH']}"
        os.environ["DOCKER_HOST"] = "unix:///run/rehearsal-docker.sock"
        os.environ["DOCKER_CONFIG"] = str(self.run / "docker-config")
        os.environ["DOCKER_BUILDKIT"] = "1"
        os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "rehearsal"
        os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = REGION
        os.environ["AWS_PAGER"] = ""
        self.authority()
        # Before dockerd starts: it looks at /etc/hosts only now and then.
        self.name(ECR_ADDRESS, ECR_HOST)

    def start(self, name, command, ready, seconds=30, **options):
        """Start a service once; its output goes to logs/NAME.log. `ready` tells when it serves."""
        if name in self.started:
            return self.started[name]
        log = open(self.logs / f"{name}.log", "w")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options)
        self.started[name] = process

        def serves():
            assert process.poll() is None, f"{name} ended with exit code {process.returncode}; it said:\n{log_tail(log.name)}"
            return ready()

        wait_until(serves, seconds, f"{name} serves (its log: {log.name})", every=0.05)
        return process

    def stop(self, name, seconds=20):
        process = self.started.pop(name, None)
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def stop_all(self):
        for name in reversed(list(self.started)):
            self.stop(name)

    # Names and certificates.

    def name(self, address, *hosts):
        """Let a host's real name lead to a stand-in, in the box and in its containers."""
        known = Path("/etc/hosts").read_text()
        lines = "".join(f"{address} {host}\n" for host in hosts if f"{address} {host}\n" not in known)
        Path("/etc/hosts").write_text(known + lines)
        if lines and "dnsmasq" in self.started:
            self.started["dnsmasq"].send_signal(signal.SIGHUP)

    def authority(self):
        """The rehearsal's own certificate authority: (certificate, key). Kept, so that images which trust it stay cached."""
        folder = self.cache / "authority"
        certificate, key = folder / "authority.crt", folder / "authority.key"
        if not certificate.exists():
            folder.mkdir(parents=True, exist_ok=True)
            output("openssl", "req", "-x509", *NEW_KEY, "-days", "3650", "-subj", "/CN=Assay rehearsal authority",
                   "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                   "-keyout", str(key), "-out", str(certificate))
        return certificate, key

    def certificate(self, name, hosts):
        """A certificate for `hosts` that the authority signed: (certificate, key)."""
        authority, authority_key = self.authority()
        certificate, key, request = (self.run / f"{name}.{kind}" for kind in ("crt", "key", "csr"))
        output("openssl", "req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        extensions = self.run / f"{name}.ext"
        extensions.write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts) + "\nextendedKeyUsage=serverAuth\n")
        output("openssl", "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(authority_key), "-days", "30",
               "-set_serial", str(int.from_bytes(os.urandom(8), "big")), "-extfile", str(extensions), "-out", str(certificate))
        return certificate, key

    # Services.

    def docker_daemon(self):
        if "dockerd" in self.started:
            return
        certificates = Path("/etc/docker/certs.d") / ECR_HOST
        certificates.mkdir(parents=True, exist_ok=True)
        (certificates / "ca.crt").write_bytes(self.authority()[0].read_bytes())
        configuration = self.run / "dockerd.json"
        configuration.write_text(f"""{{
  "data-root": "{self.cache}/docker", "exec-root": "/run/rehearsal-docker", "pidfile": "/run/rehearsal-docker.pid",
  "hosts": ["{os.environ['DOCKER_HOST']}"], "storage-driver": "overlay2", "bip": "{BRIDGE_NETWORK}", "dns": ["{BRIDGE_ADDRESS}"],
  "exec-opts": ["native.cgroupdriver=cgroupfs"], "cgroup-parent": "/assay-rehearsal",
  "default-ulimits": {{"nofile": {{"Name": "nofile", "Soft": 1024, "Hard": 4096}}}}
}}""")
        self.start("dockerd", ["dockerd", "--config-file", str(configuration)],
                   lambda: subprocess.run(["docker", "version"], capture_output=True).returncode == 0)
        atexit.register(self.stop_all)
        # Containers of an earlier run that was cut short.
        left = output("docker", "ps", "--all", "--quiet").split()
        if left:
            output("docker", "rm", "--force", "--volumes", *left)
        self.name_server("dnsmasq", BRIDGE_ADDRESS, f"--server={UPSTREAM_NAMESERVER}")

    def name_server(self, name, address, *options):
        """A name server at `address`, which knows the names in /etc/hosts unless `options` say otherwise."""
        self.start(name, ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--no-resolv",
                          "--bind-interfaces", f"--listen-address={address}", *options], lambda: listens(address, 53))

    def registry(self):
        """A registry under ECR's real name, with TLS, and with the user and password that `aws ecr get-login-password` gives."""
        if "registry" in self.started:
            return
        password = output("aws", "ecr", "get-login-password", env=self.environment_2()).strip()
        certificate, key = self.certificate("registry", [ECR_HOST])
        (self.run / "htpasswd").write_text(output("htpasswd", "-Bbn", "AWS", password))
        configuration = self.run / "registry.yml"
        configuration.write_text(f"""version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: {self.run}/registry}}
http:
  addr: {ECR_ADDRESS}:443
  tls: {{certificate: {certificate}, key: {key}}}
auth:
  htpasswd: {{realm: ecr, path: {self.run}/htpasswd}}
""")
        self.start("registry", ["docker-registry", "serve", str(configuration)], lambda: listens(ECR_ADDRESS, 443))

    def environment_1(self):
        """The process environment in which `aws` talks to moto, which plays AWS for environment 1."""
        endpoint = f"http://127.0.0.1:{MOTO_PORT}"
        python = str(self.cache / "python/bin/python")
        self.start("moto", [python, str(HERE / "moto_server.py"), str(MOTO_PORT), str(self.signals)],
                   lambda: answers(f"{endpoint}/moto-api/data.json"))
        return dict(os.environ, AWS_ENDPOINT_URL=endpoint)

    def client_1(self, service):
        """As `aws SERVICE` in environment 1, without starting a process for each question."""
        return client(service, self.environment_1())

    def client_2(self, service):
        """As `aws SERVICE` in environment 2."""
        return client(service, self.environment_2())

    def environment_2(self):
        """The process environment in which `aws` talks to MiniStack, which plays AWS for environment 2, with real containers."""
        endpoint = f"http://127.0.0.1:{MINISTACK_PORT}"
        settings = dict(os.environ, IOT_MTLS_ENABLED="0", SFTP_ENABLED="0", BIND_HOST="127.0.0.1",
                        GATEWAY_PORT=str(MINISTACK_PORT), MINISTACK_REGION=REGION, MINISTACK_ACCOUNT_ID=ACCOUNT)
        self.docker_daemon()
        self.start("ministack", [str(self.cache / "python/bin/ministack")], lambda: answers(f"{endpoint}/_ministack/health"),
                   env=settings, cwd=self.run)
        return dict(os.environ, AWS_ENDPOINT_URL=endpoint)


def client(service, environment):
    # A stack may wait for its machine before it answers; nothing is asked twice.
    config = Config(read_timeout=900, retries={"max_attempts": 0})
    return boto3.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"], config=config)


def which(command):
    return output("sh", "-c", f"command -v {command}").strip()


def listens(address, port):
    import socket
    try:
        socket.create_connection((address, port), 1).close()
        return True
    except OSError:
        return False


def answers(url):
    try:
        with urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def log_tail(path, lines=15):
    return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
