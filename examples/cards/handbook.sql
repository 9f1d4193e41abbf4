-- The 15 features of the Fraud Detection Handbook (Le Borgne et al., chapter 3), to the letter.
--
-- Its windows are pandas' rolling ones, which are open at the far end: a day is the last 86,399 seconds and the current one.
-- A terminal's risk looks at labels, which are known seven days late, so its windows end seven days before the transaction.

CREATE TABLE transactions (
  transaction_id BIGINT PRIMARY KEY,
  tx_datetime    TIMESTAMP NOT NULL,
  customer_id    BIGINT NOT NULL,
  terminal_id    BIGINT NOT NULL,
  tx_amount      DOUBLE NOT NULL,
  tx_fraud       BOOLEAN
) WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '7 days');

CREATE VIEW features AS SELECT
  tx_amount,
  -- From Saturday on: a week begins on Monday in every engine, whose numbers of its days differ.
  CAST(tx_datetime >= date_trunc('week', tx_datetime) + INTERVAL '5 days' AS INT) AS tx_during_weekend,
  CAST(extract(hour FROM tx_datetime) <= 6 AS INT)    AS tx_during_night,
  count(*) OVER customer_1d                           AS customer_id_nb_tx_1day_window,
  avg(tx_amount) OVER customer_1d                     AS customer_id_avg_amount_1day_window,
  count(*) OVER customer_7d                           AS customer_id_nb_tx_7day_window,
  avg(tx_amount) OVER customer_7d                     AS customer_id_avg_amount_7day_window,
  count(*) OVER customer_30d                          AS customer_id_nb_tx_30day_window,
  avg(tx_amount) OVER customer_30d                    AS customer_id_avg_amount_30day_window,
  count(*) OVER terminal_1d                           AS terminal_id_nb_tx_1day_window,
  coalesce(avg(CAST(tx_fraud AS INT)) OVER terminal_1d, 0)  AS terminal_id_risk_1day_window,
  count(*) OVER terminal_7d                           AS terminal_id_nb_tx_7day_window,
  coalesce(avg(CAST(tx_fraud AS INT)) OVER terminal_7d, 0)  AS terminal_id_risk_7day_window,
  count(*) OVER terminal_30d                          AS terminal_id_nb_tx_30day_window,
  coalesce(avg(CAST(tx_fraud AS INT)) OVER terminal_30d, 0) AS terminal_id_risk_30day_window
FROM transactions
WINDOW
  customer_1d  AS (PARTITION BY customer_id ORDER BY tx_datetime
                   RANGE BETWEEN INTERVAL '86399 seconds' PRECEDING AND CURRENT ROW),
  customer_7d  AS (PARTITION BY customer_id ORDER BY tx_datetime
                   RANGE BETWEEN INTERVAL '604799 seconds' PRECEDING AND CURRENT ROW),
  customer_30d AS (PARTITION BY customer_id ORDER BY tx_datetime
                   RANGE BETWEEN INTERVAL '2591999 seconds' PRECEDING AND CURRENT ROW),
  -- n days behind the delay of seven.
  terminal_1d  AS (PARTITION BY terminal_id ORDER BY tx_datetime
                   RANGE BETWEEN INTERVAL '691199 seconds' PRECEDING AND INTERVAL '604800 seconds' PRECEDING),
  terminal_7d  AS (PARTITION BY terminal_id ORDER BY tx_datetime
                   RANGE BETWEEN INTERVAL '1209599 seconds' PRECEDING AND INTERVAL '604800 seconds' PRECEDING),
  terminal_30d AS (PARTITION BY terminal_id ORDER BY tx_datetime
                   RANGE BETWEEN INTERVAL '3196799 seconds' PRECEDING AND INTERVAL '604800 seconds' PRECEDING);
