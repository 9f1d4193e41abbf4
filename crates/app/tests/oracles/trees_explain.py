"""What does each feature contribute, as LightGBM says: TREES ROWS OUT. ROWS are doubles, row after row; OUT gets as many per row and one more,
the mean that contributions start from."""

import json
import sys

import lightgbm
import numpy

trees, rows, out = sys.argv[1:]
booster = lightgbm.Booster(model_file=trees)
rows = numpy.fromfile(rows).reshape(-1, booster.num_feature())
contributions = booster.predict(rows, pred_contrib=True)
numpy.asarray(contributions, dtype=float).tofile(out)
print(json.dumps({"rows": len(contributions)}))
