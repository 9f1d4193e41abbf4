//! Is the world still the one the model learnt? Each feature, and the score, of a window against the model's reference.
//!
//! An alarm needs two things: a difference that matters (PSI or KS of a size the field acts on) and that is beyond chance. Chance is what the
//! training itself shows: how far its own days and weeks were from the rest, bursts of customers, weekends and all. So the share of windows
//! with a false alarm is the one that was asked for, whatever the number of features, and rows need not be independent.

use assay_model::reference::{self, Bins, KOLMOGOROV_MEAN_SQUARE, MEMORY_DAYS, Spread, Varies};
use assay_model::{Feature, FeatureKind, Reference};
use serde::{Deserialize, Serialize};

use crate::chance::{FREEDOM_OF_THE_KNOWN, LEAST_FREEDOM, f_tail, freedom_for, holm, kolmogorov_tail};
use crate::tally::{Tally, columns};
use crate::windows::Windows;

/// What is called the score's column.
pub const SCORE: &str = "score";

/// Fewer rows than this, in the window or the reference, say nothing.
pub const FEWEST_ROWS: f64 = 50.0;
/// Bins that are told of a column that drifts.
const BINS_TOLD: usize = 3;
/// Microseconds of a day.
const DAY: f64 = assay_domain::time::DAY as f64;

/// When a difference is an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sensitivity {
    /// Share of windows that may alarm although nothing has changed, all columns together.
    pub false_alarms: f64,
    /// PSI from which a change matters. The field's 0.1 (Lewis: An Introduction to Credit Scoring, 1994; Siddiqi: Credit Risk Scorecards, 2006).
    pub moderate_psi: f64,
    /// PSI from which a change is large. The field's 0.25, from the same.
    pub large_psi: f64,
    /// KS from which a change matters although PSI is small: a normal column that moves by 0.3 deviations has PSI 0.1 and KS 0.12.
    pub moderate_ks: f64,
}

impl Default for Sensitivity {
    fn default() -> Self {
        Self { false_alarms: 0.01, moderate_psi: 0.1, large_psi: 0.25, moderate_ks: 0.12 }
    }
}

/// What a window says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Where it begins, microseconds since 1970.
    pub from: i64,
    /// Where it ends.
    pub until: i64,
    /// Its rows.
    pub rows: u64,
    /// The features in order, then the score.
    pub columns: Vec<ColumnDrift>,
}

/// What a window says of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// Name of the feature, or [`SCORE`].
    pub name: String,
    /// What to think of it.
    pub level: Level,
    /// Population stability index.
    pub psi: f64,
    /// What it is on average when nothing has changed.
    pub psi_by_chance: f64,
    /// Kolmogorov–Smirnov distance between the bins; `None` where values have no order.
    pub ks: Option<f64>,
    /// Chance of such a difference when nothing has changed, corrected for the number of columns.
    pub chance: f64,
    /// Whether the chance allows for rows that depend on each other; otherwise too small, for want of days in the training.
    pub dependence_known: bool,
    /// The bins that changed most, the largest change first.
    pub bins: Vec<BinChange>,
}

/// What to think of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Too few rows.
    Unknown,
    /// No more than chance.
    Steady,
    /// Beyond chance, and too little to matter.
    Slight,
    /// An alarm: it matters.
    Moderate,
    /// An alarm: it is another column.
    Large,
}

impl Level {
    /// Whether somebody should look.
    pub fn alarms(self) -> bool {
        self >= Self::Moderate
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Steady => "steady",
            Self::Slight => "slight",
            Self::Moderate => "moderate",
            Self::Large => "large",
        }
    }
}

/// A bin whose share changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinChange {
    /// What it holds, in words.
    pub holds: String,
    /// Its share in the reference.
    pub expected: f64,
    /// Its share in the window.
    pub found: f64,
}

