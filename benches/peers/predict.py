"""How many requests a second does one core answer?"""

import statistics

from measure import Line, Section, Verdict, interleave, ratio
from servers import BATCH_ROWS, CONNECTIONS, bodies, inference, requests_per_second, running, shown_all, wrk
from workplace import shown

# By peer: of one row, and of many.
BARS = {"Flask": (20, 10), "FastAPI": (10, 10), "MLServer": (10, None), "MLflow": (10, None)}
RATE_BAR = 20_000
HEALTH_BAR = 0.6
PEERS = ["Flask", "gunicorn", "FastAPI", "MLServer", "MLflow"]


def run(quick):
    seconds, turns = (2, 2) if quick else (5, 5)
    section = Section(
        "Requests per second",
        f"Each server on core 0, wrk with {CONNECTIONS} connections on core 1, runs of {seconds} s in turn, every answer 200. Assay and FastAPI"
        " score with the same 200 trees × 31 leaves; Flask (its own server, as the seed) and gunicorn (one worker) with scikit-learn's"
        " logistic regression. uvicorn has one worker, with uvloop and httptools; MLServer and MLflow serve the same trees as we do, each in its own"
        " request form, in one process.",
        commands=shown_all(["Assay", *PEERS]) + [shown(wrk("PORT", "/predict", seconds, bodies(1))), shown(wrk("PORT", "/health", seconds))],
    )
    with running(["Assay", *PEERS]) as ports:
        for rows in (1, BATCH_ROWS):
            asked = {name: inference(name, rows) for name in ports}
            contenders = {name: lambda name=name: requests_per_second(ports[name], asked[name][0], seconds, asked[name][1]) for name in ports}
            if rows == 1:
                contenders["Assay, /health"] = lambda: requests_per_second(ports["Assay"], "/health", seconds)
            judge(section, rows, interleave(contenders, turns))
    return section


def judge(section, rows, rates):
    what = "one row" if rows == 1 else f"{rows} rows"
    section.lines += [Line(name if "/health" in name else f"{name}, {what}", values, "requests/s") for name, values in rates.items()]
    for peer, bars in BARS.items():
        bar, times = bars[rows > 1], ratio(rates["Assay"], rates[peer])
        if bar is None:
            continue
        section.verdicts.append(Verdict(f"`/predict`, {what}, against {peer}", f"{times:.1f}×", f"≥ {bar}×", times >= bar))
    if rows == 1:
        rate = statistics.median(rates["Assay"])
        section.verdicts.append(Verdict("`/predict`, one row, requests a second", f"{rate:,.0f}", f"≥ {RATE_BAR:,}", rate >= RATE_BAR))
        share = ratio(rates["Assay"], rates["Assay, /health"])
        section.verdicts.append(Verdict("`/predict`, one row, against our own `/health`", f"{share:.0%}", f"≥ {HEALTH_BAR:.0%}", share >= HEALTH_BAR))
