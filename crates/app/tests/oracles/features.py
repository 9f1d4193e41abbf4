"""Features by DuckDB and by DataFusion, the same SELECT over the same transactions.

untie HISTORY OUT KEY…       writes the transactions of HISTORY without those that share a key and an instant with an earlier one:
                             an engine's CURRENT ROW takes all rows of an instant in, ours those that came before
compare ENGINE DEFINITION HISTORY FEATURES
                             runs the definition's SELECT and says, per column, how far the numbers in FEATURES are from it
differences GUIDE            which rows of the table in docs/features.md, the GUIDE, are not what these engines say
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
    report = []
    for column in columns:
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
                "differing": int(differs.sum()),
                "worst": float("1e300") if one_is_null else worst,
                "distinct": len(numpy.unique(theirs)),
            }
        )
    return {"columns": report}


# The rows of docs/features.md by their first cells: an expression, what DuckDB says, and what DataFusion says; an error by a word of it.
TWICE = "TIMESTAMPTZ '2018-10-28 02:30:00+02'"
SUNDAY = "TIMESTAMP '2024-03-03 12:00:00'"
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
    "`upper('ß')`": [("upper('ß')", "ẞ", "SS")],
    "`zone`": [(f"extract(epoch FROM date_trunc('hour', {TWICE})) - extract(epoch FROM {TWICE})", 1800.0, -1800.0)],
    "`dow`": [(f"extract(dow FROM {SUNDAY})", 0, 0)],
    "`isodow`": [(f"extract(isodow FROM {SUNDAY})", 7, 7)],
}


def differences(connection, guide):
    import datafusion

    connection.execute("SET TimeZone = 'Europe/Brussels'")
    engine = datafusion.SessionContext()
    rows = {line.split(" | ")[0].removeprefix("| ") for line in open(guide) if line.startswith("| ")}
    asked = {"duckdb": lambda sql: connection.execute(sql).fetchone()[0], "datafusion": lambda sql: list(engine.sql(sql).to_pylist()[0].values())[0]}

    def says(engine, expression):
        try:
            return asked[engine](f"SELECT {expression}")
        except Exception as error:
            return str(error)

    wrong = [f"there is no row {row}" for row in DIFFERENCES if row not in rows]
    for row, expressions in DIFFERENCES.items():
        for expression, *expected in expressions:
            for name, answer in zip(asked, expected, strict=True):
                found = says(name, expression)
                if found != answer and not (isinstance(answer, str) and answer in str(found)):
                    wrong.append(f"{row}: {expression} is {found} in {name}, not {answer}")
    return {"wrong": wrong, "rows": len(DIFFERENCES)}


if __name__ == "__main__":
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    print(json.dumps({"untie": untie, "compare": compare, "differences": differences}[sys.argv[1]](connection, *sys.argv[2:])))
