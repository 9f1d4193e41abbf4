"""What do clients notice when the model changes under them, and does the server forget the old ones?"""

import contextlib
import statistics
import shutil
import subprocess

from measure import Line, Section, Verdict, interleave
from servers import LOAD_CORE, SERVER_CORE, bodies, free_port, requests_per_second, stop, wait_ready
from workplace import WORK, answer, forest, pinned, program, shown

SWAPS, MANY_SWAPS, FEW_SWAPS = 100, 1_000, (10, 100)
TIMES_BAR, GROWTH_BAR = 1.2, 0.05
REST, SWAPPING = "at rest", f"during {SWAPS} swaps"
PERCENTILES = ["p50_us", "p90_us", "p99_us", "p99.9_us", "max_us"]


def run(quick):
    seconds, turns, many = (10, 2, 200) if quick else (10, 5, MANY_SWAPS)
    one, other = forest(), forest(rounds=190)
    section = Section(
        "Models that change under load",
        f"Two models, of 200 and 190 trees × 31 leaves ({one.stat().st_size / 1e6:.1f} MB) take turns: each swap uploads one, which is checked whole and scores its golden"
        f" rows, makes it active and deletes the other. {SWAPS} swaps, spread over {seconds} s, while requests of one row come at half of saturation, against the same"
        " load without swaps; every answer is 200, or the run ends. The server, its thread that reads models included, has core 0, where the program"
        f" that swaps runs when nobody else wants to; the load has core 1. Then the memory of the server after {FEW_SWAPS[0]} swaps, {FEW_SWAPS[1]} and {many:,},"
        f" one after the other: while the first hundred go by, the C library's allocator comes to what it keeps.",
        commands=[shown(pinned(SERVER_CORE, serve("PORT")))],
    )

    def load(port, rate):
        return pinned(LOAD_CORE, [program("open_loop"), f"127.0.0.1:{port}", rate, seconds, bodies(1)])

    def swap(port, count, over):
        # On the load's core it would take from the load what the server then seems to be slow by.
        return pinned(SERVER_CORE, ["chrt", "--idle", 0, program("swap_models"), f"127.0.0.1:{port}", count, over, one, other])

    def swapping(port, rate):
        swaps = subprocess.Popen([str(word) for word in swap(port, SWAPS, seconds)], stdout=subprocess.DEVNULL)
        found = answer(load(port, rate))
        if swaps.wait(60) != 0:
            raise SystemExit("a swap failed")
        return found

    section.commands += [shown(load("PORT", "RATE")), shown(swap("PORT", SWAPS, seconds))]
    with serving(one) as (port, _):
        rate = int(statistics.median(requests_per_second(port, "/predict", seconds, bodies(1)) for _ in range(turns)) / 2)
        found = interleave({REST: lambda: answer(load(port, rate)), SWAPPING: lambda: swapping(port, rate)}, turns)
    for name, runs in found.items():
        section.lines += [Line(f"{name}, {key.removesuffix('_us')}", [run[key] for run in runs], "µs", f"{rate:,} requests/s") for key in PERCENTILES]
    rest, swapped = (statistics.median(run["p99_us"] for run in found[name]) for name in (REST, SWAPPING))
    lost = sum(run["lost"] for run in found[SWAPPING])
    section.verdicts.append(Verdict(f"p99 {SWAPPING}, against rest", f"{swapped / rest:.2f}×", f"≤ {TIMES_BAR}×", swapped <= TIMES_BAR * rest))
    section.verdicts.append(Verdict(f"requests without an answer {SWAPPING}", str(lost), "0", lost == 0))
    grown = {}
    with serving(one) as (port, process):
        for count in (*FEW_SWAPS, many):
            took = answer(swap(port, count - max(grown, default=0), 0))
            grown[count] = resident_megabytes(process)
    section.lines += [Line("one swap, p50", [took["p50_us"] / 1e3], "ms"), Line("one swap, p99", [took["p99_us"] / 1e3], "ms")]
    section.lines += [Line(f"memory after {count:,} swaps", [megabytes], "MB") for count, megabytes in grown.items()]
    growth = grown[many] / grown[FEW_SWAPS[1]] - 1
    section.verdicts.append(Verdict(f"memory after {many:,} swaps, against {FEW_SWAPS[1]}", f"{growth:+.1%}", f"≤ {GROWTH_BAR:+.0%}", growth <= GROWTH_BAR))
    return section


def serve(port, folder="models", model="model"):
    return [program("assay"), "serve", "--models", folder, "--model", model, "--bind", f"127.0.0.1:{port}", "--threads", 1, "--drain-seconds", 0]


@contextlib.contextmanager
def serving(model):
    """A server with a folder of models of its own, and its process."""
    folder, port = WORK / "models", free_port()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with open(WORK / "swaps.log", "ab") as log:
        process = subprocess.Popen([str(word) for word in pinned(SERVER_CORE, serve(port, folder, model))], stdout=log, stderr=log)
    try:
        wait_ready(f"http://127.0.0.1:{port}/ready", process)
        yield port, process
    finally:
        stop(process)


def resident_megabytes(process):
    """The memory of a process. taskset becomes the program it starts, so that the number is the server's."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1e3
