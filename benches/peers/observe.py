"""How long does the serving path need for the features of one transaction, and how much memory for the past behind them?"""

import os
import statistics

from measure import Line, Section, Verdict, say
from features import DEFINITION
from workplace import answer, pinned, program, shown

P50_US, P99_US, MEMORY_MB = 2, 10, 3_000
LARGE_PAGES = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def run(quick):
    asked = [(5_000, 60, {}), (1_000_000, 3, {}), (1_000_000, 3, {"env": LARGE_PAGES})]
    whole = (1_000_000, 30, {})
    section = Section(
        "Features of one transaction",
        "The serving path on one core: the handbook's 15 features of a transaction, and its place in the past of those to come. Two transactions a"
        " day of each customer, at twice as many terminals; the last 200,000 are measured.",
        commands=[shown(command(*case[:2])) for case in [*asked, whole]],
    )
    found = {case_name(*case): [] for case in asked}
    for turn in range(1 if quick else 3):
        for case in asked:
            say(f"  turn {turn + 1}: {case_name(*case)}")
            found[case_name(*case)].append(answer(command(*case[:2]), **case[2]))
    if not quick:
        say(f"  {case_name(*whole)}")
        found[case_name(*whole)] = [answer(command(*whole[:2]))]
    for name, answers in found.items():
        of = {key: [one[key] for one in answers] for key in ("p50_us", "p99_us", "memory_mb")}
        section.lines += [Line(f"{name}, p50", of["p50_us"], "µs"), Line(f"{name}, p99", of["p99_us"], "µs"), Line(f"{name}, memory", of["memory_mb"], "MB")]
        if name in (case_name(*asked[0]), case_name(*whole)):
            judge(section, name, {key: statistics.median(values) for key, values in of.items()})
    return section


def judge(section, name, median):
    section.verdicts.append(Verdict(f"features of one transaction, {name}, p50", f"{median['p50_us']:.1f} µs", f"≤ {P50_US} µs", median["p50_us"] <= P50_US))
    section.verdicts.append(Verdict(f"features of one transaction, {name}, p99", f"{median['p99_us']:.1f} µs", f"≤ {P99_US} µs", median["p99_us"] <= P99_US))
    if name.startswith("1,000,000"):
        memory = median["memory_mb"]
        section.verdicts.append(Verdict(f"memory of {name}", f"{memory:,.0f} MB", f"≤ {MEMORY_MB:,} MB", memory <= MEMORY_MB))


def command(customers, days):
    return pinned(1, [program("observe"), DEFINITION, customers, days])


def case_name(customers, days, options):
    return f"{customers:,} customers, {days} days" + (", pages of 2 MiB" if options else "")
