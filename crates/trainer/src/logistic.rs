//! Logistic regression by Newton's method, and the seed system's search over its penalty.
//!
//! What is minimised is scikit-learn's objective: Σ sᵢ × log-loss(rowᵢ) + |w|² / (2C), the intercept without a penalty, sᵢ the row's
//! weight times its class's. Inside, columns are shifted and scaled so that the Hessian is well conditioned, and the penalty is scaled
//! with them: the optimum is that of the columns as they are. Sums run over blocks of rows in a fixed order.

use assay_model::calibration::logistic;
use assay_model::linear::Term;
use assay_model::{Feature, FeatureKind, Linear};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::Solve;
use faer::{Accum, Col, ColMut, ColRef, Mat, MatRef, Par, Side};
use rayon::prelude::*;
use thiserror::Error;

use crate::Step;
use crate::dataset::Sample;
use crate::split::stratified_folds;

/// The penalties that the seed system searches.
pub const SEED_PENALTIES: [f64; 5] = [1e-4, 1e-2, 1.0, 1e2, 1e4];
/// The folds of its cross-validation.
pub const SEED_FOLDS: usize = 10;
/// More terms than this (numbers, plus a term per category) are refused: the Hessian grows with their square.
pub const MAX_TERMS: usize = 2_000;

/// Rows whose sums are taken together; their block of the matrix stays in the processor's second-level cache.
const BLOCK_ROWS: usize = 512;
/// Below this relative decrement (gᵀH⁻¹g, twice the distance to the lowest value) each step squares the error.
const QUADRATIC: f64 = 1e-6;
/// Newton's method needs far fewer steps; a fit that has not ended by then never will.
const MAX_STEPS: usize = 100;

/// Why there is no fit.
#[derive(Debug, Error, PartialEq)]
pub enum LogisticError {
    /// Too many categories.
    #[error(
        "logistic regression would need {terms} terms, at most {MAX_TERMS} are possible: drop the columns with the most categories (--drop)"
    )]
    TooManyTerms {
        /// One per number, one per category.
        terms: usize,
    },
    /// The search did not converge.
    #[error("logistic regression found no optimum; --learner boosted-trees needs none")]
    NoOptimum,
    /// A column's spread is no number.
    #[error(
        "the numbers in column `{column}` are too large for logistic regression, which squares them; divide them by a power of ten, or leave \
         the column out with --drop {column}"
    )]
    TooLarge {
        /// The column.
        column: String,
    },
    /// A fold would hold one class only.
    #[error("{folds}-fold cross-validation needs at least {folds} rows of each class, the rarer one has {rarer}")]
    TooFewForFolds {
        /// Folds asked for.
        folds: usize,
        /// Rows of the rarer class.
        rarer: usize,
    },
}

/// What the seed system's search found.
#[derive(Clone, Debug)]
pub struct Search {
    /// Mean macro recall over the folds, by penalty, in the order searched.
    pub macro_recall: Vec<(f64, f64)>,
    /// The best penalty: the first with the highest mean.
    pub penalty: f64,
    /// The model refitted on all rows with that penalty.
    pub linear: Linear,
}

