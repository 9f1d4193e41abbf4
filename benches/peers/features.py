"""How long does it take to make the handbook's 15 features of its history, Parquet to Parquet, and how much memory?"""

from measure import Line, Section, Verdict, interleave, ratio
from workplace import PYTHON, REPOSITORY, WORK, answer, contender, made, program, shared, shown

DEFINITION = REPOSITORY / "examples" / "cards" / "handbook.sql"
STARTER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps({"seconds": time.perf_counter() - start, "megabytes": usage.ru_maxrss / 1_000}))
sys.exit(status != 0)
"""
BARS = {"DuckDB": 2, "pandas": 50}


def run(quick):
    history = shared("handbook-transactions.parquet") or made("cards.parquet", lambda out: [program("assay"), "simulate", "--out", out])
    commands = {
        "Assay": [program("assay"), "features", DEFINITION, history, "-o", WORK / "features-assay.parquet"],
        "DuckDB": contender("duckdb_features.py", DEFINITION, history, WORK / "features-duckdb.parquet"),
    }
    # The handbook's own way takes minutes: once is enough to see a factor of fifty.
    pandas = contender("pandas_features.py", history, WORK / "features-pandas.parquet")
    section = Section(
        "Features",
        "The handbook's 15 features of the cards' history, from Parquet to Parquet. Each turn is a process of its own, imports included; DuckDB runs"
        " the SELECT of our definition, pandas what the handbook does, a group and a rolling window at a time. All use every core as they can.",
        commands=[shown(command) for command in [*commands.values(), pandas]],
    )
    peaks = {name: [] for name in [*commands, "pandas"]}

    def turn(name, command):
        seconds, peak = measured(command)
        peaks[name].append(peak)
        return seconds

    seconds = interleave({name: lambda name=name: turn(name, commands[name]) for name in commands}, 3 if quick else 11)
    if not quick:
        seconds["pandas"] = [turn("pandas", pandas)]
    for name, values in seconds.items():
        section.lines += [Line(name, values, "s"), Line(f"{name}, peak memory", peaks[name], "MB")]
        if name in BARS:
            times = ratio(values, seconds["Assay"])
            section.verdicts.append(Verdict(f"features against {name}", f"{times:.1f}×", f"≥ {BARS[name]}×", times >= BARS[name]))
    memory = ratio(peaks["Assay"], peaks["DuckDB"])
    section.verdicts.append(Verdict("features, peak memory against DuckDB's", f"{memory:.2f}×", "< 1×", memory < 1))
    return section


def measured(command):
    """Seconds and megabytes that a process took. A process begins with the memory of the one that starts it, so a small one does."""
    found = answer([PYTHON, "-c", STARTER, *command])
    return found["seconds"], found["megabytes"]
