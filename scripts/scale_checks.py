"""What scripts/scale asks: are the features of other engines ours, and is what docs/features.md says of Spark true?

untie HISTORY OUT [forget]      writes the transactions of HISTORY into the folder OUT, but for those that share a key and an instant with
                                an earlier one (an engine's CURRENT ROW takes all rows of an instant in): with times in microseconds and,
                                as pandas has them, in nanoseconds; `forget` leaves every tenth label out, and those of the last week
datafusion GUIDE DEFINITION HISTORY FEATURES
                                runs the SELECT of a definition on DataFusion, as docs/scale.md, the GUIDE, shows it
compare OURS THEIRS APART       do both hold the same columns and numbers? Whole ones must be equal, others at most APART from each other
reports OURS THEIRS             do both models, by their reports, judge the same transactions, and as well?
differences FEATURES            is what the table in docs/features.md says of Spark what Spark says?
"""

import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import datafusion


def untie(history, out, forget=None):
    engine = context(history=history)
    names = {name.lower(): f'"{name}"' for name in engine.table("history").schema().names}
    key, time, label = names["transaction_id"], names["tx_datetime"], names["tx_fraud"]
    last_week = f"{time} > (SELECT max({time}) FROM history) - INTERVAL '7 days'"
    kept_label = f"CASE WHEN {key} % 10 <> 0 AND NOT {last_week} THEN {label} END" if forget else label
    first = [f"row_number() OVER (PARTITION BY {names[name]}, {time} ORDER BY {key}) = 1" for name in ("customer_id", "terminal_id")]
    for unit in ("Microsecond", "Nanosecond"):
        changed = f"arrow_cast({time}, 'Timestamp({unit}, None)') AS {time}, {kept_label} AS {label}"
        engine.sql(
            f"COPY (SELECT * EXCEPT ({time}, {label}), {changed} FROM history QUALIFY {' AND '.join(first)} ORDER BY {time}, {key})"
            f" TO '{out}/{unit.lower()}s.parquet' STORED AS PARQUET"
        ).collect()
    kept = answer(context(kept=f"{out}/microseconds.parquet"), f"SELECT count(*) AS transactions, count({label}) AS labels FROM kept")
    print(f"{kept['transactions']:,} transactions, {kept['labels']:,} with a label")


def run_on_datafusion(guide, definition, history, features):
    sql = Path(definition).read_text()
    select = sql[sql.index("SELECT") + len("SELECT") :].rstrip().rstrip(";")
    script = re.search(r"```sql\n(CREATE EXTERNAL TABLE.*?)```", Path(guide).read_text(), re.S)[1]
    script = script.replace("'history/'", f"'{history}'").replace("'features.parquet'", f"'{features}'")
    engine = context()
    for statement in script.strip().rstrip(";").split(";"):
        engine.sql(statement.replace("-- the SELECT of the definition, without the word", select)).collect()


def compare(ours, theirs, apart_at_most):
    engine = context(ours=ours, theirs=theirs)
    columns, found = (engine.table(table).schema() for table in ("ours", "theirs"))
    if sorted(columns.names) != sorted(found.names):
        sys.exit(f"{theirs} has other columns: {', '.join(found.names)}")
    key = columns.names[0]
    both = f"FROM ours JOIN theirs ON ours.{key} = theirs.{key}"
    rows = answer(engine, f"SELECT (SELECT count(*) FROM ours) AS ours, (SELECT count(*) FROM theirs) AS theirs, count(*) AS shared {both}")
    if len(set(rows.values())) > 1:
        sys.exit(f"{theirs} has other rows: {rows}")
    apart = {name: furthest(engine, number("ours", columns, name), number("theirs", found, name), both) for name in columns.names}
    wrong = [f"{name} ({distance:.1e})" for name, distance in apart.items() if not distance <= float(apart_at_most)]
    if wrong:
        sys.exit(f"{theirs} differs in {', '.join(wrong)}")
    same = sum(distance == 0 for distance in apart.values())
    print(f"{rows['ours']:,} rows, {len(apart)} columns: {same} the same to the bit, the others within {max(apart.values()):.1e}")


def number(table, columns, name):
    """A column as numbers, a time as its microseconds."""
    column = f'{table}."{name}"'
    if str(columns.field(name).type).startswith("timestamp"):
        column = f"arrow_cast(arrow_cast({column}, 'Timestamp(Microsecond, None)'), 'Int64')"
    return f"CAST({column} AS DOUBLE)"


def furthest(engine, ours, theirs, both):
    """How far two columns are apart at most, relative to a thousandth or more: infinitely where only one is missing, or where all of ours are
    whole."""
    found = answer(
        engine,
        "SELECT count(*) FILTER (WHERE (ours IS NULL) <> (theirs IS NULL)) AS missing, count(*) FILTER (WHERE ours <> floor(ours)) AS broken,"
        " coalesce(max(CASE WHEN ours = theirs THEN 0 ELSE abs(ours - theirs) / greatest(abs(theirs), 1e-3) END), 0) AS apart"
        f" FROM (SELECT {ours} AS ours, {theirs} AS theirs {both})",
    )
    whole_but_apart = not found["broken"] and found["apart"]
    return float("inf") if found["missing"] or whole_but_apart else found["apart"]


def answer(engine, sql):
    return engine.sql(sql).to_pylist()[0]


def context(**tables):
    engine = datafusion.SessionContext(datafusion.SessionConfig().set("datafusion.execution.time_zone", "+00:00"))
    for name, path in tables.items():
        engine.register_parquet(name, path)
    return engine


