//! A report such as a card history gives: two days, one transaction in six hundred a fraud, scores that mostly tell them apart.

use assay_trainer::evaluation::{Confusion, CostPoint, Costs, Evaluation, Figure, Importance, Point, ReliabilityBin, ScoreBin};
use assay_trainer::report::{ModelSummary, Report};

const REVIEW_COST: f64 = 5.0;

/// A transaction as the curves see it.
struct Scored {
    probability: f64,
    fraud: bool,
    amount: f64,
}

/// The time split and the random split.
pub fn evaluations() -> [Evaluation; 2] {
    [evaluation("last 20 % by time", 75, 1.0, 7), evaluation("random 20 %, seed 42", 98, 1.9, 11)]
}

/// The report around evaluations.
pub fn report<'a>(evaluations: &'a [Evaluation], importance: &'a [Importance]) -> Report<'a> {
    let setting = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Report {
        title: "Card fraud, September",
        model: ModelSummary {
            learner: "boosted trees".into(),
            label: "Class".into(),
            features: 30,
            rows_trained: Some(227_845),
            frauds_trained: Some(417),
            training_range: "first 80 % by Time, from 0 to 145,247".into(),
            settings: [
                ("trees", "212, stopped early out of 1,000"),
                ("leaves per tree", "15"),
                ("learning rate", "0.05"),
                ("calibration", "Platt, on the last 10 % of the training rows"),
                ("seed", "42"),
            ]
            .map(setting)
            .into(),
            notes: vec![
                "The data are simulated: they show that the machinery works, not how much fraud a bank would catch.".into(),
            ],
            commands: vec![
                "assay train creditcard.csv.zip --out model.assay --report report".into(),
                "assay evaluate model.assay creditcard.csv.zip --report report".into(),
            ],
        },
        evaluations,
        importance,
    }
}

/// Thirty features, a few of which do most of the work.
pub fn importance() -> Vec<Importance> {
    let weight = |feature: usize| 1.0 / (1.0 + feature as f64).powi(2) + 0.004;
    let total: f64 = (0..30).map(weight).sum();
    let name = |feature: usize| match feature {
        2 => "customer_mean_amount_30d".to_owned(),
        4 => "ממוצע סכום".to_owned(),
        6 => "a<b> & \"c\"".to_owned(),
        other => format!("V{}", (other * 17) % 28 + 1),
    };
    (0..30).map(|feature| Importance { feature: name(feature), share: weight(feature) / total }).collect()
}

fn evaluation(rows_described: &str, frauds: usize, quality: f64, seed: u64) -> Evaluation {
    let rows = 56_962;
    let scored = scored(rows, frauds, quality, seed);
    let threshold = 0.2;
    let (precision_recall, roc, cost_curve) = curves(&scored, frauds);
    let confusion = confusion(&scored, threshold);
    let lost: f64 = scored.iter().filter(|row| row.fraud).map(|row| row.amount).sum();
    let missed: f64 = scored.iter().filter(|row| row.fraud && row.probability < threshold).map(|row| row.amount).sum();
    let saved = lost - missed - REVIEW_COST * (confusion.frauds_flagged + confusion.genuine_flagged);
    Evaluation {
        rows_described: rows_described.into(),
        rows: rows as u64,
        frauds: frauds as u64,
        fraud_rate: frauds as f64 / rows as f64,
        weighted: false,
        duplicate_rows: 112,
        rows_seen_in_training: Some(if seed == 7 { 0 } else { 311 }),
        resamples: 2_000,
        figures: figures(&precision_recall, &roc, &confusion, saved),
        confusion,
        costs: Costs { review: REVIEW_COST, amount_column: Some("Amount".into()), fraud: 1.0 },
        precision_recall,
        roc,
        reliability: reliability(&scored),
        score_distribution: score_distribution(&scored, frauds),
        cost_curve,
    }
}

/// Rows by falling probability: log-odds are bell-shaped for each class, frauds far to the right.
fn scored(rows: usize, frauds: usize, quality: f64, seed: u64) -> Vec<Scored> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut bell = move || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
    let mut scored: Vec<Scored> = (0..rows)
        .map(|row| {
            let fraud = row < frauds;
            let log_odds = if fraud { 1.9 * bell() + 0.9 + 0.6 * quality } else { 1.15 * bell() - 8.3 };
            let tail = match (fraud, row % 300) {
                (true, place) if place % 8 == 0 => -6.5,
                (false, 0) => 5.0 + bell(),
                _ => 0.0,
            };
            let amount = 110.0 * (1.0 + bell().abs());
            Scored { probability: 1.0 / (1.0 + libm::exp(-log_odds - tail)), fraud, amount }
        })
        .collect();
    scored.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    scored
}

fn curves(scored: &[Scored], frauds: usize) -> (Vec<Point>, Vec<Point>, Vec<CostPoint>) {
    let genuine = scored.len() - frauds;
    let lost: f64 = scored.iter().filter(|row| row.fraud).map(|row| row.amount).sum();
    let (mut caught, mut alarms, mut missed) = (0, 0, lost);
    let mut precision_recall = Vec::new();
    let mut roc = vec![Point { x: 0.0, y: 0.0 }];
    let mut costs = vec![CostPoint { threshold: 1.0, cost: lost, flagged: 0.0 }];
    for row in scored {
        if row.fraud {
            caught += 1;
            missed -= row.amount;
        } else {
            alarms += 1;
        }
        let flagged = f64::from(caught + alarms);
        let recall = f64::from(caught) / frauds as f64;
        precision_recall.push(Point { x: recall, y: f64::from(caught) / flagged });
        roc.push(Point { x: f64::from(alarms) / genuine as f64, y: recall });
        costs.push(CostPoint { threshold: row.probability, cost: missed + REVIEW_COST * flagged, flagged });
    }
    (precision_recall, roc, costs)
}

