//! The six drawings of a report as inline SVG. Colours and type come from the page's style sheet, so that they follow light, dark and print.

use super::axis::{Frame, NEAREST_TO_CERTAIN, Scale, WIDTH, bar, dot, line, path, stairs, straight, text, unit};
use super::verdict::{cost_at_threshold, cost_without_model};
use super::words::{count, counted, each, escape, figure_text, money, percent, shorten};
use crate::evaluation::{Evaluation, Importance, Point, ScoreBin};

/// Features shown in the importance drawing.
const FEATURES_SHOWN: usize = 20;

/// Characters of a feature's name that fit beside its bar; the whole name is in the bar's title.
const NAME_SHOWN: usize = 17;

/// Characters of a feature's name in the bar's title.
const NAME_IN_TITLE: usize = 300;

/// A false positive rate that analysts know by heart: one genuine transaction in a hundred is flagged.
const KNOWN_FALSE_POSITIVE_RATE: f64 = 0.01;

/// Costs above this multiple of what having no model costs leave the drawing at its top.
const COST_CEILING: f64 = 1.5;

/// A drawing and how to read it.
pub(super) struct Plot {
    /// What it shows, as a heading.
    pub(super) heading: &'static str,
    /// How to read it, plain text.
    pub(super) reading: String,
    /// The SVG; `None` when there is nothing to draw.
    pub(super) svg: Option<String>,
}

/// All six, in reading order.
pub(super) fn plots(evaluation: &Evaluation, importance: &[Importance]) -> [Plot; 6] {
    [
        precision_recall(evaluation),
        roc(evaluation),
        cost_curve(evaluation),
        score_distribution(evaluation),
        reliability(evaluation),
        feature_importance(importance),
    ]
}

fn precision_recall(evaluation: &Evaluation) -> Plot {
    let heading = "Precision and recall";
    let reading = format!(
        "How many flags are right, against how many frauds are caught. The shaded area is the average precision{}; flagging at random would stay on the dashed line.",
        value_of(evaluation, "average_precision")
    );
    let frame = Frame::new(Scale::share(), Scale::share());
    let places = frame.places(coordinates(&evaluation.precision_recall));
    let Some(first) = places.first() else {
        return Plot { heading, reading, svg: None };
    };
    let curve = stairs(&places);
    let baseline = evaluation.fraud_rate;
    let confusion = &evaluation.confusion;
    let flagged = confusion.frauds_flagged + confusion.genuine_flagged;
    let (recall, precision) = (true_positive_rate(evaluation), confusion.frauds_flagged / flagged);
    let marks = [
        frame.grid("Precision: flags that are fraud"),
        frame.feet("Recall: frauds that are caught"),
        path("area", &format!("{curve}V{}H{}Z", unit(frame.bottom), unit(first.0))),
        path("curve", &curve),
        line("reference", frame.left, frame.y(baseline), frame.right, frame.y(baseline)),
        text("note", "start", frame.left + 8.0, frame.y(baseline) - 7.0, &format!("at random: {}", percent(baseline))),
        working_point(&frame, recall, precision, Side::Below, &format!("{} of flags right", percent(precision))),
    ];
    let description = format!(
        "Precision from recall 0 to 100 percent. At the chosen threshold recall is {} and precision {}.",
        percent(recall),
        percent(precision)
    );
    drawing(heading, reading, &description, frame.bottom + 50.0, &marks.concat())
}

