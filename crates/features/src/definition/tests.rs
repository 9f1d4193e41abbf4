//! Definitions: what they mean, and what is said of those that are refused.

use super::*;
use crate::plan::{Frame, Measure};
use assay_domain::Type;
use assay_domain::time::DAY;

const TABLE: &str = "CREATE TABLE transactions (
  transaction_id BIGINT PRIMARY KEY,
  tx_datetime TIMESTAMP NOT NULL,
  customer_id BIGINT NOT NULL,
  country TEXT,
  tx_amount DOUBLE NOT NULL,
  tx_fraud BOOLEAN
) WITH (event_time = 'tx_datetime', label = 'tx_fraud', label_delay = '7 days');
";

fn with(select: &str) -> Result<Definition, DefinitionError> {
    Definition::parse(&format!("{TABLE}CREATE VIEW features AS\n{select}"), "cards.sql")
}

/// The sentence names the place and says all of `expected`.
fn refused(select: &str, expected: &[&str]) {
    let sentence = with(select).expect_err(select).to_string();
    assert!(sentence.starts_with("cards.sql"), "{sentence}");
    for part in expected {
        assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
    }
}

const WINDOW: &str =
    "WINDOW w AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW)";

#[test]
fn windows_over_the_same_key_share_one_past_and_equal_aggregates_are_one() {
    let definition = with(
        "SELECT tx_amount, sum(tx_amount) OVER day AS s, sum(tx_amount) OVER (PARTITION BY customer_id ORDER BY tx_datetime
           RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW) / nullif(count(*) OVER week, 0) AS r
         FROM transactions
         WINDOW day AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE INTERVAL '1' DAY PRECEDING),
           week AS (PARTITION BY customer_id ORDER BY transactions.tx_datetime ASC
             RANGE BETWEEN INTERVAL '1 week' PRECEDING AND INTERVAL '1 day' PRECEDING)",
    )
    .unwrap();
    let plan = definition.plan;
    assert_eq!(plan.partitions.len(), 1);
    assert_eq!(plan.partitions[0].frames, [Frame { start: DAY, end: 0 }, Frame { start: 7 * DAY, end: DAY }]);
    assert_eq!(plan.aggregates.iter().map(|one| one.measure).collect::<Vec<_>>(), [Measure::Sum, Measure::Rows]);
    assert_eq!(
        plan.features.iter().map(|one| (one.name.as_str(), one.kind)).collect::<Vec<_>>(),
        [("tx_amount", Type::Double), ("s", Type::Double), ("r", Type::Double)]
    );
}

#[test]
fn a_zone_that_does_not_exist_is_refused_with_the_one_that_may_be_meant() {
    let sql = format!(
        "{}CREATE VIEW f AS SELECT extract(hour FROM tx_datetime) AS hour FROM transactions",
        TABLE.replace("label_delay", "zone = 'Europe/Bruxels', label_delay")
    );
    let sentence = Definition::parse(&sql, "cards.sql").unwrap_err().to_string();
    assert!(
        sentence.contains("there is no zone `Europe/Bruxels`") && sentence.contains("did you mean `Europe/Brussels`?"),
        "{sentence}"
    );
    let zone = Definition::parse(&sql.replace("Bruxels", "Brussels"), "cards.sql").unwrap().plan.schema.zone;
    assert_eq!(zone, assay_domain::Zone::called("Europe/Brussels"));
}

#[test]
fn a_moment_in_a_definition_is_what_the_clocks_of_its_zone_say() {
    let zoned = TABLE.replace("label_delay", "zone = 'Europe/Brussels', label_delay");
    for (moment, hour) in
        [("2018-07-01 12:00:00", 10), ("2018-01-01 12:00", 11), ("2018-07-01 12:00:00Z", 12), ("2018-07-01 12:00+03", 9)]
    {
        let select = format!("CREATE VIEW f AS SELECT tx_datetime < TIMESTAMP '{moment}' AS early FROM transactions");
        let plan = Definition::parse(&format!("{zoned}{select}"), "cards.sql").unwrap().plan;
        let at = |hour: i64| {
            assay_domain::Value::Timestamp(assay_domain::time::parse(&moment.as_bytes()[..10]).unwrap() + hour * DAY / 24)
        };
        let constant = |wanted: &crate::expression::Expression| *wanted == crate::expression::Expression::Constant(at(hour));
        assert!(plan.features[0].expression.any(&constant), "{moment}");
    }
}

