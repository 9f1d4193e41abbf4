"""SciPy's answers: tails of F and Kolmogorov, the mean of its square, and the two-sample KS distance of binned values."""

import json
import sys

import numpy as np
from scipy import stats

with open(sys.argv[1]) as file:
    asked = json.load(file)

answers = {
    "f": [stats.f.sf(ratio, freedom, scale) for ratio, freedom, scale in asked["f"]],
    "kolmogorov": [stats.kstwobign.sf(distance) for distance in asked["kolmogorov"]],
    "ks": [stats.ks_2samp(first, second, method="asymp").statistic for first, second in asked["ks"]],
    "average": [float(np.mean(stats.kstwobign.rvs(size=200_000, random_state=1) ** 2))],
}
json.dump(answers, sys.stdout)
