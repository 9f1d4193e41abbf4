//! How are things, for people? One HTML page that needs nothing but itself, the same as plain text, and the same numbers as JSON.

mod html;
mod text;
mod words;

pub use html::html;
pub use text::text;

use assay_domain::Outcome;
use serde::{Deserialize, Serialize};

use crate::drift::Drift;
use crate::flow::{Flow, Jump, Labels, Silence};
use crate::governor;
use crate::quality::Quality;
use crate::windows::Windows;

/// Everything a report says; its JSON has these names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// The moment whose knowledge it tells, microseconds since 1970.
    pub as_of: i64,
    /// Windows against the reference, in order of time.
    pub drift: Vec<Drift>,
    /// What was decided, in order of time.
    pub decided: Vec<Decided>,
    /// Labels, in order of the time in which they were learnt.
    pub labels: Vec<LabelsLearnt>,
    /// How good it was, by model version.
    pub quality: Vec<Quality>,
    /// How the governor stands, where there is one.
    pub governor: Option<governor::Status>,
    /// The last entry of the journal that it tells of, where it was made of one.
    #[serde(default)]
    pub through: Option<u64>,
    /// The version of the model whose windows are compared with its reference.
    #[serde(default)]
    pub model: Option<String>,
    /// The share of mature decisions of which a label told something.
    #[serde(default)]
    pub labelled: Option<f64>,
    /// When the last label was learnt, microseconds since 1970.
    #[serde(default)]
    pub last_learnt: Option<i64>,
    /// Shares of the latest hour that left what they were.
    #[serde(default)]
    pub jumps: Vec<Jump>,
    /// Labels that should have come and did not.
    #[serde(default)]
    pub silence: Option<Silence>,
}

/// Decisions of a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Where it begins, microseconds since 1970.
    pub from: i64,
    /// All decisions.
    pub decisions: u64,
    /// The share that was not simply approved.
    pub alert_rate: Option<f64>,
    /// Shares by outcome, in the order of their priority.
    pub shares: Vec<(Outcome, f64)>,
}

/// Labels of a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelsLearnt {
    /// Where it begins, microseconds since 1970.
    pub from: i64,
    /// Labels that said fraud.
    pub frauds: u64,
    /// Labels that said genuine.
    pub genuine: u64,
    /// Labels that came later than `label_delay`.
    pub late: u64,
    /// Labels that came before their transactions, by some clock that is wrong.
    pub before_their_time: u64,
    /// Half of them came within so many days of their transaction.
    pub delay_days_p50: Option<f64>,
    /// Nine in ten.
    pub delay_days_p90: Option<f64>,
    /// Ninety-nine in a hundred.
    pub delay_days_p99: Option<f64>,
}

impl Decided {
    /// One for each window.
    pub fn of(windows: &Windows<Flow>) -> Vec<Self> {
        let told = |(from, flow): (i64, &Flow)| Self {
            from,
            decisions: flow.decisions(),
            alert_rate: flow.alert_rate(),
            shares: Outcome::ALL.into_iter().filter_map(|outcome| Some((outcome, flow.share(outcome)?))).collect(),
        };
        windows.iter().map(told).collect()
    }
}

impl LabelsLearnt {
    /// One for each window.
    pub fn of(windows: &Windows<Labels>) -> Vec<Self> {
        let told = |(from, labels): (i64, &Labels)| Self {
            from,
            frauds: labels.frauds(),
            genuine: labels.genuine(),
            late: labels.late(),
            before_their_time: labels.before_their_time(),
            delay_days_p50: labels.delay_days(0.5),
            delay_days_p90: labels.delay_days(0.9),
            delay_days_p99: labels.delay_days(0.99),
        };
        windows.iter().map(told).collect()
    }
}

