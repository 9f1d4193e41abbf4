"""How do clients go on while something happens to a service, and how did they fare?"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

RATE = 200  # Requests a second.
SETTLED_S = 2  # How long the load runs before and after what is looked at.


class Load:
    """RATE requests a second to `url`, while the body of `with` runs; `said` then tells how they ended. `inside` is what puts a
    command into another network, `opening` what a good answer begins with."""

    def __init__(self, url, body, opening='{"scores":[', inside=(), settled=SETTLED_S):
        self.command = [*inside, sys.executable, str(Path(__file__).parent / "load.py"), url, str(body), str(RATE), opening]
        self.settled, self.said = settled, None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        time.sleep(SETTLED_S)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            time.sleep(self.settled)
        self.process.send_signal(signal.SIGTERM)
        self.said = json.loads(self.process.communicate(timeout=30)[0])

    def answered(self):
        return self.said["ended"].get("200", 0)

    def failed(self):
        return self.said["requests"] - self.answered()

    def text(self):
        said = self.said
        failures = {how: count for how, count in said["ended"].items() if how != "200"}
        again = f"{said['asked_again']} asked again, " if said["asked_again"] else ""
        return (f"{said['requests']} requests, {self.failed()} failed{f' ({failures})' if failures else ''}, {again}"
                f"p50 {said['p50_ms']} ms, p99 {said['p99_ms']} ms, longest {said['longest_ms']} ms")

    def nothing_failed(self):
        assert self.failed() == 0, f"{self.said['ended']}, {self.said['failures']}"
        assert self.said["asked_again"] <= self.said["requests"] / 100, self.text()
