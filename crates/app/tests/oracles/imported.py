"""Models of LightGBM, XGBoost and scikit-learn, and what they make of rows: imported.py LIBRARY FOLDER

Each case is a model file, NAME.rows (doubles, a category as its place in the texts given below, row after row) and NAME.answers (a raw
score and a probability per row, doubles). Printed: the cases with their features, each with the texts of its categories or null.
"""

import json
import os
import re
import sys

import numpy
import pandas

TRAINED, ROWS = 20_000, 100_000
COUNTRIES = ["Österreich", "DE", "fr", "IT", "US", "a, \"b\"", "New York", "0"]


def history(rows, seed):
    """Numbers with missing values, categories of three kinds, and a label that depends on all of them."""
    random = numpy.random.default_rng(seed)
    numbers = {f"v{place}": random.normal(size=rows) * 10.0 ** (place - 2) for place in range(6)}
    numbers["zeros"] = numpy.where(random.random(rows) < 0.5, 0.0, random.normal(size=rows))
    numbers["whole"] = random.integers(0, 50, rows).astype(float)
    country = random.integers(0, len(COUNTRIES), rows)
    merchant = random.integers(0, 120, rows)
    chip = random.integers(0, 2, rows)
    score = numbers["v2"] + numbers["v0"] * 50 + (country % 3 == 1) + (merchant % 7 == 2) * 2 - chip + numbers["zeros"]
    label = (score + random.normal(size=rows) * 2 > 3).astype(int)
    for name, values in numbers.items():
        if name != "whole":
            values[random.random(rows) < 0.1] = numpy.nan
    return numbers, {"country": country, "merchant": merchant, "chip": chip}, label


def at_thresholds(numbers, thresholds, seed):
    """Puts values that a model asks for, and their neighbours, into a third of the rows."""
    random = numpy.random.default_rng(seed)
    for name, asked in thresholds.items():
        values, asked = numbers[name], numpy.array(asked)
        places = numpy.flatnonzero(random.random(len(values)) < 1 / 3)
        chosen = asked[random.integers(0, len(asked), len(places))]
        side = random.integers(-1, 2, len(places))
        values[places] = numpy.where(side == 0, chosen, numpy.nextafter(chosen, numpy.copysign(numpy.inf, side)))


def write(folder, name, matrix, raw, probability):
    numpy.ascontiguousarray(matrix, "<f8").tofile(os.path.join(folder, f"{name}.rows"))
    numpy.column_stack([raw, probability]).astype("<f8").tofile(os.path.join(folder, f"{name}.answers"))


def frame(numbers, categories, texts):
    columns = dict(numbers)
    for name, places in categories.items():
        columns[name] = pandas.Categorical([None if place < 0 else texts[name][place] for place in places])
    return pandas.DataFrame(columns)


def matrix(numbers, categories):
    return numpy.column_stack([*numbers.values(), *[numpy.where(places < 0, numpy.nan, places) for places in categories.values()]])


def features(numbers, texts, categories=()):
    return [[name, None] for name in numbers] + [[name, texts[name]] for name in categories]


# Texts as Python holds them; the last ones of a list are never trained on.
PANDAS = {"country": COUNTRIES + ["ZZ", "nowhere"], "merchant": [number * 10 for number in range(130)], "chip": [False, True]}


def written(texts):
    return {name: [str(text) for text in values] for name, values in texts.items()}