impl Drift {
    /// The columns that alarm.
    pub fn alarms(&self) -> impl Iterator<Item = &ColumnDrift> {
        self.columns.iter().filter(|column| column.level.alarms())
    }
}

/// Compares what was counted from `from` until `until` with the reference of a model of these features.
pub fn drift(
    reference: &Reference,
    features: &[Feature],
    tally: &Tally,
    (from, until): (i64, i64),
    sensitivity: &Sensitivity,
) -> Drift {
    let days = until.saturating_sub(from) as f64 / DAY;
    let kinds = features.iter().map(|feature| (feature.name.as_str(), Some(&feature.kind))).chain([(SCORE, None)]);
    let compared: Vec<Compared> =
        columns(reference).enumerate().map(|(column, spread)| Compared::new(spread, &tally.counts(column), days)).collect();
    let chances = holm(&compared.iter().map(|column| column.chance).collect::<Vec<_>>());
    let columns = compared.into_iter().zip(chances).zip(columns(reference).zip(kinds)).enumerate();
    let columns = columns.map(|(place, ((compared, chance), (spread, (name, kind))))| ColumnDrift {
        name: name.into(),
        level: compared.level(chance, sensitivity),
        psi: compared.psi,
        psi_by_chance: compared.psi_by_chance,
        ks: compared.ks,
        chance,
        dependence_known: compared.dependence_known,
        bins: changes(spread, kind, &tally.counts(place)),
    });
    Drift { from, until, rows: tally.rows(), columns: columns.collect() }
}

/// Compares every window that has ended by now, in order of time; one that still fills is not like a whole one.
pub fn ended(
    reference: &Reference,
    features: &[Feature],
    windows: &Windows<Tally>,
    now: i64,
    sensitivity: &Sensitivity,
) -> Vec<Drift> {
    let spans = windows.iter().map(|(from, tally)| (from, from.saturating_add(windows.length()), tally));
    let past = spans.filter(|(_, until, _)| *until <= now);
    past.map(|(from, until, tally)| drift(reference, features, tally, (from, until), sensitivity)).collect()
}

/// A column against its reference, before the others are known.
struct Compared {
    enough: bool,
    psi: f64,
    psi_by_chance: f64,
    ks: Option<f64>,
    chance: f64,
    dependence_known: bool,
}

impl Compared {
    fn new(spread: &Spread, counts: &[f64], days: f64) -> Self {
        let rows: f64 = counts.iter().sum();
        if rows < FEWEST_ROWS || spread.rows < FEWEST_ROWS {
            return Self { enough: false, psi: 0.0, psi_by_chance: 0.0, ks: None, chance: 1.0, dependence_known: false };
        }
        let usual = spread.usual.iter().rev().find(|usual| f64::from(usual.days) <= days);
        // More rows than the training had in as many days are more of the same customers and weather: they do not make a day two.
        let most = usual.map_or(f64::INFINITY, |usual| usual.rows * days / f64::from(usual.days));
        // Weeks that remember the same month are, as a reference, hardly more than one of them.
        let alike = usual.map_or(1.0, |usual| f64::from(MEMORY_DAYS.max(usual.days)) / f64::from(usual.days));
        let noise = 1.0 / rows.min(most) + alike / spread.rows;
        let freedom = reference::freedom(&spread.counts);
        let psi = reference::psi(&spread.counts, counts);
        let ks = spread.bins.ordered().then(|| reference::ks(&spread.counts, counts));
        let (psi_effect, psi_chance, ks_chance) = match usual {
            Some(usual) => {
                let ks_ratio = ks.map(|ks| ks * ks / noise / KOLMOGOROV_MEAN_SQUARE);
                let ks_chance = ks_ratio.map(|ratio| beyond(ratio, &usual.ks, usual.blocks));
                (usual.psi.effect.max(1.0), beyond(psi / noise / freedom, &usual.psi, usual.blocks), ks_chance)
            }
            // Independent rows: Yurdakul, Naranjo: Statistical Properties of the Population Stability Index, 2020; Kolmogorov, Smirnov.
            None => (
                1.0,
                f_tail(psi / noise / freedom, freedom, FREEDOM_OF_THE_KNOWN),
                ks.map(|ks| kolmogorov_tail(ks / noise.sqrt())),
            ),
        };
        // Two looks at the same column: Bonferroni.
        let chance = ks_chance.map_or(psi_chance, |ks_chance| (2.0 * psi_chance.min(ks_chance)).min(1.0));
        Self { enough: true, psi, psi_by_chance: psi_effect * freedom * noise, ks, chance, dependence_known: usual.is_some() }
    }

