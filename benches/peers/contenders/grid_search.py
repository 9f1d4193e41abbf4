"""The seed's search as the seed did it: `grid_search.py FILE SOLVER` prints seconds of GridSearchCV.fit and what it found."""

import json
import sys
import time

import pandas
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split

rows = pandas.read_csv(sys.argv[1]).to_numpy(dtype=float)
train, _, label, _ = train_test_split(rows[:, :-1], rows[:, -1], test_size=0.2, random_state=42)
search = GridSearchCV(
    LogisticRegression(class_weight="balanced", solver=sys.argv[2]),
    {"C": [1e-4, 1e-2, 1, 1e2, 1e4]},
    scoring="recall_macro",
    cv=10,
    n_jobs=-1,
)
start = time.perf_counter()
search.fit(train, label)
seconds = time.perf_counter() - start
best = search.best_estimator_
found = {
    "seconds": seconds,
    "penalty": search.best_params_["C"],
    "macro_recall": search.cv_results_["mean_test_score"].tolist(),
    "converged": bool(best.n_iter_.max() < best.max_iter),
}
print(json.dumps(found))
