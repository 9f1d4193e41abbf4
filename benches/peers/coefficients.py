"""Does our logistic regression find the coefficients that scikit-learn finds?"""

import zipfile
from pathlib import Path

import numpy
import pandas
from sklearn.linear_model import LogisticRegression

from measure import Line, Section, Verdict
from workplace import WORK, answer, program, shared, shown

BAR = 1e-6


def run(_quick):
    section = Section(
        "Logistic regression: the coefficients",
        "Real transactions, balanced classes, no scaling, for each C of the seed's search, against scikit-learn's newton-cholesky"
        " with tol 1e-10 (started from columns as they are). The figure is the largest |ours − theirs| / |theirs| over all"
        " coefficients and the intercept.",
    )
    archive = shared("creditcard.csv.zip")
    if archive is None:
        section.verdicts.append(Verdict("logistic coefficients", "creditcard.csv.zip is not here", f"≤ {BAR}", None))
        return section
    with zipfile.ZipFile(archive) as files:
        table = Path(files.extract(files.namelist()[0], WORK / "real"))
    rows = pandas.read_csv(table).to_numpy(dtype=float)
    features, label = rows[:, :-1], rows[:, -1]
    command = [program("logistic_coefficients"), table]
    worst = {}
    for ours in answer(command):
        theirs = LogisticRegression(
            C=ours["penalty"], class_weight="balanced", solver="newton-cholesky", tol=1e-10, max_iter=1_000
        ).fit(features, label)
        wanted = numpy.append(theirs.coef_[0], theirs.intercept_)
        found = numpy.append(ours["coefficients"], ours["intercept"])
        worst[ours["penalty"]] = float(numpy.max(numpy.abs(found - wanted) / numpy.abs(wanted)))
    section.commands.append(shown(command))
    section.lines = [Line(f"C = {penalty:g}", [difference], "relative") for penalty, difference in worst.items()]
    figure = max(worst.values())
    section.verdicts.append(Verdict("logistic coefficients, largest relative difference", f"{figure:.1e}", f"≤ {BAR}", figure <= BAR))
    return section
