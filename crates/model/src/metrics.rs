//! How good were the probabilities, now that the labels are known?
//!
//! Every figure is weighted: a row of weight 7.5 counts as 7.5 rows. Rows of equal probability are one group, and nothing
//! depends on their order. A figure that the rows cannot give (no fraud among them, or nothing else) is `NaN`.

/// Labelled rows in falling order of probability.
#[derive(Clone, Debug)]
pub struct Ranking {
    rows: Vec<RankedRow>,
    /// Where each group of equal probability ends.
    group_ends: Vec<usize>,
}

/// A scored row whose label is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankedRow {
    /// Probability of fraud that the model gave.
    pub probability: f64,
    /// What it turned out to be.
    pub fraud: bool,
    /// How many rows it counts as.
    pub weight: f64,
    /// What it costs when it is a fraud and is not flagged.
    pub fraud_cost: f64,
}

/// At which point a model is put to work.
#[derive(Clone, Copy, Debug)]
pub struct Working {
    /// Probability from which a transaction is flagged.
    pub threshold: f64,
    /// How many transactions can be looked at, for precision among the top.
    pub top: f64,
    /// Cost of looking at one flagged transaction.
    pub review_cost: f64,
}

/// Figures of one set of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Σ (recall step × precision), without interpolation: the area under the precision-recall steps.
    pub average_precision: f64,
    /// Chance that a fraud ranks above a genuine row; ties count half.
    pub auc: f64,
    /// Recall where 1 % of the genuine rows are flagged, on the straight line between the neighbouring points.
    pub recall_at_fpr_1_percent: f64,
    /// Share of fraud among the top `Working::top` rows; a group that straddles the line counts in proportion.
    pub precision_at_top: f64,
    /// Mean squared difference between probability and outcome.
    pub brier: f64,
    /// Mean |mean probability − share of fraud| over [`CALIBRATION_BINS`] bins of equal weight.
    pub ece: f64,
    /// At the threshold.
    pub confusion: Counts,
    /// Cost of all frauds, less reviews and missed frauds at the threshold.
    pub money_saved: f64,
}

/// Weighted counts at a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Frauds that were flagged.
    pub frauds_flagged: f64,
    /// Frauds that were not.
    pub frauds_missed: f64,
    /// Genuine rows that were flagged.
    pub genuine_flagged: f64,
    /// Genuine rows that were not.
    pub genuine_passed: f64,
}

/// Running totals down to the end of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cumulative {
    /// Probability of the group.
    pub probability: f64,
    /// Frauds at or above it, by weight.
    pub frauds: f64,
    /// Genuine rows at or above it, by weight.
    pub genuine: f64,
    /// Cost of the frauds at or above it.
    pub fraud_cost: f64,
}

/// Bins of the expected calibration error.
pub const CALIBRATION_BINS: usize = 20;

impl Counts {
    /// Share of the frauds that were flagged.
    pub fn recall(&self) -> f64 {
        self.frauds_flagged / (self.frauds_flagged + self.frauds_missed)
    }

    /// Share of fraud among what was flagged.
    pub fn precision(&self) -> f64 {
        self.frauds_flagged / (self.frauds_flagged + self.genuine_flagged)
    }

    /// Mean of the two classes' recalls.
    pub fn macro_recall(&self) -> f64 {
        f64::midpoint(self.recall(), self.genuine_passed / (self.genuine_passed + self.genuine_flagged))
    }
}

impl Ranking {
    /// Ranks rows; probabilities are numbers, never `NaN`.
    pub fn new(mut rows: Vec<RankedRow>) -> Self {
        rows.sort_by(|first, second| second.probability.total_cmp(&first.probability));
        let group_ends =
            (1..=rows.len()).filter(|&end| end == rows.len() || rows[end].probability != rows[end - 1].probability).collect();
        Self { rows, group_ends }
    }

    /// The rows, in falling order of probability.
    pub fn rows(&self) -> &[RankedRow] {
        &self.rows
    }

    /// Running totals at the end of each group, in falling order of probability.
    pub fn cumulative(&self) -> Vec<Cumulative> {
        let mut total = Cumulative::default();
        let mut first = 0;
        self.group_ends
            .iter()
            .map(|&end| {
                for row in &self.rows[first..end] {
                    total.add(row, row.weight);
                }
                first = end;
                total
            })
            .collect()
    }

    /// The figures, each row counted once.
    pub fn measure(&self, working: &Working) -> Measures {
        self.measure_weighted(working, |place| self.rows[place].weight)
    }

    /// The figures of a resample: row `i` of [`Self::rows`] is drawn `times[i]` times.
    pub fn measure_resample(&self, working: &Working, times: &[u32]) -> Measures {
        self.measure_weighted(working, |place| self.rows[place].weight * f64::from(times[place]))
    }