#[test]
fn names_are_found_as_sql_finds_them() {
    let definition = with("SELECT TX_AMOUNT, \"tx_amount\" AS Again, length(Country) AS \"Länge\" FROM Transactions").unwrap();
    let names: Vec<_> = definition.plan.features.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["tx_amount", "again", "Länge"]);
}

#[test]
fn what_is_no_sql_is_refused_with_line_and_column() {
    refused("SELECT tx_amount +, 1 FROM transactions", &["line 10, column", "this is not SQL"]);
    refused("SELECT 'open FROM transactions", &["not SQL", "Unterminated"]);
    refused("SELEKT 1", &["not SQL"]);
    let deep = format!("SELECT {}1{} AS x FROM transactions", "(".repeat(500), ")".repeat(500));
    refused(&deep, &["nested more than 64 deep"]);
}

#[test]
fn a_name_that_is_not_there_is_refused_with_the_nearest() {
    refused("SELECT tx_amuont FROM transactions", &["line 10, column 8", "`tx_amuont`", "did you mean `tx_amount`?"]);
    refused(&format!("SELECT count(*) OVER v AS c FROM transactions {WINDOW}"), &["no window `v`", "did you mean `w`?"]);
    refused("SELECT sqr(tx_amount) AS x FROM transactions", &["no function sqr", "did you mean `sqrt`?"]);
    refused(&format!("SELECT averge(tx_amount) OVER w AS x FROM transactions {WINDOW}"), &["no window function averge"]);
    refused("SELECT a FROM transaction", &["FROM transactions and nothing else"]);
}

#[test]
fn a_window_that_is_none_of_ours_is_refused_with_what_to_write() {
    let over = |window: &str| format!("SELECT count(*) OVER ({window}) AS c FROM transactions");
    let range = |frame: &str| over(&format!("PARTITION BY customer_id ORDER BY tx_datetime {frame}"));
    refused(&range(""), &["no RANGE", "RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW"]);
    refused(&range("ROWS BETWEEN 3 PRECEDING AND CURRENT ROW"), &["ROWS and GROUPS count rows", "RANGE BETWEEN"]);
    refused(&range("RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"), &["for ever"]);
    refused(&range("RANGE BETWEEN INTERVAL '1 day' PRECEDING AND INTERVAL '1 day' FOLLOWING"), &["FOLLOWING is the future"]);
    refused(&range("RANGE BETWEEN CURRENT ROW AND CURRENT ROW"), &["no past in it"]);
    refused(&range("RANGE BETWEEN INTERVAL '1 day' PRECEDING AND INTERVAL '2 days' PRECEDING"), &["ends before it begins"]);
    refused(&range("RANGE BETWEEN INTERVAL '1 month' PRECEDING AND CURRENT ROW"), &["months and years differ", "write days"]);
    refused(&range("RANGE BETWEEN 7 PRECEDING AND CURRENT ROW"), &["a length of time"]);
    refused(&range("RANGE BETWEEN INTERVAL '200 years' PRECEDING AND CURRENT ROW"), &["write days"]);
    refused(&over("ORDER BY tx_datetime RANGE INTERVAL '1 day' PRECEDING"), &["no PARTITION BY", "whose past"]);
    refused(&over("PARTITION BY customer_id ORDER BY tx_amount RANGE INTERVAL '1 day' PRECEDING"), &["ORDER BY tx_datetime"]);
    refused(
        &over("PARTITION BY customer_id ORDER BY tx_datetime DESC RANGE INTERVAL '1 day' PRECEDING"),
        &["ORDER BY tx_datetime"],
    );
    refused(&over("PARTITION BY customer_id RANGE INTERVAL '1 day' PRECEDING"), &["ORDER BY tx_datetime"]);
    refused(&over("PARTITION BY customer_id + 1 ORDER BY tx_datetime RANGE INTERVAL '1 day' PRECEDING"), &["takes columns"]);
    refused(&over("PARTITION BY tx_fraud ORDER BY tx_datetime RANGE INTERVAL '1 day' PRECEDING"), &["the label would tell it"]);
    refused("SELECT count(*) AS c FROM transactions", &["write OVER and a window"]);
}

