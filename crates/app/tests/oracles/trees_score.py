"""What LightGBM itself makes of a model's trees: their text, and rows of doubles -> raw scores."""

import json
import sys

import lightgbm
import numpy as np

with open(sys.argv[1], encoding="utf-8") as text:
    booster = lightgbm.Booster(model_str=text.read())
rows = np.fromfile(sys.argv[2], dtype="<f8").reshape(-1, booster.num_feature())
json.dump({"margins": booster.predict(rows, raw_score=True).tolist()}, sys.stdout)
