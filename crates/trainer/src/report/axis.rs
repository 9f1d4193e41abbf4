//! From values to places on a drawing: scales, their ticks, the frame that carries them, and curves thinned to what a screen shows.

use super::words::{compact, each, escape, percent};

/// Width of every drawing in its own units; the page scales it.
pub(super) const WIDTH: f64 = 480.0;

/// Ticks nearer to each other than this (in drawing units) would print over each other.
const TICK_ROOM_ACROSS: f64 = 56.0;
const TICK_ROOM_UP: f64 = 22.0;

/// Share of a logarithmic axis that is kept for zero, which has no logarithm.
const ZERO_LANE: f64 = 0.07;

/// Probabilities nearer to 0 or 1 than this are drawn at this distance.
pub(super) const NEAREST_TO_CERTAIN: f64 = 1e-7;

/// How values become places between 0 and 1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// Equal steps; `percent` says how ticks read.
    Linear { low: f64, high: f64, percent: bool },
    /// Shares, equal ratios up to 1, and a lane for zero before the first decade.
    Logarithmic { low: f64 },
    /// Probabilities, equally spaced in log-odds.
    LogOdds { low: f64, high: f64 },
}

impl Scale {
    /// Shares from 0 to 100 %.
    pub(super) fn share() -> Self {
        Scale::Linear { low: 0.0, high: 1.0, percent: true }
    }

    /// Amounts or shares from 0 to at least `high`, which need not be sensible.
    pub(super) fn from_zero(high: f64, percent: bool) -> Self {
        let high = if high.is_finite() && high > f64::MIN_POSITIVE { high } else { 1.0 };
        Scale::Linear { low: 0.0, high, percent }
    }

    /// Shares from the decade of the smallest positive one; below a ten-millionth there is nothing to see.
    pub(super) fn logarithmic(shares: impl Iterator<Item = f64>) -> Self {
        let smallest = shares.filter(|share| *share > 0.0 && *share < 1.0).fold(0.1, f64::min).max(NEAREST_TO_CERTAIN);
        Scale::Logarithmic { low: power_of_ten(libm::floor(libm::log10(smallest) + 1e-9)) }
    }

    /// Probabilities from the smallest to the largest of these; a single one gets room on both sides.
    pub(super) fn log_odds(probabilities: impl Iterator<Item = f64>) -> Self {
        let (low, high) = probabilities
            .filter(|probability| probability.is_finite())
            .map(log_odds)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), odds| (low.min(odds), high.max(odds)));
        match (low.is_finite(), high - low > 1e-6) {
            (false, _) => Scale::LogOdds { low: -5.0, high: 5.0 },
            (true, false) => Scale::LogOdds { low: low - 1.0, high: high + 1.0 },
            (true, true) => Scale::LogOdds { low, high },
        }
    }

    /// Where the value lies: 0 at the low end, 1 at the high end; always finite, a little outside at most.
    fn place(self, value: f64) -> f64 {
        let place = match self {
            // Halves first, so that the largest floats do not overflow.
            Scale::Linear { low, high, .. } => (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0),
            Scale::Logarithmic { low } if value < low => 0.0,
            Scale::Logarithmic { low } => ZERO_LANE + (1.0 - ZERO_LANE) * (1.0 - libm::log10(value) / libm::log10(low)),
            Scale::LogOdds { low, high } => ((log_odds(value) - low) / (high - low)).clamp(0.0, 1.0),
        };
        if place.is_nan() { 0.0 } else { place.clamp(-1.0, 20.0) }
    }

    /// Round values along the scale, each with its label.
    fn ticks(self) -> Vec<(f64, String)> {
        match self {
            Scale::Linear { low, high, percent: as_percent } => {
                let step = round_step((high - low) / 5.0);
                let label = |value: f64| {
                    if as_percent { percent(value) } else { compact(value) }
                };
                (0..=10)
                    .map(|tick| low + step * f64::from(tick))
                    .filter(|value| *value <= high * 1.001)
                    .map(|value| (value, label(value)))
                    .collect()
            }
            Scale::Logarithmic { low } => {
                let decades = (-7..=0).map(|exponent| power_of_ten(f64::from(exponent))).filter(|decade| *decade >= low * 0.999);
                std::iter::once((0.0, "0".to_owned())).chain(decades.map(|decade| (decade, percent(decade)))).collect()
            }
            Scale::LogOdds { low, high } => {
                let below = (-6..=-1).map(|exponent| power_of_ten(f64::from(exponent)));
                let above = (-6..=-1).rev().map(|exponent| 1.0 - power_of_ten(f64::from(exponent)));
                let inside = |probability: &f64| (low - 1e-9..=high + 1e-9).contains(&log_odds(*probability));
                below.chain([0.5]).chain(above).filter(inside).map(|probability| (probability, percent(probability))).collect()
            }
        }
    }
}

