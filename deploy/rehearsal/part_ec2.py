"""Does environment 1 come up from its template as released, survive a reboot, and say what broke when something does?"""

import hashlib
import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from checks import check, figure, output, wait_until
from clients import Keys, only_holders_are_answered, predicted
from environment_1 import DAMAGED_URL, GONE_URL, HALF_URL, World, ask, failure_of, healthy, launch, signal_of
from roots import installed_layer, machine_root
from served import DATASET_URL, release, tarball
from standins import forward

USER_DATA_LIMIT = 16_384  # Bytes that EC2 takes.
KEYS_TAKEN_BACK_S = 75  # The machine asks every 60 s, and its service looks every second.


def rehearse(box):
    with ThreadPoolExecutor() as beside:
        # Compiling takes the processor and making a root mostly waits, so the first run does both at once.
        root = beside.submit(installed_layer, box)
        with check("the release and the templates that name it are made", vital=True) as note:
            folder = release(box)
            note(f"{tarball(folder).name}, {tarball(folder).stat().st_size / 1e6:.0f} MB")
        with check("a Debian 12 root with cloud-init is at hand", vital=True):
            root.result()
    with check("stand-ins answer under the names that the stack uses", vital=True):
        world = World(box, folder)
    stack, machine, begun = comes_up(world)
    return lambda: goes_on(world, stack, machine, begun)


def goes_on(world, stack, machine, begun):
    # Much of this is waiting, so the machines that break down start meanwhile.
    launched = switch_on_what_breaks_down(world)
    keys, guarded = switch_on_what_asks_for_keys(world)
    try:
        outputs = completes(world, stack, begun)
        answers(world, outputs)
        is_confined(machine)
        logs(world, machine, outputs)
        reboots(machine, stack)
        refuses_a_damaged_model(machine, stack)
    finally:
        machine.stop()
        for broken, (stack, machine, begun) in zip(BREAKDOWNS, launched):
            breaks_down(world, broken, stack, machine, begun)
            machine.stop()
        asks_for_keys(world, keys, *guarded)


def score(text):
    """The probability in an answer, of which curl -v may have printed the head before."""
    scores = json.loads(text)["scores"]
    assert len(scores) == 1 and 0 <= scores[0] <= 1, text
    return scores[0]


def comes_up(world):
    with check("a stack with every default as it is is under creation, and its machine is switched on", vital=True) as note:
        stack, machine, begun = launch(world, 1, "fraud-simple", {}, [machine_root(world.box)])
        size = len(stack.instance.user_data.encode())
        assert size < USER_DATA_LIMIT, f"the user data has {size} bytes, and EC2 takes {USER_DATA_LIMIT}"
        note(f"user data of {size} bytes")
    forward(stack.instance.public_address, machine.address)
    transaction = world.template.parent / "fraudtest.json"
    with check("the machine answers its first POST /predict", vital=True) as note:
        def first_score():
            assert machine.process.poll() is None, "the machine went off"
            assert not failure_of(world, stack), f"the machine signalled {failure_of(world, stack)}"
            said = ask(stack, "/predict", "--header", "Content-Type: application/json", "--data", f"@{transaction}")
            return said.startswith('{"scores"')
        wait_until(first_score, 300, "a score", every=0.2)
        seconds = time.monotonic() - begun
        note(f"{seconds:.1f} s after it was switched on")
        figure("user data: boot to first score, 22,841 rows of 30 columns", "< 60 s beside the build", f"{seconds:.1f} s")
        assert seconds < 60, f"it took {seconds:.1f} s"
    return stack, machine, begun


def completes(world, stack, begun):
    with check("it signals SUCCESS once, and only then the stack is CREATE_COMPLETE", vital=True) as note:
        signal, when = signal_of(world, stack, 120)
        assert signal["Status"] == "SUCCESS", signal
        outputs = stack.outputs()
        assert len([name for name, _, _ in world.standins.signals if name == stack.name]) == 1, world.standins.signals
        note(f"{when - begun:.1f} s after it was switched on")
    return outputs


def answers(world, outputs):
    transaction = world.template.parent / "fraudtest.json"
    with check("FraudDetectionPredictCommand, run as it stands in the vpc-ml folder, scores the transaction") as note:
        said = subprocess.run(outputs["FraudDetectionPredictCommand"], shell=True, cwd=transaction.parent, check=True,
                              capture_output=True, text=True)
        assert "< HTTP/1.1 200 OK" in said.stderr, said.stderr
        note(f"200, {said.stdout}")
        score(said.stdout)
        figure("environment 1: FraudDetectionPredictCommand", "200, {\"scores\":[p]}", f"200, {said.stdout}")
    with check("HealthCommand answers OK"):
        assert output("sh", "-c", outputs["HealthCommand"]) == "OK"
    with check("ModelOrigin tells the data set and its SHA-256") as note:
        sum_of_data = hashlib.sha256(world.dataset.read_bytes()).hexdigest()
        assert DATASET_URL in outputs["ModelOrigin"] and sum_of_data in outputs["ModelOrigin"], outputs["ModelOrigin"]
        note(outputs["ModelOrigin"])


