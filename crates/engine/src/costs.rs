//! What do mistakes cost? The outcome with the least expected cost, which depends on the amount.
//!
//! With the probability p of fraud and the amount a, approving costs p × missed(a), declining (1 − p) × lost(a), a review its own cost, and a
//! challenge its own cost, the frauds that pass it and the good sales that give up. The least of them is Bayes minimum risk: C. Elkan, "The
//! Foundations of Cost-Sensitive Learning", IJCAI 2001, section 2, and for cards, where the cost of a fraud is its amount, A. Correa Bahnsen et
//! al., "Cost Sensitive Credit Card Fraud Detection Using Bayes Minimum Risk", ICMLA 2013, DOI 10.1109/ICMLA.2013.68. Friction that stops a
//! share of the frauds and loses a share of the good is from Airbnb's engineering blog, 2018-02-06.

use assay_domain::Outcome;
use serde::{Deserialize, Serialize};

/// What mistakes and work cost, in the unit of the amount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// The column that holds the amount.
    pub amount: String,
    /// Of a fraud that is let through.
    pub missed_fraud: Cost,
    /// Of a good sale that is refused.
    pub false_decline: Cost,
    /// Of looking at a transaction; nobody looks at any where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewCost>,
    /// Of asking the cardholder; nobody is asked where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ChallengeCost>,
}

/// A cost: a share of the amount, and something on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Of the amount.
    #[serde(default)]
    pub share: f64,
    /// Whatever the amount.
    #[serde(default)]
    pub fixed: f64,
}

/// What a review costs. It is taken to find out the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewCost {
    /// Of one.
    pub cost: f64,
    /// How many can be worked in a day, UTC; no limit where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u64>,
    /// What one more review a day would be worth, from [`review_price`]: added to the cost, so that the day's reviews go to where they save most.
    #[serde(default)]
    pub price: f64,
}

/// What a challenge costs and does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeCost {
    /// Of one.
    pub cost: f64,
    /// The share of frauds that do not pass it.
    pub fraud_stopped: f64,
    /// The share of good sales that are lost by it.
    pub good_lost: f64,
}

/// What costs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The outcome with the least expected cost; of equal ones, the gentlest.
    pub outcome: Outcome,
    /// Whether it would be a review if one were left today.
    pub reviews_used_up: bool,
}

impl Cost {
    fn of(self, amount: f64) -> f64 {
        self.share * amount + self.fixed
    }

    fn is_one(self) -> bool {
        [self.share, self.fixed].iter().all(|part| part.is_finite() && *part >= 0.0)
    }
}

impl Costs {
    /// What is wrong with them.
    pub(crate) fn check(&self) -> Result<(), String> {
        let at_least_0 = |number: f64| number.is_finite() && number >= 0.0;
        if !(self.missed_fraud.is_one() && self.false_decline.is_one()) {
            return Err("the costs of a missed fraud and of a false decline are shares and amounts of at least 0".into());
        }
        if self.review.is_some_and(|review| !(at_least_0(review.cost) && at_least_0(review.price))) {
            return Err("the cost and the price of a review are at least 0".into());
        }
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        let fits = |one: ChallengeCost| at_least_0(one.cost) && is_share(one.fraud_stopped) && is_share(one.good_lost);
        if self.challenge.is_some_and(|challenge| !fits(challenge)) {
            return Err("the cost of a challenge is at least 0, what it stops and loses are shares between 0 and 1".into());
        }
        Ok(())
    }

    /// What to do, given how many reviews were asked for today. An amount below 0, as a refund has, counts as 0.
    pub fn choose(&self, probability: f64, amount: f64, reviewed_today: u64) -> Choice {
        let wanted = self.cheapest(probability, amount, true);
        let is_left = self.review.is_none_or(|review| review.per_day.is_none_or(|most| reviewed_today < most));
        if wanted == Outcome::Review && !is_left {
            return Choice { outcome: self.cheapest(probability, amount, false), reviews_used_up: true };
        }
        Choice { outcome: wanted, reviews_used_up: false }
    }

    fn cheapest(&self, probability: f64, amount: f64, with_review: bool) -> Outcome {
        let mut best = (Outcome::Approve, self.expected(Outcome::Approve, probability, amount).unwrap_or(f64::INFINITY));
        for outcome in [Outcome::Review, Outcome::Challenge, Outcome::Decline] {
            match self.expected(outcome, probability, amount) {
                Some(cost) if cost < best.1 && (with_review || outcome != Outcome::Review) => best = (outcome, cost),
                _ => {}
            }
        }
        best.0
    }

