"""What does a row cost, from its numbers to its probability: alone on one core, and in a batch on two?"""

import os
from pathlib import Path

import lightgbm

from measure import Line, Section, Verdict, interleave, ratio
from workplace import CONTENDERS, FEATURES, OLD_PYTHON, WORK, answer, contender, made, pinned, program, shown, simulated

SHAPES = [(200, 31), (500, 63)]
ROWS = 50_000
CORES = 2
SINGLE_BARS = {"lleaves": 2, "LightGBM": 2.5}
BATCH_BARS = {"lleaves": 1, "LightGBM": 5}
LIB_LIGHTGBM = Path(lightgbm.__file__).parent / "lib" / "lib_lightgbm.so"


def run(quick):
    turns = 2 if quick else 9
    section = Section(
        "Scoring",
        f"{ROWS:,} simulated rows of {FEATURES} numbers, the same trees for all, from a row to its probability. One row: on one core, a call per row;"
        " lleaves' compiled function and LightGBM's fast call for single rows are called from C, ours from Rust, each call for the next row. Batch:"
        f" one call for all rows, {CORES} cores, lleaves and LightGBM from Python.",
    )
    table = simulated()
    rows = made(f"rows-{ROWS}.bin", lambda out: contender("lightgbm_model.py", "rows", table, ROWS, out))
    harness = made("single_row", lambda out: ["gcc", "-O2", "-o", out, CONTENDERS / "single_row.c", "-ldl"])
    for rounds, leaves in SHAPES:
        shape = f"{rounds} × {leaves}"
        trees = made(f"{rounds}x{leaves}.txt", lambda out: contender("lightgbm_model.py", "grow", table, rounds, leaves, out))
        compiled = made(f"{rounds}x{leaves}.o", lambda out: [OLD_PYTHON, CONTENDERS / "lleaves_model.py", "compile", trees, out])
        library = made(f"{rounds}x{leaves}.so", lambda out: ["gcc", "-shared", "-o", out, compiled, "-lm"])
        single = {
            "ours": pinned(1, [program("score_forest"), trees, rows, FEATURES, "single", 3]),
            "theirs": pinned(1, [harness, library, trees, rows, FEATURES, 3]),
        }
        batch = {
            "Assay": [program("score_forest"), trees, rows, FEATURES, "batch", 3],
            "lleaves": [OLD_PYTHON, CONTENDERS / "lleaves_model.py", "batch", trees, compiled, rows, FEATURES, CORES],
            "LightGBM": contender("lightgbm_model.py", "batch", trees, rows, FEATURES, CORES),
        }
        if not section.commands:
            section.commands = [shown(command) for command in [*single.values(), *batch.values()]]
        sums, both = {}, {}

        def ours():
            found = answer(single["ours"])
            sums["Assay"] = found["sum"]
            return found["row_ns"]

        def lleaves_alone():
            both.update(answer(single["theirs"], env={**os.environ, "LIB_LIGHTGBM": str(LIB_LIGHTGBM)}))
            sums["lleaves"], sums["LightGBM"] = both["sums"]
            return both["lleaves"]

        alone = interleave({"Assay": ours, "lleaves": lleaves_alone, "LightGBM": lambda: both["LightGBM"]}, turns)
        report(section, f"one row, {shape}", alone, SINGLE_BARS)
        apart = max(abs(value - sums["LightGBM"]) for value in sums.values())
        if apart > 1e-6:
            raise SystemExit(f"the contenders do not score alike: {sums}")
        together = interleave({name: lambda name=name: answer(batch[name])["row_ns"] for name in batch}, turns)
        report(section, f"batch, {shape}", together, BATCH_BARS)
    return section


def report(section, what, row_ns, bars):
    section.lines += [Line(f"{name}, {what}", values, "ns/row") for name, values in row_ns.items()]
    for peer, bar in bars.items():
        times = ratio(row_ns[peer], row_ns["Assay"])
        section.verdicts.append(Verdict(f"scoring, {what}, against {peer}", f"{times:.1f}×", f"≥ {bar}×", times >= bar))