def is_confined(machine):
    with check("the service runs as a user of its own, without a capability, and systemd rates it as well confined") as note:
        process = machine.run("systemctl", "show", "--property", "MainPID", "--value", "assay").strip()
        status = machine.run("cat", f"/proc/{process}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert "0" not in fields["Uid"].split() and int(fields["CapBnd"], 16) == 0 and fields["NoNewPrivs"] == "1", status
        rating = machine.run("systemd-analyze", "security", "--no-pager", "assay.service").splitlines()[-1]
        exposure = float(re.search(r"(\d+\.\d+) ", rating)[1])
        assert exposure < 2.0, rating
        note(f"exposure {exposure} of 10")
    with check("nothing but port 5000 listens on its network") as note:
        listening = machine.run("ss", "--listening", "--tcp", "--udp", "--numeric", "--no-header")
        outside = {line.split()[4] for line in listening.splitlines() if not line.split()[4].startswith(("127.", "[::1]"))}
        assert outside == {"0.0.0.0:5000"}, listening


def logs(world, machine, outputs):
    with check("/var/log/userdata.log tells the story, and CloudWatch holds it and the service's log") as note:
        told = machine.run("cat", "/var/log/userdata.log")
        assert "training the model" in told and "Telling CloudFormation SUCCESS" in told, told
        lines = wait_until(lambda: shipped(world, outputs["LogGroupName"]), 20, "both logs are in CloudWatch")
        note(lines)
    with check("the machine asked for no name that the stack does not name, and for no metadata without a token"):
        asked = names_asked(world.box)
        assert not asked, f"it also asked for {sorted(asked)}"
        refused = [request for request in world.standins.requests if request[3] == 401]
        assert not refused, refused


def shipped(world, group):
    """How many lines of the user data's log and of the service's log CloudWatch holds, once it holds both."""
    counts = {}
    for stream in world.logs.describe_log_streams(logGroupName=group)["logStreams"]:
        name = stream["logStreamName"]
        events = world.logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)["events"]
        counts[name] = [event["message"] for event in events]
    told = next((lines for name, lines in counts.items() if "userdata" in name), [])
    served = [lines for name, lines in counts.items() if "userdata" not in name]
    if any("Telling CloudFormation SUCCESS" in line for line in told) and any(lines for lines in served):
        return ", ".join(f"{len(lines)} lines in {name}" for name, lines in counts.items())
    return None


def names_asked(box):
    """Names that machines asked for and no stand-in answers to, beside what cloud-init asks to learn about its network."""
    answered = [line.split() for line in (box.logs / "names-for-machines.log").read_text().splitlines() if " is NXDOMAIN" in line]
    asked = {words[words.index("is") - 1] for words in answered}
    return {name for name in asked if "." in name and not name.endswith((".invalid", ".example.com", ".internal"))}


def reboots(machine, stack):
    model = Path(machine.root) / "var/lib/assay/fraud.model"
    log = Path(machine.root) / "var/log/userdata.log"
    before = (model.read_bytes(), model.stat().st_mtime_ns, log.read_text())
    with check("after a reboot it answers GET /health again, with the same model and without running user data again") as note:
        begun = time.monotonic()
        machine.reboot()
        wait_until(lambda: healthy(stack), 60, "the service answers", every=0.05)
        seconds = time.monotonic() - begun
        note(f"{seconds:.1f} s")
        after = (model.read_bytes(), model.stat().st_mtime_ns, log.read_text())
        assert before == after, "the model or the log of the user data has changed"
        figure("user data: reboot to health, without training", "< 15 s", f"{seconds:.1f} s")
        assert seconds < 15, f"it took {seconds:.1f} s"


def refuses_a_damaged_model(machine, stack):
    model = Path(machine.root) / "var/lib/assay/fraud.model"
    good = model.read_bytes()
    with check("a damaged model is refused with a sentence in the journal, and the good one is served again") as note:
        model.write_bytes(good[:len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1:])
        machine.run("systemctl", "restart", "assay")
        said = wait_until(lambda: complaint(machine), 10, "the service says what is wrong with its model")
        assert not healthy(stack)
        model.write_bytes(good)
        wait_until(lambda: healthy(stack), 20, "the service answers")
        note(said)


def complaint(machine):
    lines = machine.run("journalctl", "--unit", "assay", "--output", "cat", "--lines", "5").splitlines()
    said = [json.loads(line)["message"] for line in lines if line.startswith("{")]
    return next((message for message in said if "fraud.model" in message and "checksum" in message), None)


@dataclass
class Breakdown:
    """A machine that finds something wrong: with these parameters, what is asserted, and the words that its owner must read."""

    name: str
    sentence: str
    words: list
    parameters: dict
    status: str = "FAILURE"
    options: list = field(default_factory=list)


