"""What does a row of a batch cost on one core?"""

from measure import Line, Section, interleave, ratio
from workplace import answer, contender, forest, output, pinned, program, shown, simulated, trees_of

ROWS = 50_000


def run(quick):
    model, table = forest(), simulated()
    trees = trees_of(model)
    ours = pinned(0, [program("score_batch"), model, table, ROWS])
    peer = pinned(0, contender("lightgbm_predict.py", trees, table, ROWS))
    section = Section(
        "Scoring batches (for information)",
        f"{ROWS:,} rows, 200 trees × 31 leaves, one core, one call; the same trees for both.",
        commands=[shown(ours), shown(peer)],
    )
    walked = []

    def blocks():
        found = answer(ours)
        walked.append(found["walked"])
        return found["blocks"]

    row_ns = interleave({"Assay, blocks": blocks, "Python LightGBM": lambda: float(output(peer))}, 2 if quick else 9)
    section.lines = [Line("Assay, blocks of 32 rows", row_ns["Assay, blocks"], "ns/row"), Line("Assay, tree by tree", walked, "ns/row")]
    section.lines.append(Line("Python LightGBM", row_ns["Python LightGBM"], "ns/row"))
    section.notes.append(f"Blocks are {ratio(row_ns['Python LightGBM'], row_ns['Assay, blocks']):.1f} times as fast as LightGBM.")
    return section
