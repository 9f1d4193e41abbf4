"""Features by DuckDB and by DataFusion, the same SELECT over the same transactions.

untie HISTORY OUT KEY…       writes the transactions of HISTORY without those that share a key and an instant with an earlier one:
                             an engine's CURRENT ROW takes all rows of an instant in, ours those that came before
compare ENGINE DEFINITION HISTORY FEATURES
                             runs the definition's SELECT and says, per column, how far the numbers in FEATURES are from it
differences                  which rows of the table in docs/features.md are tried here, and which are not what these engines say
"""

import json
import re
import sys

import duckdb
import numpy


def untie(connection, history, out, *keys):
    tied = " AND ".join(f"row_number() OVER (PARTITION BY {key}, tx_datetime ORDER BY transaction_id) = 1" for key in keys)
    connection.execute(f"COPY (SELECT * FROM '{history}' QUALIFY {tied} ORDER BY tx_datetime, transaction_id) TO '{out}' (FORMAT parquet)")
    return {"rows": connection.execute(f"SELECT count(*) FROM '{out}'").fetchone()[0]}


TYPED = "CAST(tx_fraud AS BOOLEAN) AS tx_fraud, CAST(tx_datetime AS TIMESTAMP) AS tx_datetime"


def by_duckdb(connection, select, history, zone):
    typed = TYPED if zone is None else TYPED.replace("CAST(tx_datetime AS TIMESTAMP)", "CAST(tx_datetime AS TIMESTAMP) AT TIME ZONE 'UTC'")
    connection.execute(f"CREATE TABLE transactions AS SELECT * REPLACE ({typed}) FROM '{history}'")
    connection.execute(f"SET TimeZone = '{zone or 'UTC'}'")
    connection.execute(f"CREATE TABLE theirs AS {select}")


def by_datafusion(connection, select, history, zone):
    import datafusion

    engine = datafusion.SessionContext()
    engine.register_parquet("history", history)
    names = ", ".join(f'"{name}" AS {name.lower()}' for name in engine.table("history").schema().names if name.lower() not in TYPED)
    typed = TYPED
    for name in engine.table("history").schema().names:
        typed = typed.replace(f"CAST({name.lower()} AS", f'CAST("{name}" AS')
    engine.sql(f"CREATE TABLE transactions AS SELECT {names}, {typed} FROM history").collect()
    found = engine.sql(select).to_arrow_table()
    connection.execute("CREATE TABLE theirs AS SELECT * FROM found")


def compare(connection, engine, definition, history, features):
    sql = open(definition).read()
    select = sql[sql.index("SELECT"):].rstrip().rstrip(";").replace("SELECT", "SELECT transaction_id AS id_, ", 1)
    zone = re.search(r"zone = '([^']+)'", sql)
    {"duckdb": by_duckdb, "datafusion": by_datafusion}[engine](connection, select, history, zone and zone[1])
    connection.execute(f"CREATE TABLE ours AS SELECT * FROM '{features}'")
    columns = [row[0] for row in connection.execute("DESCRIBE theirs").fetchall() if row[0] != "id_"]
    kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE theirs").fetchall()}
    # What is a value of some transaction as it is must be that value to the last bit.
    picked = re.findall(r"^ *(?:min|max|first_value|lag)\((?:(?! OVER ).)*\) OVER (?:\w+|\([^()]*\)) +AS (\w+),?$", sql, re.M)
    # A sum that is kept up by adding what enters a window and taking away what leaves it.
    features = re.findall(r"(.*?) AS (\w+),?$", select[: select.rindex("\nFROM")], re.M | re.S)
    sliding = [name for feature, name in features if re.search(r"\b(sum|avg|stddev_samp)\(", feature)]
    report = []
    for column in columns:
        if kinds[column] == "VARCHAR":
            report.append(compare_texts(connection, column))
            continue
        pairs = connection.execute(
            f'SELECT CAST(o."{column}" AS DOUBLE) AS ours, CAST(t."{column}" AS DOUBLE) AS theirs'
            " FROM ours o JOIN theirs t ON o.transaction_id = t.id_ ORDER BY t.id_"
        ).fetchnumpy()
        ours, theirs = (numpy.ma.filled(pairs[name].astype(float), numpy.nan) for name in ("ours", "theirs"))
        differs = ~((ours == theirs) | (numpy.isnan(ours) & numpy.isnan(theirs)))
        apart = numpy.abs(ours - theirs) / numpy.maximum(numpy.abs(theirs), 1e-9)
        worst = float(numpy.nanmax(numpy.where(differs, apart, 0.0), initial=0.0))
        one_is_null = bool((numpy.isnan(ours) != numpy.isnan(theirs)).any())
        report.append(
            {
                "column": column,
                "rows": len(ours),
                "exact": "DOUBLE" not in kinds[column] or column in picked,
                "sliding": column in sliding,
                "differing": int(differs.sum()),
                "worst": float("1e300") if one_is_null else worst,
                "distinct": len(numpy.unique(theirs)),
            }
        )
    return {"columns": report}


def compare_texts(connection, column):
    rows, differing, distinct = connection.execute(
        f'SELECT count(*), count(*) FILTER (WHERE o."{column}" IS DISTINCT FROM t."{column}"), count(DISTINCT t."{column}")'
        " FROM ours o JOIN theirs t ON o.transaction_id = t.id_"
    ).fetchone()
    return {"column": column, "rows": rows, "exact": True, "sliding": False, "differing": differing, "worst": 0.0, "distinct": distinct}


