"""The servers that are compared, each on core 0, and the load from core 1."""

import contextlib
import json
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

from workplace import CONTENDERS, FEATURES, OLD_PYTHON, PYTHON, WORK, forest, made, output, pinned, program, shown, simulated, trees_of

SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 16
# Where a server takes transactions, when not at /predict, and how it wants them written.
INFERENCE = {
    "MLServer": ("/v2/models/fraud/infer", '{{"inputs":[{{"name":"rows","shape":[{rows},{features}],"datatype":"FP64","data":{matrix}}}]}}'),
    "MLflow": ("/invocations", '{{"inputs":{matrix}}}'),
}
# Different requests, taken in turn: a single one would teach the branch predictor its answer.
ONE_ROW_REQUESTS, BATCH_REQUESTS, BATCH_ROWS = 1_000, 20, 500


def commands(port=0, model=None):
    """How each server is started, by name."""
    return {
        "Assay": [program("assay"), "serve", "--model", model or forest(), "--bind", f"127.0.0.1:{port}", "--threads", 1, "--drain-seconds", 0],
        "Flask": [PYTHON, CONTENDERS / "flask_app.py", linear(), port],
        "gunicorn": [PYTHON, "-m", "gunicorn", "--workers", 1, "--bind", f"127.0.0.1:{port}", "--chdir", CONTENDERS, f"flask_app:app('{linear()}')"],
        "MLServer": [OLD_PYTHON.parent / "mlserver", "start", mlserver(port)],
        "MLflow": [OLD_PYTHON.parent / "mlflow", "models", "serve", "-m", mlflow(), "-h", "127.0.0.1", "-p", port, "--env-manager", "local", "--workers", 1],
        "FastAPI": [PYTHON, "-m", "uvicorn", "--app-dir", CONTENDERS, "--no-access-log", "--log-level", "warning", "--port", port, "fastapi_app:app"],
    }


def linear():
    """The seed's kind of model, a scikit-learn logistic regression, in a file."""
    path = WORK / "logistic.joblib"
    if not path.exists():
        rows = pandas.read_csv(simulated()).to_numpy(dtype=float)
        joblib.dump(LogisticRegression(class_weight="balanced", solver="newton-cholesky").fit(rows[:, :-1], rows[:, -1]), path)
    return path


def mlserver(port):
    """The folder from which MLServer serves our trees, one process without workers beside it."""
    folder = WORK / "mlserver"
    folder.mkdir(exist_ok=True)
    settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0, "host": "127.0.0.1"}
    model = {"name": "fraud", "implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": str(trees_of(forest())), "version": "v1"}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return folder


def mlflow():
    """The folder in which MLflow keeps our trees."""
    save = "import lightgbm, mlflow.lightgbm, sys; mlflow.lightgbm.save_model(lightgbm.Booster(model_file=sys.argv[1]), sys.argv[2])"
    return made("mlflow", lambda out: [OLD_PYTHON, "-c", save, trees_of(forest()), out])


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
    if name in INFERENCE:
        environment["PATH"] = f"{OLD_PYTHON.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ready_path(name):
    return {"Assay": "/ready", "MLServer": "/v2/models/fraud/ready"}.get(name, "/health")


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


def bodies(rows, form=None):
    """A file with a request body per line, each of `rows` simulated transactions, as /predict or the `form` of another server has them."""
    count = ONE_ROW_REQUESTS if rows == 1 else BATCH_REQUESTS
    path = WORK / (f"bodies-{rows}.txt" if form is None else f"bodies-{form}-{rows}.txt")
    if not path.exists():
        table = pandas.read_csv(simulated(), nrows=count * rows, dtype=str).iloc[:, :-1]
        transactions = ["[" + ",".join(row) + "]" for row in table.itertuples(index=False)]
        groups = (transactions[first : first + rows] for first in range(0, count * rows, rows))
        if form is None:
            lines = (f'{{"features":{group[0] if rows == 1 else "[" + ",".join(group) + "]"}}}' for group in groups)
        else:
            lines = (INFERENCE[form][1].format(rows=rows, features=FEATURES, matrix="[" + ",".join(group) + "]") for group in groups)
        path.write_text("".join(f"{line}\n" for line in lines))
    return path


def wrk(port, path, seconds, posted=None, per_connection=None):
    """The command that keeps CONNECTIONS requests under way: of the bodies `posted`, or plain ones; so many to a connection, or all."""
    command = ["wrk", "-t", 1, "-c", CONNECTIONS, "-d", f"{seconds}s", "--timeout", "10s"]
    script, bodies = (["-s", CONTENDERS.parent / "predict.lua"], ["--", posted, *([per_connection] if per_connection else [])]) if posted else ([], [])
    return pinned(LOAD_CORE, [*command, *script, f"http://127.0.0.1:{port}{path}", *bodies])


def inference(name, rows):
    """Where the server takes transactions, and requests of `rows` of them as it wants them."""
    return (INFERENCE[name][0], bodies(rows, name)) if name in INFERENCE else ("/predict", bodies(rows))


def requests_per_second(port, path, seconds, posted=None, per_connection=None):
    """The rate of one run; every answer has to be 200."""
    words = output(wrk(port, path, seconds, posted, per_connection))
    if "Non-2xx" in words or "Socket errors" in words:
        raise SystemExit(f"not every answer was 200:\n{words}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", words)[1])


def shown_all(names, model=None):
    """How the servers are started, for the page."""
    return [shown(pinned(SERVER_CORE, commands("PORT", model)[name])).replace(str(WORK) + "/", "") for name in names]
