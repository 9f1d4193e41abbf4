//! Refusing histories that would make a model look good and be useless: the label in disguise, times from the future, resampling
//! before the split.

use std::collections::BTreeMap;

use assay_model::FeatureKind;
use thiserror::Error;

use crate::dataset::Dataset;
use crate::duplicates;
use crate::split::Split;

/// Held-back frauds that also occur in training, as a share, from which the history was oversampled. (ULB's creditcard.csv has 4 %.)
pub const MOST_REPEATED_FRAUDS: f64 = 0.2;
/// Frauds that lie exactly between two others, as a share, from which the history holds made-up frauds.
pub const MOST_INTERPOLATED_FRAUDS: f64 = 0.2;
/// A column with more distinct values than this is an identifier or a measure rather than the label in other words.
const MOST_LEVELS: usize = 20;

/// A leak, and what to do about it.
#[derive(Debug, Error, PartialEq)]
pub enum Leak {
    /// A feature tells the label.
    #[error(
        "column `{column}` tells the label `{label}` without fail, so it was written after the fact; leave it out with --drop {column}"
    )]
    Label {
        /// The feature.
        column: String,
        /// The label.
        label: String,
    },
    /// A feature is a later time.
    #[error(
        "column `{column}` is a time later than the event time `{time}`, so it was not known then; leave it out with --drop {column}"
    )]
    LaterTime {
        /// The feature.
        column: String,
        /// The event time.
        time: String,
    },
    /// Frauds were repeated.
    #[error(
        "{repeated} of the {frauds} frauds held back also occur, to the last bit, among the rows to learn from: the history was resampled \
         before the split, and every figure would be too good; use the history as it was (class weights do what resampling is for)"
    )]
    Repeated {
        /// Held-back frauds seen in training.
        repeated: u64,
        /// Held-back frauds.
        frauds: u64,
    },
    /// Frauds were made up.
    #[error(
        "{between} of {looked_at} frauds looked at lie exactly between two others in every column: the history holds made-up frauds (SMOTE) \
         from before the split, and every figure would be too good; use the history as it was"
    )]
    Interpolated {
        /// Frauds on a line between two others.
        between: usize,
        /// Frauds looked at.
        looked_at: usize,
    },
}

/// Looks for leaks that data can show.
pub fn check(data: &Dataset, split: &Split) -> Result<(), Leak> {
    for (place, feature) in data.features.iter().enumerate() {
        if tells_the_label(data, place) {
            return Err(Leak::Label { column: feature.name.clone(), label: data.label.clone() });
        }
        if let Some(time) = later_than(data, place) {
            return Err(Leak::LaterTime { column: feature.name.clone(), time });
        }
    }
    check_repeated(data, split)?;
    check_interpolated(data)
}

/// Do its values, one cut, or being empty part the classes without a single error?
fn tells_the_label(data: &Dataset, place: usize) -> bool {
    let (column, fraud) = (&data.columns[place], &data.fraud);
    let empty_is = |of: bool| column.iter().zip(fraud).all(|(value, &fraud)| value.is_nan() == (fraud == of));
    let is_number = matches!(data.features[place].kind, FeatureKind::Number);
    empty_is(true) || empty_is(false) || values_part(column, fraud) || (is_number && a_cut_parts(column, fraud))
}

/// Are there only a few values, empty being one of them, and none of them in both classes?
fn values_part(column: &[f64], fraud: &[bool]) -> bool {
    let mut classes = BTreeMap::new();
    for (value, &fraud) in column.iter().zip(fraud) {
        let class = *classes.entry(value.to_bits()).or_insert(fraud);
        if class != fraud || classes.len() > MOST_LEVELS + 1 {
            return false;
        }
    }
    true
}

