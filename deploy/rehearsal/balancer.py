"""Who carries requests to the tasks? HAProxy, in the place of the Application Load Balancer and with what the stack says of it.

MiniStack knows the listener, the target group and its targets, as ECS registers and deregisters them; this follows it several
times a second. Health is asked of each target as the target group says, only that time runs faster: MiniStack rolls a service over
in seconds where ECS takes minutes. As the real one, it repeats no request that failed.
"""

import socket
import threading

from checks import wait_until

ADDRESS = "127.0.0.3"
FASTER = 40  # 10 s between two looks at a target's health become a quarter of a second.
SLOTS = 16
LOOK_S = 0.1


class Balancer:
    def __init__(self, box, dns_name):
        self.box, self.elb = box, box.client_2("elbv2")
        balancer = next(one for one in self.elb.describe_load_balancers()["LoadBalancers"] if one["DNSName"] == dns_name)
        self.listener = self.elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"][0]
        assert self.listener["DefaultActions"][0]["Type"] == "forward", self.listener
        group = self.listener["DefaultActions"][0]["TargetGroupArn"]
        self.group = self.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]
        self.control = box.run / "haproxy.sock"
        self.targets, self.slot, self.error = {}, 0, None
        box.name(ADDRESS, dns_name)
        self.start()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def start(self):
        group = self.group
        configuration = self.box.run / "haproxy.cfg"
        configuration.write_text(f"""global
  stats socket {self.control} mode 600 level admin
  nbthread 1
defaults
  mode http
  timeout connect {group['HealthCheckTimeoutSeconds']}s
  timeout client 60s
  timeout server 60s
  retries 0
frontend listener
  bind {ADDRESS}:{self.listener['Port']}
  default_backend tasks
backend tasks
  balance leastconn
  option httpchk GET {group['HealthCheckPath']}
  http-check expect status {group['Matcher']['HttpCode']}
  default-server check inter {group['HealthCheckIntervalSeconds'] * 1000 // FASTER}ms rise {group['HealthyThresholdCount']} """
                                 f"""fall {group['UnhealthyThresholdCount']}
  server-template task {SLOTS} 127.0.0.1:{group['Port']} disabled
""")
        self.box.start("haproxy", ["haproxy", "-db", "-f", str(configuration)], self.control.exists)

    def tell(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.control))
            connection.sendall(command.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65_536):
                answer += part
        return answer.decode()

    def follow(self):
        try:
            while not self.stopped.wait(LOOK_S):
                self.follow_once()
        except Exception as error:  # Said by whoever asks next; without it, requests would go to targets that are gone.
            self.error = error

    def follow_once(self):
        described = self.elb.describe_target_health(TargetGroupArn=self.group["TargetGroupArn"])["TargetHealthDescriptions"]
        wanted = {(one["Target"]["Id"], one["Target"]["Port"]) for one in described if one["TargetHealth"]["State"] != "draining"}
        for target in set(self.targets) - wanted:
            # What is under way to it may end; nothing new goes there.
            self.tell(f"set server tasks/task{self.targets.pop(target)} state drain")
        for address, port in wanted - set(self.targets):
            slot = self.free_slot()
            # A target gets its first request when it has been healthy as often as the group asks.
            self.tell(f"set server tasks/task{slot} state maint; set server tasks/task{slot} addr {address} port {port}; "
                      f"set server tasks/task{slot} state ready; set server tasks/task{slot} health down")
            self.targets[address, port] = slot

    def free_slot(self):
        """Slots are used in turn, so that one that drains has time."""
        self.slot = self.slot % SLOTS + 1
        while self.slot in self.targets.values():
            self.slot = self.slot % SLOTS + 1
        return self.slot

    def healthy(self):
        """Addresses of the targets that get requests."""
        assert not self.error, f"the balancer's follower failed: {self.error!r}"
        up = set()
        for line in self.tell("show stat").splitlines():
            fields = line.split(",")
            if len(fields) > 73 and fields[0] == "tasks" and fields[17].startswith("UP"):
                up.add(fields[73].rsplit(":", 1)[0])
        return up & {address for address, _ in self.targets}

    def wait_for(self, count, seconds):
        return wait_until(lambda: len(self.healthy()) == count, seconds, f"{count} targets are healthy")

    def stop(self):
        self.stopped.set()
        self.thread.join(10)
        self.box.stop("haproxy")