fn roc(evaluation: &Evaluation) -> Plot {
    let heading = "Frauds caught per false alarm (ROC)";
    let reading = format!(
        "Frauds caught, against genuine transactions flagged. The lower scale is logarithmic because work happens at its left end. Area under the curve on plain scales{}.",
        value_of(evaluation, "auc")
    );
    let rates = evaluation.roc.iter().map(|point| point.x);
    let frame = Frame::new(Scale::logarithmic(rates.chain([KNOWN_FALSE_POSITIVE_RATE])), Scale::share());
    let places = frame.places(coordinates(&evaluation.roc));
    if places.is_empty() {
        return Plot { heading, reading, svg: None };
    }
    let confusion = &evaluation.confusion;
    let false_positive_rate = confusion.genuine_flagged / (confusion.genuine_flagged + confusion.genuine_passed);
    let recall = true_positive_rate(evaluation);
    let one_percent = frame.x(KNOWN_FALSE_POSITIVE_RATE);
    let chance = (0..=70).map(|step| libm::pow(10.0, -7.0 + f64::from(step) / 10.0)).map(|rate| (rate, rate));
    let at_one_percent = format!("at 1\u{202f}%{}", value_of(evaluation, "recall_at_fpr_1_percent"));
    let marks = [
        frame.grid("Frauds caught"),
        frame.feet("Genuine transactions flagged"),
        path("reference", &straight(&frame.places(chance))),
        line("mark", one_percent, frame.top, one_percent, frame.bottom),
        text("note", "end", one_percent - 7.0, frame.bottom - 10.0, &at_one_percent),
        path("curve", &straight(&places)),
        working_point(&frame, false_positive_rate, recall, Side::Below, &format!("{} caught", percent(recall))),
    ];
    let description = format!(
        "True positive rate from false positive rate 0 to 100 percent. At the chosen threshold {} of genuine transactions are flagged and {} of frauds caught.",
        percent(false_positive_rate),
        percent(recall)
    );
    drawing(heading, reading, &description, frame.bottom + 50.0, &marks.concat())
}

fn reliability(evaluation: &Evaluation) -> Plot {
    let heading = "Reliability";
    let reading = "Whether a score of 10 % means fraud in 10 % of cases: dots on the diagonal say yes, above it fraud is more frequent than the score says. \
        Bars are 95 % intervals. Both scales are logarithmic, with a lane for zero."
        .to_owned();
    let bins = || {
        let finite = |value: f64| value.is_finite();
        evaluation.reliability.iter().filter(move |bin| [bin.predicted, bin.observed, bin.low, bin.high].into_iter().all(finite))
    };
    if bins().next().is_none() {
        return Plot { heading, reading, svg: None };
    }
    let low = Scale::logarithmic(bins().flat_map(|bin| [bin.predicted, bin.observed, bin.high]));
    let frame = Frame::new(low, low);
    let diagonal = (0..=70).map(|step| libm::pow(10.0, -7.0 + f64::from(step) / 10.0)).map(|share| (share, share));
    let mut marks = frame.grid("Share that was fraud") + &frame.feet("Mean score");
    marks += &path("reference", &straight(&frame.places(diagonal)));
    for bin in bins() {
        let x = frame.x(bin.predicted);
        let title = format!(
            "Mean score {}, fraud in {} ({}–{}) of {}",
            percent(bin.predicted),
            percent(bin.observed),
            percent(bin.low),
            percent(bin.high),
            counted(bin.rows as f64, "row")
        );
        let whisker = line("whisker", x, frame.y(bin.low), x, frame.y(bin.high));
        marks += &titled(&title, &(whisker + &dot("point", x, frame.y(bin.observed))));
    }
    let description = format!("Mean score against share of fraud in {}.", counted(bins().count() as f64, "bin"));
    drawing(heading, reading, &description, frame.bottom + 50.0, &marks)
}

fn score_distribution(evaluation: &Evaluation) -> Plot {
    let heading = "Where the scores lie";
    let reading = "How the scores of genuine transactions and of frauds are spread, each as shares of its own class. The further apart, the better; \
        what is right of the line is flagged."
        .to_owned();
    let shares = |bin: &ScoreBin| [bin.genuine, bin.fraud];
    let bins: Vec<_> = evaluation.score_distribution.iter().filter(|bin| shares(bin).iter().any(|share| *share > 0.0)).collect();
    if bins.is_empty() {
        return Plot { heading, reading, svg: None };
    }
    let tallest = bins.iter().flat_map(|bin| shares(bin)).filter(|share| share.is_finite()).fold(0.0, f64::max);
    let across = Scale::log_odds(bins.iter().flat_map(|bin| [inner_edge(bin.from, bin.to), inner_edge(bin.to, bin.from)]));
    let up = Scale::from_zero(tallest * 1.05, true);
    let panel = |top: f64, bottom: f64| Frame { top, bottom, ..Frame::new(across, up) };
    let confusion = &evaluation.confusion;
    let genuine_flagged = confusion.genuine_flagged / (confusion.genuine_flagged + confusion.genuine_passed);
    let frauds_flagged = true_positive_rate(evaluation);
    let (upper, lower) = (panel(30.0, 140.0), panel(180.0, 290.0));
    let genuine_bars = each(&bins, |bin| histogram_bar(&upper, "genuine", bin, bin.genuine));
    let fraud_bars = each(&bins, |bin| histogram_bar(&lower, "fraud", bin, bin.fraud));
    let marks = [
        upper.grid("Genuine transactions"),
        genuine_bars,
        line("base", upper.left, upper.bottom, upper.right, upper.bottom),
        flagged_from(&upper, confusion.threshold, genuine_flagged),
        lower.grid("Frauds"),
        fraud_bars,
        lower.feet("Score"),
        flagged_from(&lower, confusion.threshold, frauds_flagged),
    ];
    let description = format!(
        "Two histograms of the score. At or above the chosen threshold lie {} of genuine transactions and {} of frauds.",
        percent(genuine_flagged),
        percent(frauds_flagged)
    );
    drawing(heading, reading, &description, lower.bottom + 50.0, &marks.concat())
}