# The rows of docs/features.md by their first cells: what is asked, what DuckDB says, and what DataFusion says, a list where they say it of several
# rows; an error by a word of it.
TWICE = "TIMESTAMPTZ '2018-10-28 02:30:00+02'"
SATURDAY, SUNDAY = "TIMESTAMP '2024-03-02 12:00:00'", "TIMESTAMP '2024-03-03 12:00:00'"


def over(expression, start, end="CURRENT ROW"):
    frame = f"RANGE BETWEEN INTERVAL '{start}' PRECEDING AND {end}"
    return f"{expression} FROM (VALUES ({SATURDAY}), ({SUNDAY}), ({SUNDAY})) AS t(x) WINDOW w AS (ORDER BY x {frame}) ORDER BY x"


A_DAY_APART_BY_CLOCKS = (
    "count(*) OVER (ORDER BY x RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW)"
    " FROM (VALUES (TIMESTAMPTZ '2018-10-27 22:30:00Z'), (TIMESTAMPTZ '2018-10-28 22:45:00Z')) AS t(x) ORDER BY x"
)
DIFFERENCES = {
    "whole number `/` whole number": [("5 / 2", 2.5, 2)],
    "`n / 7.0`": [("10 / 7.0", 10 / 7, 10 / 7)],
    "`0.1 + 0.2`": [("CAST(0.1 + 0.2 AS VARCHAR)", "0.3", "0.30000000000000004")],
    "`CAST(2.5 AS INT)`": [("CAST(2.5 AS INT)", 3, 2)],
    "`round(2.5)`": [("round(CAST(2.5 AS DOUBLE))", 3.0, 3.0)],
    "`x / 0`, `n % 0`": [("CAST(5 AS DOUBLE) / 0", float("inf"), float("inf")), ("5 % 0", "zero", "zero")],
    "`sqrt(-1)`, `exp(1000)`": [
        ("CAST(sqrt(CAST(-1 AS DOUBLE)) AS VARCHAR)", "nan", "negative"),
        ("exp(CAST(1000 AS DOUBLE))", float("inf"), float("inf")),
    ],
    "whole numbers too large": [("9223372036854775807 + 1", "Overflow", -(2**63))],
    "rows of the same instant": [(over("count(*) OVER w", "1 hour"), [1, 2, 2], [1, 2, 2])],
    "months and years as lengths": [("CAST(CAST(DATE '2024-03-31' - INTERVAL '1 month' AS DATE) AS VARCHAR)", "2024-02-29", "2024-02-29")],
    "a NULL key": [("count(*) OVER (PARTITION BY k) FROM (VALUES (CAST(NULL AS INT)), (NULL), (1)) AS t(k) ORDER BY k", [1, 2, 2], [1, 2, 2])],
    "a NULL label in a window": [("avg(CAST(x AS INT)) OVER () FROM (VALUES (TRUE), (NULL)) AS t(x)", [1.0, 1.0], [1.0, 1.0])],
    "`upper('ß')`": [("upper('ß')", "ẞ", "SS")],
    "`lower('ΟΔΟΣ')`": [("lower('ΟΔΟΣ')", "οδοσ", "οδος")],
    "a backslash in a pattern of `LIKE`": [(r"'a%b' LIKE 'a\%b'", False, True)],
    "`zone`": [
        (f"extract(epoch FROM date_trunc('hour', {TWICE})) - extract(epoch FROM {TWICE})", 1800.0, -1800.0),
        (A_DAY_APART_BY_CLOCKS, [1, 2], [1, 1]),
    ],
    "`dow`": [(f"extract(dow FROM {SUNDAY})", 0, 0)],
    "`isodow`": [(f"extract(isodow FROM {SUNDAY})", 7, 7)],
    "`extract(epoch FROM …)`": [(f"CAST(extract(epoch FROM {SUNDAY} - {SATURDAY}) AS DOUBLE)", 86400.0, 86400.0)],
    "`count(DISTINCT …)` in a window": [(over("count(DISTINCT x) OVER w", "1 day"), [1, 2, 2], [1, 2, 2])],
    "a RANGE from `'1 day'` to `'1 second'`": [
        (over("count(*) OVER w", start, "INTERVAL '1 second' PRECEDING"), [0, 1, 1], [0, 1, 1]) for start in ("1 day", "86400 seconds")
    ],
    "`lag` over a window with a RANGE": [(over("lag(x) OVER w IS NULL", "1 second"), [True, False, False], [True, False, False])],
}


def differences(connection):
    import datafusion

    connection.execute("SET TimeZone = 'Europe/Brussels'")
    engine = datafusion.SessionContext()
    asked = {
        "duckdb": lambda sql: [row[0] for row in connection.execute(sql).fetchall()],
        "datafusion": lambda sql: [next(iter(row.values())) for row in engine.sql(sql).to_pylist()],
    }

    def says(engine, expression):
        try:
            found = asked[engine](f"SELECT {expression}")
        except Exception as error:
            return str(error)
        return found if len(found) > 1 else found[0]

    wrong = []
    for row, expressions in DIFFERENCES.items():
        for expression, *expected in expressions:
            for name, answer in zip(asked, expected, strict=True):
                found = says(name, expression)
                if found != answer and not (isinstance(answer, str) and answer in str(found)):
                    wrong.append(f"{row}: {expression} is {found} in {name}, not {answer}")
    return {"wrong": wrong, "tried": list(DIFFERENCES)}


if __name__ == "__main__":
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    print(json.dumps({"untie": untie, "compare": compare, "differences": differences}[sys.argv[1]](connection, *sys.argv[2:])))
