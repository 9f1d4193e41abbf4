"""Measures Assay against its peers. All benches, and not quick: writes docs/performance.md. Else: prints what it would write."""

import argparse
import importlib
import os
import pickle
import shutil

import page
from measure import say
from workplace import REPOSITORY, WORK, start_afresh

NAMES = ["coefficients", "grid", "quality", "read_csv", "training", "features", "observe", "predict", "latency", "decisions", "swaps", "overload", "start", "scoring", "explain"]


def main():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *NAMES], help=f"benches to run: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to try the benches themselves out")
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    whole = not arguments.names and not arguments.quick
    # A run of all benches takes half an hour. One that was broken off is taken up again, if the commit is still the same.
    done = WORK / f"done-at-{page.commit().replace(', ', '-')}"
    if whole and not done.exists():
        start_afresh()
        done.mkdir(parents=True)
    WORK.mkdir(parents=True, exist_ok=True)
    sections = []
    for name in arguments.names or NAMES:
        say(f"{name}:")
        kept = done / name
        if whole and kept.exists():
            sections.append(pickle.loads(kept.read_bytes()))
        else:
            sections.append(importlib.import_module(name).run(arguments.quick))
        if whole:
            kept.write_bytes(pickle.dumps(sections[-1]))
        for verdict in sections[-1].verdicts:
            say(f"  {verdict.what}: {verdict.figure} ({verdict.bar}): {verdict.word}")
    text = page.written(sections, arguments.quick, load_before)
    if whole:
        (REPOSITORY / "docs").mkdir(exist_ok=True)
        (REPOSITORY / "docs" / "performance.md").write_text(text)
        shutil.rmtree(done)
    else:
        print(text)


if __name__ == "__main__":
    main()