fn histogram_bar(frame: &Frame, class: &str, bin: &ScoreBin, share: f64) -> String {
    let (left, right, top) = (frame.x(bin.from), frame.x(bin.to), frame.y(share));
    bar(class, left + 0.5, top, right - left - 1.0, frame.bottom - top)
}

/// The threshold as a line through the frame, and the share that lies right of it.
fn flagged_from(frame: &Frame, threshold: f64, share: f64) -> String {
    if !threshold.is_finite() {
        return String::new();
    }
    let x = frame.x(threshold);
    let (anchor, offset) = if x > frame.right - 110.0 { ("end", -7.0) } else { ("start", 7.0) };
    line("mark", x, frame.top - 22.0, x, frame.bottom)
        + &text("note", anchor, x + offset, frame.top - 10.0, &format!("{} flagged", percent(share)))
}

fn cost_curve(evaluation: &Evaluation) -> Plot {
    let heading = "What each threshold costs";
    let reading =
        "Reviews plus missed frauds, if everything from a threshold up is flagged. Below the dashed line the model saves money. \
        Too low a threshold drowns in reviews and leaves the drawing at its top."
            .to_owned();
    let points = || evaluation.cost_curve.iter().filter(|point| point.threshold.is_finite() && point.cost.is_finite());
    if points().next().is_none() {
        return Plot { heading, reading, svg: None };
    }
    let without_model = cost_without_model(evaluation);
    let highest = points().map(|point| point.cost).fold(0.0, f64::max) * 1.05;
    let ceiling =
        without_model.filter(|cost| *cost > 0.0).map_or(highest, |cost| (cost * COST_CEILING).min(highest).max(cost * 1.1));
    let threshold = evaluation.confusion.threshold;
    let inside = points().map(|point| point.threshold).filter(|threshold| *threshold > NEAREST_TO_CERTAIN && *threshold < 1.0);
    let frame = Frame::new(Scale::log_odds(inside.chain([threshold])), Scale::from_zero(ceiling, false));
    let places = frame.places(points().map(|point| (point.threshold, point.cost)));
    let mut marks = frame.grid("Cost") + &frame.feet("Threshold");
    if let Some(cost) = without_model {
        let y = frame.y(cost);
        marks += &line("reference", frame.left, y, frame.right, y);
        marks += &text("note", "end", frame.right - 4.0, y - 7.0, &format!("no model: {}", money(cost)));
    }
    marks += &clipped(&frame, &path("curve", &straight(&places)));
    let description = format!("Cost from low to high thresholds. The chosen threshold is {}.", percent(threshold));
    if let Some(cost) = cost_at_threshold(evaluation) {
        let x = frame.x(threshold);
        marks += &line("mark", x, frame.y(cost), x, frame.bottom);
        marks += &working_point(&frame, threshold, cost, Side::Above, &format!("{} at {}", money(cost), percent(threshold)));
    }
    drawing(heading, reading, &description, frame.bottom + 50.0, &marks)
}

