//! The table "Where engines differ" of docs/features.md: each of its rows is tried, here and in DuckDB and DataFusion.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[expect(dead_code, reason = "of the oracle it asks, texts are asked for")]
mod oracles;
mod workplace;

use std::path::Path;

use oracles::ask;
use workplace::Workplace;

/// What is tried here.
enum Check {
    /// A feature, and its values for the transactions of [`HISTORY`].
    Is(&'static str, [&'static str; 4]),
    /// A feature by the clocks of Brussels, and its values for those of [`NIGHT`], in which they go back.
    InBrussels(&'static str, [&'static str; 3]),
    /// What is no feature, and a part of the sentence that says so.
    Refused(&'static str, &'static str),
}
use Check::{InBrussels, Is, Refused};

const HISTORY: &str = "id,at,one,place,n,x,word,fraud
1,2024-03-02T12:00:00Z,1,,10,2.5,ß,1
2,2024-03-03T12:00:00Z,1,,20,-2.5,ΟΔΟΣ,
3,2024-03-03T12:00:00Z,1,5,30,1.0,a%b,0
4,2024-03-13T12:00:00Z,1,5,40,1.0,,0
";
const NIGHT: &str = "id,at,one,place,n,x,word,fraud
1,2018-10-27T22:30:00Z,1,1,1,1.0,a,0
2,2018-10-28T01:30:00Z,1,1,1,1.0,a,0
3,2018-10-28T22:45:00Z,1,1,1,1.0,a,0
";
const WINDOWS: &str = "
  w_hour AS (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW),
  w_day AS (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW),
  w_days AS (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW),
  w_second AS (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '1 second' PRECEDING AND CURRENT ROW),
  w_of_place AS (PARTITION BY place ORDER BY at RANGE BETWEEN INTERVAL '30 days' PRECEDING AND CURRENT ROW),
  w_known AS (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '30 days' PRECEDING AND INTERVAL '1 day' PRECEDING),
  w_before AS (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND INTERVAL '1 second' PRECEDING),
  w_seconds_before AS (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '86400 seconds' PRECEDING AND INTERVAL '1 second' PRECEDING)";
const NULLS: [&str; 4] = [""; 4];

/// The rows of the table: the first cell and the last, and what is tried of it.
const HERE: [(&str, &str, &[Check]); 22] = [
    (
        "whole number `/` whole number",
        "refused; cast one of them",
        &[Refused("n / 4", "CAST(… AS DOUBLE)"), Is("CAST(n AS DOUBLE) / 4", ["2.5", "5", "7.5", "10"])],
    ),
    ("`n / 7.0`", "a double", &[Is("n / 8.0", ["1.25", "2.5", "3.75", "5"]), Is("n / 7.0 = CAST(n AS DOUBLE) / 7", ["1"; 4])]),
    ("`0.1 + 0.2`", "a sum of doubles: 0.30000000000000004", &[Is("0.1 + 0.2", ["0.30000000000000004"; 4])]),
    (
        "`CAST(2.5 AS INT)`",
        "refused; write `floor`, `round` or `ceil` inside",
        &[Refused("CAST(x AS INT)", "CAST(floor(…) AS BIGINT)"), Is("CAST(floor(x) AS BIGINT)", ["2", "-3", "1", "1"])],
    ),
    ("`round(2.5)`", "3, away from zero", &[Is("round(x)", ["3", "-3", "1", "1"])]),
    ("`x / 0`, `n % 0`", "NULL", &[Is("x / 0", NULLS), Is("n % 0", NULLS)]),
    ("`sqrt(-1)`, `exp(1000)`", "NULL", &[Is("sqrt(-1)", NULLS), Is("exp(1000)", NULLS)]),
    (
        "whole numbers too large",
        "64 bits, beyond them NULL",
        &[Is("9223372036854775807 + n", NULLS), Is("extract(year FROM at) * 2000000", ["4048000000"; 4])],
    ),
    (
        "rows of the same instant",
        "those that come later in the order are not seen",
        &[Is("count(*) OVER w_hour", ["1", "1", "2", "1"])],
    ),
    (
        "months and years as lengths",
        "refused; write days",
        &[
            Refused(
                "count(*) OVER (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '1 month' PRECEDING AND CURRENT ROW)",
                "write days",
            ),
            Refused(
                "count(*) OVER (PARTITION BY one ORDER BY at RANGE BETWEEN INTERVAL '1 year' PRECEDING AND CURRENT ROW)",
                "write days",
            ),
        ],
    ),
    ("a NULL key", "the same", &[Is("count(*) OVER w_of_place", ["1", "2", "1", "2"])]),
    (
        "a NULL label in a window",
        "not fraud: nobody reported it in time",
        &[Is("avg(CAST(fraud AS INT)) OVER w_known", ["", "1", "1", "0.3333333333333333"])],
    ),
    ("`upper('ß')`", "`SS`, as Unicode has it", &[Is("upper(word)", ["SS", "ΟΔΟΣ", "A%B", ""])]),
    ("`lower('ΟΔΟΣ')`", "`οδος`, as Unicode has it", &[Is("lower(word)", ["ß", "οδος", "a%b", ""])]),
    (
        "a backslash in a pattern of `LIKE`",
        "refused",
        &[Refused(r"word LIKE 'a\%b'", "without a backslash"), Is("word LIKE 'a%b'", ["0", "0", "1", ""])],
    ),
    (
        "`zone`",
        "the option `zone`; a day is 24 hours",
        &[
            InBrussels("extract(epoch FROM at - date_trunc('hour', at))", ["1800", "1800", "2700"]),
            InBrussels("extract(hour FROM at)", ["0", "2", "23"]),
            InBrussels("count(*) OVER w_day", ["1", "2", "2"]),
        ],
    ),
    ("`dow`", "0 is Sunday", &[Is("extract(dow FROM at)", ["6", "0", "0", "3"])]),
    ("`isodow`", "1 is Monday", &[Is("extract(isodow FROM at)", ["6", "7", "7", "3"])]),
    (
        "`extract(epoch FROM …)`",
        "seconds",
        &[
            Is("extract(epoch FROM at)", ["1709380800", "1709467200", "1709467200", "1710331200"]),
            Is("extract(epoch FROM at - lag(at) OVER (PARTITION BY one ORDER BY at))", ["", "86400", "0", "864000"]),
        ],
    ),
    ("`count(DISTINCT …)` in a window", "exact", &[Is("count(DISTINCT n % 20) OVER w_days", ["1", "2", "2", "2"])]),
    (
        "a RANGE from `'1 day'` to `'1 second'`",
        "all the same",
        &[Is("count(*) OVER w_before", ["0", "1", "1", "0"]), Is("count(*) OVER w_seconds_before", ["0", "1", "1", "0"])],
    ),
    ("`lag` over a window with a RANGE", "the RANGE is ignored", &[Is("lag(n) OVER w_second", ["", "10", "20", "30"])]),
];