def lightgbm_cases(folder):
    import lightgbm

    numbers, categories, label = history(TRAINED, 1)
    settings = {
        "gbdt": ({"num_leaves": 31, "learning_rate": 0.1}, False),
        "categories": ({"num_leaves": 31, "min_data_per_group": 20, "cat_smooth": 1, "max_cat_to_onehot": 4}, True),
        "dart": ({"boosting": "dart", "num_leaves": 15, "drop_rate": 0.3}, False),
        "forest": ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.7, "num_leaves": 63}, True),
        "entropy": ({"objective": "cross_entropy", "num_leaves": 31, "min_data_per_group": 20}, True),
        "deep": ({"num_leaves": 400, "sigmoid": 2.5, "zero_as_missing": True, "min_data_in_leaf": 5, "learning_rate": 0.3}, False),
    }
    for name, (parameters, with_categories) in settings.items():
        used = categories if with_categories else {}
        # Cross-entropy learns from shares as well as from labels.
        wanted = label * 0.9 + 0.05 if name == "entropy" else label
        common = {"objective": "binary", "verbosity": -1, "seed": 3, "deterministic": True, "num_threads": 1}
        booster = lightgbm.train(common | parameters, lightgbm.Dataset(frame(numbers, used, PANDAS), wanted), 40)
        booster.save_model(os.path.join(folder, name))
        text = booster.model_to_string()
        asked = {}
        for tree in text.split("\nTree=")[1:]:
            lists = {key: re.search(rf"^{key}=(.*)$", tree, re.M)[1].split() for key in ("split_feature", "threshold", "decision_type")}
            for feature, threshold, decision in zip(*lists.values(), strict=True):
                if not int(decision) & 1:
                    asked.setdefault(booster.feature_name()[int(feature)], []).append(float(threshold))
        fresh, fresh_categories, _ = history(ROWS, 2)
        at_thresholds(fresh, asked, 5)
        fresh_categories = unseen(fresh_categories, PANDAS) if with_categories else {}
        rows = frame(fresh, fresh_categories, PANDAS)
        # LightGBM averages a random forest only on the way to the probability.
        trees = booster.num_trees() if parameters.get("boosting") == "rf" else 1
        raw = booster.predict(rows, raw_score=True) / trees * parameters.get("sigmoid", 1.0)
        write(folder, name, matrix(fresh, fresh_categories), raw, booster.predict(rows))
        yield name, features(fresh, written(PANDAS), fresh_categories)


def unseen(categories, texts):
    """Some categories missing, some never seen."""
    random = numpy.random.default_rng(6)
    changed = {}
    for name, places in categories.items():
        draw = random.random(len(places))
        places = numpy.where(draw < 0.05, random.integers(0, len(texts[name]), len(places)), places)
        changed[name] = numpy.where(draw > 0.9, -1, places)
    return changed


def xgboost_cases(folder):
    import xgboost

    numbers, categories, label = history(TRAINED, 1)
    # XGBoost takes no booleans as categories, refuses texts that training never saw, and cuts texts beyond ASCII short in its file.
    texts = {"country": ["Oesterreich", *COUNTRIES[1:]], "merchant": PANDAS["merchant"][:120]}
    few = {name: categories[name] for name in texts}
    settings = {
        "gbtree.json": ({"max_depth": 6, "eta": 0.3}, {}, 60),
        "categories.ubj": ({"max_depth": 5, "max_cat_to_onehot": 10, "eta": 0.3}, few, 40),
        "dart.ubj": ({"booster": "dart", "rate_drop": 0.3, "max_depth": 4, "num_parallel_tree": 2}, {}, 30),
        "forest.json": ({"num_parallel_tree": 40, "subsample": 0.6, "colsample_bynode": 0.7, "eta": 1.0, "max_depth": 7}, few, 1),
        "deep.ubj": ({"grow_policy": "lossguide", "max_leaves": 400, "max_depth": 0, "base_score": 0.03, "gamma": 0.5}, {}, 30),
        "reg.json": ({"objective": "reg:logistic", "tree_method": "exact", "max_depth": 8, "gamma": 2.0}, {}, 20),
        "raw.json": ({"objective": "binary:logitraw", "max_depth": 3}, {}, 20),
    }
    for name, (parameters, used, rounds) in settings.items():
        train = xgboost.DMatrix(frame(numbers, used, texts), label, enable_categorical=True)
        booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, "seed": 3} | parameters, train, rounds)
        booster.save_model(os.path.join(folder, name))
        fresh, fresh_categories, _ = history(ROWS, 2)
        at_thresholds(fresh, xgboost_thresholds(booster, folder), 5)
        fresh_categories = {feature: numpy.where(numpy.arange(ROWS) % 11 == 0, -1, fresh_categories[feature]) for feature in used}
        rows = xgboost.DMatrix(frame(fresh, fresh_categories, texts), enable_categorical=True)
        raw = booster.predict(rows, output_margin=True).astype(float)
        probability = 1 / (1 + numpy.exp(-raw)) if "raw" in name else booster.predict(rows)
        write(folder, name, matrix(fresh, fresh_categories), raw, probability)
        yield name, features(fresh, written(texts), used)
    # Bare numbers as categories, some of them unseen, some below zero; training stopped early.
    columns = {**numbers, "merchant": categories["merchant"].astype(float)}
    types = ["q"] * len(numbers) + ["c"]
    classifier = xgboost.XGBClassifier(
        n_estimators=200, max_depth=5, learning_rate=0.5, early_stopping_rounds=5, feature_types=types, enable_categorical=True, n_jobs=1
    )
    stacked = numpy.column_stack(list(columns.values()))
    classifier.fit(stacked[5_000:], label[5_000:], eval_set=[(stacked[:5_000], label[:5_000])], verbose=False)
    classifier.save_model(os.path.join(folder, "stopped.json"))
    fresh, fresh_categories, _ = history(ROWS, 2)
    merchants = unseen(fresh_categories, {name: range(200) for name in fresh_categories})["merchant"].astype(float)
    merchants[merchants == -1] = numpy.nan
    merchants[::97] = -3.0
    stacked = numpy.column_stack([*fresh.values(), merchants])
    assert classifier.best_iteration + 1 < classifier.get_booster().num_boosted_rounds()
    write(folder, "stopped.json", stacked, classifier.predict(stacked, output_margin=True), classifier.predict_proba(stacked)[:, 1])
    yield "stopped.json", [[f"f{place}", None] for place in range(stacked.shape[1])]


