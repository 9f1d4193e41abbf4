//! `POST /predict`: rows of features in, probabilities of fraud out.
//!
//! Two readers understand the body. [`fast`] is ours, takes what is right and nothing else, straight into numbers; what it
//! does not take goes to [`slow`], on `serde_json`, whose work is to say what is wrong and where. A test holds them equal.

mod fast;
pub mod number;
mod slow;

use std::fmt;

use assay_model::{Artifact, Feature};

use super::refusal::Refusal;

/// Buffers that live as long as their thread, so that a request allocates nothing but its answer.
#[derive(Default)]
pub struct Scratch {
    rows: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Scratch {
    /// The rows of the last request forgotten, their room kept up to a limit.
    pub fn empty(&mut self) -> &mut Vec<f64> {
        self.rows.clear();
        self.rows.shrink_to(NUMBERS_KEPT);
        &mut self.rows
    }

    /// The rows that were read, one after the other.
    pub fn rows(&self) -> &[f64] {
        &self.rows
    }

    /// The probabilities of those rows.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }
}

/// Numbers that a scratch buffer may keep between requests; what a larger request needed is given back.
const NUMBERS_KEPT: usize = 1 << 20;

/// Where a value stands in a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    row: usize,
    column: usize,
    feature: String,
}

impl Place {
    /// Row and column count from 1.
    pub fn new(row: usize, column: usize, feature: &str) -> Self {
        Self { row, column, feature: feature.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "row {}, column {} (`{}`)", self.row, self.column, self.feature)
    }
}

/// Reads the rows of `body` into `scratch` and says how many there are.
pub fn read(body: &[u8], model: &Artifact, rows_limit: usize, scratch: &mut Scratch) -> Result<usize, Refusal> {
    let rows = scratch.empty();
    match read_fast(body, model.features(), rows_limit, rows) {
        Some(count) => Ok(count),
        None => read_slowly(body, model.features(), rows_limit, rows),
    }
}

/// Reads the rows of a body that is right, or says nothing.
pub fn read_fast(body: &[u8], features: &[Feature], rows_limit: usize, rows: &mut Vec<f64>) -> Option<usize> {
    fast::read(body, features, rows_limit, rows)
}

/// Reads the rows of any body, or says what is wrong with it.
pub fn read_slowly(body: &[u8], features: &[Feature], rows_limit: usize, rows: &mut Vec<f64>) -> Result<usize, Refusal> {
    slow::read(body, features, rows_limit, rows)
}

/// Scores the rows that [`read`] left in `scratch`, and writes the answer's JSON.
pub fn score(model: &Artifact, scratch: &mut Scratch) -> Vec<u8> {
    json(probabilities(model, scratch))
}

/// Scores the rows in `scratch`.
pub fn probabilities<'s>(model: &Artifact, scratch: &'s mut Scratch) -> &'s [f64] {
    scratch.probabilities.clear();
    model.probabilities(&scratch.rows, &mut scratch.probabilities);
    &scratch.probabilities
}

fn json(probabilities: &[f64]) -> Vec<u8> {
    const LONGEST_NUMBER: usize = 25;
    let mut text = Vec::with_capacity(16 + probabilities.len() * LONGEST_NUMBER);
    let mut number = zmij::Buffer::new();
    text.extend_from_slice(b"{\"scores\":[");
    for (place, &probability) in probabilities.iter().enumerate() {
        assert!(probability.is_finite(), "a model gives probabilities");
        if place > 0 {
            text.push(b',');
        }
        text.extend_from_slice(number.format_finite(probability).as_bytes());
    }
    text.extend_from_slice(b"]}");
    text
}

#[cfg(test)]
mod tests {
    use assay_model::FeatureKind;
    use proptest::prelude::*;

    use super::*;

    const ROWS_LIMIT: usize = 3;

    fn features() -> Vec<Feature> {
        let levels = ["DE", "FR", "a\"b"].map(String::from).to_vec();
        vec![
            Feature { name: "amount".into(), kind: FeatureKind::Number, missing_seen: false },
            Feature { name: "hour".into(), kind: FeatureKind::Number, missing_seen: true },
            Feature { name: "country".into(), kind: FeatureKind::Category { levels }, missing_seen: true },
        ]
    }