/// Are all frauds above all genuine rows, or below, and are only rows of one class empty?
fn a_cut_parts(column: &[f64], fraud: &[bool]) -> bool {
    let of_class = |of: bool| column.iter().zip(fraud).filter(move |&(_, &is)| is == of).map(|(&value, _)| value);
    let range = |of: bool| {
        let present = of_class(of).filter(|value| !value.is_nan());
        present.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let has_empty = |of: bool| of_class(of).any(f64::is_nan);
    let (frauds, genuine) = (range(true), range(false));
    (frauds.1 < genuine.0 || genuine.1 < frauds.0) && !(has_empty(true) && has_empty(false))
}

/// Is this column a time, never earlier than the event's, mostly later, and moving along with it? Gives the event time's name.
fn later_than(data: &Dataset, place: usize) -> Option<String> {
    let time = data.time.as_ref()?;
    let column = &data.columns[place];
    if data.features[place].name == time.column || !matches!(data.features[place].kind, FeatureKind::Number) {
        return None;
    }
    let scales: &[f64] = if time.units_per_second > 1.0 { &[1.0, 1e-3, 1e-6] } else { &[1.0] };
    let is_later = |scale: f64| {
        let pairs =
            || column.iter().zip(&time.values).filter(|(value, _)| !value.is_nan()).map(|(&value, &time)| (value, time * scale));
        let (present, later) =
            pairs().fold((0_usize, 0_usize), |(all, later), (value, time)| (all + 1, later + usize::from(value > time)));
        present > 1 && pairs().all(|(value, time)| value >= time) && later * 2 > present && correlation(pairs) > 0.9
    };
    scales.iter().any(|&scale| is_later(scale)).then(|| time.column.clone())
}

fn correlation<Pairs: Iterator<Item = (f64, f64)>>(pairs: impl Fn() -> Pairs) -> f64 {
    let count = pairs().count() as f64;
    let (x_mean, y_mean) = pairs().fold((0.0, 0.0), |(x_sum, y_sum), (x, y)| (x_sum + x / count, y_sum + y / count));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs() {
        xx += (x - x_mean) * (x - x_mean);
        yy += (y - y_mean) * (y - y_mean);
        xy += (x - x_mean) * (y - y_mean);
    }
    xy / (xx * yy).sqrt()
}

fn check_repeated(data: &Dataset, split: &Split) -> Result<(), Leak> {
    let of_class = |rows: &[usize]| rows.iter().copied().filter(|&row| data.fraud[row]).collect::<Vec<_>>();
    let held_back = of_class(&split.test);
    let repeated = duplicates::also_in(data, &held_back, &of_class(&split.train));
    let frauds = held_back.len() as u64;
    if repeated >= 5 && repeated as f64 > MOST_REPEATED_FRAUDS * frauds as f64 {
        return Err(Leak::Repeated { repeated, frauds });
    }
    Ok(())
}

/// Frauds that the search for made-up ones looks at, and among how many it looks for their neighbours.
const LOOKED_AT: usize = 200;
const AMONG: usize = 20_000;
const NEIGHBOURS: usize = 15;
/// A made-up fraud moves along all columns at once; rows that differ in fewer columns are in line by nature.
const FEWEST_MOVING_COLUMNS: usize = 5;

/// SMOTE (Chawla et al. 2002) makes frauds as `a + share × (b − a)`: in line with two neighbours to the last few bits.
fn check_interpolated(data: &Dataset) -> Result<(), Leak> {
    let frauds: Vec<usize> = (0..data.rows()).filter(|&row| data.fraud[row]).collect();
    let spread_out = |most: usize| {
        let step = frauds.len().div_ceil(most).max(1);
        frauds.iter().copied().step_by(step).collect::<Vec<_>>()
    };
    let scales = scales(data, &frauds);
    if scales.len() < FEWEST_MOVING_COLUMNS {
        return Ok(());
    }
    let point = |row: usize| scales.iter().map(|&(place, scale)| data.columns[place][row] / scale).collect::<Vec<f64>>();
    let among: Vec<Vec<f64>> = spread_out(AMONG).into_iter().map(point).collect();
    let looked_at = spread_out(LOOKED_AT);
    // Who made frauds up may have chosen neighbours in columns of equal spread, or in columns as they are.
    let nearness = [vec![1.0; scales.len()], scales.iter().map(|(_, scale)| scale * scale).collect()];
    let made_up = |point: &[f64]| nearness.iter().any(|weights| lies_between_neighbours(point, &among, weights));
    let between = looked_at.iter().filter(|&&row| made_up(&point(row))).count();
    if between >= 5 && between as f64 > MOST_INTERPOLATED_FRAUDS * looked_at.len() as f64 {
        return Err(Leak::Interpolated { between, looked_at: looked_at.len() });
    }
    Ok(())
}

/// Numeric columns that vary among the frauds, each with its spread.
fn scales(data: &Dataset, frauds: &[usize]) -> Vec<(usize, f64)> {
    let spread = |place: usize| {
        let values = frauds.iter().map(|&row| data.columns[place][row]);
        let mean = values.clone().sum::<f64>() / frauds.len() as f64;
        (values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / frauds.len() as f64).sqrt()
    };
    let numbers = (0..data.features.len()).filter(|&place| matches!(data.features[place].kind, FeatureKind::Number));
    numbers.map(|place| (place, spread(place))).filter(|(_, spread)| *spread > 0.0 && spread.is_finite()).collect()
}

fn lies_between_neighbours(point: &[f64], among: &[Vec<f64>], weights: &[f64]) -> bool {
    let distance = |other: &[f64]| point.iter().zip(other).zip(weights).map(|((a, b), weight)| weight * (a - b) * (a - b)).sum();
    let mut distances: Vec<(f64, usize)> =
        among.iter().enumerate().map(|(place, other)| (distance(other), place)).filter(|(distance, _)| *distance > 0.0).collect();
    let nearest = NEIGHBOURS.min(distances.len());
    if nearest < 2 {
        return false;
    }
    distances.select_nth_unstable_by(nearest - 1, |first, second| first.0.total_cmp(&second.0));
    let neighbours = &distances[..nearest];
    let pairs = neighbours
        .iter()
        .enumerate()
        .flat_map(|(place, first)| neighbours[..place].iter().map(move |second| (first.1, second.1)));
    pairs.into_iter().any(|(first, second)| lies_between(point, &among[first], &among[second]))
}

fn lies_between(point: &[f64], from: &[f64], to: &[f64]) -> bool {
    let length2: f64 = from.iter().zip(to).map(|(from, to)| (to - from) * (to - from)).sum();
    let along: f64 = point.iter().zip(from.iter().zip(to)).map(|(point, (from, to))| (point - from) * (to - from)).sum();
    let share = along / length2;
    let moving = from.iter().zip(to).filter(|(from, to)| from != to).count();
    let off = |(point, (from, to)): (&f64, (&f64, &f64))| (point - from - share * (to - from)).abs();
    share > 0.0
        && share < 1.0
        && moving >= FEWEST_MOVING_COLUMNS
        && point.iter().zip(from.iter().zip(to)).all(|at| off(at) < 1e-6 * length2.sqrt())
}
