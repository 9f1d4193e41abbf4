//! A world for the tests: the simulator's cardholders, with what real ones add to them. Amounts have heavy tails, weekends are quieter,
//! customers come in bursts, each has habits of their own; and features remember, some of them for a month.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::VecDeque;

use assay_model::reference::{Column, Reference, Spread};
use assay_model::{Feature, FeatureKind};
use assay_simulator::{CardTransaction, Cards, CardsSettings};

pub const AMOUNT: usize = 0;
pub const HOUR: usize = 1;
pub const WEEKDAY: usize = 2;
pub const SECONDS_SINCE_LAST: usize = 3;
pub const COUNT_7D: usize = 4;
pub const MEAN_AMOUNT_30D: usize = 5;
pub const EMAIL_RISK: usize = 6;
pub const COUNTRY: usize = 7;
pub const CHANNEL: usize = 8;
pub const FEATURES: usize = 9;

const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;
pub const WEEK: i64 = 7 * DAY;
const COUNTRIES: u64 = 12;
/// Days before the first row that is handed out, in which the features fill.
const WARM_UP_DAYS: u64 = 35;

/// A row as the model takes it.
#[derive(Clone, Debug)]
pub struct Row {
    pub at: i64,
    pub customer: u32,
    pub values: [f64; FEATURES],
}

/// What the features are.
pub fn features() -> Vec<Feature> {
    let number = |name: &str, missing_seen| Feature { name: name.into(), kind: FeatureKind::Number, missing_seen };
    let category = |name: &str, levels: u64| Feature {
        name: name.into(),
        kind: FeatureKind::Category { levels: (0..levels).map(|level| format!("{name}{level:02}")).collect() },
        missing_seen: false,
    };
    vec![
        number("amount", false),
        number("hour", false),
        number("weekday", false),
        number("seconds_since_last", true),
        number("count_7d", false),
        number("mean_amount_30d", true),
        number("email_risk", true),
        category("country", COUNTRIES),
        category("channel", 3),
    ]
}

/// What a model would say of a row: a logistic function of some of it.
pub fn probability(values: &[f64; FEATURES], surer: f64) -> f64 {
    let or = |value: f64, otherwise: f64| if value.is_nan() { otherwise } else { value };
    let margin = -6.0 + 0.5 * libm::log(values[AMOUNT].max(0.01)) + 0.04 * values[COUNT_7D] + or(values[EMAIL_RISK], 0.5)
        - 0.1 * libm::log(or(values[SECONDS_SINCE_LAST], 1e5).max(1.0))
        + if values[CHANNEL] == 0.0 { 0.8 } else { 0.0 };
    1.0 / (1.0 + libm::exp(-(margin + surer)))
}

/// A number in [0, 1) that a key always gives.
pub fn draw(seed: u64, key: u64) -> f64 {
    let mut word = seed ^ key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9_u64), (27, 0x94d0_49bb_1331_11eb), (31, 1)] {
        word = (word ^ (word >> shift)).wrapping_mul(factor);
    }
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// Rows day by day, for ever the same for a seed.
pub struct World {
    seed: u64,
    cards: Cards,
    pasts: Vec<VecDeque<(i64, f64)>>,
}

impl World {
    pub fn new(customers: u64, days: u64, seed: u64) -> Self {
        let settings =
            CardsSettings { customers, terminals: 2 * customers, days: days + WARM_UP_DAYS, ..CardsSettings::default() };
        let cards = Cards::new(&settings, seed).unwrap();
        let mut world = Self { seed, cards, pasts: vec![VecDeque::new(); usize::try_from(customers).unwrap()] };
        for _ in 0..WARM_UP_DAYS {
            world.day().unwrap();
        }
        world
    }

    /// The next day, in order of time.
    pub fn day(&mut self) -> Option<Vec<Row>> {
        let mut happened: Vec<(i64, u32, u32, f64)> = Vec::new();
        for transaction in self.cards.next_day()? {
            happened.extend(self.lived(&transaction));
        }
        happened.sort_by_key(|(at, ..)| *at);
        Some(happened.into_iter().map(|(at, customer, terminal, amount)| self.row(at, customer, terminal, amount)).collect())
    }

