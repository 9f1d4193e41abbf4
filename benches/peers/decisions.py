"""How fast are decisions that are on the disk before they are told, in a journal that holds ten million, and how fast are they proved?"""

import bisect
import contextlib
import datetime
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import time

from measure import Line, Section, Verdict, interleave
from servers import LOAD_CORE, SERVER_CORE, free_port, stop, wait_ready
from workplace import REPOSITORY, WORK, answer, made, output, pinned, program, shown

ENTRIES, PAST_DAYS = 10_000_000, 300
CONNECTIONS, MODERATE = 256, 2_000
# A server rests when it used less than this share of a core for so many seconds; how long that is waited for.
RESTING_SHARE, RESTING_SECONDS, REST_PATIENCE = 0.02, 3, 300
RATE_BAR, OVERHEAD_BAR_MS, IN_PROCESS_BAR_US, REPLAY_BAR, REPLAYED = 10_000, 1, 20, 100_000, 1_000_000
# After a kill, and without a snapshot: seconds for each million entries.
RESTART_BAR = 2
# What a group of so many decisions writes to the log, about.
GROUP_BYTES, SYNCS = 64 << 10, 2_000
POLICY = '{"version": "bench", "rules": [{"id": "large", "when": "tx_amount > 163", "outcome": "decline"}]}'


