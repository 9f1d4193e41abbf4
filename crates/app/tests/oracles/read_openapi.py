"""Lets Schemathesis make requests out of a server's own /openapi.json, right and wrong, and hold the answers against it.

Arguments: a file with {"address", "model", "version"} and, where only some paths are to be tried, {"paths": a regular expression}. Prints {"failures": text or null}.
"""

import json
import os
import subprocess
import sys
import tempfile

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
]

# Where the document says all that makes a request right, every right one must be accepted. It cannot say that a tensor holds as many elements
# as its shape asks for, or what a line of CSV is. Wrong requests need not be refused: keys beside ours are passed over.
EXACT = ["/predict", "/v1/score"]


def run(address, told, checks, *more):
    program = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    command = [program, "run", f"http://{address}/openapi.json", f"--checks={','.join(checks)}", "--phases=examples,coverage,fuzzing"]
    command += ["--max-examples=25", "--seed=7", "--workers=1", "--suppress-health-check=all", "--warnings=off", *more]
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "schemathesis.toml"), "w", encoding="utf-8") as config:
            # A client that allows a millisecond gets the 503 that it asked for.
            fixed = {"path.model": told["model"], "path.version": told["version"], "header.Assay-Timeout-Ms": "60000"}
            config.write("[parameters]\n" + "".join(f'"{name}" = "{value}"\n' for name, value in fixed.items()))
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        told = json.load(file)
    address = told["address"]
    if "paths" in told:
        print(json.dumps({"failures": run(address, told, CHECKS, f"--include-path-regex={told['paths']}")}))
        return
    failures = run(address, told, CHECKS)
    failures = failures or run(address, told, ["positive_data_acceptance"], *(f"--include-path={path}" for path in EXACT))
    print(json.dumps({"failures": failures}))


main()
