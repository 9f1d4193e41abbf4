"""Python LightGBM and XGBoost given a fair chance: at their defaults, and after a search that looks only at the past."""

import lightgbm
import numpy
import xgboost
from sklearn.metrics import average_precision_score

MOST_ROUNDS = 2_000
PATIENCE = 50
# Where the past is cut for the search: learn from what is before, judge by what is after.
CUT = 0.75

LIGHTGBM = {
    "num_leaves": [7, 15, 31, 63],
    "learning_rate": [0.03, 0.05, 0.1],
    "min_child_samples": [10, 20, 50, 100],
    "min_child_weight": [1e-3, 0.1, 1.0],
    "reg_lambda": [0.0, 1.0, 5.0, 10.0],
    "colsample_bytree": [0.4, 0.7, 1.0],
    "subsample": [0.8, 1.0],
}
XGBOOST = {
    "max_depth": [3, 4, 6, 8],
    "learning_rate": [0.03, 0.05, 0.1],
    "min_child_weight": [0.1, 1.0, 5.0],
    "reg_lambda": [1.0, 5.0, 10.0],
    "gamma": [0.0, 0.5],
    "colsample_bytree": [0.4, 0.7, 1.0],
    "subsample": [0.8, 1.0],
}


def peers(features, label, weight, held_back, candidates, say):
    """Scores of the held-back rows and settings, by name of the peer."""
    found = {}
    for weighted, weights in [("weights", weight.to_numpy()), ("no weights", None)]:
        for name, make, space, watch in [
            ("LightGBM", light, LIGHTGBM, watch_light),
            ("XGBoost", extreme, XGBOOST, watch_extreme),
        ]:
            say(f"  {name}, {weighted}: defaults, then {candidates} candidates")
            default = make({}).fit(features, label, sample_weight=weights)
            found[f"{name}, defaults, {weighted}"] = (default.predict_proba(held_back)[:, 1], "")
            settings = search(features, label, weight.to_numpy(), weights, make, space, watch, candidates)
            best = make(settings).fit(features, label, sample_weight=weights)
            found[f"{name}, tuned, {weighted}"] = (best.predict_proba(held_back)[:, 1], ", ".join(f"{key} {value}" for key, value in settings.items()))
    return found


def search(features, label, weight, weights, make, space, watch, candidates):
    """The settings, drawn from `space`, with the highest weighted average precision on the later slice."""
    cut = int(len(features) * CUT)
    chance = numpy.random.default_rng(7)
    best, best_precision = None, -1.0
    for _ in range(candidates):
        settings = {name: chance.choice(values).item() for name, values in space.items()}
        early = None if weights is None else weights[:cut]
        late = None if weights is None else weights[cut:]
        model = watch(make(settings | {"n_estimators": MOST_ROUNDS}, stopping=True), features, label, cut, early, late)
        scores = model.predict_proba(features[cut:])[:, 1]
        precision = average_precision_score(label[cut:], scores, sample_weight=weight[cut:])
        if precision > best_precision:
            best, best_precision = settings | {"n_estimators": rounds(model)}, precision
    return best


def light(settings, stopping=False):
    del stopping
    return lightgbm.LGBMClassifier(random_state=42, subsample_freq=1 if settings else 0, verbosity=-1, **settings)


def extreme(settings, stopping=False):
    stop = {"early_stopping_rounds": PATIENCE} if stopping else {}
    return xgboost.XGBClassifier(random_state=42, **settings, **stop)


def watch_light(model, features, label, cut, early, late):
    return model.fit(
        features[:cut],
        label[:cut],
        sample_weight=early,
        eval_X=features[cut:],
        eval_y=label[cut:],
        eval_sample_weight=None if late is None else [late],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )


def watch_extreme(model, features, label, cut, early, late):
    return model.fit(
        features[:cut],
        label[:cut],
        sample_weight=early,
        eval_set=[(features[cut:], label[cut:])],
        sample_weight_eval_set=None if late is None else [late],
        verbose=False,
    )


def rounds(model):
    """How many trees early stopping kept."""
    best = model.best_iteration_ if hasattr(model, "best_iteration_") else model.best_iteration + 1
    return max(int(best), 1)
