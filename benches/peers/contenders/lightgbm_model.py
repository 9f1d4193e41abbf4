"""What LightGBM does with a table.

grow TABLE ROUNDS LEAVES TREES      learns trees from a CSV whose last column is the label
rows TABLE COUNT ROWS               writes the first COUNT rows, as doubles row after row
batch TREES ROWS FEATURES CORES     prints nanoseconds per row of one call over all ROWS, and the sum of the probabilities
explain TREES ROWS FEATURES COUNT   the same of the contributions of the first COUNT rows, on one core, and the sum of their absolute values
"""

import json
import sys
import time

import lightgbm
import numpy
import pandas

way, *rest = sys.argv[1:]
if way == "grow":
    path, rounds, leaves, trees = rest
    table = pandas.read_csv(path)
    settings = {"objective": "binary", "num_leaves": int(leaves), "learning_rate": 0.05, "verbosity": -1, "seed": 42}
    data = lightgbm.Dataset(table.iloc[:, :-1].to_numpy(dtype=float), table.iloc[:, -1].to_numpy(dtype=float))
    lightgbm.train(settings, data, int(rounds)).save_model(trees)
elif way == "rows":
    path, count, rows = rest
    pandas.read_csv(path, nrows=int(count)).iloc[:, :-1].to_numpy(dtype=float).tofile(rows)
elif way == "explain":
    trees, path, features, count = rest
    booster = lightgbm.Booster(model_file=trees)
    rows = numpy.fromfile(path).reshape(-1, int(features))[: int(count)]
    start = time.perf_counter()
    contributions = booster.predict(rows, pred_contrib=True, num_threads=1)
    print(json.dumps({"row_ns": (time.perf_counter() - start) / len(rows) * 1e9, "sum": numpy.abs(contributions[:, :-1]).sum()}))
else:
    trees, path, features, cores = rest
    booster = lightgbm.Booster(model_file=trees)
    rows = numpy.fromfile(path).reshape(-1, int(features))
    booster.predict(rows, num_threads=int(cores))
    start = time.perf_counter()
    scores = booster.predict(rows, num_threads=int(cores))
    print(json.dumps({"row_ns": (time.perf_counter() - start) / len(rows) * 1e9, "sum": scores.sum()}))
