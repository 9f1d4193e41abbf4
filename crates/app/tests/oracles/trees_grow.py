"""The trees that LightGBM's own Python package grows: labelled rows of doubles and a JSON file of what to do -> their text."""

import json
import sys

import lightgbm
import numpy as np

with open(sys.argv[2], encoding="utf-8") as asked:
    asked = json.load(asked)
names = asked["names"]
table = np.fromfile(sys.argv[1], dtype="<f8").reshape(-1, len(names) + 1)
data = lightgbm.Dataset(
    np.ascontiguousarray(table[:, :-1]),
    label=table[:, -1],
    feature_name=names,
    categorical_feature=asked["categories"],
    params=asked["parameters"],
)
booster = lightgbm.train(asked["parameters"], data, num_boost_round=asked["rounds"])
json.dump({"text": booster.model_to_string(importance_type="gain")}, sys.stdout)
