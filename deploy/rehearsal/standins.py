"""Who answers under the names that the deployment asks for? Stand-ins for the release host, the data set's host, the wait
condition's address, AWS's own names, Debian's archive and a machine's metadata service, each at its real name, over TLS where the real one is.
"""

import http.client
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from box import MOTO_PORT, REGION, STANDIN_ADDRESS, WAIT_HOST
from checks import output
from roots import machine_root
from served import DATASET_URL, RELEASE_HOST, archive_hosts, dataset

METADATA_ADDRESS = "169.254.169.254"
MOTO_HOSTS = [f"{service}.{REGION}.amazonaws.com" for service in ("logs", "secretsmanager")]
SERVICE_PORT = 5000  # What the stack's security group lets in.
INDEX_AGE_S = 86_400  # Debian's archive changes several times a day; a day-old index still installs.


@dataclass
class File:
    """What a host serves at a path: all of it, or, when `cut_at` is set, that many bytes and then a broken connection."""

    path: Path
    cut_at: int | None = None


@dataclass
class Instance:
    """What the metadata service knows of a machine."""

    id: str
    address: str
    public_address: str
    user_data: str
    role: str = "rehearsal"


def standins(box):
    """The stand-ins of this run, with everything in its place that a stack's defaults name; started once."""
    if not box.standins:
        box.standins = StandIns(box)
        agent_url = f"https://s3.{REGION}.amazonaws.com/amazon-ssm-{REGION}/latest/debian_amd64/amazon-ssm-agent.deb"
        box.standins.files = {DATASET_URL: File(dataset(box)), agent_url: File(session_agent(box))}
        box.standins.start([urlsplit(DATASET_URL).hostname, RELEASE_HOST])
    return box.standins


@dataclass
class StandIns:
    """Names and what they answer; parts fill it in."""

    box: object
    files: dict = field(default_factory=dict)  # URL without query -> File
    instances: dict = field(default_factory=dict)  # address -> Instance
    archive: dict = field(default_factory=dict)  # host -> its real address
    requests: list = field(default_factory=list)  # (host, method, path, status)
    signals: list = field(default_factory=list)  # (stack, signal, time)
    tokens: set = field(default_factory=set)

    def start(self, hosts):
        """Answer under `hosts` and the names that are always there."""
        addresses = [STANDIN_ADDRESS, METADATA_ADDRESS]
        for address in addresses:
            if f"{address}/32" not in output("ip", "-oneline", "address", "show", "lo"):
                output("ip", "address", "add", f"{address}/32", "dev", "lo")
        hosts = sorted({*hosts, WAIT_HOST, *MOTO_HOSTS, f"s3.{REGION}.amazonaws.com"})
        # Packages reach only machines through here; the box has a way out of its own.
        self.archive = {host: socket.gethostbyname(host) for host in archive_hosts(machine_root(self.box))}
        self.box.name(STANDIN_ADDRESS, *hosts)
        certificate, key = self.box.certificate("stand-ins", [*hosts, *self.archive])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        for address, port, tls in ((STANDIN_ADDRESS, 443, context), (STANDIN_ADDRESS, 80, None), (METADATA_ADDRESS, 80, None)):
            serve(self, address, port, tls)
        # Machines ask this name server, which knows these names and no others.
        names = self.box.run / "machine-hosts"
        names.write_text("".join(f"{STANDIN_ADDRESS} {host}\n" for host in [*hosts, *self.archive]))
        self.box.name_server("names-for-machines", STANDIN_ADDRESS, "--no-hosts", f"--addn-hosts={names}", "--local=/#/",
                             "--log-queries", "--log-facility=-")


