"""LightGBM on one thread: `lightgbm_predict.py TREES FILE ROWS` prints nanoseconds per row of one call."""

import sys
import time

import lightgbm
import numpy
import pandas

trees, path, rows = sys.argv[1:]
booster = lightgbm.Booster(model_str=open(trees).read())
features = numpy.ascontiguousarray(pandas.read_csv(path, nrows=int(rows)).iloc[:, :-1].to_numpy(dtype=float))
booster.predict(features, num_threads=1)
start = time.perf_counter()
booster.predict(features, num_threads=1)
print((time.perf_counter() - start) / len(features) * 1e9)
