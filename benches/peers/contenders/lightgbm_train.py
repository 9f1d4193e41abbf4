"""LightGBM in Python: `lightgbm_train.py FILE ROUNDS THREADS MODEL same|defaults` prints the seconds of one training."""

import sys
import time

import lightgbm
import numpy
import pandas

path, rounds, threads, model, settings = sys.argv[1:]
table = pandas.read_csv(path)
features = numpy.ascontiguousarray(table.iloc[:, :-1].to_numpy(dtype=float))
label = table.iloc[:, -1].to_numpy(dtype=float)
parameters = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.05, "num_threads": int(threads), "seed": 42, "verbosity": -1}
if settings == "same":
    parameters |= {"deterministic": True, "force_row_wise": True, "feature_pre_filter": False, "metric": "None"}
start = time.perf_counter()
history = lightgbm.Dataset(features, label, feature_name=list(table.columns[:-1]), params=parameters)
booster = lightgbm.train(parameters, history, num_boost_round=int(rounds))
text = booster.model_to_string(importance_type="gain")
seconds = time.perf_counter() - start
with open(model, "w") as file:
    file.write(text)
print(seconds)
