"""Figures of given scores, with scikit-learn: a CSV file of probability, label and weight -> figures."""

import json
import sys

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score, roc_curve

probabilities, labels, weights = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1).T
threshold = float(sys.argv[2])
false_positive_rates, true_positive_rates, _ = roc_curve(
    labels, probabilities, sample_weight=weights, drop_intermediate=False
)
json.dump(
    {
        "figures": {
            "average_precision": average_precision_score(labels, probabilities, sample_weight=weights),
            "auc": roc_auc_score(labels, probabilities, sample_weight=weights),
            "brier": brier_score_loss(labels, probabilities, sample_weight=weights),
            "recall_at_fpr_1_percent": float(np.interp(0.01, false_positive_rates, true_positive_rates)),
        },
        "confusion": confusion_matrix(labels, probabilities >= threshold, sample_weight=weights).tolist(),
    },
    sys.stdout,
)
