"""What does a server do that is asked for five times as much as it can, and for connections that do not last?"""

import statistics

from measure import Line, Section, Verdict, interleave
from servers import BATCH_ROWS, LOAD_CORE, bodies, requests_per_second, running, shown_all, wrk
from workplace import answer, pinned, program, shown

TIMES, GOODPUT_BAR, HEALTH_BAR_MS = 5, 0.9, 50
REQUESTS_PER_CONNECTION, RECONNECT_BAR = 25, 0.8


def run(quick):
    seconds, turns, overload_seconds = (3, 2, 10) if quick else (10, 5, 60)
    section = Section(
        "More than it can",
        f"Saturation is wrk's median rate of requests of {BATCH_ROWS} rows, before and after. Then {TIMES} times as many are due at fixed moments for {overload_seconds} s,"
        " answered or not, while `/health` is asked on a new connection every 20 ms. The server has core 0, the load core 1. An answer is a 200; everything else has to be a 503 with"
        f" `Retry-After`. Reconnecting: requests of one row, {REQUESTS_PER_CONNECTION} to a connection, then a new one, against connections that stay.",
        commands=shown_all(["Assay"]),
    )
    batches, rows = bodies(BATCH_ROWS), bodies(1)
    with running(["Assay"]) as ports:
        port = ports["Assay"]

        def saturated():
            return [requests_per_second(port, "/predict", seconds, batches) for _ in range(turns)]

        before = saturated()
        rate = int(TIMES * statistics.median(before))
        load = pinned(LOAD_CORE, [program("overload"), f"127.0.0.1:{port}", rate, overload_seconds, batches])
        found = answer(load)
        saturation = before + saturated()
        again = wrk(port, "/predict", seconds, rows, REQUESTS_PER_CONNECTION)
        section.commands += [shown(command).replace(f":{port}", ":PORT") for command in (load, again)]
        contenders = {
            "connections that stay": lambda: requests_per_second(port, "/predict", seconds, rows),
            "connections of 25 requests": lambda: requests_per_second(port, "/predict", seconds, rows, REQUESTS_PER_CONNECTION),
        }
        reconnecting = interleave(contenders, turns)
    goodput = found["answered_per_s"] / statistics.median(saturation)
    section.lines += [
        Line("saturation", saturation, "requests/s"),
        Line(f"offered {TIMES} times that: answered", [found["answered_per_s"]], "requests/s"),
        Line("refused", [found["refused_per_s"]], "requests/s"),
        Line("not sent, since 768 connections were busy", [found["unsent_per_s"]], "requests/s"),
        Line("answered, p50", [found["answered"]["p50_us"] / 1e3], "ms"),
        Line("answered, p99", [found["answered"]["p99_us"] / 1e3], "ms"),
        Line("refused, p50", [found["refused"]["p50_us"] / 1e3], "ms"),
        Line("refused, p99", [found["refused"]["p99_us"] / 1e3], "ms"),
        Line("`/health`, p99", [found["health"]["p99_us"] / 1e3], "ms"),
        Line("`/health`, longest", [found["health"]["max_us"] / 1e3], "ms"),
    ]
    section.lines += [Line(name, values, "requests/s") for name, values in reconnecting.items()]
    wrong = found["refused_without_retry_after"] + found["broken"] + found["other"] + found["health_failed"]
    longest = found["health"]["max_us"] / 1e3
    stay, again = (statistics.median(values) for values in reconnecting.values())
    section.verdicts += [
        Verdict(f"answered under {TIMES} times the load, against saturation", f"{goodput:.0%}", f"≥ {GOODPUT_BAR:.0%}", goodput >= GOODPUT_BAR),
        Verdict("neither answered nor refused as it should be", str(wrong), "0", wrong == 0),
        Verdict("`/health` meanwhile, longest", f"{longest:.0f} ms", f"< {HEALTH_BAR_MS} ms", longest < HEALTH_BAR_MS),
        Verdict(f"a new connection every {REQUESTS_PER_CONNECTION} requests, against connections that stay", f"{again / stay:.0%}", f"≥ {RECONNECT_BAR:.0%}", again >= RECONNECT_BAR * stay),
    ]
    return section