/// Searches `penalties` as the seed system does: `folds`-fold stratified cross-validation, macro recall, balanced classes, refit.
pub fn search(
    features: &[Feature],
    sample: &Sample,
    penalties: &[f64],
    folds: usize,
    step: Step,
) -> Result<Search, LogisticError> {
    let frauds = sample.fraud.iter().filter(|&&fraud| fraud).count();
    let rarer = frauds.min(sample.fraud.len() - frauds);
    if rarer < folds {
        return Err(LogisticError::TooFewForFolds { folds, rarer });
    }
    let fold_of = stratified_folds(&sample.fraud, folds);
    let mut order: Vec<usize> = (0..sample.fraud.len()).collect();
    order.sort_by_key(|&row| fold_of[row]);
    let starts: Vec<usize> = (0..=folds).map(|fold| order.partition_point(|&row| fold_of[row] < fold)).collect();
    let problem = Problem::new(features, sample, &order)?;

    let done = std::sync::atomic::AtomicU64::new(0);
    let total = (folds * penalties.len()) as u64;
    let by_fold: Vec<Vec<f64>> = (0..folds)
        .into_par_iter()
        .map(|fold| {
            let held_back = starts[fold]..starts[fold + 1];
            let rows = Rows::but(held_back.clone(), problem.rows);
            let scales = problem.balanced(&rows);
            let mut position = Col::zeros(problem.width);
            penalties
                .iter()
                .map(|&penalty| {
                    problem.minimise(&rows, &scales, penalty, Precision::ForRanking, &mut position)?;
                    step(
                        "cross-validating logistic regression",
                        1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                        total,
                    );
                    Ok(problem.macro_recall(held_back.clone(), &position))
                })
                .collect()
        })
        .collect::<Result<_, _>>()?;

    let mean = |place: usize| by_fold.iter().map(|scores| scores[place]).sum::<f64>() / folds as f64;
    let macro_recall: Vec<(f64, f64)> = penalties.iter().enumerate().map(|(place, &penalty)| (penalty, mean(place))).collect();
    let best = macro_recall.iter().fold(macro_recall[0], |best, &next| if next.1 > best.1 { next } else { best });
    let linear = problem.fit(&Rows::all(problem.rows), best.0, true)?;
    Ok(Search { macro_recall, penalty: best.0, linear })
}

/// Fits one model: `balanced` gives both classes the same total weight.
pub fn fit(features: &[Feature], sample: &Sample, penalty: f64, balanced: bool) -> Result<Linear, LogisticError> {
    let order: Vec<usize> = (0..sample.fraud.len()).collect();
    let problem = Problem::new(features, sample, &order)?;
    problem.fit(&Rows::all(problem.rows), penalty, balanced)
}

/// The rows as a matrix of shifted and scaled terms, the last of them 1 for the intercept.
struct Problem {
    terms: Vec<Term>,
    shift: Vec<f64>,
    scale: Vec<f64>,
    /// Blocks of [`BLOCK_ROWS`] rows; in a block, column after column.
    blocks: Vec<f64>,
    fraud: Vec<f64>,
    weight: Vec<f64>,
    rows: usize,
    width: usize,
}

/// Up to two ranges of rows.
struct Rows([std::ops::Range<usize>; 2]);

/// How close to the optimum a fit must come.
#[derive(Clone, Copy)]
enum Precision {
    /// Coefficients to about 1e-5: which side of one half a row falls on is settled long before.
    ForRanking,
    /// Coefficients to the last few bits.
    Full,
}

/// Class weights.
struct Scales {
    fraud: f64,
    genuine: f64,
}

/// Value, slope and curvature of the objective at a position.
struct Local {
    value: f64,
    gradient: Col<f64>,
    hessian: Mat<f64>,
}

impl Rows {
    fn all(rows: usize) -> Self {
        Self([0..rows, rows..rows])
    }

    fn but(held_back: std::ops::Range<usize>, rows: usize) -> Self {
        Self([0..held_back.start, held_back.end..rows])
    }

    /// The rows in runs that lie within one block each.
    fn runs(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.0.iter().flat_map(|range| {
            let range = range.clone();
            let first_block = range.start / BLOCK_ROWS;
            (first_block..range.end.div_ceil(BLOCK_ROWS))
                .map(move |block| range.start.max(block * BLOCK_ROWS)..range.end.min((block + 1) * BLOCK_ROWS))
                .filter(|run| !run.is_empty())
        })
    }
}

impl Problem {
    fn new(features: &[Feature], sample: &Sample, order: &[usize]) -> Result<Self, LogisticError> {
        let terms = terms(features, sample)?;
        let rows = order.len();
        let width = terms.len() + 1;
        let mut blocks = vec![0.0; rows.div_ceil(BLOCK_ROWS) * BLOCK_ROWS * width];
        let (mut shift, mut scale) = (Vec::new(), Vec::new());
        for (place, term) in terms.iter().enumerate() {
            let column = &sample.columns[term.feature];
            let value = |row: usize| term.value_of(column[row]);
            let (mean, spread) = mean_and_spread(order.iter().map(|&row| value(row)));
            if !spread.is_finite() {
                return Err(LogisticError::TooLarge { column: features[term.feature].name.clone() });
            }
            for (position, &row) in order.iter().enumerate() {
                blocks[cell(position, place, width)] = (value(row) - mean) / spread;
            }
            shift.push(mean);
            scale.push(spread);
        }
        for position in 0..rows {
            blocks[cell(position, width - 1, width)] = 1.0;
        }
        let fraud = order.iter().map(|&row| f64::from(u8::from(sample.fraud[row]))).collect();
        let weight = order.iter().map(|&row| sample.weight[row]).collect();
        Ok(Self { terms, shift, scale, blocks, fraud, weight, rows, width })
    }

