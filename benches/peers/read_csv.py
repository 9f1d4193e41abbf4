"""Who reads a large CSV file fastest?"""

import time

from measure import Line, Section, Verdict, interleave, ratio
from workplace import contender, output, program, shown, simulated

READERS = ["polars", "pyarrow", "pandas", "pandas-pyarrow", "duckdb"]


def run(quick):
    table = simulated()
    megabytes = table.stat().st_size / 1e6
    commands = {"Assay": [program("read_csv"), table]} | {reader: contender("read_csv.py", reader, table) for reader in READERS}
    section = Section(
        "Reading CSV",
        f"A simulated file of {megabytes:.0f} MB with 31 columns, in the page cache. Each turn is a process of its own; `call` is the read"
        " call alone, `process` all of it, imports included. All use their defaults: every core, column types found out from the data.",
        commands=[shown(command) for command in commands.values()],
    )
    table.read_bytes()
    processes = {name: [] for name in commands}

    def turn(name):
        start = time.perf_counter()
        seconds = float(output(commands[name]))
        processes[name].append(time.perf_counter() - start)
        return seconds

    calls = interleave({name: lambda name=name: turn(name) for name in commands}, 3 if quick else 15)
    for name, seconds in calls.items():
        line = Line(f"{name}, call", seconds, "s")
        line.note = f"{megabytes / line.median:.0f} MB/s"
        section.lines += [line, Line(f"{name}, process", processes[name], "s")]
    for reader in READERS:
        times = ratio(calls[reader], calls["Assay"])
        section.verdicts.append(Verdict(f"reading {megabytes:.0f} MB of CSV against {reader}", f"{times:.2f}×", "> 1×", times > 1))
    return section