def run(quick):
    entries, seconds, turns, replayed = (200_000, 3, 2, 200_000) if quick else (ENTRIES, 10, 5, REPLAYED)
    folder = WORK / "decisions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    section = Section(
        "Decisions",
        f"`POST /v1/decisions`, a transaction each, with the handbook's 15 features and a forest of 200 × 31, ids of random letters, to a journal that holds {entries:,} decisions of the last"
        f" {PAST_DAYS} days; 0.6 % are declined, and get reasons. The server has core 0, all its threads included; the load core 1. With {CONNECTIONS} connections each asks again as soon as it is"
        f" answered; at {MODERATE:,} a second requests are due at fixed moments, once the threads that give way have caught up. The disk's own figure is a write of {GROUP_BYTES >> 10} KiB over a file and fdatasync, in turn with the rest. The journal's log"
        " goes back into its file now and then; the server's log says when, and figures are given with those moments and without. In process: `decide`, without"
        " disk and reasons, with lists, five rules, costs, a control group and a shadow policy. Restarts: a server of both cores, killed with -9, from its start until `/ready` answers 200."
        " Replay: `assay verify`, on both cores.",
        commands=[shown(pinned(SERVER_CORE, serve(folder, "PORT")))],
    )
    told, decide = folder / "latencies", pinned(SERVER_CORE, [program("decide")])
    with serving(folder, stop=kill) as (port, process):
        output(load(port, 4, 3_600 if not quick else 60, 500, 0, PAST_DAYS, entries))
        contenders = {
            "closed": lambda: answer(load(port, CONNECTIONS, seconds, 1, 0)),
            "moderate": lambda: rested(process, lambda: answer(load(port, CONNECTIONS, seconds, 1, MODERATE, told=told)) | {"each": each(told)}),
            "disk": lambda: syncs(folder),
            "in process": lambda: answer(decide),
        }
        found = interleave(contenders, turns)
    copies = copying(folder / "server.log")
    restarts = [restart(folder) for _ in range(turns)]
    section.commands += [shown(load("PORT", CONNECTIONS, seconds, 1, rate)) for rate in (0, MODERATE)] + [shown(decide)]
    rates = [run["decided_per_s"] for run in found["closed"]]
    section.lines.append(Line(f"decisions, {CONNECTIONS} connections", rates, "decisions/s"))
    for name, words in (("closed", f"{CONNECTIONS} connections"), ("moderate", f"{MODERATE:,} a second")):
        section.lines += [
            Line(f"{words}, {key.removesuffix('_us')}", [run["latency"][key] / 1e3 for run in found[name]], "ms") for key in ("p50_us", "p99_us")
        ]
    outside = [away_from(copies, run["each"]) for run in found["moderate"]]
    for place, key in enumerate(("p50", "p99")):
        section.lines.append(Line(f"{MODERATE:,} a second, {key}, while the log does not go back", [latencies[place] for latencies in outside], "ms"))
    for place, key in enumerate(("p50", "p99")):
        section.lines.append(Line(f"the disk's own, {key}", [sync[place] for sync in found["disk"]], "ms"))
    section.lines += [Line(f"in process, {key.removesuffix('_us')}", [run[key] for run in found["in process"]], "µs") for key in ("p50_us", "p99_us")]
    wrong = sum(count for name in ("closed", "moderate") for run in found[name] for status, count in run["statuses"].items() if status != "200")
    disk = statistics.median(sync[1] for sync in found["disk"])
    whole = statistics.median(run["latency"]["p99_us"] / 1e3 for run in found["moderate"]) - disk
    overhead = statistics.median(latencies[1] for latencies in outside) - disk
    section.notes.append(
        f"The log went back into the file {len(copies)} times during all of this, {statistics.median(until - since for since, until in copies) / 1e3:.0f} ms at the median. With these moments"
        f" p99 at {MODERATE:,} a second is {whole:.2f} ms above the disk's own, without them {overhead:.2f} ms."
    )
    rate, in_process = statistics.median(rates), statistics.median(run["p99_us"] for run in found["in process"])
    section.verdicts += [
        Verdict("decisions a second, durable before answered, one core", f"{rate:,.0f}", f"≥ {RATE_BAR:,}", rate >= RATE_BAR),
        Verdict("answers that are not 200", str(wrong), "0", wrong == 0),
        Verdict("decided in process, p99", f"{in_process:.1f} µs", f"≤ {IN_PROCESS_BAR_US} µs", in_process <= IN_PROCESS_BAR_US),
        Verdict(f"p99 at {MODERATE:,} a second above the disk's own, while the log does not go back", f"{overhead:.2f} ms", f"≤ {OVERHEAD_BAR_MS} ms", overhead <= OVERHEAD_BAR_MS),
    ]
    held = entries_of(folder)
    section.lines.append(Line(f"restart after kill -9, {held:,} entries", restarts, "s"))
    each_million = statistics.median(restarts) / (held / 1e6)
    section.verdicts.append(Verdict("restart after kill -9, for each million entries", f"{each_million:.2f} s", f"< {RESTART_BAR} s", each_million < RESTART_BAR))
    small = WORK / "replayed"
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir()
    with serving(small) as (port, _):
        output(load(port, 4, 600, 500, 0, PAST_DAYS, replayed))
    verify = [program("assay"), "verify", small / "data", "--json"]
    section.commands.append(shown(verify))
    speeds = [answer_whole(verify)["decisions_per_second"] for _ in range(turns)]
    section.lines.append(Line(f"replay of {replayed:,} decisions", speeds, "decisions/s"))
    anew = [restart(small, afresh=True) for _ in range(turns)]
    section.lines.append(Line(f"start without a snapshot, {replayed:,} decisions", anew, "s"))
    section.lines.append(Line(f"start with one, {replayed:,} decisions", [restart(small) for _ in range(turns)], "s"))
    each_million = statistics.median(anew) / (replayed / 1e6)
    section.verdicts.append(Verdict("start without a snapshot, for each million decisions", f"{each_million:.2f} s", f"< {RESTART_BAR} s", each_million < RESTART_BAR))
    speed = statistics.median(speeds)
    section.verdicts.append(Verdict("decisions replayed a second, bit-equal", f"{speed:,.0f}", f"≥ {REPLAY_BAR:,}", speed >= REPLAY_BAR))
    shutil.rmtree(folder)
    shutil.rmtree(small)
    return section


