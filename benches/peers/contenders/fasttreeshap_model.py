"""What fasttreeshap needs, on one core: `fasttreeshap_model.py TREES ROWS FEATURES COUNT v1|v2` explains the first COUNT rows, and prints
nanoseconds per row and the sum of all contributions' absolute values."""

import json
import sys
import time

import fasttreeshap
import lightgbm
import numpy

trees, path, features, count, version = sys.argv[1:]
rows = numpy.fromfile(path).reshape(-1, int(features))[: int(count)]
explainer = fasttreeshap.TreeExplainer(lightgbm.Booster(model_file=trees), algorithm=version, n_jobs=1, shortcut=False)
explainer.shap_values(rows[:10])
start = time.perf_counter()
contributions = explainer.shap_values(rows)
seconds = time.perf_counter() - start
if isinstance(contributions, list):
    contributions = contributions[1]
print(json.dumps({"row_ns": seconds / len(rows) * 1e9, "sum": numpy.abs(contributions).sum()}))
