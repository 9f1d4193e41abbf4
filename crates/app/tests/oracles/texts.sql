-- What a definition may say of texts, some of them NULL, and of seconds.

CREATE TABLE transactions (
  transaction_id BIGINT PRIMARY KEY,
  tx_datetime    TIMESTAMP NOT NULL,
  customer_id    BIGINT NOT NULL,
  terminal_id    BIGINT,
  tx_amount      DOUBLE,
  merchant       TEXT,
  tx_fraud       BOOLEAN
) WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '2 days');

CREATE VIEW features AS SELECT
  upper(merchant) AS t_upper,
  lower(merchant) AS t_lower,
  coalesce(nullif(lower(merchant), 'café'), '-') AS t_other,
  CASE merchant WHEN 'Café' THEN 'drink' WHEN 'ÉCOLE' THEN upper('é') ELSE merchant END AS t_case,
  length(merchant) AS length_of,
  length(upper(merchant)) = length(merchant) AS as_long,
  merchant LIKE 'Ca%' AS like_start,
  merchant LIKE '%é' AS like_end,
  merchant LIKE '_a__' AS like_places,
  merchant NOT LIKE '%a%' AS not_like,
  upper(merchant) LIKE 'É%' AS like_upper,
  merchant ILIKE 'é%' AS ilike_start,
  merchant ILIKE '%ÑAND%' AS ilike_within,
  merchant NOT ILIKE '_Ω%' AS not_ilike,
  merchant = 'Café' AS is_one,
  merchant IN ('Café', 'Ωmega') AS is_in,
  merchant < 'b' AS before_b,
  merchant BETWEEN 'C' AND 'Z' AS is_between,
  merchant IS NOT DISTINCT FROM nullif(merchant, 'Café') AS is_other,
  extract(second FROM tx_datetime) AS p_second,
  count(merchant) OVER week AS w_known,
  count(DISTINCT merchant) OVER week AS w_distinct,
  count(DISTINCT lower(merchant)) OVER week AS w_distinct_lower,
  count(*) FILTER (WHERE merchant LIKE '%a%') OVER week AS w_like,
  sum(length(merchant)) OVER week AS w_length,
  max(tx_amount) FILTER (WHERE merchant ILIKE '%É%') OVER week AS w_max,
  first_value(merchant) OVER week AS w_first,
  lag(merchant) OVER (PARTITION BY customer_id ORDER BY tx_datetime) AS w_lag,
  merchant = lag(merchant, 2) OVER (PARTITION BY customer_id ORDER BY tx_datetime) AS w_same,
  count(*) OVER same AS w_of_merchant
FROM transactions
WINDOW
  week AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW),
  same AS (PARTITION BY customer_id, merchant ORDER BY tx_datetime RANGE BETWEEN INTERVAL '20 days' PRECEDING AND CURRENT ROW);
