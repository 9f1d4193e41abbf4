"""The page docs/performance.md: the machine, a table of verdicts, a section per bench, and what was tried."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from workplace import REPOSITORY

HERE = Path(__file__).resolve().parent


def written(sections, quick, load_before):
    parts = [
        "# Performance, measured against peers",
        "Written by `make bench` (`benches/peers/run`); do not edit. Contenders take turns (A B A B …); figures are medians, with the"
        " lowest and the highest beside them. Read the ratios: the machine is what it is.",
        *(["**A quick run, for trying the benches out: these are no figures.**"] if quick else []),
        machine(load_before),
        "## What had to be reached",
        table(["what", "figure", "bar", ""], [[v.what, v.figure, v.bar, v.word] for section in sections for v in section.verdicts]),
        *(text for section in sections for text in of_section(section)),
        (HERE / "notes.md").read_text().strip(),
    ]
    return "\n\n".join(parts) + "\n"


def of_section(section):
    yield f"## {section.title}"
    yield section.about
    if section.commands:
        yield "```sh\n" + "\n".join(section.commands) + "\n```"
    if section.lines:
        rows = [[line.name, number(line.median), f"{number(min(line.values))} – {number(max(line.values))}", len(line.values), line.unit, line.note] for line in section.lines]
        yield table(["", "median", "spread", "runs", "unit", ""], rows)
    if section.notes:
        yield "\n".join(f"- {note}" for note in section.notes)


def machine(load_before):
    facts = [
        ("machine", f"{processor()}, {os.cpu_count()} cores, {memory_gib()} GiB"),
        ("system", f"{system()}, kernel {platform.release()}"),
        ("Rust, Python", f"{said('rustc', '--version')}; Python {platform.python_version()}"),
        ("peers", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in pinned_packages())),
        ("load before", f"{load_before:.2f} processes on average over the last minute"),
        ("commit, date", f"{commit()}, {datetime.date.today()}"),
    ]
    return table(["", ""], facts)


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def number(value):
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    return f"{value:.1e}"


def commit():
    changed = "" if not said("git", "status", "--porcelain", "--untracked-files=no") else ", with changes"
    return said("git", "rev-parse", "--short=12", "HEAD") + changed


def pinned_packages():
    return [line.split("==")[0] for line in (HERE / "requirements.txt").read_text().split()]


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def memory_gib():
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def system():
    return platform.freedesktop_os_release()["PRETTY_NAME"]


def said(*command):
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout.strip()
