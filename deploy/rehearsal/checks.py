"""How is one assertion of the rehearsal said, timed and counted, and where do the figures go?"""

import subprocess
import threading
import time
import traceback
from contextlib import contextmanager

passed = 0
failed = 0
figures = []
_counting = threading.Lock()
_said = threading.local()  # Lines of a part that runs beside others, kept until `say_kept`.


def say(text):
    """Print a line, or keep it where a part runs beside others, so that the lines of each stay together."""
    if hasattr(_said, "lines"):
        _said.lines.append(text)
    else:
        print(text, flush=True)


def beside(part, work):
    """Run `work` beside what follows; the function returned waits for its end and says its lines."""
    lines = []

    def run():
        _said.lines = lines
        contained(part, work)

    thread = threading.Thread(target=run)
    thread.start()

    def say_kept():
        thread.join()
        print(f"\n== {part}, what went on beside the parts above", flush=True)
        print("\n".join(lines), flush=True)

    return say_kept


def contained(part, work):
    """What `work` returns; however it ends, the other parts still run, and the count comes."""
    try:
        return work()
    except Exception as error:
        part_stopped(part, error)
        return None


def count(ok):
    global passed, failed
    with _counting:
        passed, failed = passed + ok, failed + (not ok)


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
    note = Note()
    begun = time.monotonic()
    try:
        yield note
    except Stop:
        raise
    except Exception as error:  # Whatever went wrong, the line must say so and the other checks must run.
        count(False)
        say(f"FAILED {time.monotonic() - begun:7.1f} s  {sentence}{note.text}\n{indent(reason(error))}")
        if vital:
            raise Stop(sentence) from error
        return
    count(True)
    say(f"ok     {time.monotonic() - begun:7.1f} s  {sentence}{note.text}")


def part_stopped(part, error):
    """A part that could not go on counts as a failure even where no check had begun."""
    if isinstance(error, Stop):
        say(f"       {part} stops here: the rest of it needs the check above")
        return
    count(False)
    say(f"FAILED            {part}: outside of any check\n{indent(reason(error))}")


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


def output(*command, log=None, **options):
    """What a command printed, which goes to `log` instead if that is given; its failure carries what it said."""
    options.setdefault("timeout", 600)
    if not log:
        return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout
    try:
        subprocess.run(command, check=True, stdout=log, stderr=log, text=True, **options)
    except subprocess.CalledProcessError as error:
        with open(log.name, errors="replace") as written:
            error.stderr = f"{written.read()}\n(from {log.name})"
        raise
    return None
