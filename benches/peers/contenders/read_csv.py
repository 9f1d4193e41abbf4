"""One read of a CSV file: `read_csv.py READER FILE` prints the seconds of the call that reads."""

import sys
import time

reader, path = sys.argv[1:]

if reader == "polars":
    import polars

    def read():
        return polars.read_csv(path).height

elif reader == "pyarrow":
    import pyarrow.csv

    def read():
        return pyarrow.csv.read_csv(path).num_rows

elif reader == "pandas":
    import pandas

    def read():
        return len(pandas.read_csv(path))

elif reader == "pandas-pyarrow":
    import pandas
    import pyarrow.csv

    def read():
        return len(pandas.read_csv(path, engine="pyarrow"))

elif reader == "duckdb":
    import duckdb

    connection = duckdb.connect()

    def read():
        connection.execute("create table history as select * from read_csv(?)", [path])
        return connection.execute("select count(*) from history").fetchone()[0]


start = time.perf_counter()
rows = read()
seconds = time.perf_counter() - start
assert rows > 0
print(seconds)