def xgboost_thresholds(booster, folder):
    path = os.path.join(folder, "thresholds.json")
    booster.save_model(path)
    learner = json.load(open(path))["learner"]
    model = learner["gradient_booster"]
    asked = {}
    for tree in model.get("gbtree", model)["model"]["trees"]:
        for feature, threshold, child, kind in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], tree["split_type"], strict=True
        ):
            if child != -1 and kind == 0:
                asked.setdefault(learner["feature_names"][feature], []).append(float(numpy.float32(threshold)))
    os.remove(path)
    return asked


def scikit_learn_cases(folder):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def filled(seed, rows):
        numbers, categories, label = history(rows, seed)
        return {name: numpy.nan_to_num(values) for name, values in numbers.items()}, {"country": categories["country"]}, label

    numbers, categories, label = filled(1, TRAINED)
    texts = {"country": COUNTRIES + ["ZZ"]}
    scaler, encoder = StandardScaler(), OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer((scaler, list(numbers)), (encoder, ["country"]))
    model = make_pipeline(columns, LogisticRegression(max_iter=1_000)).fit(frame(numbers, categories, texts), label)
    scaler, encoder = (columns.named_transformers_[name] for name in ("standardscaler", "onehotencoder"))
    saved = {
        "features": [*numbers, "country"],
        "coefficients": model[-1].coef_.tolist(),
        "intercept": model[-1].intercept_.tolist(),
        "means": scaler.mean_.tolist(),
        "scales": scaler.scale_.tolist(),
        "categories": {"country": encoder.categories_[0].tolist()},
    }
    json.dump(saved, open(os.path.join(folder, "logistic.json"), "w"))
    fresh, fresh_categories, _ = filled(2, ROWS)
    fresh_categories["country"][::50] = len(COUNTRIES)
    rows = frame(fresh, fresh_categories, texts)
    write(folder, "logistic.json", matrix(fresh, fresh_categories), model.decision_function(rows), model.predict_proba(rows)[:, 1])
    yield "logistic.json", features(fresh, texts, fresh_categories)


cases = {"lightgbm": lightgbm_cases, "xgboost": xgboost_cases, "scikit-learn": scikit_learn_cases}[sys.argv[1]]
json.dump([{"name": name, "rows": ROWS, "features": described} for name, described in cases(sys.argv[2])], sys.stdout)
