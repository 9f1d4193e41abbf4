"""`assay evaluate --prequential --learner logistic` told again by pandas and scikit-learn, day by day as the Fraud Detection Handbook does it.

prequential.py HISTORY FEATURES TRAIN DELAY TEST FOLDS TOP: transactions and their features as CSV, lengths in days -> settings and folds
"""

import json
import sys

import pandas
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

CANDIDATES = [(c, weight) for weight in (None, "balanced") for c in (1, 0.01, 100)]
history, features = map(pandas.read_csv, sys.argv[1:3])
train, delay, test, folds, top = map(int, sys.argv[3:])
moments = pandas.to_datetime(history.TX_DATETIME)
history["day"] = (moments.dt.normalize() - pandas.Timestamp(0, tz="UTC")).dt.days
rows = history[["TRANSACTION_ID", "day", "CUSTOMER_ID"]].merge(features, left_on="TRANSACTION_ID", right_on="transaction_id", validate="1:1")
names = list(features.columns.drop(["transaction_id", "tx_datetime", "tx_fraud"]))


def cut(first):
    """What is learnt from the day `first` on, and the days that are tested, each without the cards known to be compromised by then."""
    learnt = rows[rows.day.between(first, first + train - 1)]
    known = set(learnt[learnt.tx_fraud == 1].CUSTOMER_ID)
    days = []
    for place in range(test):
        newly = rows[(rows.day == first + train + place - 1) & (rows.tx_fraud == 1)]
        known |= set(newly.CUSTOMER_ID)
        today = rows[rows.day == first + train + delay + place]
        days.append(today[~today.CUSTOMER_ID.isin(known)])
    return learnt, days


def scored(learnt, days, c, weight):
    learner = LogisticRegression(C=c, class_weight=weight, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    learner.fit(learnt[names].to_numpy(), learnt.tx_fraud)
    return [day.assign(score=learner.decision_function(day[names].to_numpy())) for day in days]


def card_precision(days):
    found, precisions = set(), []
    for day in days:
        cards = day[~day.CUSTOMER_ID.isin(found)].groupby("CUSTOMER_ID").agg(score=("score", "max"), fraud=("tx_fraud", "max"))
        compromised = cards.sort_values("score", ascending=False, kind="stable").head(top).query("fraud == 1").index
        precisions.append(len(compromised) / top)
        found |= set(compromised)
    return sum(precisions) / len(precisions)


def reached(folds, c, weight):
    """Average precision over the folds, each by its frauds."""
    tested = [pandas.concat(scored(*fold, c, weight)) for fold in folds]
    frauds = [fold.tx_fraud.sum() for fold in tested]
    return sum(count * average_precision_score(fold.tx_fraud, fold.score) for count, fold in zip(frauds, tested, strict=True)) / sum(frauds)


end = rows.day.max() + 1
first_of = [end - (fold + 1) * test - delay - train for fold in range(folds)]
chosen_on = [cut(first - folds * test - delay) for first in first_of]
c, weight = max(CANDIDATES, key=lambda candidate: reached(chosen_on, *candidate))
told = []
for first in first_of:
    learnt, days = cut(first)
    days = scored(learnt, days, c, weight)
    tested = pandas.concat(days)
    limits = [first, first + train, first + train + delay, first + train + delay + test]
    told.append(
        {
            **dict(zip(["train_from", "train_until", "test_from", "test_until"], [int(day) * 86_400_000_000 for day in limits], strict=True)),
            "rows_trained": len(learnt),
            "frauds_trained": int(learnt.tx_fraud.sum()),
            "rows_tested": len(tested),
            "frauds_tested": int(tested.tx_fraud.sum()),
            "auc": roc_auc_score(tested.tx_fraud, tested.score),
            "average_precision": average_precision_score(tested.tx_fraud, tested.score),
            "card_precision": card_precision(days),
        }
    )
spreads = {name: pandas.Series([fold[name] for fold in told]) for name in ("auc", "average_precision", "card_precision")}
settings = {"C": str(c), "class_weight": weight or "none"}
removed = int(rows.day.between(end - folds * test, end - 1).sum()) - sum(fold["rows_tested"] for fold in told)
json.dump(
    {
        "report": {
            "settings": settings,
            "folds": told,
            **{name: {"mean": values.mean(), "standard_deviation": values.std()} for name, values in spreads.items()},
        },
        "removed": removed,
    },
    sys.stdout,
)
