"""Reads a journal by its description in docs/journal.md, with nothing but Python's own sqlite3 and hashlib, and tells what it finds."""

import hashlib
import json
import sqlite3
import struct
import sys

file = sqlite3.connect(f"file:{sys.argv[1]}/journal.sqlite?mode=ro", uri=True)


def part(content):
    return b"\xff" * 4 if content is None else struct.pack(">I", len(content)) + content


def encoded(text):
    return None if text is None else text.encode()


def mark(identity, kind, name):
    if name is None:
        return 0
    space = "transaction" if kind == "decision" else kind
    return max(1, int.from_bytes(hashlib.sha256(identity + space.encode() + b"\0" + name.encode()).digest()[:8], "big"))


identity, sequence, chained = file.execute("SELECT * FROM journal").fetchone()
if sequence == 0:
    assert chained == hashlib.sha256(b"assay journal" + identity).digest()
marks = {}
for first, blob in file.execute("SELECT first, marks FROM ids"):
    marks |= dict(enumerate(struct.unpack(f">{len(blob) // 8}Q", blob), first))
entries = "SELECT sequence, kind, id, arrived, body, personal, salt, digest, hash FROM entries WHERE sequence > ? ORDER BY sequence"
for number, kind, name, arrived, body, personal, salt, digest, stored in file.execute(entries, [sequence]):
    sequence += 1
    assert number == sequence
    if personal is not None:
        assert digest == hashlib.sha256(salt + personal.encode()).digest()
    parts = [encoded(kind), encoded(name), encoded(body), digest]
    chained = hashlib.sha256(chained + struct.pack(">Qq", sequence, arrived) + b"".join(map(part, parts))).digest()
    assert chained == stored, sequence
    assert marks[sequence] == mark(identity, kind, name), sequence


def rows(view):
    return [list(row) for row in file.execute(f"SELECT * FROM {view} ORDER BY sequence")]


views = {view: rows(view) for view in ["decisions", "transactions", "labels", "changes", "history"]}
print(json.dumps({"head": f"{sequence}:{chained.hex()}", "sound": file.execute("PRAGMA integrity_check").fetchone()[0], **views}))