    fn fit(&self, rows: &Rows, penalty: f64, balanced: bool) -> Result<Linear, LogisticError> {
        let scales = if balanced { self.balanced(rows) } else { Scales { fraud: 1.0, genuine: 1.0 } };
        let mut position = Col::zeros(self.width);
        self.minimise(rows, &scales, penalty, Precision::Full, &mut position)?;
        Ok(self.linear(&position))
    }

    /// scikit-learn's `class_weight="balanced"`: each class weighs half of the total.
    fn balanced(&self, rows: &Rows) -> Scales {
        let (mut fraud, mut total) = (0.0, 0.0);
        for row in rows.0.iter().cloned().flatten() {
            fraud += self.weight[row] * self.fraud[row];
            total += self.weight[row];
        }
        Scales { fraud: total / (2.0 * fraud), genuine: total / (2.0 * (total - fraud)) }
    }

    /// Newton's method from `position`. Far from the optimum a step must lower the objective; near it, where the error is squared by
    /// each step and the objective's rounding would hide it, steps are taken as they come until they stop shrinking.
    fn minimise(
        &self,
        rows: &Rows,
        scales: &Scales,
        penalty: f64,
        precision: Precision,
        position: &mut Col<f64>,
    ) -> Result<(), LogisticError> {
        let mut local = self.look(rows, scales, penalty, position);
        let mut decrement_before = f64::INFINITY;
        for _ in 0..MAX_STEPS {
            let step = newton_step(&local)?;
            let decrement = (local.gradient.transpose() * &step) / (1.0 + local.value.abs());
            if decrement < QUADRATIC {
                *position -= &step;
                let enough = match precision {
                    Precision::ForRanking => decrement < QUADRATIC / 10.0,
                    Precision::Full => decrement < 1e-26 || decrement > decrement_before / 4.0,
                };
                if enough {
                    return Ok(());
                }
                decrement_before = decrement;
                local = self.look(rows, scales, penalty, position);
            } else {
                local = self.lower(rows, scales, penalty, position, &step, local.value)?;
            }
        }
        Err(LogisticError::NoOptimum)
    }

    /// Goes along `step` as far as the objective falls: all the way, or half, or a quarter …
    fn lower(
        &self,
        rows: &Rows,
        scales: &Scales,
        penalty: f64,
        position: &mut Col<f64>,
        step: &Col<f64>,
        value: f64,
    ) -> Result<Local, LogisticError> {
        let mut share = 1.0;
        while share > 1e-9 {
            let next = &*position - faer::Scale(share) * step;
            let local = self.look(rows, scales, penalty, &next);
            if local.value < value {
                *position = next;
                return Ok(local);
            }
            share /= 2.0;
        }
        Err(LogisticError::NoOptimum)
    }

