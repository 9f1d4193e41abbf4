"""The seed system's training to the letter, with scikit-learn: DATA -> chosen C, recalls, coefficients, figures."""

import io
import json
import sys
import zipfile

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, recall_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split


def read(path):
    if path.endswith(".zip"):
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as text:
            return np.loadtxt(io.TextIOWrapper(text), delimiter=",", skiprows=1, quotechar='"')
    return np.loadtxt(path, delimiter=",", skiprows=1, quotechar='"')


table = read(sys.argv[1])
rows, labels = table[:, :-1], table[:, -1].astype(int)
train, test, train_labels, test_labels = train_test_split(rows, labels, test_size=0.2, random_state=42)
learner = LogisticRegression(solver="newton-cholesky", tol=1e-10, class_weight="balanced", max_iter=1000)
search = GridSearchCV(
    learner, {"C": [1e-4, 1e-2, 1, 1e2, 1e4]}, cv=10, scoring="recall_macro", refit=True, n_jobs=2
).fit(train, train_labels)
probabilities = search.predict_proba(test)[:, 1]
flagged = search.predict(test)
json.dump(
    {
        "penalty": search.best_params_["C"],
        "macro_recalls": search.cv_results_["mean_test_score"].tolist(),
        "frauds": int(train_labels.sum()),
        "coefficients": search.best_estimator_.coef_[0].tolist(),
        "intercept": float(search.best_estimator_.intercept_[0]),
        "figures": {
            "average_precision": average_precision_score(test_labels, probabilities),
            "auc": roc_auc_score(test_labels, probabilities),
            "brier": brier_score_loss(test_labels, probabilities),
            "macro_recall": recall_score(test_labels, flagged, average="macro"),
        },
        "confusion": confusion_matrix(test_labels, flagged).tolist(),
    },
    sys.stdout,
)
