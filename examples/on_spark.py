"""Runs the SELECT of a definition on Spark, and writes the Parquet that `assay features` would write.

    spark-submit on_spark.py [--labelled] DEFINITION HISTORY FEATURES

DEFINITION is the file that `assay features` takes, HISTORY the Parquet of the transactions, FEATURES the folder to write: paths, or whatever
Spark can open. With --labelled only transactions whose label is known are written, which is what `assay train` learns from; the windows
see all of them. docs/scale.md says when Spark is needed, and what to watch.

A definition is not checked here. `assay features` over a slice of the history does that, and says what is wrong with a leak, a label or
a row.
"""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

# What keeps a definition's meaning, whatever the cluster's own settings are.
SETTINGS = {
    # Event times are in UTC.
    "spark.sql.session.timeZone": "UTC",
    # x / 0 is NULL, as definitions have it; under ANSI Spark stops there.
    "spark.sql.ansi.enabled": "false",
    # Times as every reader of Parquet knows them, not the INT96 of old.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
TYPES = {"BIGINT": "BIGINT", "INT": "BIGINT", "INTEGER": "BIGINT", "SMALLINT": "BIGINT", "INT8": "BIGINT", "DOUBLE": "DOUBLE", "FLOAT8": "DOUBLE"}
TYPES |= {"BOOLEAN": "BOOLEAN", "BOOL": "BOOLEAN", "TEXT": "STRING", "VARCHAR": "STRING", "TIMESTAMP": "TIMESTAMP"}
# Names for what stands beside the features in the view; a feature may be called like a column of the table.
ID, TIME, LABEL = "assay_id", "assay_event_time", "assay_label"


@dataclass
class Definition:
    """What Spark must know of a definition."""

    table: str
    columns: dict[str, str]
    id: str
    event_time: str
    label: str | None
    label_delay_seconds: int
    zone: str
    select: str


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the SELECT of a definition on Spark, for `assay train`.")
    parser.add_argument("definition", help="the definition that `assay features` takes")
    parser.add_argument("history", help="Parquet of the transactions")
    parser.add_argument("features", help="folder of Parquet to write")
    parser.add_argument("--labelled", action="store_true", help="write only the transactions whose label is known")
    arguments = parser.parse_args()

    spark = SparkSession.builder.appName("assay features").getOrCreate()
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    definition = read_definition(spark, arguments.definition)
    transactions(spark, definition, arguments.history).createOrReplaceTempView(definition.table)
    # The times are read; the hours, days and weeks taken from them are those of the definition's zone.
    spark.conf.set("spark.sql.session.timeZone", definition.zone)
    table = features(spark, definition)
    if arguments.labelled:
        if not definition.label:
            sys.exit(f"{arguments.definition}: the definition names no label; write label = '…' into WITH, or leave --labelled out")
        table = table.where(F.col(f"`{definition.label}`").isNotNull())
    table.write.mode("overwrite").parquet(arguments.features)
    print(f"Worked out {len(table.columns) - 2 - bool(definition.label)} features: {arguments.features}")
    if definition.label:
        print(f"Learn from them with: {train_command(definition, arguments.features)}")


def train_command(definition: Definition, path: str) -> str:
    """What `assay train --definition` would know by itself."""
    return (
        f"assay train {path}/*.parquet --label {definition.label} --time {definition.event_time} --drop {definition.id}"
        f" --gap {definition.label_delay_seconds} --out fraud.model"
    )


def features(spark: SparkSession, definition: Definition) -> DataFrame:
    """Id, event time, features and label of every transaction, in the order of events."""
    beside = [ID, TIME] + ([LABEL] if definition.label else [])
    made = spark.sql(re.sub("^SELECT", "SELECT " + "".join(f"{name}, " for name in beside), definition.select, flags=re.I))
    columns = [F.col(ID).alias(definition.id), F.col(TIME).alias(definition.event_time)]
    columns += [feature(name, kind) for name, kind in made.dtypes if name not in beside]
    if definition.label:
        columns.append(F.col(LABEL).cast("double").alias(definition.label))
    return made.orderBy(TIME, ID).select(columns)


def feature(name: str, kind: str) -> Column:
    """A feature as a model takes it: truths and whole numbers as DOUBLE, what is infinite or no number as missing."""
    column = F.col(f"`{name}`")
    if kind == "string":
        return column
    return F.when(F.abs(column.cast("double")) < float("inf"), column.cast("double")).alias(name)


def transactions(spark: SparkSession, definition: Definition, path: str) -> DataFrame:
    """The history as the table of the definition: columns found in any case of letters, each of its type."""
    history = read_history(spark, path)
    found = {name.lower(): (name, kind) for name, kind in history.dtypes}
    for name in definition.columns:
        if name.lower() not in found:
            sys.exit(f"{path}: there is no column `{name}`, which the definition describes; the columns are: {', '.join(history.columns)}")

    def cast(name: str, kind: str) -> Column:
        original, original_kind = found[name.lower()]
        if kind == "TIMESTAMP" and original_kind == "bigint":
            return F.expr(f"timestamp_micros(`{original}` div 1000)")
        return F.col(f"`{original}`").cast(kind)

    columns = {name: cast(name, kind) for name, kind in definition.columns.items()}
    beside = [columns[definition.id].alias(ID), columns[definition.event_time].alias(TIME)]
    if definition.label:
        beside.append(columns[definition.label].alias(LABEL))
        # In windows, a label that is not known counts as "not fraud": nobody reported it in time.
        columns[definition.label] = F.coalesce(columns[definition.label], F.lit(False))
    return history.select(*[column.alias(name) for name, column in columns.items()], *beside)


def read_history(spark: SparkSession, path: str) -> DataFrame:
    """Parquet. Times in nanoseconds, as pandas writes them, come as numbers: Spark has no type for them."""
    try:
        return spark.read.parquet(path)
    except PySparkException as error:
        if "NANOS" not in str(error):
            raise
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    return spark.read.parquet(path)


def read_definition(spark: SparkSession, path: str) -> Definition:
    """The two statements of a definition."""
    own = Path(path)
    sql = own.read_text() if own.is_file() else "\n".join(row.value for row in spark.read.text(path).collect())
    sql = for_spark(sql)
    table = re.search(r"CREATE\s+TABLE\s+(\S+)\s*\((.*?)\)\s*WITH\s*\((.*?)\)\s*;", sql, re.I | re.S)
    view = re.search(r"CREATE\s+VIEW\s+\S+\s+AS\s+(SELECT\b.*?)\s*;?\s*$", sql, re.I | re.S)
    if not table or not view:
        sys.exit(f"{path}: a definition is CREATE TABLE … WITH (event_time = '…') and CREATE VIEW … AS SELECT; see docs/features.md")
    described = [column.replace("`", "").split() for column in table[2].split(",")]
    options = {name.lower(): value for name, value in re.findall(r"(\w+)\s*=\s*'([^']*)'", table[3])}
    return Definition(
        table=table[1],
        columns={name: TYPES[kind.upper()] for name, kind, *_ in described},
        id=next(name for name, *rest in described if "PRIMARY" in [word.upper() for word in rest]),
        event_time=options["event_time"],
        label=options.get("label"),
        label_delay_seconds=seconds(options.get("label_delay", "7 days")),
        zone=options.get("zone", "UTC"),
        select=view[1],
    )


def seconds(length: str) -> int:
    """A length like `7 days` or `1 day 12 hours`."""
    units = {"sec": 1, "min": 60, "hou": 3_600, "day": 86_400, "wee": 604_800}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)\s+([a-z]{3})", length.lower()))