#[test]
fn a_look_at_labels_that_nobody_knew_yet_is_refused_as_a_leak() {
    refused("SELECT tx_fraud FROM transactions", &["this is the label", "nobody knows"]);
    let sum = "sum(CAST(tx_fraud AS INT))";
    refused(&format!("SELECT {sum} OVER w AS risk FROM transactions {WINDOW}"), &["this is a leak", "604800 seconds"]);
    refused(&format!("SELECT count(*) FILTER (WHERE tx_fraud) OVER w AS risk FROM transactions {WINDOW}"), &["this is a leak"]);
    refused(&format!("SELECT lag(tx_fraud) OVER w AS risk FROM transactions {WINDOW}"), &["this is a leak"]);
    let late = |seconds| {
        format!(
            "SELECT {sum} OVER (PARTITION BY customer_id ORDER BY tx_datetime
               RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '{seconds} seconds' PRECEDING) AS risk FROM transactions"
        )
    };
    refused(&late(604_799), &["this is a leak"]);
    assert!(with(&late(604_800)).is_ok());
}

#[test]
fn a_query_that_is_more_than_features_of_transactions_is_refused() {
    refused(
        "SELECT tx_amount FROM transactions WHERE tx_amount > 1",
        &["WHERE would leave transactions without features", "`tx_amount > 1`"],
    );
    refused("SELECT tx_amount FROM transactions, cards", &["no other"]);
    refused("SELECT tx_amount FROM transactions JOIN cards ON true", &["joins have no place"]);
    refused("SELECT tx_amount FROM (SELECT 1) AS x", &["FROM transactions and nothing else"]);
    refused("SELECT (SELECT 1) AS x FROM transactions", &["subqueries have no place"]);
    refused("SELECT tx_amount IN (SELECT 1) AS x FROM transactions", &["subqueries have no place"]);
    refused("SELECT DISTINCT tx_amount FROM transactions", &["DISTINCT, GROUP BY"]);
    refused("SELECT tx_amount FROM transactions GROUP BY tx_amount", &["DISTINCT, GROUP BY"]);
    refused("SELECT tx_amount FROM transactions LIMIT 1", &["LIMIT"]);
    refused("SELECT tx_amount FROM transactions ORDER BY tx_amount", &["ORDER BY has no place"]);
    refused("WITH x AS (SELECT 1) SELECT tx_amount FROM transactions", &["WITH has no place"]);
    refused("SELECT 1 AS one UNION SELECT 2", &["one SELECT"]);
    refused("SELECT * FROM transactions", &["named one by one"]);
}

#[test]
fn a_feature_without_a_name_or_of_a_type_that_is_none_is_refused() {
    refused("SELECT tx_amount + 1 FROM transactions", &["no name", "write AS"]);
    refused("SELECT tx_amount, tx_amount FROM transactions", &["two features are called `tx_amount`"]);
    refused("SELECT transaction_id FROM transactions", &["beside the features anyway"]);
    refused("SELECT date_trunc('day', tx_datetime) AS d FROM transactions", &["a moment is no feature"]);
    refused(&format!("SELECT tx_datetime - lag(tx_datetime) OVER w AS d FROM transactions {WINDOW}"), &["extract(epoch FROM"]);
}