    /// A payment as this world has it: none on a quiet day, several in a burst.
    fn lived(&self, payment: &CardTransaction) -> Vec<(i64, u32, u32, f64)> {
        let day = payment.time_us.div_euclid(DAY);
        let key = payment.transaction_id * 8;
        let quiet = [0.0, 0.0, 0.0, 0.0, 0.05, 0.3, 0.55][weekday(payment.time_us)];
        if draw(self.seed, key) < quiet {
            return Vec::new();
        }
        let euros = payment.amount_minor as f64 / 100.0;
        // Three in a hundred are Pareto's, with a tail index of 1.5: their variance has no end.
        let tail = if draw(self.seed, key + 1) < 0.03 { libm::pow(draw(self.seed, key + 2).max(1e-9), -1.0 / 1.5) } else { 1.0 };
        let amount = (euros * tail * 100.0).round() / 100.0;
        let customer_day = u64::from(payment.customer_id) << 32 | u64::try_from(day).unwrap();
        let times =
            if draw(self.seed ^ 1, customer_day) < 1.0 / 400.0 { 10.0 + 30.0 * draw(self.seed ^ 2, customer_day) } else { 1.0 };
        let mut lived = Vec::new();
        for time in (0..).take_while(|&time| f64::from(time) < times) {
            lived.push((payment.time_us + i64::from(time) * 40 * SECOND, payment.customer_id, payment.terminal_id, amount));
        }
        lived
    }

    fn row(&mut self, at: i64, customer: u32, terminal: u32, amount: f64) -> Row {
        let past = &mut self.pasts[customer as usize];
        while past.front().is_some_and(|(then, _)| *then <= at - 30 * DAY) {
            past.pop_front();
        }
        let last = past.back().map_or(f64::NAN, |(then, _)| ((at - then) / SECOND) as f64);
        let week = past.iter().rev().take_while(|(then, _)| *then > at - WEEK).count();
        let mean =
            if past.is_empty() { f64::NAN } else { past.iter().map(|(_, amount)| amount).sum::<f64>() / past.len() as f64 };
        past.push_back((at, amount));
        let habit = draw(self.seed ^ 3, u64::from(customer));
        let hour = at.rem_euclid(DAY) as f64 / (3_600 * SECOND) as f64;
        let online = draw(self.seed ^ 4, u64::try_from(at).unwrap() ^ u64::from(customer));
        let channel = match online {
            chance if chance < 0.2 + 0.3 * habit => 0.0,
            chance if chance < 0.95 => 1.0,
            _ => 2.0,
        };
        // Countries of terminals, the first the most frequent.
        let country = (COUNTRIES as f64 * draw(self.seed ^ 5, u64::from(terminal)).powi(2)).floor();
        let email_risk = if draw(self.seed ^ 6, u64::from(customer)) < 0.08 { f64::NAN } else { (habit * 20.0).floor() / 20.0 };
        let values = [amount, hour.floor(), weekday(at) as f64, last, week as f64, mean, email_risk, country, channel];
        Row { at, customer, values }
    }
}

/// 0 is Monday.
fn weekday(at: i64) -> usize {
    usize::try_from((at.div_euclid(DAY) + 3).rem_euclid(7)).unwrap()
}

/// The reference that a model gets which learnt from the first four fifths of `rows`: the score's is of the last fifth, and what is usual for it
/// of all of them.
pub fn reference(rows: &[Row]) -> Reference {
    let (learnt, held_back) = rows.split_at(rows.len() * 4 / 5);
    let spread = |kind: &FeatureKind, rows: &[Row], value: &dyn Fn(&Row) -> f64| {
        with_column(rows, value, &|column| Spread::of(kind, column))
    };
    let score = |row: &Row| probability(&row.values, 0.0);
    let held_back = spread(&FeatureKind::Number, held_back, &score);
    let features = features();
    let features = features.iter().enumerate().map(|(place, feature)| spread(&feature.kind, learnt, &|row| row.values[place]));
    Reference {
        features: features.collect(),
        score: with_column(rows, &score, &|column| held_back.clone().with_usual_of(column)),
    }
}

fn with_column(rows: &[Row], value: &dyn Fn(&Row) -> f64, of: &dyn Fn(&Column) -> Spread) -> Spread {
    let values: Vec<f64> = rows.iter().map(value).collect();
    let days: Vec<i64> = rows.iter().map(|row| row.at.div_euclid(DAY)).collect();
    of(&Column { values: &values, weights: &vec![1.0; rows.len()], days: Some(&days) })
}
