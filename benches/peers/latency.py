"""How long does a client wait at half of what the server can do?"""

import statistics

from measure import Line, Section, Verdict, interleave
from servers import LOAD_CORE, SERVER_CORE, bodies, requests_per_second, running, shown_all
from workplace import answer, pinned, program, shown

BAR_US = 1_000
# What other tenants of the machine take, on the core of the server and on that of the load.
ALONE = {"the server's core alone": SERVER_CORE, "the load's core alone": LOAD_CORE}
PERCENTILES = ["p50_us", "p90_us", "p99_us", "p99.9_us", "max_us"]


def run(quick):
    seconds, turns = (3, 2) if quick else (10, 5)
    names = ["Assay", "FastAPI"]
    section = Section(
        "Latency at half of saturation, open loop",
        "One row a request. Saturation is wrk's median rate just before; then requests are due at fixed moments, half as many a second,"
        f" for {seconds} s a run, and a latency runs from the moment a request was due, whether or not it could leave. Between the runs, a"
        " program that only looks at the clock says how late it would have seen the same requests, on the server's core and on the load's: what"
        " other tenants of the machine take, and no server can undo.",
        commands=shown_all(names),
    )

    def load(port, rate):
        return pinned(LOAD_CORE, [program("open_loop"), f"127.0.0.1:{port}", rate, seconds, bodies(1)])

    def hiccups(core, rate):
        return pinned(core, [program("hiccups"), rate, seconds])

    section.commands += [shown(load("PORT", "RATE")), *(shown(hiccups(core, "RATE")) for core in ALONE.values())]
    with running(names) as ports:
        saturation = interleave({name: lambda port=port: requests_per_second(port, "/predict", seconds, bodies(1)) for name, port in ports.items()}, turns)
        rates = {name: int(statistics.median(values) / 2) for name, values in saturation.items()}
        contenders = {name: lambda name=name, port=port: answer(load(port, rates[name])) for name, port in ports.items()}
        for name, core in ALONE.items():
            contenders[name] = lambda core=core: answer(hiccups(core, rates["Assay"]))
        found = interleave(contenders, turns)
    for name, runs in found.items():
        note = f"{rates.get(name, rates['Assay']):,} requests/s"
        section.lines += [Line(f"{name}, {key.removesuffix('_us')}", [run[key] for run in runs], "µs", note) for key in PERCENTILES]
        lost = sum(run["lost"] for run in runs)
        if lost:
            section.notes.append(f"{name}: {lost} requests were never answered.")
    p99, *alone = (statistics.median(run["p99_us"] for run in found[name]) for name in ["Assay", *ALONE])
    lost = sum(run["lost"] for run in found["Assay"])
    section.verdicts.append(Verdict("p99 at half of saturation (the cores alone)", f"{p99:.0f} µs ({alone[0]:.0f}, {alone[1]:.0f} µs)", f"< {BAR_US} µs", p99 < BAR_US and lost == 0))
    return section
