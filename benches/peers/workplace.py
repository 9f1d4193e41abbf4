"""Where the benches work: programs, simulated data, models and logs, all below the build's target folder."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
WORK = TARGET / "peers"
SHARED = Path(os.environ.get("ASSAY_SHARED", REPOSITORY.parent / "shared")) / "data"
CONTENDERS = Path(__file__).resolve().parent / "contenders"
PYTHON = Path(sys.executable)
# For peers that need older libraries than everybody else.
OLD_PYTHON = Path(os.environ.get("ASSAY_OLD_PYTHON", REPOSITORY / ".tools" / "old" / "bin" / "python"))

ROWS = 284_807
FEATURES = 30
# Nothing that a bench starts may run longer.
PATIENCE_SECONDS = 1_800


def program(name):
    """One of our own programs, as built for release."""
    return TARGET / "release" / name


def contender(name, *arguments):
    """The command line of a Python contender."""
    return [PYTHON, CONTENDERS / name, *arguments]


def output(command, timeout=PATIENCE_SECONDS, **options):
    """What `command` prints; if it fails, so do we, with its last words."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout, **options)
    if done.returncode != 0:
        raise SystemExit(f"{shown(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def answer(command, **options):
    """What `command` prints on its last line, as JSON."""
    return json.loads(output(command, **options).splitlines()[-1])


def shown(command):
    """A command as a reader would type it, without this machine's folders."""
    words = [Path(word).name if isinstance(word, Path) else str(word) for word in command]
    return shlex.join(words)


def pinned(core, command):
    """`command` on one core."""
    return ["taskset", "-c", str(core), *command]


def shared(name):
    """A file of real data, or None where it is absent."""
    path = SHARED / name
    return path if path.exists() else None


def simulated(rows=ROWS):
    """A table shaped like creditcard.csv, made by Assay's own simulator."""
    command = [program("assay"), "simulate", "--shape", "creditcard", "--rows", rows, "--out"]
    return made(f"simulated-{rows}.csv", lambda out: [*command, out])


def forest(rounds=200, learning_rate=0.05, rows=ROWS):
    """A model of trees with 31 leaves, learnt from simulated rows; the benches that compare engines give all of them these trees."""
    settings = ["--set", "num_leaves=31", "--set", f"learning_rate={learning_rate}", "--rounds", rounds]

    def command(out):
        return [program("assay"), "train", simulated(rows), "--out", out, *settings, "--resamples", 1, "--simulated"]

    return made(f"{rounds}-trees.model", command)


def made(name, command):
    """The file `name` in the work folder, made by `command(path)` unless it is there."""
    path = WORK / name
    if not path.exists():
        output(command(path))
    return path


def start_afresh():
    """Forgets what earlier runs made."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)


def trees_of(model):
    """A file with the trees of a model as LightGBM reads them: what follows the manifest (see crates/model/src/artifact.rs)."""
    path = model.with_suffix(".txt")
    if not path.exists():
        envelope, parts = model.read_bytes().split(b"\n\n", 1)
        manifest_bytes = int(envelope.split(b"\n")[1].split()[1])
        path.write_bytes(parts[manifest_bytes:])
    return path
