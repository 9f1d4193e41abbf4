"""What Python's own sqlite3 counts in the journal of a data folder, while a server writes it. Argument: the data folder."""

import json
import pathlib
import sqlite3
import sys

connection = sqlite3.connect(f"file:{pathlib.Path(sys.argv[1]) / 'journal.sqlite'}?mode=ro", uri=True)


def counts(query):
    return dict(connection.execute(query).fetchall())


json.dump(
    {
        "kinds": counts("SELECT kind, count(*) FROM entries GROUP BY kind"),
        "outcomes": counts("SELECT outcome, count(*) FROM decisions GROUP BY outcome"),
        "labels": counts("SELECT label, count(*) FROM labels GROUP BY label"),
        "ids": connection.execute("SELECT count(DISTINCT id) FROM decisions").fetchone()[0],
        "last": connection.execute("SELECT max(sequence) FROM entries").fetchone()[0],
    },
    sys.stdout,
)
