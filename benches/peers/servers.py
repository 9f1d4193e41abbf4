"""The servers that are compared, each on core 0, and the load from core 1."""

import contextlib
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import joblib
import pandas
from sklearn.linear_model import LogisticRegression

from workplace import CONTENDERS, PYTHON, WORK, forest, output, pinned, program, shown, simulated, trees_of

SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 16
# Different requests, taken in turn: a single one would teach the branch predictor its answer.
ONE_ROW_REQUESTS, BATCH_REQUESTS, BATCH_ROWS = 1_000, 20, 500


def commands(port=0, model=None):
    """How each server is started, by name."""
    return {
        "Assay": [program("assay"), "serve", "--model", model or forest(), "--bind", f"127.0.0.1:{port}", "--threads", 1, "--drain-seconds", 0],
        "Flask": [PYTHON, CONTENDERS / "flask_app.py", linear(), port],
        "gunicorn": [PYTHON, "-m", "gunicorn", "--workers", 1, "--bind", f"127.0.0.1:{port}", "--chdir", CONTENDERS, f"flask_app:app('{linear()}')"],
        "FastAPI": [PYTHON, "-m", "uvicorn", "--app-dir", CONTENDERS, "--no-access-log", "--log-level", "warning", "--port", port, "fastapi_app:app"],
    }


def linear():
    """The seed's kind of model, a scikit-learn logistic regression, in a file."""
    path = WORK / "logistic.joblib"
    if not path.exists():
        rows = pandas.read_csv(simulated()).to_numpy(dtype=float)
        joblib.dump(LogisticRegression(class_weight="balanced", solver="newton-cholesky").fit(rows[:, :-1], rows[:, -1]), path)
    return path


@contextlib.contextmanager
def running(names, model=None):
    """Starts the servers named and gives the port of each; stops them at the end."""
    started, ports = [], {}
    try:
        for name in names:
            ports[name] = free_port()
            started.append(start(name, ports[name], model))
            wait_ready(f"http://127.0.0.1:{ports[name]}{ready_path(name)}", started[-1])
        yield ports
    finally:
        for process in started:
            stop(process)


def start(name, port, model=None):
    command = [str(word) for word in pinned(SERVER_CORE, commands(port, model)[name])]
    log = open(WORK / f"{name}.log", "ab")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ASSAY_BENCH_TREES": str(trees_of(model or forest()))}
    return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ready_path(name):
    return "/ready" if name == "Assay" else "/health"


def wait_ready(url, process, patience=60):
    """Asks without a pause until the answer is 200."""
    end = time.perf_counter() + patience
    while time.perf_counter() < end:
        if process.poll() is not None:
            raise SystemExit(f"a server ended by itself; its words are in {WORK}")
        try:
            with urllib.request.urlopen(url, timeout=1) as found:
                if found.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.0005)
    raise SystemExit(f"no server answered after {patience} s; its words are in {WORK}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def bodies(rows):
    """A file with a request body per line, each of `rows` simulated transactions."""
    count = ONE_ROW_REQUESTS if rows == 1 else BATCH_REQUESTS
    path = WORK / f"bodies-{rows}.txt"
    if not path.exists():
        table = pandas.read_csv(simulated(), nrows=count * rows, dtype=str).iloc[:, :-1]
        transactions = ["[" + ",".join(row) + "]" for row in table.itertuples(index=False)]
        groups = (transactions[first : first + rows] for first in range(0, count * rows, rows))
        lines = (group[0] if rows == 1 else "[" + ",".join(group) + "]" for group in groups)
        path.write_text("".join(f'{{"features":{line}}}\n' for line in lines))
    return path


def wrk(port, path, seconds, rows=1):
    """The command that keeps CONNECTIONS requests under way."""
    address = f"http://127.0.0.1:{port}{path}"
    command = ["wrk", "-t", 1, "-c", CONNECTIONS, "-d", f"{seconds}s", "--timeout", "10s"]
    if path == "/predict":
        command += ["-s", CONTENDERS.parent / "predict.lua"]
    return pinned(LOAD_CORE, [*command, address] + (["--", bodies(rows)] if path == "/predict" else []))


def requests_per_second(port, path, seconds, rows=1):
    """The rate of one run; every answer has to be 200."""
    words = output(wrk(port, path, seconds, rows))
    if "Non-2xx" in words or "Socket errors" in words:
        raise SystemExit(f"not every answer was 200:\n{words}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", words)[1])


def shown_all(names, model=None):
    """How the servers are started, for the page."""
    return [shown(pinned(SERVER_CORE, commands("PORT", model)[name])).replace(str(WORK) + "/", "") for name in names]
