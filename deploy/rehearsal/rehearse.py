"""Which parts are rehearsed, in what order, and what is the result? `box` starts this inside the namespaces."""

import importlib
import platform
import sys
import time
from pathlib import Path

import checks
from box import Box

# The machine of environment 1 comes first, while nothing else takes the processor; what it does afterwards is mostly waiting, and
# goes on beside the other parts.
PARTS = ["registry", "ec2", "units", "image", "sagemaker", "buildspec", "ecs"]


def main(repository, scratch, asked):
    begun = time.monotonic()
    box = Box(repository, scratch)
    going_on = []
    for part in PARTS if "all" in asked else [part for part in PARTS if part in asked]:
        print(f"\n== {part}", flush=True)
        rest = checks.contained(part, lambda: importlib.import_module(f"part_{part}").rehearse(box))
        if rest:
            going_on.append(checks.beside(part, rest))
    for say_kept in going_on:
        say_kept()
    seconds = time.monotonic() - begun
    checks.figure("this run", "warm < 3 min, cold with the release build < 25 min", f"{seconds:.0f} s")
    table = Path(scratch) / "figures.md"
    table.write_text(checks.figures_table(f"Measured by `deploy/rehearsal/run {' '.join(asked)}` on {platform.machine()}, "
                                          f"{time.strftime('%Y-%m-%d', time.gmtime())}."))
    # `run` adds what it finds on the machine afterwards, and says the count.
    (box.run / "count").write_text(f"{checks.passed} {checks.failed}\n")
    print(f"\nThe figures are in {table}; the logs in {box.logs}.", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
