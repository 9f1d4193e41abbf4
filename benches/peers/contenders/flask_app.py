"""The seed's service: Flask and a scikit-learn model. `flask_app.py MODEL PORT` runs Flask's own server, as the seed did."""

import json
import logging
import sys

import joblib
import numpy
from flask import Flask, request


def app(model_file):
    service = Flask(__name__)
    model = joblib.load(model_file)

    @service.post("/predict")
    def predict():
        body = request.get_json()
        if "features" not in body:
            return json.dumps({"error": "No features found in input"}), 400
        features = body["features"]
        if not features or not isinstance(features, list):
            return json.dumps({"error": "No feature values available"}), 400
        rows = numpy.array(features, dtype=float)
        rows = rows.reshape(1, -1) if rows.ndim == 1 else rows
        return json.dumps({"scores": model.predict_proba(rows)[:, 1].tolist()})

    @service.get("/health")
    def health():
        return "OK"

    return service


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app(sys.argv[1]).run(host="127.0.0.1", port=int(sys.argv[2]))