    fn look(&self, rows: &Rows, scales: &Scales, penalty: f64, position: &Col<f64>) -> Local {
        let width = self.width;
        let mut local = Local { value: 0.0, gradient: Col::zeros(width), hessian: Mat::zeros(width, width) };
        let mut bent = vec![0.0; BLOCK_ROWS * width];
        let (mut margins, mut slopes) = (vec![0.0; BLOCK_ROWS], vec![0.0; BLOCK_ROWS]);
        for run in rows.runs() {
            let (count, matrix) = (run.len(), self.run(&run));
            let margins = &mut margins[..count];
            self.margins(&run, position, margins);
            let bent = &mut bent[..count * width];
            for (place, row) in run.enumerate() {
                let (fraud, margin) = (self.fraud[row], margins[place]);
                let weight = self.weight[row] * if fraud > 0.0 { scales.fraud } else { scales.genuine };
                let probability = logistic(margin);
                local.value += weight * (softplus(margin) - fraud * margin);
                slopes[place] = weight * (probability - fraud);
                margins[place] = weight * probability * (1.0 - probability);
            }
            for column in 0..width {
                let bent = &mut bent[column * count..(column + 1) * count];
                for ((bent, value), curvature) in bent.iter_mut().zip(matrix.col(column).iter()).zip(&*margins) {
                    *bent = value * curvature;
                }
            }
            let slopes = ColRef::from_slice(&slopes[..count]);
            matmul(&mut local.gradient, Accum::Add, matrix.transpose(), slopes, 1.0, Par::Seq);
            triangular::matmul(
                &mut local.hessian,
                BlockStructure::TriangularLower,
                Accum::Add,
                matrix.transpose(),
                BlockStructure::Rectangular,
                MatRef::from_column_major_slice(bent, count, width),
                BlockStructure::Rectangular,
                1.0,
                Par::Seq,
            );
        }
        for term in 0..width - 1 {
            let stiffness = 1.0 / (penalty * self.scale[term] * self.scale[term]);
            local.value += 0.5 * stiffness * position[term] * position[term];
            local.gradient[term] += stiffness * position[term];
            local.hessian[(term, term)] += stiffness;
        }
        local
    }

    fn macro_recall(&self, rows: std::ops::Range<usize>, position: &Col<f64>) -> f64 {
        let (mut right, mut all) = ([0.0; 2], [0.0; 2]);
        let mut margins = vec![0.0; BLOCK_ROWS];
        for run in (Rows([rows, 0..0])).runs() {
            let margins = &mut margins[..run.len()];
            self.margins(&run, position, margins);
            for (margin, row) in margins.iter().zip(run) {
                let class = usize::from(self.fraud[row] > 0.0);
                all[class] += self.weight[row];
                right[class] += self.weight[row] * f64::from(u8::from((*margin > 0.0) == (class == 1)));
            }
        }
        f64::midpoint(right[0] / all[0], right[1] / all[1])
    }

    fn margins(&self, run: &std::ops::Range<usize>, position: &Col<f64>, margins: &mut [f64]) {
        matmul(ColMut::from_slice_mut(margins), Accum::Replace, self.run(run), position, 1.0, Par::Seq);
    }

    /// A run of rows as a matrix, a row per row.
    fn run(&self, run: &std::ops::Range<usize>) -> MatRef<'_, f64> {
        let block = run.start / BLOCK_ROWS;
        let size = BLOCK_ROWS * self.width;
        let block = MatRef::from_column_major_slice(&self.blocks[block * size..(block + 1) * size], BLOCK_ROWS, self.width);
        block.subrows(run.start % BLOCK_ROWS, run.len())
    }

    /// Back to the columns as they are.
    fn linear(&self, position: &Col<f64>) -> Linear {
        let mut intercept = position[self.width - 1];
        let terms = self.terms.iter().enumerate().map(|(place, term)| {
            let coefficient = position[place] / self.scale[place];
            intercept -= coefficient * self.shift[place];
            Term { coefficient, ..term.clone() }
        });
        let terms = terms.collect();
        Linear { intercept, terms }
    }
}

fn newton_step(local: &Local) -> Result<Col<f64>, LogisticError> {
    let factors = local.hessian.llt(Side::Lower).map_err(|_| LogisticError::NoOptimum)?;
    Ok(factors.solve(&local.gradient))
}

/// A term per number and per category; where a number is missing its mean counts.
fn terms(features: &[Feature], sample: &Sample) -> Result<Vec<Term>, LogisticError> {
    let count = features.iter().map(|feature| match &feature.kind {
        FeatureKind::Number => 1,
        FeatureKind::Category { levels } => levels.len(),
    });
    let count: usize = count.sum();
    if count > MAX_TERMS {
        return Err(LogisticError::TooManyTerms { terms: count });
    }
    let mut terms = Vec::with_capacity(count);
    for (feature, (described, column)) in features.iter().zip(&sample.columns).enumerate() {
        match &described.kind {
            FeatureKind::Number => {
                let present = column.iter().copied().filter(|value| !value.is_nan());
                let when_missing = if described.missing_seen { mean_and_spread(present).0 } else { 0.0 };
                terms.push(Term { feature, level: None, coefficient: 0.0, when_missing });
            }
            FeatureKind::Category { levels } => {
                let levels = 0..u32::try_from(levels.len()).expect("there are at most MAX_TERMS");
                terms.extend(levels.map(|level| Term { feature, level: Some(level), coefficient: 0.0, when_missing: 0.0 }));
            }
        }
    }
    Ok(terms)
}