    fn measure_weighted(&self, working: &Working, weight: impl Fn(usize) -> f64) -> Measures {
        let total = self.total(&weight);
        let all = total.frauds + total.genuine;
        let mut pass = Pass::default();
        let mut first = 0;
        for &end in &self.group_ends {
            let mut upto = pass.above;
            let mut squares = 0.0;
            for (place, row) in self.rows[first..end].iter().enumerate() {
                let weight = weight(first + place);
                upto.add(row, weight);
                let miss = row.probability - f64::from(u8::from(row.fraud));
                squares += weight * miss * miss;
            }
            pass.squares += squares;
            pass.group(&upto, &total, working, all);
            first = end;
        }
        pass.finish(&total, working, all)
    }

    fn total(&self, weight: &impl Fn(usize) -> f64) -> Cumulative {
        let mut total = Cumulative { probability: 0.0, frauds: 0.0, genuine: 0.0, fraud_cost: 0.0 };
        for (place, row) in self.rows.iter().enumerate() {
            total.add(row, weight(place));
        }
        total
    }
}

impl Cumulative {
    fn add(&mut self, row: &RankedRow, weight: f64) {
        self.probability = row.probability;
        if row.fraud {
            self.frauds += weight;
            self.fraud_cost += weight * row.fraud_cost;
        } else {
            self.genuine += weight;
        }
    }
}

impl Default for Cumulative {
    fn default() -> Self {
        Self { probability: 1.0, frauds: 0.0, genuine: 0.0, fraud_cost: 0.0 }
    }
}

/// One walk down the ranking, group by group.
#[derive(Default)]
struct Pass {
    above: Cumulative,
    average_precision: f64,
    area: f64,
    recall_at_fpr: Option<f64>,
    top_frauds: f64,
    squares: f64,
    bin: usize,
    bin_weight: f64,
    bin_excess: f64,
    ece: f64,
    flagged: Cumulative,
}

impl Pass {
    /// Takes in the group that ends at `upto`.
    fn group(&mut self, upto: &Cumulative, total: &Cumulative, working: &Working, all: f64) {
        let frauds = upto.frauds - self.above.frauds;
        let genuine = upto.genuine - self.above.genuine;
        let weight = frauds + genuine;
        if weight > 0.0 {
            self.average_precision += frauds / total.frauds * (upto.frauds / (upto.frauds + upto.genuine));
            self.area += genuine * f64::midpoint(self.above.frauds, upto.frauds);
            self.recall_at(0.01, upto, total);
            let room = (working.top - self.above.frauds - self.above.genuine).clamp(0.0, weight);
            self.top_frauds += frauds * (room / weight);
            self.bin(weight, upto.probability * weight - frauds, all);
        }
        if upto.probability >= working.threshold {
            self.flagged = *upto;
        }
        self.above = *upto;
    }

    fn recall_at(&mut self, rate: f64, upto: &Cumulative, total: &Cumulative) {
        let (before, after) = (self.above.genuine / total.genuine, upto.genuine / total.genuine);
        if self.recall_at_fpr.is_none() && after > rate {
            let share = (rate - before) / (after - before);
            self.recall_at_fpr = Some((self.above.frauds + share * (upto.frauds - self.above.frauds)) / total.frauds);
        }
    }