def rested(process, measure):
    """What is measured once the threads that give way have caught up."""
    until = time.perf_counter() + REST_PATIENCE
    while time.perf_counter() < until:
        before = processor_seconds(process)
        time.sleep(RESTING_SECONDS)
        if processor_seconds(process) - before < RESTING_SHARE * RESTING_SECONDS:
            return measure()
    raise SystemExit(f"the server did not rest within {REST_PATIENCE} s")


def processor_seconds(process):
    """What the server has used of its core; taskset becomes the program it starts."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def model():
    """A forest of 200 × 31 over the handbook's features, with texts as ids."""
    sql = (REPOSITORY / "examples" / "cards" / "handbook.sql").read_text().replace("transaction_id BIGINT", "transaction_id TEXT")
    definition = WORK / "texts.sql"
    definition.write_text(sql)
    cards = made("cards.csv", lambda out: [program("assay"), "simulate", "--customers", 500, "--days", 120, "--out", out])
    settings = ["--set", "num_leaves=31", "--rounds", 200, "--resamples", 1, "--simulated", "--amount", "tx_amount"]
    return made("decides.model", lambda out: [program("assay"), "train", cards, "--definition", definition, *settings, "--out", out])


def serve(folder, port):
    policy = folder / "policy.json"
    policy.write_text(POLICY)
    data = ["--data-dir", folder / "data", "--policy", policy]
    return [program("assay"), "serve", "--model", model(), *data, "--bind", f"127.0.0.1:{port}", "--threads", 1, "--drain-seconds", 0]


@contextlib.contextmanager
def serving(folder, stop=stop, cores=SERVER_CORE):
    port = free_port()
    with open(folder / "server.log", "ab") as log:
        told = os.environ | {"ASSAY_LOG": "warn,assay::decisions=debug"}
        process = subprocess.Popen([str(word) for word in pinned(cores, serve(folder, port))], stdout=log, stderr=log, env=told)
    try:
        wait_ready(f"http://127.0.0.1:{port}/ready", process, patience=120)
        yield port, process
    finally:
        stop(process)


def kill(process):
    process.kill()
    process.wait()


def restart(folder, afresh=False):
    """Seconds from a start to the first 200 of `/ready`; it is killed then."""
    if afresh:
        (folder / "data" / "snapshot").unlink()
    began = time.perf_counter()
    with serving(folder, stop=kill if not afresh else stop, cores=f"{SERVER_CORE},{LOAD_CORE}"):
        return time.perf_counter() - began


def entries_of(folder):
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'data' / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
        return journal.execute("SELECT max(sequence) FROM entries").fetchone()[0]


def load(port, *words, told=None):
    return pinned(LOAD_CORE, [program("decisions"), *(["--latencies", told] if told else []), f"127.0.0.1:{port}", *words])


def each(told):
    """When each answer was due and how long it took, in microseconds."""
    return [tuple(map(int, line.split())) for line in told.read_text().splitlines()]


def copying(log):
    """From when to when the journal's log was on its way into the file, in microseconds."""
    found = []
    for line in log.read_text().splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("message") == "the journal's log went back into its file":
            until = datetime.datetime.fromisoformat(entry["timestamp"]).timestamp() * 1e6
            found.append((until - entry["seconds"] * 1e6, until))
    return found


def away_from(copies, answers):
    """p50 and p99 in ms of the answers that were not under way while the log was."""
    starts = [since for since, _ in copies]

    def is_away(due, took):
        before = bisect.bisect_right(starts, due + took) - 1
        return before < 0 or copies[before][1] < due

    kept = sorted(took / 1e3 for due, took in answers if is_away(due, took))
    return kept[len(kept) // 2], kept[len(kept) * 99 // 100]


def answer_whole(command):
    return json.loads(output(command))


def syncs(folder):
    """What a write of a group's bytes and its fdatasync take, p50 and p99 in ms."""
    took = []
    with open(folder / "syncs", "wb") as file:
        file.truncate(32 << 20)
        os.fsync(file.fileno())
        for number in range(SYNCS):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes([number % 256]) * GROUP_BYTES, (number * GROUP_BYTES) % (32 << 20))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]