    /// Both readers must say the same; the answer is what they say.
    fn check(body: &[u8]) -> Result<Vec<Vec<f64>>, Refusal> {
        let features = features();
        let (mut fast_rows, mut slow_rows) = (Vec::new(), Vec::new());
        let fast = fast::read(body, &features, ROWS_LIMIT, &mut fast_rows);
        let slow = slow::read(body, &features, ROWS_LIMIT, &mut slow_rows);
        let text = String::from_utf8_lossy(body);
        assert_eq!(fast, slow.as_ref().ok().copied(), "{text}: {slow:?}");
        if fast.is_some() {
            let bits = |rows: &[f64]| rows.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&fast_rows), bits(&slow_rows), "{text}");
        }
        slow.map(|count| {
            assert_eq!(slow_rows.len(), count * features.len());
            slow_rows.chunks_exact(features.len()).map(<[f64]>::to_vec).collect()
        })
    }

    fn refused(body: &str) -> String {
        check(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn one_row_and_several_rows_are_read() {
        assert_eq!(check(br#"{"features":[1,2.5,"FR"]}"#), Ok(vec![vec![1.0, 2.5, 1.0]]));
        assert_eq!(
            check(b" { \"features\" : [ [ -0.5e1 , 2 , \"US\" ] ,\n[1,2,\"DE\"\t]\r]} "),
            Ok(vec![vec![-5.0, 2.0, -1.0], vec![1.0, 2.0, 0.0]])
        );
    }

    #[test]
    fn other_keys_are_passed_over_whatever_they_hold() {
        let others = r#"{"id":[{"a":[1e999,"x\"]}\\",null]}],"features":[1,2,"DE"],"deep":{"features":[]},"n":-0}"#;
        assert_eq!(check(others.as_bytes()), Ok(vec![vec![1.0, 2.0, 0.0]]));
        assert!(refused(r#"{"id":01,"features":[1,2,"DE"]}"#).contains("not JSON"));
        assert!(refused(r#"{"id":tru,"features":[1,2,"DE"]}"#).contains("not JSON"));
    }

    #[test]
    fn escapes_mean_what_they_stand_for() {
        assert_eq!(check(br#"{"feat\u0075res":[1,2,"\u0044E"]}"#), Ok(vec![vec![1.0, 2.0, 0.0]]));
        assert_eq!(check(br#"{"features":[1,2,"a\"b"]}"#), Ok(vec![vec![1.0, 2.0, 2.0]]));
    }

    #[test]
    fn the_sentences_of_the_seed_system_are_kept() {
        for body in ["{}", r#"{"feature":[1]}"#] {
            assert_eq!(refused(body), "No features found in input");
        }
        for features in ["null", "[]", "{}", "0", "\"1,2\"", "true", "[ ]"] {
            assert_eq!(refused(&format!("{{\"features\":{features}}}")), "No feature values available", "{features}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_row_column_and_feature() {
        let cases = [
            (r#"{"features":[1,"x","DE"]}"#, "row 1, column 2 (`hour`) must be a number"),
            (r#"{"features":[[1,2,"DE"],[1,2,3]]}"#, "row 2, column 3 (`country`) must be a text"),
            (r#"{"features":[[1,[2],"DE"]]}"#, "row 1, column 2 (`hour`) must be a number"),
            (r#"{"features":[true,2,"DE"]}"#, "row 1, column 1 (`amount`) must be a number"),
            (r#"{"features":[{},2,"DE"]}"#, "row 1, column 1 (`amount`) must be a number"),
            (r#"{"features":[1e999,2,"DE"]}"#, "row 1, column 1 (`amount`) is too large"),
            (r#"{"features":[null,2,"DE"]}"#, "row 1, column 1 (`amount`) is null"),
            (r#"{"features":[1,2]}"#, "row 1 has 2 values, but the model takes 3"),
            (r#"{"features":[1,2,"DE",4,5]}"#, "row 1 has 5 values, but the model takes 3"),
            (r#"{"features":[[1,2,"DE"],[]]}"#, "row 2 has 0 values, but the model takes 3"),
            (r#"{"features":[[1,2,"DE"],1]}"#, "row 2 is not a list"),
            (r#"{"features":[[1,2,"DE"],null]}"#, "row 2 is not a list"),
            (r#"{"features":[1,[2,3,"DE"]]}"#, "row 1, column 2 (`hour`) must be a number"),
            (r#"{"features":[1,NaN,"DE"]}"#, "line 1, character 16 (row 1, column 2 (`hour`))"),
            (r#"{"features":[1,2,"DE"]} x"#, "line 1, character 25"),
            (r#"{"features":[1,2,"DE"],"features":[1,2,"DE"]}"#, "twice"),
            ("[1,2]", "not an object"),
            ("", "not JSON"),
        ];
        for (body, sentence) in cases {
            let refusal = refused(body);
            assert!(refusal.contains(sentence), "{body}: {refusal}");
        }
        let four = format!("{{\"features\":[{}]}}", ["[1,2,\"DE\"]"; 4].join(","));
        assert_eq!(check(four.as_bytes()), Err(Refusal::TooManyRows { limit: 3 }));
        assert_eq!(check(b"{\"features\":[1,2,\"\xff\"]}"), Err(Refusal::NotUtf8));
    }

    #[test]
    fn a_missing_value_is_nan_where_training_saw_one() {
        let rows = check(br#"{"features":[1,null,null]}"#).unwrap();
        assert!(rows[0][0] == 1.0 && rows[0][1].is_nan() && rows[0][2].is_nan());
    }

    #[test]
    fn only_numbers_of_json_are_numbers() {
        let wrong = [
            "+1",
            ".5",
            "1.",
            "01",
            "-",
            "-.5",
            "1e",
            "1e+",
            "0x10",
            "NaN",
            "Infinity",
            "-Infinity",
            "inf",
            "1_0",
            "1.e5",
            "--1",
            "1,",
            "١",
        ];
        for number in wrong {
            assert!(check(format!("{{\"features\":[1,{number},\"DE\"]}}").as_bytes()).is_err(), "{number}");
        }
        for number in [
            "0",
            "-0",
            "0.0",
            "-0.0e-0",
            "1E5",
            "1e+05",
            "5e-324",
            "1e-999",
            "1.7976931348623157e308",
            "18446744073709551616",
            "123456789012345678901234567890",
        ] {
            assert!(check(format!("{{\"features\":[1,{number},\"DE\"]}}").as_bytes()).is_ok(), "{number}");
        }
    }

    #[test]
    fn nesting_of_any_depth_does_no_harm() {
        let deep = 100_000;
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(deep), close.repeat(deep));
            assert!(check(nested.as_bytes()).is_err());
            assert!(check(format!("{{\"features\":{nested}}}").as_bytes()).is_err());
            assert!(check(format!("{{\"x\":{nested},\"features\":[1,2,\"DE\"]}}").as_bytes()).is_ok());
        }
    }

    #[test]
    fn scores_are_written_shortest_and_read_back_equal() {
        assert_eq!(json(&[0.5, 1e-7, 1.0]), br#"{"scores":[0.5,1e-7,1.0]}"#);
    }

    /// Pieces that make bodies which are nearly right, more often than random bytes would be.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            8 => prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"features\"", "\"x\"", "null", "true", "\"DE\"", " ", "\"\\u0041\"", "\"\\ud800\"", "\"\\q\"", "\"\n\""]).prop_map(String::from),
            2 => any::<f64>().prop_map(|value| format!("{value:e}")),
            2 => any::<i64>().prop_map(|value| value.to_string()),
            1 => "[-+0-9.eE]{0,8}",
        ]
    }

    fn cell() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => any::<f64>().prop_map(|value| format!("{value:?}")),
            2 => any::<i32>().prop_map(|value| value.to_string()),
            2 => "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?",
            1 => Just("null".to_owned()),
            1 => piece(),
        ]
    }

    fn row() -> impl Strategy<Value = String> {
        (cell(), cell(), prop_oneof![4 => Just("\"FR\"".to_owned()), 1 => "\"[ -~]{0,4}\"", 1 => cell()], "[ \t\n\r]{0,2}")
            .prop_map(|(amount, hour, country, space)| format!("[{amount}{space},{space}{hour},{country}]"))
    }

    fn body() -> impl Strategy<Value = String> {
        let inner = prop_oneof![row(), prop::collection::vec(row(), 1..5).prop_map(|rows| format!("[{}]", rows.join(",")))];
        (inner, prop::collection::vec(piece(), 0..3)).prop_map(|(features, other)| {
            if other.is_empty() {
                format!("{{\"features\":{features}}}")
            } else {
                format!("{{\"x\":{},\"features\":{features}}}", other.concat())
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn both_readers_agree_on_bodies_that_are_nearly_right(body in body()) {
            let _ = check(body.as_bytes());
        }

        #[test]
        fn both_readers_agree_on_pieces_in_any_order(pieces in prop::collection::vec(piece(), 0..20)) {
            let _ = check(format!("{{\"features\":[{}", pieces.concat()).as_bytes());
        }

        #[test]
        fn both_readers_agree_on_a_body_with_a_changed_byte(body in body(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut body = body.into_bytes();
            let place = place.index(body.len());
            body[place] = byte;
            let _ = check(&body);
        }
    }
}