    /// A group lies in the bin that its middle lies in.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the bins, between 0 and their number"
    )]
    fn bin(&mut self, weight: f64, excess: f64, all: f64) {
        let middle = self.above.frauds + self.above.genuine + weight / 2.0;
        let bin = (middle / all * CALIBRATION_BINS as f64) as usize;
        if bin != self.bin {
            self.ece += self.bin_excess.abs();
            (self.bin, self.bin_weight, self.bin_excess) = (bin, 0.0, 0.0);
        }
        self.bin_weight += weight;
        self.bin_excess += excess;
    }

    fn finish(self, total: &Cumulative, working: &Working, all: f64) -> Measures {
        let undefined = total.frauds == 0.0 || total.genuine == 0.0;
        let or_nan = |value: f64| if undefined { f64::NAN } else { value };
        let flagged = self.flagged;
        Measures {
            average_precision: or_nan(self.average_precision),
            auc: or_nan(self.area / (total.frauds * total.genuine)),
            recall_at_fpr_1_percent: or_nan(self.recall_at_fpr.unwrap_or(1.0)),
            precision_at_top: self.top_frauds / working.top.min(all),
            brier: self.squares / all,
            ece: (self.ece + self.bin_excess.abs()) / all,
            confusion: Counts {
                frauds_flagged: flagged.frauds,
                frauds_missed: total.frauds - flagged.frauds,
                genuine_flagged: flagged.genuine,
                genuine_passed: total.genuine - flagged.genuine,
            },
            money_saved: flagged.fraud_cost - working.review_cost * (flagged.frauds + flagged.genuine),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORKING: Working = Working { threshold: 0.5, top: 3.0, review_cost: 1.0 };

    fn row(probability: f64, fraud: bool, weight: f64) -> RankedRow {
        RankedRow { probability, fraud, weight, fraud_cost: 10.0 }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "test weights are 1, 2 or 3")]
    fn weight_as_times(weight: f64) -> u32 {
        weight as u32
    }

    fn any_rows() -> impl Strategy<Value = Vec<RankedRow>> {
        let row = (0..8_u8, any::<bool>(), 1..4_u8)
            .prop_map(|(score, fraud, weight)| row(f64::from(score) / 7.0, fraud, f64::from(weight)));
        prop::collection::vec(row, 1..40)
    }

    /// AUC by its definition: over all pairs.
    fn auc_by_pairs(rows: &[RankedRow]) -> f64 {
        let (mut won, mut pairs) = (0.0, 0.0);
        for fraud in rows.iter().filter(|row| row.fraud) {
            for genuine in rows.iter().filter(|row| !row.fraud) {
                let weight = fraud.weight * genuine.weight;
                pairs += weight;
                won += weight
                    * if fraud.probability > genuine.probability {
                        1.0
                    } else if fraud.probability == genuine.probability {
                        0.5
                    } else {
                        0.0
                    };
            }
        }
        won / pairs
    }

    /// Average precision by its definition: over all thresholds.
    fn average_precision_by_thresholds(rows: &[RankedRow]) -> f64 {
        let sum = |keep: &dyn Fn(&RankedRow) -> bool| rows.iter().filter(|row| keep(row)).map(|row| row.weight).sum::<f64>();
        let mut thresholds: Vec<f64> = rows.iter().map(|row| row.probability).collect();
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        let frauds = sum(&|row| row.fraud);
        thresholds
            .iter()
            .map(|&threshold| {
                let step = sum(&|row| row.fraud && row.probability == threshold) / frauds;
                step * sum(&|row| row.fraud && row.probability >= threshold) / sum(&|row| row.probability >= threshold)
            })
            .sum()
    }

    proptest! {
        #[test]
        fn areas_are_what_their_definitions_say(rows in any_rows()) {
            let measures = Ranking::new(rows.clone()).measure(&WORKING);
            if measures.auc.is_nan() {
                prop_assert!(rows.iter().all(|row| row.fraud) || rows.iter().all(|row| !row.fraud));
            } else {
                prop_assert!((measures.auc - auc_by_pairs(&rows)).abs() < 1e-12);
                prop_assert!((measures.average_precision - average_precision_by_thresholds(&rows)).abs() < 1e-12);
            }
        }

        #[test]
        fn a_weight_is_a_row_drawn_that_often(rows in any_rows()) {
            let ones: Vec<RankedRow> = rows.iter().map(|row| RankedRow { weight: 1.0, ..*row }).collect();
            let weighted = Ranking::new(rows);
            let times: Vec<u32> = weighted.rows().iter().map(|row| weight_as_times(row.weight)).collect();
            let drawn = Ranking::new(ones).measure_resample(&WORKING, &times);
            let measured = weighted.measure(&WORKING);
            prop_assert_eq!(format!("{drawn:?}"), format!("{measured:?}"));
        }

        #[test]
        fn the_order_of_equal_rows_does_not_matter(rows in any_rows(), turn in any::<prop::sample::Index>()) {
            let mut turned = rows.clone();
            turned.rotate_left(turn.index(rows.len()));
            let (first, second) = (Ranking::new(rows).measure(&WORKING), Ranking::new(turned).measure(&WORKING));
            prop_assert!((first.brier - second.brier).abs() < 1e-12 && (first.ece - second.ece).abs() < 1e-12);
            prop_assert_eq!(first.confusion, second.confusion);
        }
    }

    #[test]
    fn money_is_frauds_stopped_less_reviews() {
        let rows = vec![row(0.9, true, 1.0), row(0.8, false, 1.0), row(0.2, true, 1.0), row(0.1, false, 1.0)];
        let measures = Ranking::new(rows).measure(&WORKING);
        assert_eq!(measures.money_saved, 10.0 - 2.0);
        assert_eq!(
            measures.confusion,
            Counts { frauds_flagged: 1.0, frauds_missed: 1.0, genuine_flagged: 1.0, genuine_passed: 1.0 }
        );
        assert_eq!(measures.precision_at_top, 2.0 / 3.0);
    }

    #[test]
    fn probabilities_that_come_true_have_no_calibration_error() {
        let rows = (0..100).map(|place| row(0.25, place % 4 == 0, 1.0)).collect();
        assert_eq!(Ranking::new(rows).measure(&WORKING).ece, 0.0);
    }
}