def serve(standins, address, port, tls):
    handler = type("Handler", (Handler,), {"standins": standins})
    server = ThreadingHTTPServer((address, port), handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standins = None
    timeout = 60

    def answer(self, status, body=b"", content_type="text/plain", headers=()):
        self.standins.requests.append((self.host(), self.command, self.path, status))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def host(self):
        return self.headers.get("Host", "").split(":")[0]

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        host = self.host()
        if self.server.server_address[0] == METADATA_ADDRESS:
            return self.metadata()
        if host in self.standins.archive:
            return self.archive(host)
        if host == f"logs.{REGION}.amazonaws.com":
            return self.moto()
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        file = self.standins.files.get(f"{scheme}://{host}{urlsplit(self.path).path}")
        if not file:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        content = file.path.read_bytes()
        if file.cut_at is None:
            return self.answer(200, content, "application/octet-stream")
        # Announced whole, sent in part: what a client must not take for the whole.
        self.standins.requests.append((host, self.command, self.path, 200))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:file.cut_at])
        self.close_connection = True

    do_HEAD = do_GET

    def do_POST(self):
        return self.moto() if self.host() in MOTO_HOSTS else self.answer(404)

    def do_PUT(self):
        if self.server.server_address[0] == METADATA_ADDRESS and self.path == "/latest/api/token":
            token = os.urandom(16).hex()
            self.standins.tokens.add(token)
            ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "21600")
            return self.answer(200, token.encode(), headers=[("X-aws-ec2-metadata-token-ttl-seconds", ttl)])
        if self.host() == WAIT_HOST:
            return self.signal()
        return self.answer(404)

    def signal(self):
        """As the real address: only the signed path is known, no content type may come along, and the body must be a signal."""
        body = self.body()
        path, _, query = self.path.partition("?")
        words = unquote(path).split("/")
        if "X-Amz-Signature=0f1e2d3c" not in query or len(words) < 4 or self.headers.get("Content-Type"):
            return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "application/xml")
        try:
            signal = json.loads(body)
            assert signal["Status"] in ("SUCCESS", "FAILURE") and {"UniqueId", "Data", "Reason"} <= signal.keys()
        except (ValueError, KeyError, AssertionError):
            return self.answer(400, b"not a signal")
        stack = words[2]
        self.standins.signals.append((stack, signal, time.monotonic()))
        partial = self.standins.box.signals / f"{stack}.partial"
        partial.write_text(json.dumps(signal))
        partial.rename(self.standins.box.signals / f"{stack}.json")
        return self.answer(200)

    def moto(self):
        """On to moto, which tells services apart by the host and the signature."""
        connection = http.client.HTTPConnection("127.0.0.1", MOTO_PORT, timeout=30)
        connection.request(self.command, self.path, self.body(), dict(self.headers))
        said = connection.getresponse()
        self.answer(said.status, said.read(), said.headers.get("Content-Type", "application/json"),
                    [(name, value) for name, value in said.headers.items() if name.lower().startswith("x-amzn")])

    def archive(self, host):
        """On to Debian's archive, and kept, so that the next machine installs at once."""
        kept = self.standins.box.cache / "archive" / host / self.path.lstrip("/")
        changes = "/dists/" in self.path and "/by-hash/" not in self.path
        if not kept.is_file() or (changes and time.time() - kept.stat().st_mtime > INDEX_AGE_S):
            connection = http.client.HTTPConnection(self.standins.archive[host], timeout=60)
            connection.request("GET", self.path, headers={"Host": host})
            said = connection.getresponse()
            content = said.read()
            if said.status != 200:
                return self.answer(said.status)
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_name(f"{kept.name}.{threading.get_ident()}")
            partial.write_bytes(content)
            partial.rename(kept)
        return self.answer(200, kept.read_bytes(), "application/octet-stream")

    def metadata(self):
        """The metadata service as the template sets it: tokens required."""
        if self.headers.get("X-aws-ec2-metadata-token") not in self.standins.tokens:
            return self.answer(401)
        instance = self.standins.instances.get(self.client_address[0])
        if not instance:
            return self.answer(404)
        words = [word for word in self.path.split("?")[0].split("/") if word]
        tree = metadata_tree(instance)
        if words[0] not in ("latest", "2021-03-23"):
            return self.answer(404)
        for word in words[1:]:
            if not isinstance(tree, dict) or word not in tree:
                return self.answer(404)
            tree = tree[word]
        if isinstance(tree, dict):
            tree = "\n".join(name + ("/" if isinstance(value, dict) else "") for name, value in tree.items())
        return self.answer(200, tree.encode())

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # The client went away, as one does whose disk is full.


def metadata_tree(instance):
    zone = f"{REGION}a"
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 21_600))
    credentials = {"Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "ASIAREHEARSAL",
                   "SecretAccessKey": "rehearsal", "Token": "rehearsal", "Expiration": until}
    document = {"instanceId": instance.id, "region": REGION, "availabilityZone": zone, "privateIp": instance.address}
    name = f"ip-{instance.address.replace('.', '-')}.{REGION}.compute.internal"
    return {
        "user-data": instance.user_data,
        "meta-data": {
            "instance-id": instance.id, "instance-type": "t3.small", "local-hostname": name, "hostname": name,
            "local-ipv4": instance.address, "public-ipv4": instance.public_address,
            "placement": {"availability-zone": zone, "region": REGION},
            "iam": {"security-credentials": {instance.role: json.dumps(credentials)}},
        },
        "dynamic": {"instance-identity": {"document": json.dumps(document)}},
    }


def forward(public_address, address):
    """The Elastic IP: what arrives at `public_address` on the one port that the security group opens goes to the machine."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                inside = socket.create_connection((address, SERVICE_PORT), 5)
            except OSError:
                return
            other = threading.Thread(target=copy, args=(inside, self.request), daemon=True)
            other.start()
            copy(self.request, inside)
            other.join(10)
            inside.close()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    server = Server((public_address, SERVICE_PORT), Connection)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def copy(source, sink):
    try:
        while content := source.recv(65_536):
            sink.sendall(content)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def session_agent(box):
    """A package in the place of Session Manager's agent, which is AWS's own and asks for AWS."""
    folder = box.run / "amazon-ssm-agent"
    (folder / "DEBIAN").mkdir(parents=True)
    architecture = output("dpkg", "--print-architecture").strip()
    (folder / "DEBIAN/control").write_text(f"Package: amazon-ssm-agent\nVersion: 0\nArchitecture: {architecture}\n"
                                           "Maintainer: rehearsal\nDescription: stands in for the agent of Session Manager\n")
    package = box.run / "amazon-ssm-agent.deb"
    subprocess.run(["dpkg-deb", "--build", str(folder), str(package)], check=True, capture_output=True)
    return package
