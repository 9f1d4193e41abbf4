"""How is one assertion of the rehearsal said, timed and counted, and where do the figures go?"""

import subprocess
import time
import traceback
from contextlib import contextmanager

passed = 0
failed = 0
figures = []


class Stop(Exception):
    """What failed was needed by the rest of its part."""


class Note:
    """What a check found out, said at the end of its line."""

    text = ""

    def __call__(self, text):
        self.text = f": {text}"


@contextmanager
def check(sentence, vital=False):
    """Run the body as one check: it asserts, or raises. After a failed `vital` check its part goes no further."""
    global passed, failed
    note = Note()
    begun = time.monotonic()
    try:
        yield note
    except Stop:
        raise
    except Exception as error:  # Whatever went wrong, the line must say so and the other checks must run.
        failed += 1
        print(f"FAILED {time.monotonic() - begun:7.1f} s  {sentence}{note.text}", flush=True)
        print(indent(reason(error)), flush=True)
        if vital:
            raise Stop(sentence) from error
        return
    passed += 1
    print(f"ok     {time.monotonic() - begun:7.1f} s  {sentence}{note.text}", flush=True)


def part_stopped(part, error):
    """A part that could not go on counts as a failure even where no check had begun."""
    global failed
    if isinstance(error, Stop):
        print(f"       {part} stops here: the rest of it needs the check above", flush=True)
        return
    failed += 1
    print(f"FAILED            {part}: outside of any check\n{indent(reason(error))}", flush=True)


def reason(error):
    if isinstance(error, subprocess.CalledProcessError):
        said = "\n".join(text for text in (error.stdout, error.stderr) if text)
        return f"{command_line(error.cmd)}: exit code {error.returncode}\n{tail(said)}"
    if isinstance(error, AssertionError) and error.args:
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


def command_line(command):
    return command if isinstance(command, str) else " ".join(map(str, command))


def tail(text, lines=30):
    return "\n".join(text.rstrip().splitlines()[-lines:])


def indent(text):
    return "\n".join(f"         | {line}" for line in text.splitlines())


def figure(what, at_least, measured):
    """A row of the issue's table of figures."""
    figures.append((what, at_least, measured))


def figures_table(opening):
    rows = ["| what | must reach | measured |", "| --- | --- | --- |"]
    rows += [f"| {what} | {at_least} | {measured} |" for what, at_least, measured in figures]
    return opening + "\n\n" + "\n".join(rows) + "\n"


def wait_until(condition, seconds, sentence, every=0.1):
    """The first true value of `condition()`; says `sentence` when none came within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{sentence} within {seconds:g} s"
        time.sleep(every)


def output(*command, **options):
    """What a command printed; its failure carries what it said."""
    options.setdefault("timeout", 600)
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