/// The rows of the table, as their cells.
fn documented() -> Vec<[String; 3]> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/features.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let section = guide.split("\n## ").find(|section| section.starts_with("Where engines differ")).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|row| cells(row).try_into().unwrap()).collect()
}

fn definition(zone: &str, features: &[&str]) -> String {
    let features: Vec<String> = features.iter().enumerate().map(|(place, feature)| format!("{feature} AS f{place}")).collect();
    format!(
        "CREATE TABLE transactions (id BIGINT PRIMARY KEY, at TIMESTAMP NOT NULL, one BIGINT NOT NULL, place BIGINT, n BIGINT NOT NULL,
  x DOUBLE NOT NULL, word TEXT, fraud BOOLEAN) WITH (event_time = 'at', label = 'fraud', label_delay = '1 day', zone = '{zone}');
CREATE VIEW features AS SELECT {} FROM transactions WINDOW {WINDOWS};",
        features.join(", ")
    )
}

/// Fails unless the features have these values in the transactions of a history, in their order.
fn check(zone: &str, history: &str, features: &[(&str, &[&str])]) {
    let place = Workplace::new();
    let asked: Vec<&str> = features.iter().map(|(feature, _)| *feature).collect();
    place.write("tried.sql", definition(zone, &asked));
    place.write("history.csv", history);
    place.run(&["features", "tried.sql", "history.csv", "-o", "features.csv"]);
    let text = place.text("features.csv");
    let lines: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    for (number, (feature, expected)) in features.iter().enumerate() {
        // The id and the event time come first.
        let found: Vec<&str> = lines.iter().map(|line| line[2 + number]).collect();
        assert_eq!(found, *expected, "{feature}");
    }
}

#[test]
fn each_row_of_the_table_is_what_it_says_here() {
    let documented = documented();
    let rows: Vec<(&str, &str)> = documented.iter().map(|[row, _, here]| (row.as_str(), here.as_str())).collect();
    let tried: Vec<(&str, &str)> = HERE.iter().map(|(row, here, _)| (*row, *here)).collect();
    assert_eq!(rows, tried, "a row that is not tried, or one that says something else than what is tried");

    let checks = || HERE.iter().flat_map(|(_, _, checks)| *checks);
    let here: Vec<(&str, &[&str])> =
        checks().filter_map(|check| if let Is(feature, values) = check { Some((*feature, &values[..])) } else { None }).collect();
    check("UTC", HISTORY, &here);
    let in_brussels: Vec<(&str, &[&str])> = checks()
        .filter_map(|check| if let InBrussels(feature, values) = check { Some((*feature, &values[..])) } else { None })
        .collect();
    check("Europe/Brussels", NIGHT, &in_brussels);
    for check in checks() {
        if let Refused(feature, part) = check {
            let refused = assay_features::Definition::parse(&definition("UTC", &[feature]), "tried.sql").unwrap_err().to_string();
            assert!(refused.contains(part), "{feature}: {refused}");
        }
    }
}

#[test]
fn each_row_of_the_table_is_what_engines_say() {
    let report = ask("features.py", &[Path::new("differences")]);
    let documented: Vec<String> = documented().into_iter().map(|[row, ..]| row).collect();
    assert_eq!(report["tried"], serde_json::json!(documented));
    assert_eq!(report["wrong"], serde_json::json!([]));
}
