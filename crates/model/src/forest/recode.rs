//! Other numbers for the categories of a feature: a library numbers them as its data frame did, a row of ours by their sorted texts.

use std::collections::BTreeMap;

use super::{Forest, MAX_CATEGORY_WORDS, Split};

impl Forest {
    /// From now on, category `place` of a feature is what was category `codes[place]` before, with `codes` by feature. Categories that
    /// they do not name can no longer be asked for.
    pub(crate) fn recode(&mut self, codes: &BTreeMap<usize, Vec<u32>>) -> Result<(), String> {
        let mut words_left = MAX_CATEGORY_WORDS;
        for node in self.trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
            let Some(codes) = codes.get(&node.feature) else { continue };
            let Split::OneOf { levels, .. } = &mut node.split else {
                return Err("a tree asks for a category as if it were a number".into());
            };
            let words = codes.len().div_ceil(32);
            words_left = words_left.checked_sub(words).ok_or("the sets of categories are too large together")?;
            let mut recoded = vec![0; words];
            for (place, &code) in codes.iter().enumerate() {
                if levels.get(code as usize / 32).is_some_and(|word| word >> (code % 32) & 1 == 1) {
                    recoded[place / 32] |= 1 << (place % 32);
                }
            }
            *levels = recoded;
        }
        Ok(())
    }

    /// By feature, whether the trees ask for it as a category; `None` when they never ask.
    pub(crate) fn asked_for_as_category(&self) -> Vec<Option<bool>> {
        let mut asked = vec![None; self.feature_count];
        for node in self.trees.iter().flat_map(|tree| &tree.nodes) {
            let as_category = matches!(node.split, Split::OneOf { .. });
            asked[node.feature] = Some(as_category && asked[node.feature] != Some(false));
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Child, Missing, Node, Precision, Tree};
    use super::*;

    fn forest(split: Split) -> Forest {
        let node = Node { feature: 0, split, yes: Child::Leaf(0), no: Child::Leaf(1), gain: 0.0, cover: 0.0 };
        let tree = Tree { nodes: vec![node], leaves: vec![1.0, 0.0], leaf_covers: vec![0.0; 2] };
        let precision = Precision::Double;
        Forest { trees: vec![tree], feature_count: 1, start: 0.0, precision, link_slope: 1.0, average: false }
    }

    #[test]
    fn a_category_keeps_its_answer_under_its_new_number() {
        let mut forest = forest(Split::OneOf { levels: vec![0b101, 0b10], missing_goes_yes: false });
        forest.recode(&BTreeMap::from([(0, vec![33, 1, 40, 2])])).unwrap();
        let answers: Vec<f64> = (-1..5).map(|code| forest.margin(&[f64::from(code)])).collect();
        assert_eq!(answers, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_number_has_no_categories_to_renumber() {
        let mut forest = forest(Split::AtMost { threshold: 0.0, missing: Missing::NaN, missing_goes_yes: true });
        assert_eq!(forest.asked_for_as_category(), [Some(false)]);
        assert!(forest.recode(&BTreeMap::from([(0, vec![0])])).is_err());
        assert!(forest.recode(&BTreeMap::from([(7, vec![0])])).is_ok());
    }
}
