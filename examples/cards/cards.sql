-- Features for the cards that `assay simulate` and the Fraud Detection Handbook simulate: what a customer usually pays, how this payment differs
-- from it, and what is known of the terminal.
--
-- Both ends of a window are written in the same units, and lag has a window without a RANGE: Spark takes no other form.
--
-- A customer's usual windows end a second before the payment, so that a large payment is held against what came before it. The label of a
-- payment is known seven days late, so whatever looks at labels ends seven days before it.

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
  extract(hour FROM tx_datetime)                                                    AS hour,
  extract(isodow FROM tx_datetime)                                                  AS weekday,
  -- What the customer does.
  count(*) OVER customer_1d                                                         AS customer_count_1d,
  count(*) OVER customer_7d                                                         AS customer_count_7d,
  count(*) OVER customer_30d                                                        AS customer_count_30d,
  avg(tx_amount) OVER customer_7d                                                   AS customer_mean_7d,
  avg(tx_amount) OVER customer_30d                                                  AS customer_mean_30d,
  stddev_samp(tx_amount) OVER customer_30d                                          AS customer_spread_30d,
  max(tx_amount) OVER customer_7d                                                   AS customer_max_7d,
  max(tx_amount) OVER customer_30d                                                  AS customer_max_30d,
  min(tx_amount) OVER customer_30d                                                  AS customer_min_30d,
  extract(epoch FROM tx_datetime - lag(tx_datetime) OVER customer)                  AS customer_seconds_since_last,
  -- How this payment differs from it, and from what was usual before a card stolen in the last two weeks would have shown.
  tx_amount / nullif(avg(tx_amount) OVER customer_30d, 0)                           AS amount_to_mean_30d,
  tx_amount / nullif(avg(tx_amount) OVER customer_older, 0)                         AS amount_to_older_mean,
  tx_amount / nullif(max(tx_amount) OVER customer_older, 0)                         AS amount_to_older_max,
  (tx_amount - avg(tx_amount) OVER customer_older)
    / nullif(stddev_samp(tx_amount) OVER customer_older, 0)                         AS amount_in_older_spreads,
  max(tx_amount) OVER customer_14d / nullif(max(tx_amount) OVER customer_older, 0)  AS recent_max_to_older_max,
  avg(tx_amount) OVER customer_7d / nullif(avg(tx_amount) OVER customer_older, 0)   AS recent_mean_to_older_mean,
  avg(tx_amount) OVER customer_14d / nullif(avg(tx_amount) OVER customer_older, 0)  AS recent_14d_to_older_mean,
  stddev_samp(tx_amount) OVER customer_14d
    / nullif(stddev_samp(tx_amount) OVER customer_older, 0)                         AS recent_spread_to_older,
  -- What is known of the customer's frauds.
  sum(CAST(tx_fraud AS INT)) OVER customer_known_7d                                 AS customer_frauds_7d,
  sum(CAST(tx_fraud AS INT)) OVER customer_known_14d                                AS customer_frauds_14d,
  max(CASE WHEN tx_fraud THEN tx_amount END) OVER customer_known_14d                AS customer_largest_fraud_14d,
  -- What is known of the terminal: it was captured, if at all, for four weeks.
  count(*) OVER terminal_1d                                                         AS terminal_count_1d,
  count(*) OVER terminal_7d                                                         AS terminal_count_7d,
  avg(tx_amount) OVER terminal_7d                                                   AS terminal_mean_7d,
  sum(CAST(tx_fraud AS INT)) OVER terminal_known_1d                                 AS terminal_frauds_1d,
  avg(CAST(tx_fraud AS INT)) OVER terminal_known_1d                                 AS terminal_risk_1d,
  sum(CAST(tx_fraud AS INT)) OVER terminal_known_3d                                 AS terminal_frauds_3d,
  avg(CAST(tx_fraud AS INT)) OVER terminal_known_3d                                 AS terminal_risk_3d,
  sum(CAST(tx_fraud AS INT)) OVER terminal_known_7d                                 AS terminal_frauds_7d,
  avg(CAST(tx_fraud AS INT)) OVER terminal_known_7d                                 AS terminal_risk_7d,
  sum(CAST(tx_fraud AS INT)) OVER terminal_known_14d                                AS terminal_frauds_14d,
  avg(CAST(tx_fraud AS INT)) OVER terminal_known_14d                                AS terminal_risk_14d,
  sum(CAST(tx_fraud AS INT)) OVER terminal_known_21d                                AS terminal_frauds_21d,
  avg(CAST(tx_fraud AS INT)) OVER terminal_known_21d                                AS terminal_risk_21d,
  extract(epoch FROM tx_datetime - min(CASE WHEN tx_fraud AND tx_amount < 220 THEN tx_datetime END) OVER terminal_known_30d)
                                                                                    AS terminal_seconds_since_first_fraud,
  extract(epoch FROM tx_datetime - max(CASE WHEN tx_fraud AND tx_amount < 220 THEN tx_datetime END) OVER terminal_known_30d)
                                                                                    AS terminal_seconds_since_last_fraud
FROM transactions
WINDOW
  customer           AS (PARTITION BY customer_id ORDER BY tx_datetime),
  customer_1d        AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day 0 seconds' PRECEDING AND INTERVAL '0 days 1 second' PRECEDING),
  customer_7d        AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '7 days 0 seconds' PRECEDING AND INTERVAL '0 days 1 second' PRECEDING),
  customer_14d       AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '14 days 0 seconds' PRECEDING AND INTERVAL '0 days 1 second' PRECEDING),
  customer_30d       AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '30 days 0 seconds' PRECEDING AND INTERVAL '0 days 1 second' PRECEDING),
  customer_older     AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '60 days' PRECEDING AND INTERVAL '14 days' PRECEDING),
  customer_known_7d  AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '14 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
  customer_known_14d AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '21 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
  terminal_1d        AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day 0 seconds' PRECEDING AND INTERVAL '0 days 1 second' PRECEDING),
  terminal_7d        AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '7 days 0 seconds' PRECEDING AND INTERVAL '0 days 1 second' PRECEDING),
  terminal_known_1d  AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '8 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
  terminal_known_3d  AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '10 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
  terminal_known_7d  AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '14 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
  terminal_known_14d AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '21 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
  terminal_known_21d AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '28 days' PRECEDING AND INTERVAL '7 days' PRECEDING),
  terminal_known_30d AS (PARTITION BY terminal_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '37 days' PRECEDING AND INTERVAL '7 days' PRECEDING);