/// A rectangle of the drawing with a scale along it and one up it.
pub(super) struct Frame {
    pub(super) across: Scale,
    pub(super) up: Scale,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// The usual rectangle: room for tick labels at the left and for tick and axis labels below.
    pub(super) fn new(across: Scale, up: Scale) -> Self {
        Frame { across, up, left: 62.0, right: WIDTH - 14.0, top: 30.0, bottom: 290.0 }
    }

    /// Drawing units from the left.
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + self.across.place(value) * (self.right - self.left)
    }

    /// Drawing units from the top.
    pub(super) fn y(&self, value: f64) -> f64 {
        self.bottom - self.up.place(value) * (self.bottom - self.top)
    }

    /// Grid, tick labels, and the name of the scale up, which stands above it so that nobody has to tilt the head.
    pub(super) fn grid(&self, up_name: &str) -> String {
        let mut grid = String::new();
        let mut free_below = f64::INFINITY;
        for (value, label) in self.up.ticks() {
            let y = self.y(value);
            grid += &line("grid", self.left, y, self.right, y);
            if free_below - y >= TICK_ROOM_UP {
                grid += &text("tick", "end", self.left - 8.0, y + 4.5, &label);
                free_below = y;
            }
        }
        grid + &text("axis", "start", 4.0, self.top - 14.0, up_name)
    }

    /// Ticks along the bottom and the name of that scale.
    pub(super) fn feet(&self, across_name: &str) -> String {
        let mut feet = line("base", self.left, self.bottom, self.right, self.bottom);
        let mut free_from = f64::NEG_INFINITY;
        for (value, label) in self.across.ticks() {
            let x = self.x(value);
            feet += &line("base", x, self.bottom, x, self.bottom + 5.0);
            if x - free_from >= TICK_ROOM_ACROSS {
                let anchor = if x > self.right - 20.0 { "end" } else { "middle" };
                let x = if anchor == "end" { self.right + 10.0 } else { x };
                feet += &text("tick", anchor, x, self.bottom + 21.0, &label);
                free_from = x;
            }
        }
        feet + &text("axis", "end", self.right, self.bottom + 44.0, across_name)
    }

    /// Curve points as places on the drawing: finite ones only, from left to right, thinned.
    pub(super) fn places(&self, points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
        let mut places: Vec<(f64, f64)> =
            points.filter(|(x, y)| x.is_finite() && y.is_finite()).map(|(x, y)| (self.x(x), self.y(y))).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        thin(&places)
    }
}

/// Of the places in each half unit of width, the first, the lowest, the highest and the last: the same picture from at most
/// 4 × 2 × width places. Expects them from left to right; the end points stay as they are.
fn thin(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let column = |place: &(f64, f64)| libm::floor(place.0 * 2.0);
    let mut thinned = Vec::new();
    for column in places.chunk_by(|a, b| column(a) == column(b)) {
        let lowest = (0..column.len()).min_by(|a, b| column[*a].1.total_cmp(&column[*b].1));
        let highest = (0..column.len()).max_by(|a, b| column[*a].1.total_cmp(&column[*b].1));
        let mut kept = [Some(0), lowest, highest, Some(column.len() - 1)];
        kept.sort_unstable();
        let mut last = None;
        for position in kept.into_iter().flatten().filter(|position| last.replace(*position) != Some(*position)) {
            thinned.push(column[position]);
        }
    }
    thinned
}

/// Path data through the places; `M` first, then straight lines.
pub(super) fn straight(places: &[(f64, f64)]) -> String {
    let step =
        |(position, (x, y)): (usize, &(f64, f64))| format!("{}{} {}", if position == 0 { "M" } else { "L" }, unit(*x), unit(*y));
    each(places.iter().enumerate(), step)
}

/// Path data that first goes up or down and then right: under a precision-recall curve drawn so lies exactly its average precision.
pub(super) fn stairs(places: &[(f64, f64)]) -> String {
    let step = |(position, (x, y)): (usize, &(f64, f64))| {
        if position == 0 { format!("M{} {}", unit(*x), unit(*y)) } else { format!("V{}H{}", unit(*y), unit(*x)) }
    };
    each(places.iter().enumerate(), step)
}

