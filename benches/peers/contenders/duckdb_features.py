"""The SELECT of a definition by DuckDB: DEFINITION HISTORY OUT."""

import sys

import duckdb

definition, history, out = sys.argv[1:]
sql = open(definition).read()
select = sql[sql.index("SELECT"):].rstrip().rstrip(";")
select = select.replace("SELECT", "SELECT transaction_id, tx_datetime,", 1).replace("FROM transactions", ", tx_fraud FROM transactions", 1)
connection = duckdb.connect()
connection.execute(f"CREATE VIEW transactions AS SELECT * FROM '{history}'")
connection.execute(f"COPY ({select}) TO '{out}' (FORMAT parquet)")
