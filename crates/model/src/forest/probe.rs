//! Which values show how a forest decides? Those at its thresholds and beside them, its categories, and none at all.

use super::{Forest, Split};

/// Values taken per feature; a forest with more thresholds is asked at some of them.
const MOST_VALUES: usize = 64;

impl Forest {
    /// Values of each feature, by feature, on both sides of what the trees ask for. They depend on the trees alone.
    pub fn telling_values(&self) -> Vec<Vec<f64>> {
        let mut values = vec![Vec::new(); self.feature_count];
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            match &node.split {
                Split::AtMost { threshold, .. } => values[node.feature].push(*threshold),
                Split::OneOf { levels, .. } => {
                    values[node.feature].extend([0, levels.len() * 32 - levels.len().min(1)].map(|code| code as f64));
                    let first = levels.iter().position(|&word| word != 0);
                    values[node.feature].extend(first.map(|word| (word * 32) as f64 + f64::from(levels[word].trailing_zeros())));
                }
            }
        }
        values.into_iter().map(beside).collect()
    }
}

/// Some of `values`, with their neighbours.
fn beside(mut values: Vec<f64>) -> Vec<f64> {
    values.retain(|value| value.abs() < f64::MAX);
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    let step = values.len().div_ceil(MOST_VALUES).max(1);
    values.into_iter().step_by(step).flat_map(|value| [value.next_down(), value, value.next_up()]).collect()
}
