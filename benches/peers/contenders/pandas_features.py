"""The handbook's features in the handbook's manner, a group and rolling windows at a time: HISTORY OUT."""

import sys

import pandas

WINDOWS = [1, 7, 30]
DELAY = 7


def of_customer(rows):
    rows = rows.sort_values("TX_DATETIME")
    amounts = rows.set_index("TX_DATETIME")["TX_AMOUNT"]
    for days in WINDOWS:
        rolling = amounts.rolling(f"{days}D")
        rows[f"CUSTOMER_ID_NB_TX_{days}DAY_WINDOW"] = rolling.count().to_numpy()
        rows[f"CUSTOMER_ID_AVG_AMOUNT_{days}DAY_WINDOW"] = (rolling.sum() / rolling.count()).to_numpy()
    return rows


def of_terminal(rows):
    rows = rows.sort_values("TX_DATETIME")
    frauds = rows.set_index("TX_DATETIME")["TX_FRAUD"]
    recent = frauds.rolling(f"{DELAY}D")
    recent_frauds, recent_count = recent.sum(), recent.count()
    for days in WINDOWS:
        whole = frauds.rolling(f"{DELAY + days}D")
        count = whole.count() - recent_count
        rows[f"TERMINAL_ID_NB_TX_{days}DAY_WINDOW"] = count.to_numpy()
        rows[f"TERMINAL_ID_RISK_{days}DAY_WINDOW"] = ((whole.sum() - recent_frauds) / count).fillna(0).to_numpy()
    return rows


history, out = sys.argv[1:]
rows = pandas.read_parquet(history)
rows["TX_DURING_WEEKEND"] = rows["TX_DATETIME"].apply(lambda moment: int(moment.weekday() >= 5))
rows["TX_DURING_NIGHT"] = rows["TX_DATETIME"].apply(lambda moment: int(moment.hour <= 6))
for key, features in [("CUSTOMER_ID", of_customer), ("TERMINAL_ID", of_terminal)]:
    parts = [features(group) for _, group in rows.groupby(key)]
    rows = pandas.concat(parts).sort_values("TX_DATETIME").reset_index(drop=True)
rows.to_parquet(out)