#[test]
fn operands_of_the_wrong_type_are_refused_with_the_cast_to_write() {
    refused("SELECT tx_amount + country AS x FROM transactions", &["DOUBLE and a TEXT"]);
    refused("SELECT customer_id / 2 AS x FROM transactions", &["engines differ", "CAST(… AS DOUBLE)"]);
    refused("SELECT CAST(tx_amount AS BIGINT) AS x FROM transactions", &["engines differ", "floor"]);
    refused("SELECT (tx_amount > 1) + 1 AS x FROM transactions", &["CAST(… AS INT)"]);
    refused("SELECT tx_datetime > '2024-01-01' AS x FROM transactions", &["TIMESTAMP '2024-02-29'"]);
    refused("SELECT CASE WHEN tx_amount THEN 1 END AS x FROM transactions", &["a condition is needed"]);
    refused("SELECT country LIKE country AS x FROM transactions", &["a text in quotes"]);
    refused("SELECT extract(century FROM tx_datetime) AS x FROM transactions", &["parts are year"]);
    refused(&format!("SELECT avg(tx_amount > 1) OVER w AS x FROM transactions {WINDOW}"), &["CAST(… AS INT)"]);
    refused(&format!("SELECT max(country) OVER w AS x FROM transactions {WINDOW}"), &["not a TEXT"]);
}

#[test]
fn a_table_that_says_too_little_or_too_much_is_refused() {
    let view = "CREATE VIEW f AS SELECT a FROM t";
    for (table, expected) in [
        ("CREATE TABLE t (a DOUBLE, t TIMESTAMP) WITH (event_time = 't')", "PRIMARY KEY"),
        ("CREATE TABLE t (a DOUBLE, i BIGINT PRIMARY KEY)", "WITH (event_time"),
        ("CREATE TABLE t (a DOUBLE, i BIGINT PRIMARY KEY) WITH (event_time = 'a')", "must be a TIMESTAMP"),
        ("CREATE TABLE t (a DOUBLE, i BIGINT PRIMARY KEY, t TIMESTAMP) WITH (event_time = 's')", "no column `s`"),
        ("CREATE TABLE t (a DOUBLE, i BIGINT PRIMARY KEY, t TIMESTAMP) WITH (event_tine = 't')", "did you mean `event_time`?"),
        (
            "CREATE TABLE t (a DOUBLE, i BIGINT PRIMARY KEY, t TIMESTAMP, f INT) WITH (event_time = 't', label = 'f')",
            "must be a BOOLEAN",
        ),
        (
            "CREATE TABLE t (a DOUBLE, i BIGINT PRIMARY KEY, t TIMESTAMP, f BOOLEAN NOT NULL) WITH (event_time = 't', label = 'f')",
            "NOT NULL",
        ),
        (
            "CREATE TABLE t (a DOUBLE, i BIGINT PRIMARY KEY, t TIMESTAMP) WITH (event_time = 't', max_skew = 'soon')",
            "INTERVAL '7 days'",
        ),
        ("CREATE TABLE t (a DECIMAL(9,2), i BIGINT PRIMARY KEY, t TIMESTAMP) WITH (event_time = 't')", "BIGINT, DOUBLE, BOOLEAN"),
        (
            "CREATE TABLE t (a DOUBLE, a TEXT, i BIGINT PRIMARY KEY, t TIMESTAMP) WITH (event_time = 't')",
            "two columns are called",
        ),
        ("CREATE TABLE t (a DOUBLE DEFAULT 1, i BIGINT PRIMARY KEY, t TIMESTAMP) WITH (event_time = 't')", "NOT NULL or nothing"),
        (
            "CREATE TABLE IF NOT EXISTS t (a DOUBLE, i BIGINT PRIMARY KEY, t TIMESTAMP) WITH (event_time = 't')",
            "leave the rest out",
        ),
    ] {
        let sentence = Definition::parse(&format!("{table}; {view}"), "t.sql").expect_err(table).to_string();
        assert!(sentence.contains(expected), "{expected:?} is not in: {sentence}");
    }
    for (text, expected) in [("", "no SQL"), ("DROP TABLE t", "does not belong"), (TABLE, "no CREATE VIEW"), ("\0", "not SQL")] {
        let sentence = Definition::parse(text, "t.sql").expect_err(text).to_string();
        assert!(sentence.contains(expected), "{expected:?} is not in: {sentence}");
    }
}

