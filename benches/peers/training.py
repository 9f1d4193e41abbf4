"""Does training through our program cost more than LightGBM itself?"""

from measure import Line, Section, Verdict, interleave, ratio
from workplace import ROWS, WORK, contender, output, program, shown, simulated

BAR = 1.1
ROUNDS = 200
THREADS = 2


def run(quick):
    table = simulated()
    mine, theirs, by_defaults = (WORK / f"grown-by-{who}.txt" for who in ("assay", "python", "defaults"))
    ours = [program("grow_trees"), table, ROUNDS, THREADS, mine]
    same = contender("lightgbm_train.py", table, ROUNDS, THREADS, theirs, "same")
    defaults = contender("lightgbm_train.py", table, ROUNDS, THREADS, by_defaults, "defaults")
    section = Section(
        "Training boosted trees",
        f"{ROWS:,} × 30 simulated rows, {ROUNDS} rounds, 31 leaves, learning rate 0.05, {THREADS} threads; from columns in memory to the"
        " text of the model. `same settings` has what Assay always sets (deterministic, force_row_wise, feature_pre_filter off);"
        " `defaults` leaves these to LightGBM.",
        commands=[shown(ours), shown(same), shown(defaults)],
    )
    contenders = {
        "Assay": lambda: float(output(ours)),
        "Python LightGBM, same settings": lambda: float(output(same)),
        "Python LightGBM, defaults": lambda: float(output(defaults)),
    }
    seconds = interleave(contenders, 2 if quick else 9)
    section.lines = [Line(name, values, "s") for name, values in seconds.items()]
    section.notes.append(f"Assay's trees and Python's with the same settings are {'the same' if trees(mine) == trees(theirs) else 'NOT the same'}, byte for byte.")
    times = ratio(seconds["Assay"], seconds["Python LightGBM, same settings"])
    section.verdicts.append(Verdict("training time against Python LightGBM, same settings", f"{times:.2f}×", f"≤ {BAR}×", times <= BAR))
    return section


def trees(path):
    text = path.read_text()
    return text[text.index("Tree=0") : text.index("end of trees")]
