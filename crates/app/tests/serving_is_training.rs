//! The claim that everything rests on: a payment's features when it happens are, to the last bit, those that training makes of it later.
//!
//! A history goes through the serving path as it would have happened: payment after payment without labels, in batches of random sizes,
//! each label when it is known, with restarts from snapshots in between. The fold of the whole history must say the same.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod workplace;

use std::fs::File;
use std::path::{Path, PathBuf};

use assay_domain::columns::NULL_INTEGER;
use assay_domain::{Column, Value};
use assay_features::{Definition, Features, fold};
use assay_trainer::table::{ReadOptions, Values, parquet};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use workplace::Workplace;

/// A restart after about so many batches.
const RESTART_AFTER: u64 = 60;
/// About how many batches.
const BATCHES: usize = 1_500;

fn definition(name: &str) -> Definition {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cards").join(name);
    Definition::parse(&std::fs::read_to_string(path).unwrap(), name).unwrap()
}

/// The columns of the definition, in its order.
fn columns(definition: &Definition, history: &Path) -> Vec<Column> {
    let table = parquet::read(File::open(history).unwrap(), "history", &ReadOptions::default(), &|_| ()).unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "ids are small whole numbers")]
    let of_field = |field: &assay_domain::Field| {
        let column = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(&field.name)).unwrap();
        match (field.kind, &column.values) {
            (assay_domain::Type::Integer, Values::Numbers(numbers)) => Column::Integer(
                numbers.iter().map(|&number| if number.is_nan() { NULL_INTEGER } else { number as i64 }).collect(),
            ),
            (assay_domain::Type::Boolean, Values::Numbers(numbers)) => {
                Column::Boolean(numbers.iter().map(|&number| Some(number == 1.0)).collect())
            }
            (_, Values::Numbers(numbers)) => Column::Double(numbers.clone()),
            (_, Values::Times(times)) => Column::Timestamp(times.clone()),
            _ => unreachable!("cards have numbers and times"),
        }
    };
    definition.plan.schema.fields.iter().map(of_field).collect()
}

fn check(definition: &Definition, history: &Path) {
    let columns = columns(definition, history);
    let schema = &definition.plan.schema;
    let label = schema.label.unwrap();
    let folded = fold(&definition.plan, &columns, &|_, _| ()).unwrap();
    let order = folded.order().to_vec();
    let values = |row: u32| columns.iter().map(|column| column.value(row as usize)).collect::<Vec<Value>>();
    let time = |row: u32| match columns[schema.event_time].value(row as usize) {
        Value::Timestamp(time) => time,
        _ => unreachable!("the event time is one"),
    };
    let most = (2 * order.len() / BATCHES) as u64;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(42);
    let mut serving = Features::new(definition.clone());
    let (mut next, mut labelled, mut restarts) = (0, 0, 0);
    while next < order.len() {
        let batch = usize::try_from(1 + random.next_u64() % most).unwrap().min(order.len() - next);
        let expected = folded.features(next..next + batch);
        for place in 0..batch {
            let row = order[next + place];
            while time(order[labelled]) + schema.label_delay <= time(row) {
                let mut known = values(order[labelled]);
                let fraud = known[label] == Value::Boolean(true);
                known[label] = Value::Null;
                serving.relabel(&known, Some(fraud));
                labelled += 1;
            }
            let mut transaction = values(row);
            transaction[label] = Value::Null;
            schema.admit(&transaction, time(row)).unwrap();
            let observed = serving.observe(&transaction);
            for (feature, (found, column)) in observed.features.iter().zip(&expected).enumerate() {
                let same = match (found, column.value(place)) {
                    (Value::Double(found), Value::Double(expected)) => found.to_bits() == expected.to_bits(),
                    (found, expected) => *found == expected,
                };
                assert!(same, "payment {}, feature {}", next + place, definition.plan.features[feature].name);
            }
        }
        next += batch;
        if random.next_u64().is_multiple_of(RESTART_AFTER) {
            let mut snapshot = Vec::new();
            serving.write_snapshot(&mut snapshot).unwrap();
            serving = Features::from_snapshot(definition.clone(), &mut snapshot.as_slice()).unwrap();
            restarts += 1;
        }
    }
    println!("{} payments, {restarts} restarts, no bit differs", order.len());
}

#[test]
fn features_in_serving_are_those_of_training_over_simulated_cards() {
    let place = Workplace::new();
    place.run(&["simulate", "--customers", "300", "--days", "70", "--out", "cards.parquet"]);
    for name in ["handbook.sql", "cards.sql"] {
        check(&definition(name), &place.path("cards.parquet"));
    }
}

#[test]
fn features_in_serving_are_those_of_training_over_the_whole_handbook_history() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let history = std::env::var_os("ASSAY_SHARED").map_or_else(beside, PathBuf::from).join("data/handbook-transactions.parquet");
    if history.is_file() {
        check(&definition("handbook.sql"), &history);
    } else {
        println!("absent, so not checked on it: {}", history.display());
    }
}
