"""What does an explanation cost, one row on one core?"""

from measure import Line, Section, Verdict, interleave, ratio
from scoring import ROWS, SHAPES
from workplace import CONTENDERS, FEATURES, OLD_PYTHON, answer, contender, made, pinned, program, shown, simulated

BARS = {"LightGBM": 3, "fasttreeshap v1": 1, "fasttreeshap v2": 1}


def run(quick):
    turns, count = (2, 200) if quick else (9, 1_000)
    section = Section(
        "Explanations",
        f"What each of {FEATURES} features contributes to a score (exact path-dependent TreeSHAP), {count:,} rows, one core; LightGBM's `pred_contrib`"
        " and fasttreeshap are called from Python, once for all rows.",
    )
    table = simulated()
    rows = made(f"rows-{ROWS}.bin", lambda out: contender("lightgbm_model.py", "rows", table, ROWS, out))
    for rounds, leaves in SHAPES:
        shape = f"{rounds} × {leaves}"
        trees = made(f"{rounds}x{leaves}.txt", lambda out: contender("lightgbm_model.py", "grow", table, rounds, leaves, out))
        commands = {
            "Assay": pinned(1, [program("explain_forest"), trees, rows, FEATURES, count]),
            "LightGBM": pinned(1, contender("lightgbm_model.py", "explain", trees, rows, FEATURES, count)),
        }
        for version in ("v1", "v2"):
            old = [OLD_PYTHON, CONTENDERS / "fasttreeshap_model.py", trees, rows, FEATURES, count, version]
            commands[f"fasttreeshap {version}"] = pinned(1, old)
        section.commands = section.commands or [shown(command) for command in commands.values()]
        sums = {}

        def turn(name):
            found = answer(commands[name])
            sums[name] = found["sum"]
            return found["row_ns"] / 1_000

        us = interleave({name: lambda name=name: turn(name) for name in commands}, turns)
        if any(abs(value / sums["LightGBM"] - 1) > 1e-6 for value in sums.values()):
            raise SystemExit(f"the contenders do not explain alike: {sums}")
        section.lines += [Line(f"{name}, {shape}", values, "µs/row") for name, values in us.items()]
        for peer, bar in BARS.items():
            times = ratio(us[peer], us["Assay"])
            section.verdicts.append(Verdict(f"explaining, {shape}, against {peer}", f"{times:.1f}×", f"≥ {bar}×", times >= bar))
    return section