    /// The expected cost of an outcome, if it can be chosen.
    pub fn expected(&self, outcome: Outcome, probability: f64, amount: f64) -> Option<f64> {
        let amount = amount.max(0.0);
        let (missed, lost) = (probability * self.missed_fraud.of(amount), (1.0 - probability) * self.false_decline.of(amount));
        match outcome {
            Outcome::Approve => Some(missed),
            Outcome::Decline => Some(lost),
            Outcome::Review => self.review.map(|review| review.cost + review.price),
            Outcome::Challenge => self.challenge.map(|one| one.cost + (1.0 - one.fraud_stopped) * missed + one.good_lost * lost),
        }
    }
}

/// What one more review a day would have been worth in a past of probabilities and amounts over so many days: the price at which no more
/// reviews are wanted, on average, than can be worked. With it the capacity goes to where it saves most, not to who comes first.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off to be a number of transactions")]
pub fn review_price(costs: &Costs, past: impl Iterator<Item = (f64, f64)>, days: f64) -> f64 {
    let Some(ReviewCost { cost, per_day: Some(per_day), .. }) = costs.review else { return 0.0 };
    let saved = |(probability, amount): (f64, f64)| {
        let others = [Outcome::Approve, Outcome::Challenge, Outcome::Decline];
        let without = others.into_iter().filter_map(|outcome| costs.expected(outcome, probability, amount));
        without.fold(f64::INFINITY, f64::min) - cost
    };
    let mut saved: Vec<f64> = past.map(saved).filter(|saved| *saved > 0.0).collect();
    saved.sort_by(|one, other| other.total_cmp(one));
    let worked = (per_day as f64 * days).clamp(0.0, saved.len() as f64) as usize;
    saved.get(worked).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn costs(review: Option<ReviewCost>) -> Costs {
        Costs {
            amount: "amount".into(),
            missed_fraud: Cost { share: 1.0, fixed: 15.0 },
            false_decline: Cost { share: 0.1, fixed: 2.0 },
            review,
            challenge: None,
        }
    }

    /// Elkan's threshold: (cost of a false positive) / (cost of a false positive + cost of a false negative).
    #[test]
    fn without_reviews_the_threshold_is_elkans() {
        let costs = costs(None);
        for amount in [0.0, 1.0, 50.0, 10_000.0] {
            let threshold = (0.1 * amount + 2.0) / (0.1 * amount + 2.0 + amount + 15.0);
            let at = |probability| costs.choose(probability, amount, 0).outcome;
            assert_eq!((at(threshold - 1e-9), at(threshold + 1e-9)), (Outcome::Approve, Outcome::Decline), "{amount}");
        }
    }

    #[test]
    fn reviews_go_to_large_amounts_in_doubt_until_the_day_has_no_more() {
        let costs = costs(Some(ReviewCost { cost: 5.0, per_day: Some(10), price: 0.0 }));
        assert_eq!(costs.choose(0.05, 20.0, 0).outcome, Outcome::Approve);
        assert_eq!(costs.choose(0.05, 500.0, 0).outcome, Outcome::Review);
        assert_eq!(costs.choose(0.99, 500.0, 0).outcome, Outcome::Decline);
        assert_eq!(costs.choose(0.05, 500.0, 10), Choice { outcome: Outcome::Approve, reviews_used_up: true });
        assert_eq!(costs.choose(0.3, 500.0, 10), Choice { outcome: Outcome::Decline, reviews_used_up: true });
    }

    proptest! {
        #[test]
        fn the_price_leaves_as_many_reviews_as_can_be_worked(
            past in prop::collection::vec((0.0..1.0, 0.0..1000.0), 1..200), per_day in 0_u64..20, days in 1_u32..10,
        ) {
            let mut costs = costs(Some(ReviewCost { cost: 5.0, per_day: Some(per_day), price: 0.0 }));
            let wanted = |costs: &Costs| past.iter().filter(|(p, a)| costs.choose(*p, *a, 0).outcome == Outcome::Review).count();
            let before = wanted(&costs);
            let price = review_price(&costs, past.iter().copied(), f64::from(days));
            if let Some(review) = &mut costs.review { review.price = price; }
            let capacity = usize::try_from(per_day * u64::from(days)).unwrap();
            // Sums rounded differently may turn one at the very price.
            prop_assert!(wanted(&costs) <= capacity + 1 && wanted(&costs) + 1 >= before.min(capacity));
        }

        #[test]
        fn the_choice_never_costs_more_than_another(p in 0.0..=1.0, amount in -10.0..1e6) {
            let mut costs = costs(Some(ReviewCost { cost: 5.0, per_day: None, price: 1.0 }));
            costs.challenge = Some(ChallengeCost { cost: 0.5, fraud_stopped: 0.95, good_lost: 0.1 });
            let chosen = costs.expected(costs.choose(p, amount, 0).outcome, p, amount).unwrap();
            for outcome in Outcome::ALL {
                prop_assert!(chosen <= costs.expected(outcome, p, amount).unwrap());
            }
        }
    }
}