BREAKDOWNS = [
    Breakdown("data-gone", "the data set's URL is gone",
              ["user data line", f"no history could be fetched from {GONE_URL}", "404", "OnMissingData"],
              {"DatasetUrl": GONE_URL}),
    Breakdown("data-changed", "the data set has another SHA-256",
              ["user data line", "has SHA-256", "not " + "ab" * 32], {"DatasetSha256": "ab" * 32}),
    Breakdown("data-half", "the download of the data set breaks off half-way, every time",
              ["user data line", f"no history could be fetched from {HALF_URL}"], {"DatasetUrl": HALF_URL}),
    Breakdown("disk-full", "the disk is full",
              ["user data line", "is the disk full"], {}, options=["--tmpfs=/var/lib/assay:size=3M,mode=0755"]),
    Breakdown("release-damaged", "the release's tarball is damaged",
              ["user data line", "sha256sum", "did NOT match"], {"ReleaseUrl": DAMAGED_URL}),
    Breakdown("data-simulated", "the data set's URL is gone and OnMissingData is simulate",
              ["logistic trained on a SIMULATED history"],
              {"DatasetUrl": GONE_URL, "OnMissingData": "simulate", "Learner": "logistic"}, status="SUCCESS"),
]


def switch_on_what_breaks_down(world):
    with check("machines that will find something wrong are switched on, each with a stack of its own", vital=True):
        layers = [installed_layer(world.box), machine_root(world.box)]
        return [launch(world, number, broken.name, broken.parameters, layers, broken.options)
                for number, broken in enumerate(BREAKDOWNS, 2)]


def breaks_down(world, broken, stack, machine, begun):
    if broken.status == "FAILURE":
        with check(f"{broken.sentence}: the stack fails with the reason, and nothing is left or serves") as note:
            fails(world, broken, stack, machine, begun, note)
    else:
        with check(f"{broken.sentence}: the stack completes, and its output says that the model is simulated") as note:
            signal, when = signal_of(world, stack, 240)
            assert signal["Status"] == broken.status, signal
            said = stack.outputs()["ModelOrigin"]
            assert all(word in said for word in broken.words), said
            note(f"{said} after {when - begun:.1f} s")


def fails(world, broken, stack, machine, begun, note):
    signal, when = signal_of(world, stack, 120)
    assert signal["Status"] == "FAILURE", signal
    said = signal["Reason"]
    assert all(word in said for word in broken.words), f"the reason is: {said}"
    told = stack.ended()
    assert told and f"received failed message: '{said}'" in told, f"the stack's creation said: {told}"
    left = [str(file) for file in (Path(machine.root) / "var/lib/assay").rglob("*")] if "tmpfs" not in str(broken.options) else []
    assert not left, f"left behind: {left}"
    assert subprocess.run(["curl", "--silent", "--max-time", "1", f"http://{machine.address}:5000/health"]).returncode != 0
    note(f"\"{said}\" after {when - begun:.1f} s")


def switch_on_what_asks_for_keys(world):
    with check("a stack that names a secret with a key is under creation, and its machine is switched on", vital=True):
        program = world.box.run / "assay-serve"
        archive = tarball(world.template.parents[1])
        with open(program, "wb") as file:
            subprocess.run(["tar", "--extract", "--gzip", "--to-stdout", "--wildcards", f"--file={archive}", "*/bin/assay-serve"],
                           stdout=file, check=True)
        program.chmod(0o755)
        keys = Keys(world.secrets, program, world.box.run / "keys-1")
        stack, machine, _ = launch(world, len(BREAKDOWNS) + 2, "with-keys", {"KeysSecretArn": keys.arn, "Learner": "logistic"},
                                   [installed_layer(world.box), machine_root(world.box)])
        forward(stack.instance.public_address, machine.address)
        return keys, (stack, machine)


def asks_for_keys(world, keys, stack, machine):
    folder = world.template.parent
    with check("with a key in the secret, FraudDetectionPredictCommand is refused as it stands, and scores with the key") as note:
        signal, _ = signal_of(world, stack, 240)
        assert signal["Status"] == "SUCCESS", signal
        command = stack.outputs()["FraudDetectionPredictCommand"]
        said = only_holders_are_answered(command, folder, keys.key)
        assert healthy(stack), "GET /health asks for a key"
        note(said)
        figure("environment 1 with a key in the secret", "401 without it, 200 with it", said)
    with check("a key that is taken back in Secrets Manager is refused within little more than a minute") as note:
        keys.take_back()
        begun = time.monotonic()
        wait_until(lambda: predicted(command, folder, keys.key)[0] == 401, KEYS_TAKEN_BACK_S, "the key is refused", every=0.5)
        note(f"after {time.monotonic() - begun:.1f} s")
    machine.stop()
