"""What lleaves does with a model, in an environment of its own, since it needs libraries that are older than everybody else's.

compile TREES OBJECT         compiles the trees, and keeps the object file
batch TREES OBJECT ROWS FEATURES CORES
                             prints nanoseconds per row of one call over all ROWS, a file of doubles, and the sum of the probabilities
"""

import json
import sys
import time

import lleaves
import numpy

way, trees, compiled, *rest = sys.argv[1:]
model = lleaves.Model(model_file=trees)
model.compile(cache=compiled)
if way == "batch":
    path, features, cores = rest[0], int(rest[1]), int(rest[2])
    rows = numpy.fromfile(path).reshape(-1, features)
    model.predict(rows, n_jobs=cores)
    start = time.perf_counter()
    scores = model.predict(rows, n_jobs=cores)
    print(json.dumps({"row_ns": (time.perf_counter() - start) / len(rows) * 1e9, "sum": scores.sum()}))