    fn level(&self, chance: f64, sensitivity: &Sensitivity) -> Level {
        match () {
            () if !self.enough => Level::Unknown,
            () if chance > sensitivity.false_alarms => Level::Steady,
            () if self.psi >= sensitivity.large_psi => Level::Large,
            () if self.psi >= sensitivity.moderate_psi => Level::Moderate,
            () if self.ks.is_some_and(|ks| ks >= sensitivity.moderate_ks) => Level::Moderate,
            () => Level::Slight,
        }
    }
}

/// The chance of so large a ratio between what is found and what independent rows would give, by how blocks of the training varied. Their
/// mean is an estimate, which makes an F of the chi-square (Thomas, Rao: Small-Sample Comparisons of Level and Power for Simple Goodness-of-Fit
/// Statistics under Cluster Sampling, JASA 1987). Its freedom is what their variance says, or less where that would make their highest one
/// rarer than one in twice as many blocks: the bursts of a few customers have longer tails than a chi-square.
fn beyond(ratio: f64, varies: &Varies, blocks: u32) -> f64 {
    let blocks = f64::from(blocks);
    let freedom = freedom_for(varies.highest, 0.5 / (blocks + 1.0), varies.freedom.max(LEAST_FREEDOM));
    f_tail(ratio / varies.effect.max(1.0), freedom, freedom * (blocks - 1.0))
}

fn changes(spread: &Spread, kind: Option<&FeatureKind>, counts: &[f64]) -> Vec<BinChange> {
    let share = |counts: &[f64], bin: usize| counts[bin] / counts.iter().sum::<f64>().max(1.0);
    let mut changes: Vec<BinChange> = (0..counts.len())
        .map(|bin| BinChange {
            holds: holds(&spread.bins, kind, bin),
            expected: share(&spread.counts, bin),
            found: share(counts, bin),
        })
        .filter(|change| change.expected != change.found)
        .collect();
    let size = |change: &BinChange| (change.found - change.expected).abs();
    changes.sort_by(|one, other| size(other).total_cmp(&size(one)));
    changes.truncate(BINS_TOLD);
    changes
}

/// What a bin holds, in words. Lowest and highest values are a person's own, so they are not named.
fn holds(bins: &Bins, kind: Option<&FeatureKind>, bin: usize) -> String {
    if bin == bins.count() - 1 {
        return "missing".into();
    }
    match bins {
        Bins::Edges(edges) if edges.is_empty() => "any value".into(),
        Bins::Edges(_) if bin == 0 => "below all of the training".into(),
        Bins::Edges(edges) if bin == edges.len() => "above all of the training".into(),
        Bins::Edges(edges) => match (bin == 1, bin + 1 == edges.len()) {
            (true, true) => "within the training".into(),
            (true, false) => format!("up to {}", edges[bin]),
            (false, true) => format!("above {}", edges[bin - 1]),
            (false, false) => format!("above {} up to {}", edges[bin - 1], edges[bin]),
        },
        Bins::Levels { codes } if bin == codes.len() + 1 => "a level that training never saw".into(),
        Bins::Levels { codes } => match (codes.get(bin), kind) {
            (Some(&code), Some(FeatureKind::Category { levels })) => levels.get(code as usize).cloned().unwrap_or_default(),
            _ => "a rarer level".into(),
        },
    }
}