# The SELECT goes to Spark as it stands, but for the words below: what they say has no spelling that every engine knows.

# `dow` is 1 on Sunday there, `isodow` has another name, and `epoch`, the seconds of a moment or of a length of time, has none: a cast gives
# the whole seconds of both, and their part `second` the rest.
PARTS = {
    "dow": "(extract(dow FROM {0}) - 1)",
    "isodow": "extract(dayofweek_iso FROM {0})",
    "epoch": "(CAST({0} AS BIGINT) + CAST(extract(second FROM {0}) % 1 AS DOUBLE))",
}
EXTRACT = re.compile(r"\bextract\s*\(\s*(\w+)\s+FROM\b", re.I)
COUNT_DISTINCT = re.compile(r"\bcount\s*\(\s*DISTINCT\b", re.I)
TOKEN = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"[^"]*"|(?<![\w.])(?:\d+\.\d*|\.\d+)(?![\w.])""", re.S)


def for_spark(sql: str) -> str:
    """SQL without comments, spelt as Spark spells it."""
    return rewritten(rewritten(TOKEN.sub(token, sql), EXTRACT, part_of_time), COUNT_DISTINCT, count_distinct)


def token(match: re.Match) -> str:
    text = match[0]
    match text[0]:
        case "'":
            return "'" + text[1:-1].replace("\\", "\\\\").replace("''", "\\'") + "'"
        case '"':
            return text.replace('"', "`")
        case "-" | "/":
            return " "
        case _:
            # 7.0 is a DECIMAL there, and a whole number divided by it keeps six digits.
            return text + "D"


def rewritten(sql: str, opening: re.Pattern, write: Callable[[re.Match, str, str], tuple[str, str]]) -> str:
    """SQL with each bracket that `opening` opens written anew: `write` takes what is inside and what follows, and gives both."""
    done = ""
    while match := opening.search(sql):
        end = closing(sql, match.end())
        inside = rewritten(sql[match.end() : end].strip(), opening, write)
        written, rest = write(match, inside, sql[end + 1 :])
        done, sql = done + sql[: match.start()] + written, rest
    return done + sql


def part_of_time(match: re.Match, moment: str, rest: str) -> tuple[str, str]:
    part = match[1].lower()
    return PARTS.get(part, f"extract({part} FROM {{0}})").format(f"({moment})"), rest


def count_distinct(_: re.Match, argument: str, rest: str) -> tuple[str, str]:
    """Spark refuses DISTINCT in a window; the set of what is there has as many members."""
    end = 0
    for clause in (r"\s*FILTER\s*\(", r"\s*OVER\s*\(", r"\s*OVER\s+\w+"):
        if match := re.compile(clause, re.I).match(rest, end):
            end = closing(rest, match.end()) + 1 if match[0].endswith("(") else match.end()
    return f"size(collect_set({argument}){rest[:end]})", rest[end:]


def closing(sql: str, place: int) -> int:
    """Where the bracket closes that is open at `place`."""
    depth = 1
    for match in re.compile(r"'(?:[^'\\]|\\.)*'|[()]", re.S).finditer(sql, place):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    sys.exit("a bracket of the definition does not close")


if __name__ == "__main__":
    main()