fn feature_importance(importance: &[Importance]) -> Plot {
    const ROW: f64 = 21.0;
    let heading = "What the model looks at";
    let mut features: Vec<&Importance> =
        importance.iter().filter(|feature| feature.share.is_finite() && feature.share >= 0.0).collect();
    features.sort_by(|a, b| b.share.total_cmp(&a.share));
    let left_out = features.len().saturating_sub(FEATURES_SHOWN);
    features.truncate(FEATURES_SHOWN);
    let reading = "Each feature's share of what all of them do in the model. It says what is used, not what causes fraud.";
    let reading = match left_out {
        0 => reading.to_owned(),
        _ => format!("{reading} The {FEATURES_SHOWN} strongest are shown, {} left out.", count(left_out as f64)),
    };
    let Some(strongest) = features.first() else {
        return Plot { heading, reading, svg: None };
    };
    let bars = Frame { left: 156.0, right: WIDTH - 58.0, ..Frame::new(Scale::from_zero(strongest.share, true), Scale::share()) };
    let mut marks = String::new();
    for (row, feature) in features.iter().enumerate() {
        let y = 8.0 + ROW * row as f64;
        let end = bars.x(feature.share);
        let row = text("name", "end", bars.left - 8.0, y + 13.0, &shorten(&feature.feature, NAME_SHOWN))
            + &bar("genuine", bars.left, y, (end - bars.left).max(1.0), ROW - 5.0)
            + &text("tick", "start", end + 6.0, y + 13.0, &percent(feature.share));
        marks += &titled(&format!("{}: {}", shorten(&feature.feature, NAME_IN_TITLE), percent(feature.share)), &row);
    }
    let description = format!("Bars of {}, the strongest first.", counted(features.len() as f64, "feature"));
    drawing(heading, reading, &description, 16.0 + ROW * features.len() as f64, &marks)
}

/// Wraps marks into an SVG that explains itself to those who cannot see it.
fn drawing(heading: &'static str, reading: String, description: &str, height: f64, marks: &str) -> Plot {
    let id: String = heading.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
    let svg = format!(
        r#"<svg class="plot" viewBox="0 0 {} {}" role="img" aria-labelledby="{id}-title {id}-description"><title id="{id}-title">{}</title><desc id="{id}-description">{}</desc>{marks}</svg>"#,
        unit(WIDTH),
        unit(height),
        escape(heading),
        escape(description),
    );
    Plot { heading, reading, svg: Some(svg) }
}

/// Marks that show a title when pointed at.
fn titled(title: &str, marks: &str) -> String {
    format!("<g><title>{}</title>{marks}</g>", escape(title))
}

/// Marks of which only what lies inside the frame is seen: an inner SVG clips by itself.
fn clipped(frame: &Frame, marks: &str) -> String {
    let [x, y, width, height] = [frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top].map(unit);
    format!(r#"<svg x="{x}" y="{y}" width="{width}" height="{height}" viewBox="{x} {y} {width} {height}">{marks}</svg>"#)
}

/// Where the chosen threshold works, with a label on the side that has room. Nothing when the place is not a number.
fn working_point(frame: &Frame, across: f64, up: f64, side: Side, label: &str) -> String {
    if !across.is_finite() || !up.is_finite() {
        return String::new();
    }
    let (x, y) = (frame.x(across), frame.y(up).max(frame.top));
    let (anchor, offset) = if x > f64::midpoint(frame.left, frame.right) { ("end", -9.0) } else { ("start", 9.0) };
    let label_y = match side {
        Side::Below if y + 24.0 < frame.bottom => y + 20.0,
        Side::Below | Side::Above => y - 12.0,
    };
    dot("chosen", x, y) + &text("chosen-label", anchor, x + offset, label_y, label)
}

/// On which side of a curve its working point has room for a label.
#[derive(Clone, Copy)]
enum Side {
    Above,
    Below,
}

/// The edge itself, or for the outermost bins, which reach to 0 or 1, a place that leaves them about as wide as the others.
fn inner_edge(edge: f64, opposite: f64) -> f64 {
    if edge <= NEAREST_TO_CERTAIN {
        opposite / 2.0
    } else if edge >= 1.0 - NEAREST_TO_CERTAIN {
        f64::midpoint(1.0, opposite)
    } else {
        edge
    }
}

/// " 0.812" for a sentence about the figure of this key; empty when there is none.
fn value_of(evaluation: &Evaluation, key: &str) -> String {
    let figure = evaluation.figures.iter().find(|figure| figure.key == key && figure.value.is_finite());
    figure.map_or_else(String::new, |figure| format!(": {}", figure_text(figure).value))
}

fn true_positive_rate(evaluation: &Evaluation) -> f64 {
    let confusion = &evaluation.confusion;
    confusion.frauds_flagged / (confusion.frauds_flagged + confusion.frauds_missed)
}

fn coordinates(points: &[Point]) -> impl Iterator<Item = (f64, f64)> {
    points.iter().map(|point| (point.x, point.y))
}
