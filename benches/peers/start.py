"""How long from the start of the process to the first request it would take?"""

import time

from measure import Line, Section, Verdict, interleave
from servers import free_port, ready_path, shown_all, start, stop, wait_ready
from workplace import forest

BAR_MS = 100
# About 5 MB of trees. They learn slowly, so that there is something left to split for the last of them, and from few rows, to be quick.
ROUNDS, LEARNING_RATE, ROWS = 1_850, 0.01, 50_000


def run(quick):
    model = forest(ROUNDS, LEARNING_RATE, ROWS)
    names = ["Assay", "FastAPI"]
    section = Section(
        "From start to ready",
        f"A model of {ROUNDS:,} trees, {model.stat().st_size / 1e6:.1f} MB; from the start of the process until `/ready` (FastAPI: `/health`)"
        " answers 200, asked every half millisecond.",
        commands=shown_all(names, model),
    )
    found = interleave({name: lambda name=name: milliseconds_to_ready(name, model) for name in names}, 3 if quick else 20)
    section.lines = [Line(name, values, "ms") for name, values in found.items()]
    median = section.lines[0].median
    section.verdicts.append(Verdict("start to ready", f"{median:.0f} ms", f"< {BAR_MS} ms", median < BAR_MS))
    return section


def milliseconds_to_ready(name, model):
    port = free_port()
    begin = time.perf_counter()
    process = start(name, port, model)
    try:
        wait_ready(f"http://127.0.0.1:{port}{ready_path(name)}", process)
        return (time.perf_counter() - begin) * 1e3
    finally:
        stop(process)
