"""Asks a server of the Open Inference Protocol by Triton's own client, in every datatype, in JSON and in binary.

Arguments: a file with {"address", "model", "version", "rows", "bits"}: rows of small whole numbers, and rows of 0 and 1, in the
order of the model's features.
Prints what the client was told, and for each way to ask the probabilities.
"""

import json
import sys

import numpy as np
from tritonclient import http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

TYPES = [bool, "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    model, version = asked["model"], asked["version"]
    client = http.InferenceServerClient(asked["address"])
    metadata = client.get_model_metadata(model)
    answers = {}

    def infer(way, inputs, outputs=None, **more):
        result = client.infer(model, inputs, outputs=outputs, **more)
        answers[way] = result.as_numpy("probability").tolist()
        return result

    for dtype in TYPES:
        rows = np.array(asked["bits"] if dtype is bool else asked["rows"]).astype(dtype)
        name = np_to_triton_dtype(rows.dtype)
        for binary in (False, True):
            whole = http.InferInput("anything", list(rows.shape), name)
            whole.set_data_from_numpy(rows, binary_data=binary)
            output = http.InferRequestedOutput("probability", binary_data=binary)
            infer(f"{name} {'binary' if binary else 'JSON'} whole", [whole], [output])
            columns = []
            for place, tensor in enumerate(metadata["inputs"]):
                column = http.InferInput(tensor["name"], [len(rows)], name)
                column.set_data_from_numpy(np.ascontiguousarray(rows[:, place]), binary_data=binary)
                columns.append(column)
            # Without outputs, the client asks for all of them as binary data.
            infer(f"{name} {'binary' if binary else 'JSON'} columns", columns, model_version=version, request_id="request 42")
    try:
        client.infer(model, [http.InferInput("anything", [1, 1], "FP64").set_data_from_numpy(np.zeros((1, 1)))])
        refusal = None
    except InferenceServerException as error:
        refusal = {"status": error.status(), "message": error.message()}
    json.dump(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(model),
            "version_ready": client.is_model_ready(model, version),
            "other_ready": client.is_model_ready("other"),
            "server": client.get_server_metadata(),
            "model": metadata,
            "version": client.get_model_metadata(model, version),
            "answers": answers,
            "refusal": refusal,
        },
        sys.stdout,
    )


main()
