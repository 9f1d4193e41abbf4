"""Are our boosted trees as good as those of Python LightGBM and XGBoost, at their defaults and tuned?"""

import numpy
import pandas
from sklearn.metrics import average_precision_score

import tuned
from measure import Section, Verdict, say
from workplace import WORK, output, program, shared, shown

RESAMPLES = 2_000


def run(quick):
    section = Section(
        "Quality of boosted trees",
        "Real transactions with weights that restore the true rate of fraud; the last 20 % by time held back; average precision, weighted."
        f" The interval is 95 %, paired bootstrap over held-back rows, {RESAMPLES:,} resamples, of ours − theirs: not worse means that its"
        " upper end is at least 0. `tuned` is the best of a search by average precision on the later of two slices inside the first"
        f" 80 %, {'6 candidates' if quick else '40 candidates'} each, rounds by early stopping, refitted on all of the 80 %. Each peer"
        " learns with the weights and without; ours with.",
    )
    history = shared("creditcard-weighted.parquet")
    if history is None:
        section.verdicts.append(Verdict("average precision of boosted trees", "creditcard-weighted.parquet is not here", "not worse", None))
        return section
    table = pandas.read_parquet(history)
    train, test = parted(table)
    ours = our_scores(section, history, test)
    names = [name for name in table.columns if name not in ("Class", "weight")]
    peers = tuned.peers(train[names], train["Class"], train["weight"], test[names], 6 if quick else 40, say)

    label, weight = test["Class"].to_numpy(float), test["weight"].to_numpy(float)
    counts = numpy.random.default_rng(42).multinomial(len(test), numpy.full(len(test), 1 / len(test)), RESAMPLES)
    point, resampled = average_precisions(ours, label, weight, counts)
    section.notes.append(f"Held back: {len(test):,} rows, {int(label.sum())} frauds. Assay: AP {point:.4f}.")
    for name, (scores, settings) in peers.items():
        peer, peer_resampled = average_precisions(scores, label, weight, counts)
        low, high = numpy.quantile(resampled - peer_resampled, [0.025, 0.975])
        figure = f"{point:.4f} − {peer:.4f} = {point - peer:+.4f} [{low:+.4f}, {high:+.4f}]"
        section.verdicts.append(Verdict(f"AP against {name}", figure, "upper end ≥ 0", bool(high >= 0)))
        if settings:
            section.notes.append(f"{name}: {settings}.")
    return section


def parted(table):
    """The rows to learn from and the last 20 % by time; rows of one instant stay together, as in Assay."""
    table = table.sort_values("Time", kind="stable", ignore_index=True)
    first_test = len(table) - int(numpy.ceil(len(table) * 0.2))
    while table["Time"][first_test - 1] == table["Time"][first_test]:
        first_test -= 1
    return table[:first_test], table[first_test:]


def our_scores(section, history, test):
    model, held_back, scores = WORK / "quality.model", WORK / "held-back.parquet", WORK / "scores.csv"
    test.to_parquet(held_back)
    commands = [
        [program("assay"), "train", history, "--label", "Class", "--weight", "weight", "--split", "time", "--out", model],
        [program("assay"), "score", model, held_back, "-o", scores],
    ]
    for command in commands:
        say(f"  {shown(command)}")
        output(command)
        section.commands.append(shown(command))
    return pandas.read_csv(scores)["probability"].to_numpy()


def average_precisions(scores, label, weight, counts):
    """Weighted average precision, and that of each resample: `counts` says how often each has each row."""
    point = average_precision_score(label, scores, sample_weight=weight)
    order = numpy.argsort(-scores, kind="stable")
    ends = numpy.append(numpy.flatnonzero(numpy.diff(scores[order])), len(scores) - 1)
    flagged = numpy.cumsum((counts * weight)[:, order], axis=1)[:, ends]
    caught = numpy.cumsum((counts * (weight * label))[:, order], axis=1)[:, ends]
    steps = numpy.diff(caught, axis=1, prepend=0)
    precision = numpy.divide(caught, flagged, out=numpy.zeros_like(caught), where=flagged > 0)
    return point, (steps * precision).sum(axis=1) / caught[:, -1]