fn confusion(scored: &[Scored], threshold: f64) -> Confusion {
    let rows = |fraud: bool, flagged: bool| {
        scored.iter().filter(|row| row.fraud == fraud && (row.probability >= threshold) == flagged).count() as f64
    };
    Confusion {
        threshold,
        frauds_flagged: rows(true, true),
        frauds_missed: rows(true, false),
        genuine_flagged: rows(false, true),
        genuine_passed: rows(false, false),
    }
}

fn figures(precision_recall: &[Point], roc: &[Point], confusion: &Confusion, saved: f64) -> Vec<Figure> {
    let area = |points: &[Point], height: fn(&Point, &Point) -> f64| {
        points.windows(2).map(|pair| (pair[1].x - pair[0].x) * height(&pair[0], &pair[1])).sum::<f64>()
    };
    let average_precision = area(precision_recall, |_, to| to.y);
    let auc = area(roc, |from, to| f64::midpoint(from.y, to.y));
    let recall = confusion.frauds_flagged / (confusion.frauds_flagged + confusion.frauds_missed);
    let precision = confusion.frauds_flagged / (confusion.frauds_flagged + confusion.genuine_flagged);
    let specificity = confusion.genuine_passed / (confusion.genuine_flagged + confusion.genuine_passed);
    let at_one_percent = roc.iter().filter(|point| point.x <= 0.01).map(|point| point.y).fold(0.0, f64::max);
    let figure = |key: &str, name: &str, value: f64, spread: f64, meaning: &str| Figure {
        key: key.into(),
        name: name.into(),
        value,
        low: value - spread,
        high: if value <= 1.0 { (value + spread * 0.8).min(1.0) } else { value + spread * 0.8 },
        meaning: meaning.into(),
    };
    vec![
        figure(
            "average_precision",
            "Average precision",
            average_precision,
            0.08,
            "How pure the flags stay as the threshold falls; higher is better, and flagging at random gives the fraud rate.",
        ),
        figure("auc", "AUC", auc, 0.02, "How often a fraud scores above a genuine transaction; higher is better, 0.5 is chance."),
        figure(
            "recall_at_fpr_1_percent",
            "Recall at 1 % FPR",
            at_one_percent,
            0.07,
            "Frauds caught when one genuine transaction in a hundred is flagged; higher is better.",
        ),
        figure(
            "precision_at_100",
            "Precision at 100",
            precision_recall[99].y,
            0.09,
            "Frauds among the hundred highest scores; higher is better.",
        ),
        figure("precision", "Precision", precision, 0.09, "Flags that are fraud, at the chosen threshold; higher is better."),
        figure("recall", "Recall", recall, 0.1, "Frauds that are flagged, at the chosen threshold; higher is better."),
        figure(
            "macro_recall",
            "Macro recall",
            f64::midpoint(recall, specificity),
            0.05,
            "Mean of frauds caught and genuine transactions let pass; higher is better.",
        ),
        figure("brier", "Brier score", 0.000_452, 0.000_1, "Mean squared distance from score to truth; lower is better."),
        figure(
            "ece",
            "Calibration error",
            0.000_31,
            0.000_12,
            "How far scores are from the shares of fraud they promise, on average; lower is better.",
        ),
        figure(
            "money_saved",
            "Money saved",
            saved,
            1_450.0,
            "Losses avoided less reviews paid, at the stated costs; higher is better.",
        ),
    ]
}

fn reliability(scored: &[Scored]) -> Vec<ReliabilityBin> {
    let mut edges: Vec<usize> = (0..=8).map(|bin| scored.len() - bin * scored.len() / 9).collect();
    edges.extend([300, 80, 30, 0]);
    let bin = |pair: &[usize]| {
        let rows = &scored[pair[1]..pair[0]];
        let n = rows.len() as f64;
        let observed = rows.iter().filter(|row| row.fraud).count() as f64 / n;
        let (z, z2) = (1.96, 1.96 * 1.96);
        let centre = (observed + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = z * (observed * (1.0 - observed) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
        let predicted = rows.iter().map(|row| row.probability).sum::<f64>() / n;
        ReliabilityBin {
            predicted,
            observed,
            low: (centre - half).max(0.0),
            high: (centre + half).min(1.0),
            rows: rows.len() as u64,
        }
    };
    edges.windows(2).map(bin).collect()
}

fn score_distribution(scored: &[Scored], frauds: usize) -> Vec<ScoreBin> {
    let edge = |bin: i32| match bin {
        -14 => 0.0,
        10 => 1.0,
        inner => 1.0 / (1.0 + libm::exp(-f64::from(inner))),
    };
    let share = |bin: i32, fraud: bool| {
        let inside = |row: &&Scored| row.fraud == fraud && row.probability >= edge(bin) && row.probability < edge(bin + 1);
        let total = if fraud { frauds } else { scored.len() - frauds };
        scored.iter().filter(inside).count() as f64 / total as f64
    };
    (-14..10)
        .map(|bin| ScoreBin { from: edge(bin), to: edge(bin + 1), genuine: share(bin, false), fraud: share(bin, true) })
        .collect()
}
