"""Features by DuckDB, the same SELECT over the same transactions.

untie HISTORY OUT KEY…       writes the transactions of HISTORY without those that share a key and an instant with an earlier one:
                             an engine's CURRENT ROW takes all rows of an instant in, ours those that came before
compare DEFINITION HISTORY FEATURES
                             runs the definition's SELECT and says, per column, how far the numbers in FEATURES are from it
"""

import json
import sys

import duckdb
import numpy


def untie(connection, history, out, *keys):
    tied = " AND ".join(f"row_number() OVER (PARTITION BY {key}, tx_datetime ORDER BY transaction_id) = 1" for key in keys)
    connection.execute(f"COPY (SELECT * FROM '{history}' QUALIFY {tied} ORDER BY tx_datetime, transaction_id) TO '{out}' (FORMAT parquet)")
    return {"rows": connection.execute(f"SELECT count(*) FROM '{out}'").fetchone()[0]}


def compare(connection, definition, history, features):
    sql = open(definition).read()
    select = sql[sql.index("SELECT"):].rstrip().rstrip(";")
    connection.execute(
        f"CREATE TABLE transactions AS SELECT * REPLACE (CAST(tx_fraud AS BOOLEAN) AS tx_fraud, CAST(tx_datetime AS TIMESTAMP) AS tx_datetime)"
        f" FROM '{history}'"
    )
    connection.execute(f"CREATE TABLE theirs AS {select.replace('SELECT', 'SELECT transaction_id AS id_, ', 1)}")
    connection.execute(f"CREATE TABLE ours AS SELECT * FROM '{features}'")
    columns = [row[0] for row in connection.execute("DESCRIBE theirs").fetchall() if row[0] != "id_"]
    kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE theirs").fetchall()}
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
                "exact": "DOUBLE" not in kinds[column],
                "differing": int(differs.sum()),
                "worst": float("1e300") if one_is_null else worst,
                "distinct": len(numpy.unique(theirs)),
            }
        )
    return {"columns": report}


if __name__ == "__main__":
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    print(json.dumps({"untie": untie, "compare": compare}[sys.argv[1]](connection, *sys.argv[2:])))