#[test]
fn ten_thousand_features_are_refused_and_no_crash() {
    let items: Vec<String> = (0..10_000).map(|number| format!("tx_amount + {number} AS f{number}")).collect();
    refused(&format!("SELECT {} FROM transactions", items.join(", ")), &["more than 4000 features"]);
}

#[test]
fn a_column_whose_numbers_only_look_like_cards_says_so() {
    let sql = |option: &str| {
        let table = TABLE.replace("label_delay", &format!("{option}, label_delay"));
        Definition::parse(&format!("{table}CREATE VIEW f AS SELECT tx_amount FROM transactions"), "cards.sql")
    };
    let checked = |option: &str| {
        let fields = sql(option).unwrap().plan.schema.fields;
        fields.into_iter().filter(|field| !field.pan_check).map(|field| field.name).collect::<Vec<_>>()
    };
    assert_eq!(checked("transaction_id.pan_check = 'off', country.pan_check = 'on'"), ["transaction_id"]);
    for (option, expected) in [
        ("contry.pan_check = 'off'", "did you mean `country`?"),
        ("country.pan_check = 'no'", "pan_check is 'on' or 'off'"),
        ("country.pan_chek = 'off'", "there is no option `country.pan_chek`"),
        ("country.pan_check = 'off', country.pan_check = 'on'", "is given twice"),
    ] {
        let sentence = sql(option).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }
}

#[test]
fn a_personal_column_may_be_erased_so_that_nothing_is_remembered_by_it() {
    let sql = |option: &str, select: &str| {
        let table = TABLE.replace("label_delay", &format!("{option}, label_delay"));
        Definition::parse(&format!("{table}CREATE VIEW f AS SELECT {select} FROM transactions"), "cards.sql")
    };
    let window = |partition: &str| {
        format!(
            "count(*) OVER (PARTITION BY {partition} ORDER BY tx_datetime RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) AS n"
        )
    };
    let fields = sql("country.personal = 'on'", "tx_amount").unwrap().plan.schema.fields;
    let personal: Vec<&str> = fields.iter().filter(|field| field.personal).map(|field| field.name.as_str()).collect();
    assert_eq!(personal, ["country"]);
    for (option, select, expected) in [
        ("country.personal = 'on'", "country", "`country` is personal"),
        ("country.personal = 'on'", &window("country"), "PARTITION BY a personal column"),
        ("transaction_id.personal = 'on'", "tx_amount", "can be neither id"),
        ("tx_datetime.personal = 'on'", "tx_amount", "can be neither id"),
        ("country.personal = 'maybe'", "tx_amount", "personal is 'on' or 'off'"),
        ("contry.personal = 'on'", "tx_amount", "did you mean `country`?"),
    ] {
        let sentence = sql(option, select).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }
}

/// A chain is no nesting to the parser, yet its links lie inside each other: 100,000 of them went down until the stack was full.
#[test]
fn a_chain_of_very_many_links_is_refused() {
    refused(&format!("SELECT {} AS x FROM transactions", vec!["1"; 100_000].join("+")), &["without a comma"]);
    refused(&format!("SELECT {} AS x FROM transactions", vec!["1"; 1_900].join("+")), &["nested more than"]);
    assert!(with(&format!("SELECT {} AS x FROM transactions", vec!["tx_amount"; 350].join("+"))).is_ok());
}
