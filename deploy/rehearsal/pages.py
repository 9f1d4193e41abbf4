"""What does a page of the documentation tell its reader to write or to type? Read out of it, so that it cannot say otherwise."""

import re


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def files(page, language):
    """Content of each file that the page shows, by the path in the comment that it begins with."""
    shown = (re.match(r"# (/\S+)\n(.*)", block, re.DOTALL) for block in blocks(page, language))
    return {found[1]: found[2] for found in shown if found}


def commands(page, word):
    """The block of commands that has `word` in it."""
    found = [block for block in blocks(page, "sh") if word in block]
    assert len(found) == 1, f"{page} has {len(found)} blocks of commands with '{word}'; one was expected"
    return found[0]
