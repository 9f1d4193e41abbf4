//! Features against a recount: for every transaction, all that arrived before it are gone through again.
//!
//! Definitions are made at random, and so are the transactions: few keys, many of the same instant, many late, some too late, with NULLs.
//! Amounts are multiples of an eighth, so that the recount's plain sums are exact.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "the numbers of these tests are small")]

use std::fmt::Write;

use assay_domain::time::{DAY, SECOND};
use assay_domain::{Column, Type, Value};
use assay_features::fold::column_of;
use assay_features::{Definition, Features, fold};
use proptest::prelude::*;

const HOUR: i64 = 3_600 * SECOND;
const LATENESS: i64 = 6 * HOUR;
const DELAY: i64 = 2 * HOUR;

/// A transaction as it arrives.
#[derive(Clone, Debug)]
struct Arrival {
    time: i64,
    customer: Option<i64>,
    shop: Option<&'static str>,
    amount: Option<f64>,
    items: Option<i64>,
    fraud: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Rows,
    Count,
    Distinct,
    Sum,
    Mean,
    Least,
    Greatest,
    Deviation,
    First,
    Lag(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Amount,
    Items,
    Shop,
    Fraud,
    FraudAmount,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Key {
    Customer,
    Shop,
    Both,
}

/// A feature that looks at the past.
#[derive(Clone, Debug)]
struct Asked {
    measure: Measure,
    of: Of,
    large_only: bool,
    key: Key,
    /// In hours.
    start: i64,
    end: i64,
}

impl Asked {
    fn is_possible(&self) -> bool {
        let of_label = matches!(self.of, Of::Fraud | Of::FraudAmount);
        let of_text = self.of == Of::Shop;
        match self.measure {
            Measure::Lag(_) => !of_label && !self.large_only,
            Measure::First => !self.large_only && (!of_label || self.end * HOUR >= DELAY),
            Measure::Rows => true,
            Measure::Count | Measure::Distinct => !of_label || self.end * HOUR >= DELAY,
            _ => !of_text && (!of_label || self.end * HOUR >= DELAY),
        }
    }

    fn sql(&self) -> String {
        let of = match self.of {
            Of::Amount => "amount",
            Of::Items => "items",
            Of::Shop => "shop",
            Of::Fraud => "CAST(fraud AS INT)",
            Of::FraudAmount => "CASE WHEN fraud THEN amount END",
        };
        let call = match self.measure {
            Measure::Rows => "count(*)".to_owned(),
            Measure::Count => format!("count({of})"),
            Measure::Distinct => format!("count(DISTINCT {of})"),
            Measure::Sum => format!("sum({of})"),
            Measure::Mean => format!("avg({of})"),
            Measure::Least => format!("min({of})"),
            Measure::Greatest => format!("max({of})"),
            Measure::Deviation => format!("stddev_samp({of})"),
            Measure::First => format!("first_value({of})"),
            Measure::Lag(distance) => format!("lag({of}, {distance})"),
        };
        let filter = if self.large_only { " FILTER (WHERE amount > 4)" } else { "" };
        let key = match self.key {
            Key::Customer => "customer",
            Key::Shop => "shop",
            Key::Both => "shop, customer",
        };
        let end = if self.end == 0 { "CURRENT ROW".to_owned() } else { format!("INTERVAL '{} hours' PRECEDING", self.end) };
        format!(
            "{call}{filter} OVER (PARTITION BY {key} ORDER BY time RANGE BETWEEN INTERVAL '{} hours' PRECEDING AND {end})",
            self.start
        )
    }

    /// The answer for `arrivals[current]`, from those of `seen` and itself.
    fn recount(&self, arrivals: &[Arrival], seen: &[usize], current: usize) -> Value {
        let now = &arrivals[current];
        let same = |other: &&usize| {
            let other = &arrivals[**other];
            match self.key {
                Key::Customer => other.customer == now.customer,
                Key::Shop => other.shop == now.shop,
                Key::Both => other.customer == now.customer && other.shop == now.shop,
            }
        };
        // In the order of events, those of the same instant as they arrived.
        let mut past: Vec<usize> = seen.iter().filter(same).copied().chain([current]).collect();
        past.sort_by_key(|&one| (arrivals[one].time, one));
        if let Measure::Lag(distance) = self.measure {
            let place = past.iter().position(|&one| one == current).unwrap();
            return place.checked_sub(distance).map_or(Value::Null, |before| self.value(&arrivals[past[before]]));
        }
        let inside = |one: &&usize| {
            let time = arrivals[**one].time;
            time >= now.time - self.start * HOUR && time <= now.time - self.end * HOUR
        };
        let values: Vec<Value> = past.iter().filter(inside).map(|&one| self.value(&arrivals[one])).collect();
        if self.measure == Measure::First {
            return values.first().cloned().unwrap_or_default();
        }
        let rows = past.iter().filter(inside).filter(|&&one| !self.large_only || arrivals[one].amount > Some(4.0)).count();
        let known: Vec<Value> = past
            .iter()
            .filter(inside)
            .filter(|&&one| !self.large_only || arrivals[one].amount > Some(4.0))
            .map(|&one| self.value(&arrivals[one]))
            .filter(|value| !value.is_null())
            .collect();
        let numbers: Vec<f64> = known
            .iter()
            .filter_map(|value| match value {
                Value::Integer(number) => Some(*number as f64),
                Value::Double(number) => Some(*number),
                _ => None,
            })
            .collect();
        let whole = self.kind() == Type::Integer;
        let number = |number: f64| if whole { Value::Integer(number as i64) } else { Value::Double(number) };
        let sum: f64 = numbers.iter().sum();
        match self.measure {
            Measure::Rows => Value::Integer(rows as i64),
            Measure::Count => Value::Integer(known.len() as i64),
            Measure::Distinct => {
                let mut texts: Vec<String> = known.iter().map(|value| format!("{value:?}")).collect();
                texts.sort();
                texts.dedup();
                Value::Integer(texts.len() as i64)
            }
            Measure::Deviation if known.len() < 2 => Value::Null,
            Measure::Deviation => {
                let mean = sum / numbers.len() as f64;
                let squares: f64 = numbers.iter().map(|number| (number - mean) * (number - mean)).sum();
                Value::Double((squares / (numbers.len() as f64 - 1.0)).sqrt())
            }
            _ if known.is_empty() => Value::Null,
            Measure::Sum => number(sum),
            Measure::Mean => Value::Double(sum / numbers.len() as f64),
            Measure::Least => number(numbers.iter().copied().fold(f64::INFINITY, f64::min)),
            Measure::Greatest => number(numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            Measure::First | Measure::Lag(_) => unreachable!("answered above"),
        }
    }

    fn value(&self, arrival: &Arrival) -> Value {
        let fraud = arrival.fraud == Some(true);
        let amount = arrival.amount.map_or(Value::Null, Value::Double);
        match self.of {
            Of::Amount => amount,
            Of::Items => arrival.items.map_or(Value::Null, Value::Integer),
            Of::Shop => arrival.shop.map_or(Value::Null, |shop| Value::Text(shop.into())),
            Of::Fraud => Value::Integer(fraud.into()),
            Of::FraudAmount => {
                if fraud {
                    amount
                } else {
                    Value::Null
                }
            }
        }
    }

    fn kind(&self) -> Type {
        match self.of {
            Of::Amount | Of::FraudAmount => Type::Double,
            Of::Items | Of::Fraud => Type::Integer,
            Of::Shop => Type::Text,
        }
    }
}

fn definition(asked: &[Asked]) -> Definition {
    let mut sql = String::from(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, time TIMESTAMP, customer BIGINT, shop TEXT, amount DOUBLE, items BIGINT, fraud BOOLEAN)
         WITH (event_time = 'time', label = 'fraud', label_delay = '2 hours', max_lateness = '6 hours');
         CREATE VIEW f AS SELECT amount AS plain",
    );
    for (place, asked) in asked.iter().enumerate() {
        write!(sql, ",\n  {} AS f{place}", asked.sql()).unwrap();
    }
    sql += " FROM t";
    Definition::parse(&sql, "random.sql").unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

fn transaction(number: usize, arrival: &Arrival) -> Vec<Value> {
    vec![
        Value::Integer(number as i64),
        Value::Timestamp(arrival.time),
        arrival.customer.map_or(Value::Null, Value::Integer),
        arrival.shop.map_or(Value::Null, |shop| Value::Text(shop.into())),
        arrival.amount.map_or(Value::Null, Value::Double),
        arrival.items.map_or(Value::Null, Value::Integer),
        arrival.fraud.map_or(Value::Null, Value::Boolean),
    ]
}

fn columns(arrivals: &[Arrival]) -> Vec<Column> {
    let rows: Vec<Vec<Value>> = arrivals.iter().enumerate().map(|(number, arrival)| transaction(number, arrival)).collect();
    let kinds = [Type::Integer, Type::Timestamp, Type::Integer, Type::Text, Type::Double, Type::Integer, Type::Boolean];
    kinds.iter().enumerate().map(|(place, &kind)| column_of(kind, rows.iter().map(|row| row[place].clone()))).collect()
}

/// Equal to the last bit, but for a deviation, whose recount rounds at every step.
fn same(found: &Value, expected: &Value, measure: Measure) -> bool {
    match (found, expected) {
        (Value::Double(found), Value::Double(expected)) if measure == Measure::Deviation => {
            (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3)
        }
        (Value::Double(found), Value::Double(expected)) => found.to_bits() == (expected + 0.0).to_bits(),
        (found, expected) => found == expected,
    }
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let measure = prop_oneof![
        Just(Measure::Rows),
        Just(Measure::Count),
        Just(Measure::Distinct),
        Just(Measure::Sum),
        Just(Measure::Mean),
        Just(Measure::Least),
        Just(Measure::Greatest),
        Just(Measure::Deviation),
        Just(Measure::First),
        (1_usize..4).prop_map(Measure::Lag),
    ];
    let of = prop_oneof![Just(Of::Amount), Just(Of::Items), Just(Of::Shop), Just(Of::Fraud), Just(Of::FraudAmount)];
    let key = prop_oneof![Just(Key::Customer), Just(Key::Shop), Just(Key::Both)];
    (measure, of, any::<bool>(), key, 0_i64..12, 0_i64..8).prop_filter_map(
        "refused by rule",
        |(measure, of, large_only, key, length, end)| {
            let asked = Asked { measure, of, large_only, key, start: end + length, end };
            asked.is_possible().then_some(asked)
        },
    )
}

fn any_arrival(step: impl Strategy<Value = i64>) -> impl Strategy<Value = Arrival> {
    let shop = prop::option::weighted(0.9, prop_oneof![Just("a"), Just("b"), Just("ü")]);
    let amount = prop::option::weighted(0.9, (-80_i64..80).prop_map(|eighths| eighths as f64 / 8.0));
    (
        step,
        prop::option::weighted(0.9, -1_i64..3),
        shop,
        amount,
        prop::option::weighted(0.9, -3_i64..4),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(time, customer, shop, amount, items, fraud)| Arrival { time, customer, shop, amount, items, fraud })
}

/// Steps from one arrival to the next, in half hours: mostly forward, often none, sometimes back.
fn arrivals(steps: Vec<Arrival>) -> Vec<Arrival> {
    let mut now = -20 * DAY;
    let moved = |mut arrival: Arrival| {
        now += arrival.time * HOUR / 2;
        arrival.time = now;
        arrival
    };
    steps.into_iter().map(moved).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn features_of_a_stream_are_those_of_a_recount_whatever_is_late(
        asked in prop::collection::vec(any_asked(), 1..8),
        steps in prop::collection::vec(any_arrival(prop_oneof![4 => 0_i64..4, 1 => -20_i64..0, 1 => 10_i64..60]), 0..60),
    ) {
        let arrivals = arrivals(steps);
        let mut features = Features::new(definition(&asked));
        let (mut seen, mut newest) = (Vec::new(), i64::MIN);
        for (current, arrival) in arrivals.iter().enumerate() {
            let too_late = arrival.time < newest.saturating_sub(LATENESS);
            newest = newest.max(arrival.time);
            let observed = features.observe(&transaction(current, arrival));
            prop_assert_eq!(observed.too_late, too_late);
            if !too_late {
                for (asked, found) in asked.iter().zip(&observed.features[1..]) {
                    let expected = asked.recount(&arrivals, &seen, current);
                    prop_assert!(same(found, &expected, asked.measure), "{}: {:?}, not {:?}", asked.sql(), found, expected);
                }
                seen.push(current);
            }
        }
    }

    #[test]
    fn a_history_is_folded_to_the_bits_of_the_stream(
        asked in prop::collection::vec(any_asked(), 1..8),
        steps in prop::collection::vec(any_arrival(0_i64..4), 1..80),
        shuffled in any::<u64>(),
    ) {
        let mut arrivals = arrivals(steps);
        let definition = definition(&asked);
        // The file need not be in order; those of one instant keep theirs.
        let turn = usize::try_from(shuffled % arrivals.len() as u64).unwrap();
        arrivals.rotate_left(turn);
        let columns = columns(&arrivals);
        let folded = fold(&definition.plan, &columns, &|_, _| ()).unwrap();
        let all = folded.features(0..arrivals.len());
        let mut features = Features::new(definition.clone());
        for (place, &row) in folded.order().iter().enumerate() {
            let observed = features.observe(&transaction(row as usize, &arrivals[row as usize]));
            for (column, value) in all.iter().zip(&observed.features) {
                prop_assert_eq!(&column.value(place), value);
            }
        }
    }
}

/// The state as it would be after a restart from a snapshot.
fn restarted(features: &Features) -> Features {
    let mut snapshot = Vec::new();
    features.write_snapshot(&mut snapshot).unwrap();
    Features::from_snapshot(features.definition().clone(), &mut snapshot.as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_restart_from_a_snapshot_changes_no_bit(
        asked in prop::collection::vec(any_asked(), 1..8),
        steps in prop::collection::vec((any_arrival(prop_oneof![4 => 0_i64..4, 1 => -20_i64..0, 1 => 10_i64..60]), any::<bool>()), 0..60),
    ) {
        let (steps, restarts): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let arrivals = arrivals(steps);
        let mut whole = Features::new(definition(&asked));
        let mut stopped = whole.clone();
        for (number, (arrival, restart)) in arrivals.iter().zip(restarts).enumerate() {
            prop_assert_eq!(whole.observe(&transaction(number, arrival)), stopped.observe(&transaction(number, arrival)));
            if restart {
                stopped = restarted(&stopped);
            }
        }
    }

    /// Labels arrive when they are known, here as late as they may: nothing that looks at them can tell it from a history.
    #[test]
    fn labels_that_come_later_count_from_then_on_as_if_they_had_been_there(
        asked in prop::collection::vec(any_asked(), 1..8),
        steps in prop::collection::vec(any_arrival(0_i64..4), 1..80),
    ) {
        let arrivals = arrivals(steps);
        let mut labelled = Features::new(definition(&asked));
        let mut learning = labelled.clone();
        let mut unknown = std::collections::VecDeque::new();
        for (number, arrival) in arrivals.iter().enumerate() {
            while let Some((known, _)) = unknown.pop_front_if(|(_, known_at): &mut (usize, i64)| *known_at <= arrival.time) {
                let before = Arrival { fraud: None, ..arrivals[known].clone() };
                let label = arrivals[known].fraud;
                learning.relabel(&transaction(known, &before), label);
                // Told twice, nothing changes; taken back and told again, neither.
                learning.relabel(&transaction(known, &arrivals[known]), label);
                learning.relabel(&transaction(known, &arrivals[known]), None);
                learning.relabel(&transaction(known, &before), label);
            }
            let bare = Arrival { fraud: None, ..arrival.clone() };
            prop_assert_eq!(labelled.observe(&transaction(number, arrival)).features, learning.observe(&transaction(number, &bare)).features);
            unknown.push_back((number, arrival.time + DELAY));
        }
    }
}

/// A model with a new feature, tried beside the old one: its state is filled from the history, and nothing tells that it came later.
#[test]
fn a_definition_that_begins_later_is_as_if_it_had_been_there_once_it_was_given_the_history() {
    let old = Asked { measure: Measure::Rows, of: Of::Amount, large_only: false, key: Key::Customer, start: 24, end: 0 };
    let new = Asked { measure: Measure::Sum, of: Of::Amount, large_only: true, key: Key::Shop, start: 48, end: 0 };
    let arrival = |number: i64| Arrival {
        time: number * HOUR,
        customer: Some(number % 3),
        shop: Some(if number % 2 == 0 { "a" } else { "b" }),
        amount: Some(number as f64),
        items: None,
        fraud: None,
    };
    let (mut before, mut both) = (Features::new(definition(std::slice::from_ref(&old))), Features::new(definition(&[old, new])));
    for number in 0..100 {
        before.observe(&transaction(number, &arrival(number as i64)));
        both.observe(&transaction(number, &arrival(number as i64)));
    }
    let mut later = Features::new(both.definition().clone());
    for number in 0..100 {
        later.observe(&transaction(number, &arrival(number as i64)));
    }
    for number in 100..200 {
        let payment = transaction(number, &arrival(number as i64));
        let (of_before, of_both, of_later) = (before.observe(&payment), both.observe(&payment), later.observe(&payment));
        assert_eq!(of_both, of_later);
        assert_eq!(of_before.features[1], of_later.features[1]);
    }
}

/// Windows do not look at ids: who sends a payment twice has paid twice.
#[test]
fn the_same_id_twice_is_two_transactions() {
    let asked = Asked { measure: Measure::Rows, of: Of::Amount, large_only: false, key: Key::Customer, start: 24, end: 0 };
    let mut features = Features::new(definition(&[asked]));
    let arrival = Arrival { time: 0, customer: Some(1), shop: None, amount: Some(1.0), items: None, fraud: None };
    let mut payments = || features.observe(&transaction(7, &arrival)).features[1].clone();
    assert_eq!([payments(), payments()], [Value::Integer(1), Value::Integer(2)]);
}

#[test]
fn a_label_of_a_transaction_that_is_forgotten_or_was_never_seen_changes_nothing() {
    let asked = Asked { measure: Measure::Mean, of: Of::Fraud, large_only: false, key: Key::Customer, start: 24, end: 2 };
    let mut features = Features::new(definition(&[asked]));
    let arrival = Arrival { time: 0, customer: Some(1), shop: None, amount: Some(1.0), items: None, fraud: None };
    assert!(!features.relabel(&transaction(0, &arrival), Some(true)));
    features.observe(&transaction(0, &arrival));
    assert!(features.relabel(&transaction(0, &arrival), Some(true)));
    features.observe(&transaction(1, &Arrival { time: 5 * DAY, ..arrival.clone() }));
    assert!(!features.relabel(&transaction(0, &Arrival { fraud: Some(true), ..arrival }), None));
}

/// Every cut and every changed byte is found, and a snapshot of another definition is none of ours.
#[test]
fn a_damaged_snapshot_is_refused_with_what_to_do() {
    let asked = Asked { measure: Measure::Sum, of: Of::Amount, large_only: false, key: Key::Shop, start: 24, end: 0 };
    let mut features = Features::new(definition(std::slice::from_ref(&asked)));
    for number in 0..20 {
        let shop = Some(["a", "b", "c"][number % 3]);
        let arrival = Arrival { time: number as i64, customer: None, shop, amount: Some(1.0), items: None, fraud: None };
        features.observe(&transaction(number, &arrival));
    }
    let mut snapshot = Vec::new();
    features.write_snapshot(&mut snapshot).unwrap();
    let open = |bytes: &[u8]| Features::from_snapshot(features.definition().clone(), &mut &*bytes).map(|_| ());
    assert!(open(&snapshot).is_ok());
    for length in 0..snapshot.len() {
        assert!(open(&snapshot[..length]).is_err(), "cut at {length}");
    }
    for place in 0..snapshot.len() {
        let mut changed = snapshot.clone();
        changed[place] ^= 0x40;
        assert!(open(&changed).is_err(), "byte {place}");
    }
    let other = definition(&[Asked { start: 48, ..asked }]);
    let refused = Features::from_snapshot(other, &mut snapshot.as_slice()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused, "the snapshot was made with another definition; delete it, and the history is folded again");
}

/// Text keys come and go for ever: their texts must not stay.
#[test]
fn texts_that_no_past_mentions_are_forgotten_and_change_nothing() {
    let asked = Asked { measure: Measure::Rows, of: Of::Amount, large_only: false, key: Key::Shop, start: 24, end: 0 };
    let text = definition(&[asked]).text;
    let mut features = Features::new(Definition::parse(&text, "test").unwrap());
    let mut bytes = 0;
    for number in 0..300_000_i64 {
        // Each shop has two payments a second apart, and is never heard of again.
        let shop: std::sync::Arc<str> = format!("shop {}", number / 2).into();
        let mut values = transaction(
            0,
            &Arrival { time: number * 10 * SECOND, customer: None, shop: None, amount: None, items: None, fraud: None },
        );
        let place = features.definition().plan.schema.place("shop").unwrap();
        values[place] = Value::Text(shop);
        let observed = features.observe(&values);
        assert_eq!(observed.features[1], Value::Integer(1 + number % 2));
        if number % 50_000 == 49_999 {
            let mut snapshot = Vec::new();
            features.write_snapshot(&mut snapshot).unwrap();
            bytes = bytes.max(snapshot.len());
        }
    }
    // 150,000 shops were seen; at most 65,536 and those of two sweeps are held.
    assert!(bytes < 5_000_000, "{bytes}");
}

/// Memory follows time: a key without transactions inside any window is no key.
#[test]
fn what_no_window_looks_at_is_forgotten() {
    let asked = Asked { measure: Measure::Sum, of: Of::Amount, large_only: false, key: Key::Customer, start: 24, end: 0 };
    let mut features = Features::new(definition(&[asked]));
    for number in 0..10_000 {
        let time = number * 60 * SECOND;
        let arrival = Arrival { time, customer: Some(number), shop: None, amount: Some(1.0), items: None, fraud: None };
        features.observe(&transaction(usize::try_from(number).unwrap(), &arrival));
    }
    // A day and six hours of one customer a minute, and those the sweep has not come to yet.
    assert!((1_800..3_600).contains(&features.keys()), "{}", features.keys());
}