/// Mean and standard deviation; a column that does not vary has spread 1.
fn mean_and_spread(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    (mean, if variance == 0.0 { 1.0 } else { variance.sqrt() })
}

/// Where a term of a row lies in the blocks.
fn cell(row: usize, term: usize, width: usize) -> usize {
    (row / BLOCK_ROWS * width + term) * BLOCK_ROWS + row % BLOCK_ROWS
}

/// ln(1 + eˣ), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<Feature> {
        (0..count).map(|place| Feature { name: format!("x{place}"), kind: FeatureKind::Number, missing_seen: false }).collect()
    }

    /// Two columns on very different scales, labels by a rule with exceptions.
    fn sample(rows: usize) -> Sample {
        let first: Vec<f64> = (0..rows).map(|row| (row * 37 % 101) as f64 / 10.0).collect();
        let second: Vec<f64> = (0..rows).map(|row| (row * 53 % 97) as f64 * 1e4).collect();
        let fraud = (0..rows).map(|row| (first[row] - second[row] / 2e5 > 4.0) ^ (row % 17 == 0)).collect();
        Sample { columns: vec![first, second], fraud, weight: vec![1.0; rows] }
    }

    /// The gradient of the objective, written down again from its definition.
    fn gradient(linear: &Linear, sample: &Sample, penalty: f64) -> Vec<f64> {
        let mut gradient = vec![0.0; sample.columns.len() + 1];
        for row in 0..sample.fraud.len() {
            let values: Vec<f64> = sample.columns.iter().map(|column| column[row]).collect();
            let slope = sample.weight[row] * (logistic(linear.margin(&values)) - f64::from(u8::from(sample.fraud[row])));
            for (total, value) in gradient.iter_mut().zip(values.iter().chain([&1.0])) {
                *total += slope * value;
            }
        }
        for (total, term) in gradient.iter_mut().zip(&linear.terms) {
            *total += term.coefficient / penalty;
        }
        gradient
    }

    #[test]
    fn at_the_optimum_the_objective_is_level() {
        let sample = sample(1_500);
        for penalty in SEED_PENALTIES {
            let linear = fit(&numbers(2), &sample, penalty, false).unwrap();
            for (slope, scale) in gradient(&linear, &sample, penalty).iter().zip([10.0, 1e6, 1.0]) {
                assert!((slope / scale).abs() < 1e-8, "slope {slope} at penalty {penalty}");
            }
        }
    }

    #[test]
    fn a_weight_is_a_row_repeated() {
        let mut weighted = sample(600);
        let mut repeated = weighted.clone();
        for row in 0..600 {
            for _ in 0..row % 3 {
                repeated.columns[0].push(weighted.columns[0][row]);
                repeated.columns[1].push(weighted.columns[1][row]);
                repeated.fraud.push(weighted.fraud[row]);
                repeated.weight.push(1.0);
            }
            weighted.weight[row] = (1 + row % 3) as f64;
        }
        let [first, second] = [&weighted, &repeated].map(|sample| fit(&numbers(2), sample, 1.0, true).unwrap());
        for (first, second) in first.terms.iter().zip(&second.terms) {
            assert!((first.coefficient / second.coefficient - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_search_does_not_depend_on_the_number_of_threads() {
        let sample = sample(900);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| search(&numbers(2), &sample, &SEED_PENALTIES, SEED_FOLDS, &|_, _, _| ())).unwrap()
        };
        let (one, two) = (with(1), with(2));
        assert_eq!(one.linear, two.linear);
        assert_eq!(one.macro_recall, two.macro_recall);
    }

    #[test]
    fn a_constant_column_gets_no_say() {
        let mut sample = sample(500);
        sample.columns.push(vec![7.0; 500]);
        let linear = fit(&numbers(3), &sample, 1.0, true).unwrap();
        assert_eq!(linear.terms[2].coefficient, 0.0);
    }
}
