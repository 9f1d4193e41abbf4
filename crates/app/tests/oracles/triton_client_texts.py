"""Asks for a row of a number and a text by Triton's own client, in JSON and in binary.

Arguments: a file with {"address", "model", "number", "numbers", "text", "texts"}. Prints the probabilities.
"""

import json
import sys

import numpy as np
from tritonclient import http


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    client = http.InferenceServerClient(asked["address"])
    answers = []
    for binary in (False, True):
        numbers = http.InferInput(asked["number"], [len(asked["numbers"])], "FP64")
        numbers.set_data_from_numpy(np.array(asked["numbers"]), binary_data=binary)
        texts = http.InferInput(asked["text"], [len(asked["texts"]), 1], "BYTES")
        texts.set_data_from_numpy(np.array([[text.encode()] for text in asked["texts"]], dtype=np.object_), binary_data=binary)
        result = client.infer(asked["model"], [texts, numbers], request_id="7")
        flagged = result.as_numpy("flagged").tolist()
        probabilities = result.as_numpy("probability").tolist()
        answers.append({"id": result.get_response()["id"], "flagged": flagged, "probabilities": probabilities})
    json.dump(answers, sys.stdout)


main()