impl Report {
    /// What somebody should look at, a sentence each, the most urgent first. Empty when all is well.
    pub fn alarms(&self) -> Vec<String> {
        let mut alarms = Vec::new();
        if let Some(governor) = self.governor.as_ref().filter(|governor| governor.tripped) {
            let advice =
                if governor.calm { "the policy asks for few declines now" } else { "the policy still asks for too many" };
            let (replaced, instead) = (governor.replaced, governor.limits.instead.name());
            alarms.push(format!(
                "The governor holds declines back: {replaced} became {instead}; {advice}. Only a person releases it."
            ));
        }
        for Jump { of, share, usual, .. } in &self.jumps {
            let what = if of == "decline" { "share of declines" } else { "alert rate" };
            let (share, usual) = (words::percent(*share), words::percent(*usual));
            alarms.push(format!("The {what} of the last hour is {share} instead of {usual}."));
        }
        if let Some(silence) = &self.silence {
            let (since, expected) = (words::moment(silence.since), words::number(silence.expected.round()));
            alarms.push(format!("No label was learnt since {since}; some {expected} should have been."));
        }
        if let Some(latest) = self.drift.last() {
            let mut columns: Vec<_> = latest.alarms().collect();
            columns.sort_by(|one, other| other.psi.total_cmp(&one.psi));
            for column in columns {
                let change = column.bins.first().map_or_else(String::new, |bin| {
                    format!(
                        ", mostly \"{}\": {} instead of {}",
                        words::shorten(&bin.holds),
                        words::percent(bin.found),
                        words::percent(bin.expected)
                    )
                });
                let (name, level, psi) = (words::shorten(&column.name), column.level.name(), words::number(column.psi));
                alarms.push(format!("`{name}` drifts, PSI {psi} ({level}){change}."));
            }
        }
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::{BinChange, ColumnDrift, Level};
    use crate::governor::{Governor, Limits};
    use crate::quality::Money;

    const HOSTILE: &str = "<script>alert('x')</script>\u{202e}\n&";

    /// Something of everything, with a name that no page may trust.
    fn report() -> Report {
        let column = |name: &str, level, psi| ColumnDrift {
            name: name.into(),
            level,
            psi,
            psi_by_chance: 0.003,
            ks: Some(0.2),
            chance: 1e-9,
            dependence_known: level != Level::Unknown,
            bins: vec![BinChange { holds: "above 100".into(), expected: 0.01, found: 0.25 }],
        };
        let mut governor = Governor::new(Limits { least_decisions: 1, ..Limits::default() }).unwrap();
        governor.rule(0, Outcome::Decline);
        let (mut flow, mut labels) = (Windows::new(assay_domain::time::DAY), Windows::new(assay_domain::time::DAY));
        for outcome in [Outcome::Approve, Outcome::Approve, Outcome::Approve, Outcome::Decline] {
            Flow::observe(flow.at(0).unwrap(), outcome);
        }
        Labels::observe(labels.at(0).unwrap(), true, 3 * assay_domain::time::DAY, assay_domain::time::DAY);
        let columns = vec![
            column("amount", Level::Moderate, 0.12),
            column(HOSTILE, Level::Large, 0.5),
            column("hour", Level::Unknown, 0.0),
        ];
        Report {
            title: HOSTILE.into(),
            as_of: 1_700_000_000_000_000,
            drift: vec![Drift { from: 0, until: 7 * assay_domain::time::DAY, rows: 12_345, columns }],
            decided: Decided::of(&flow),
            labels: LabelsLearnt::of(&labels),
            quality: vec![Quality {
                model: HOSTILE.into(),
                judged: 10,
                frauds: 2,
                average_precision: Some(0.5),
                decline: Money { frauds: 1, fraud_minor: 12_050, genuine: 1, genuine_minor: -5 },
                ..Quality::default()
            }],
            governor: Some(governor.status()),
            labelled: Some(0.25),
            ..Report::default()
        }
    }

    #[test]
    fn alarms_name_the_most_urgent_first() {
        let alarms = report().alarms();
        assert_eq!(alarms.len(), 3);
        assert!(alarms[0].starts_with("The governor holds declines back: 1 became review"), "{}", alarms[0]);
        assert!(
            alarms[1].contains("PSI 0.5 (large)")
                && alarms[2].starts_with("`amount` drifts, PSI 0.12 (moderate), mostly \"above 100\": 25")
        );
        assert_eq!(Report::default().alarms(), [""; 0]);
    }

    #[test]
    fn no_name_becomes_markup_or_turns_a_line_around() {
        let (page, plain) = (html(&report()), text(&report()));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        for bad in ['\u{202e}', '\u{7}'] {
            assert!(!page.contains(bad) && !plain.contains(bad));
        }
        assert!(plain.lines().all(|line| line != "&"), "a name has broken its line");
    }

    #[test]
    fn page_and_text_say_what_json_says() {
        for told in [html(&report()), text(&report())] {
            for figure in ["1970-01-08", "12,345", "25\u{202f}%", "120.50", "-0.05", "amount", "moderate", "0.12"] {
                assert!(told.contains(figure), "{figure} is missing in {told}");
            }
        }
        let json = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report());
    }

    #[test]
    fn an_empty_report_says_that_there_is_nothing() {
        assert!(text(&Report::default()).contains("Nothing alarms."));
        assert!(html(&Report::default()).contains("Nothing alarms."));
    }
}
