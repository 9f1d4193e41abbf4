"""The seed system's whole grid search: five C, ten folds, macro recall, refit."""

import subprocess
import time

from measure import Line, Section, Verdict, interleave, ratio, say
from workplace import ROWS, WORK, answer, contender, output, program, shown, simulated

BAR = 5
SOLVERS = ["newton-cholesky", "lbfgs", "liblinear", "newton-cg"]
# A solver that needs more than this many times the fastest is measured once.
SLOW = 3


def run(quick):
    table = simulated()
    search = [program("search_logistic"), table]
    whole = [program("assay"), "train", table, "--learner", "logistic", "--split", "random", "--resamples", 1, "--out", WORK / "grid.model"]
    section = Section(
        "Logistic regression: the seed's grid search",
        f"{ROWS:,} × 30 simulated rows, 80 % of them to learn from, 5 C × 10 folds and the refit. `search` times the search alone on rows"
        " in memory, beside `GridSearchCV.fit` with `n_jobs=-1` (its default tolerance and iterations; whether its refit converged"
        " is said). `whole process` adds reading the CSV; ours also looks for leaks and duplicates, refits and judges on the split by"
        " time, and writes the model.",
        commands=[shown(search), shown(whole), shown(contender("grid_search.py", table, "SOLVER"))],
    )
    patience = 150 if quick else 1_800
    first = {solver: attempt(table, solver, patience) for solver in SOLVERS}
    finished = {solver: found for solver, found in first.items() if found}
    fastest = min(found["seconds"] for found in finished.values())
    again = [solver for solver, found in finished.items() if found["seconds"] <= SLOW * fastest]

    contenders = {"Assay, search": lambda: answer(search)["seconds"], "Assay, whole process": lambda: process_seconds(whole)}
    found = {solver: [] for solver in again}
    for solver in again:
        contenders[solver] = lambda solver=solver: remember(found[solver], attempt(table, solver, patience))
    turns = interleave(contenders, 1 if quick else 3)

    ours, whole_ours = turns["Assay, search"], turns["Assay, whole process"]
    best = answer(search)
    section.lines.append(Line("Assay, search", ours, "s", f"C = {best['penalty']:g}"))
    section.lines.append(Line("Assay, whole process", whole_ours, "s"))
    peers = {}
    for solver in SOLVERS:
        if solver not in finished:
            section.notes.append(f"scikit-learn {solver} had not finished after {patience} s and was stopped.")
            continue
        peers[solver] = found[solver] if solver in again else [finished[solver]]
        runs = peers[solver]
        note = f"C = {runs[0]['penalty']:g}, refit {'converged' if runs[0]['converged'] else 'did **not** converge'}"
        section.lines.append(Line(f"scikit-learn {solver}, fit", [run["seconds"] for run in runs], "s", note))
        section.lines.append(Line(f"scikit-learn {solver}, whole process", [run["process_seconds"] for run in runs], "s"))
    for what, mine, key in [("search alone", ours, "seconds"), ("whole process", whole_ours, "process_seconds")]:
        times = {solver: ratio([run[key] for run in runs], mine) for solver, runs in peers.items()}
        solver = min(times, key=times.get)
        section.verdicts.append(
            Verdict(f"seed's grid search, {what}, against scikit-learn {solver}", f"{times[solver]:.1f}×", f"≥ {BAR}×", times[solver] >= BAR)
        )
    return section


def attempt(table, solver, patience):
    """One search by scikit-learn, or None if it does not finish."""
    say(f"  scikit-learn {solver}")
    start = time.perf_counter()
    try:
        found = answer(contender("grid_search.py", table, solver), timeout=patience)
    except subprocess.TimeoutExpired:
        return None
    return found | {"process_seconds": time.perf_counter() - start}


def remember(runs, found):
    runs.append(found)
    return found["seconds"]


def process_seconds(command):
    start = time.perf_counter()
    output(command)
    return time.perf_counter() - start
