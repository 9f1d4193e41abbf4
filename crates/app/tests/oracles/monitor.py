"""The monitor's figures, counted anew from the journal: a data folder, the edges and counts of the amount's reference as JSON -> figures."""

import json
import sqlite3
import sys
from collections import Counter, defaultdict
from datetime import datetime, timezone

import numpy as np
from sklearn.metrics import average_precision_score

DAY = 86_400_000_000
LABEL_DELAY = 7 * DAY
TOP = 100


def moment(text):
    whole = datetime.strptime(text.rstrip("Z").split(".")[0], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    fraction = text.rstrip("Z").partition(".")[2]
    return int(whole.timestamp()) * 1_000_000 + int(fraction.ljust(6, "0") or 0)


journal = sqlite3.connect(f"file:{sys.argv[1]}/journal.sqlite?mode=ro", uri=True)
reference = json.load(open(sys.argv[2]))
decisions, labels = {}, {}
for kind, id, body in journal.execute("SELECT kind, id, body FROM history ORDER BY sequence"):
    if kind == "decision":
        decisions[id] = json.loads(body)
    elif kind == "label":
        labels.setdefault(id, []).append(json.loads(body))
(as_of,) = journal.execute("SELECT arrived FROM entries ORDER BY sequence DESC LIMIT 1").fetchone()

outcomes, amounts, judged = defaultdict(Counter), defaultdict(list), []
money = defaultdict(int)
mature = told = never_known = 0
for id, decision in decisions.items():
    at, amount, outcome = moment(decision["transaction"]["at"]), decision["transaction"]["amount"], decision["outcome"]
    day = at // DAY
    outcomes[day * DAY][outcome] += 1
    amounts[day * DAY].append(amount)
    if (day + 1) * DAY + LABEL_DELAY > as_of:
        continue
    mature += 1
    told += id in labels
    if id not in labels and outcome == "decline":
        never_known += 1
        continue
    fraud = id in labels and labels[id][-1]["label"] == "fraud"
    score = decision["probability"]
    judged.append((day, round(np.log(score / (1 - score)) * 64), fraud))
    money[f"{outcome} {'fraud' if fraud else 'genuine'}"] += round(amount * 100)


def psi(found):
    """As docs/monitoring.md has it."""
    expected = np.array(reference["counts"])
    bins = len(expected)
    before = (expected + 1 / bins) / (expected.sum() + 1)
    now = (found + bins * before) / (found.sum() + bins)
    return float(((now - before) * np.log(now / before)).sum())


def ks(found):
    expected = np.cumsum(reference["counts"][:-1])
    found = np.cumsum(found[:-1])
    return float(np.abs(expected / expected[-1] - found / found[-1]).max())


drift = {}
for day, values in amounts.items():
    found = np.bincount(np.searchsorted(reference["edges"], values, side="left"), minlength=len(reference["counts"]))
    drift[day] = [len(values), psi(found.astype(float)), ks(found.astype(float))]
days = defaultdict(list)
for day, score, fraud in judged:
    days[day].append((score, fraud))


def precision_at_top(rows):
    """Of equal scores that straddle the line, in proportion."""
    rows.sort(key=lambda row: -row[0])
    if len(rows) <= TOP:
        return sum(fraud for _, fraud in rows) / len(rows)
    line = rows[TOP - 1][0]
    above = [fraud for score, fraud in rows if score > line]
    at = [fraud for score, fraud in rows if score == line]
    return (sum(above) + sum(at) / len(at) * (TOP - len(above))) / TOP


json.dump(
    {
        "decided": {day: dict(count) for day, count in outcomes.items()},
        "drift": drift,
        "average_precision": average_precision_score([fraud for _, _, fraud in judged], [score for _, score, _ in judged]),
        "precision_at_top": float(np.mean([precision_at_top(rows) for rows in days.values()])),
        "judged": len(judged),
        "frauds": sum(fraud for _, _, fraud in judged),
        "never_known": never_known,
        "labelled": told / mature,
        "labels": Counter(label["label"] for all in labels.values() for label in all),
        "money": money,
    },
    sys.stdout,
)