/// A path of a class that the style sheet knows.
pub(super) fn path(class: &str, data: &str) -> String {
    format!(r#"<path class="{class}" d="{data}"/>"#)
}

/// A straight line of a class that the style sheet knows.
pub(super) fn line(class: &str, x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!(r#"<line class="{class}" x1="{}" y1="{}" x2="{}" y2="{}"/>"#, unit(x1), unit(y1), unit(x2), unit(y2))
}

/// A text at a place; escapes it.
pub(super) fn text(class: &str, anchor: &str, x: f64, y: f64, content: &str) -> String {
    format!(r#"<text class="{class}" text-anchor="{anchor}" x="{}" y="{}">{}</text>"#, unit(x), unit(y), escape(content))
}

/// A filled circle.
pub(super) fn dot(class: &str, x: f64, y: f64) -> String {
    format!(r#"<circle class="{class}" cx="{}" cy="{}" r="4.5"/>"#, unit(x), unit(y))
}

/// A rectangle; negative extents become none.
pub(super) fn bar(class: &str, x: f64, y: f64, width: f64, height: f64) -> String {
    let (width, height) = (unit(width.max(0.0)), unit(height.max(0.0)));
    format!(r#"<rect class="{class}" x="{}" y="{}" width="{width}" height="{height}"/>"#, unit(x), unit(y))
}

/// A drawing coordinate: one decimal, and never anything that SVG cannot read.
pub(super) fn unit(value: f64) -> String {
    let tenths = if value.is_finite() { (value * 10.0).round() / 10.0 } else { 0.0 };
    // Adding zero turns -0 into 0.
    format!("{}", tenths + 0.0)
}

fn log_odds(probability: f64) -> f64 {
    let probability = probability.clamp(NEAREST_TO_CERTAIN, 1.0 - NEAREST_TO_CERTAIN);
    libm::log(probability / (1.0 - probability))
}

fn power_of_ten(exponent: f64) -> f64 {
    libm::pow(10.0, exponent)
}

/// The next step of the form 1, 2 or 5 times a power of ten.
fn round_step(rough: f64) -> f64 {
    let decade = power_of_ten(libm::floor(libm::log10(rough)));
    let round = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * decade >= rough * 0.999).unwrap_or(10.0);
    round * decade
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_scale() -> impl Strategy<Value = Scale> {
        prop_oneof![
            any::<f64>().prop_map(|high| Scale::from_zero(high, false)),
            any::<f64>().prop_map(|share| Scale::logarithmic([share].into_iter())),
            any::<[f64; 3]>().prop_map(|probabilities| Scale::log_odds(probabilities.into_iter())),
        ]
    }

    proptest! {
        #[test]
        fn every_value_has_a_finite_place_on_every_scale(scale in any_scale(), value in any::<f64>()) {
            prop_assert!(scale.place(value).is_finite());
            for (tick, _) in scale.ticks() {
                prop_assert!((-1e-9..=1.01).contains(&scale.place(tick)), "{scale:?} puts its tick {tick} at {}", scale.place(tick));
            }
        }

        #[test]
        fn places_keep_the_order_of_values(scale in any_scale(), a in 0.0..1.0, b in 0.0..1.0) {
            prop_assert!((scale.place(a) <= scale.place(b)) == (a <= b) || scale.place(a) == scale.place(b));
        }

        #[test]
        fn thinning_keeps_ends_extremes_and_the_limit(ys in prop::collection::vec(0.0..300.0, 1..3_000), width in 1.0..480.0) {
            let places: Vec<(f64, f64)> = ys.iter().enumerate().map(|(i, y)| (width * i as f64 / ys.len() as f64, *y)).collect();
            let thinned = thin(&places);
            prop_assert_eq!(thinned.first(), places.first());
            prop_assert_eq!(thinned.last(), places.last());
            let lowest = |places: &[(f64, f64)]| places.iter().map(|place| place.1).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(lowest(&thinned), lowest(&places));
            prop_assert!(thinned.len() as f64 <= 4.0 * (2.0 * width + 1.0));
        }
    }

    #[test]
    fn ticks_are_round_and_reach_the_ends() {
        let labels = |scale: Scale| scale.ticks().into_iter().map(|(_, label)| label.replace('\u{202f}', "")).collect::<Vec<_>>();
        assert_eq!(labels(Scale::share()), ["0%", "20%", "40%", "60%", "80%", "100%"]);
        assert_eq!(labels(Scale::from_zero(8_300.0, false)), ["0", "2k", "4k", "6k", "8k"]);
        assert_eq!(labels(Scale::logarithmic([0.002].into_iter())), ["0", "0.1%", "1%", "10%", "100%"]);
        assert_eq!(labels(Scale::log_odds([0.001, 0.95].into_iter())), ["0.1%", "1%", "10%", "50%", "90%"]);
    }

    #[test]
    fn nothing_that_svg_cannot_read_is_written() {
        assert_eq!([unit(f64::NAN), unit(f64::NEG_INFINITY), unit(-0.01), unit(12.04)], ["0", "0", "0", "12"]);
    }
}