def reports(ours, theirs):
    judged = [json.loads(Path(report).read_text())["evaluations"][0] for report in (ours, theirs)]
    counts = [(one["rows"], one["frauds"]) for one in judged]
    precision = [next(figure for figure in one["figures"] if figure["key"] == "average_precision") for one in judged]
    for engine, (rows, frauds), figure in zip(("assay", "Spark"), counts, precision, strict=True):
        print(f"features of {engine}: average precision {figure['value']:.4f} on {rows:,} transactions with {frauds:,} frauds")
    # Numbers that differ in their last digit may fall to either side of a tree's question: the models need not be the same.
    if counts[0] != counts[1] or not precision[0]["low"] <= precision[1]["value"] <= precision[0]["high"]:
        sys.exit("the models judge other transactions, or one is worse than chance can make it")


# The rows of docs/features.md by their first cells: what is asked of Spark, what it says under ANSI, its default, and what it says without, as
# examples/on_spark.py has it, where that is something else. A word in capitals is the name of an error.
MOMENT, DAY_BEFORE = "TIMESTAMP '2024-03-03 12:00:00'", "TIMESTAMP '2024-03-02 12:00:00'"


def over(expression, start, end="CURRENT ROW"):
    frame = f"RANGE BETWEEN INTERVAL '{start}' PRECEDING AND {end}"
    return f"{expression} FROM VALUES ({DAY_BEFORE}), ({MOMENT}), ({MOMENT}) AS t(x) WINDOW w AS (ORDER BY x {frame})"


DIFFERENCES = {
    "whole number `/` whole number": [("5 / 2", 2.5)],
    "`n / 7.0`": [("10 / 7.0", Decimal("1.428571")), ("10 / 7e0", 10 / 7)],
    "`CAST(2.5 AS INT)`": [("CAST(2.5 AS INT)", 2), ("CAST(2.5D AS INT)", 2), ("CAST(-2.5D AS INT)", -2)],
    "`round(2.5)`": [("round(2.5D)", 3.0), ("round(-2.5D)", -3.0)],
    "`x / 0`, `n % 0`": [("5D / 0", "DIVIDE_BY_ZERO", None), ("5 % 0", "REMAINDER_BY_ZERO", None)],
    "`sqrt(-1)`, `exp(1000)`": [("CAST(sqrt(-1D) AS STRING)", "NaN"), ("exp(1000D)", float("inf")), ("ln(0D)", None)],
    "whole numbers too large": [
        ("9223372036854775807 + 1", "ARITHMETIC_OVERFLOW", -(2**63)),
        (f"extract(year FROM {MOMENT}) * 2000000", "ARITHMETIC_OVERFLOW", 2024 * 2_000_000 - 2**32),
    ],
    "rows of the same instant": [(over("count(*) OVER w", "1 hour"), [1, 2, 2])],
    "a NULL label in a window": [("avg(CAST(x AS INT)) OVER () FROM VALUES (TRUE), (NULL) AS t(x)", [1.0, 1.0])],
    "`dow`": [(f"extract(dow FROM {MOMENT})", 1)],
    "`isodow`": [(f"extract(isodow FROM {MOMENT})", "INVALID_EXTRACT_FIELD"), (f"extract(dayofweek_iso FROM {MOMENT})", 7)],
    "`extract(epoch FROM …)`": [(f"extract(epoch FROM {what})", "INVALID_EXTRACT_FIELD") for what in (MOMENT, f"{MOMENT} - {DAY_BEFORE}")],
    "`count(DISTINCT …)` in a window": [
        (over("count(DISTINCT x) OVER w", "1 day"), "DISTINCT_WINDOW_FUNCTION_UNSUPPORTED"),
        (over("size(collect_set(x) OVER w)", "1 day"), [1, 2, 2]),
    ],
    "a RANGE from `'1 day'` to `'1 second'`": [
        (over("count(*) OVER w", "1 day", "INTERVAL '1 second' PRECEDING"), "SPECIFIED_WINDOW_FRAME_DIFF_TYPES"),
        (over("count(*) OVER w", "1 day 0 seconds", "INTERVAL '0 days 1 second' PRECEDING"), [0, 1, 1]),
    ],
    "`lag` over a window with a RANGE": [(over("lag(x) OVER w", "1 day"), "Cannot specify window frame for lag")],
}


def differences(features):
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    rows = [line.split("|")[1].strip() for line in Path(features).read_text().splitlines() if line.startswith("|") and "Spark" in line]
    if sorted(rows) != sorted(DIFFERENCES):
        sys.exit(f"{features} speaks of Spark where nothing is checked, or not where it is: {sorted(set(rows) ^ set(DIFFERENCES))}")
    spark = SparkSession.builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()

    def spark_says(expression):
        try:
            found = [row[0] for row in spark.sql(f"SELECT {expression}").collect()]
        except PySparkException as error:
            return str(error)
        return found if len(found) > 1 else found[0]

    for row, expressions in DIFFERENCES.items():
        for expression, *answers in expressions:
            for ansi, expected in (("true", answers[0]), ("false", answers[-1])):
                spark.conf.set("spark.sql.ansi.enabled", ansi)
                found = spark_says(expression)
                if found != expected and not (isinstance(expected, str) and expected in str(found)):
                    sys.exit(f"{row}: with ANSI {ansi}, {expression} is {found}, not {expected}")
    print(f"{len(rows)} rows of {features} say of Spark what it says")


if __name__ == "__main__":
    tasks = {"untie": untie, "datafusion": run_on_datafusion, "compare": compare, "reports": reports, "differences": differences}
    tasks[sys.argv[1]](*sys.argv[2:])
