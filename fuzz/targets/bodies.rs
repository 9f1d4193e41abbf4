//! Any bytes as the body of a request at each door: refused, or whole rows of the model. The two readers of `/predict` say the same. The first
//! byte says which door, the next two how much of a tensor request is JSON.
#![no_main]

use assay::bodies::{Reader, rows};
use assay_model::{Feature, FeatureKind};
use libfuzzer_sys::fuzz_target;

/// More rows are refused.
const ROWS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let [which, low, high, body @ ..] = bytes else { return };
    let feature = |name: &str, kind, missing_seen| Feature { name: name.into(), kind, missing_seen };
    let levels = ["DE", "FR", "a\"b"].map(String::from).to_vec();
    let features = [
        feature("amount", FeatureKind::Number, false),
        feature("hour", FeatureKind::Number, true),
        feature("country", FeatureKind::Category { levels }, true),
    ];
    let read = |reader| {
        let found = rows(reader, body, &features, ROWS);
        if let Ok(rows) = &found {
            assert!(rows.len() % features.len() == 0 && rows.len() <= ROWS * features.len(), "{reader:?}");
        }
        found
    };
    match which % 5 {
        0 => {
            let (fast, slow) = (read(Reader::Predict), read(Reader::PredictSlowly));
            let bits = |rows: Result<Vec<f64>, _>| rows.ok().map(|rows| rows.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
            assert_eq!(bits(fast), bits(slow));
        }
        1 => drop(read(Reader::Score)),
        2 => drop(read(Reader::InvocationsJson)),
        3 => drop(read(Reader::InvocationsCsv)),
        _ => drop(read(Reader::Infer { json_bytes: usize::from(u16::from_le_bytes([*low, *high])) })),
    }
});
