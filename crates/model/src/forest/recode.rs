//! Other numbers for the categories of a feature: a library numbers them as its data frame did, a row of ours by their sorted texts.

use super::{Forest, MAX_CATEGORY_WORDS, Node, Split};

impl Forest {
    /// From now on, category `place` of `feature` is what was category `codes[place]` before. Categories that `codes` does not name can
    /// no longer be asked for.
    pub fn recode(&mut self, feature: usize, codes: &[u32]) -> Result<(), String> {
        let asking = |node: &&mut Node| node.feature == feature;
        let words = codes.len().div_ceil(32);
        let nodes = self.trees.iter().flat_map(|tree| &tree.nodes).filter(|node| node.feature == feature).count();
        if nodes.saturating_mul(words) > MAX_CATEGORY_WORDS {
            return Err("the sets of categories are too large together".into());
        }
        for node in self.trees.iter_mut().flat_map(|tree| &mut tree.nodes).filter(asking) {
            let Split::OneOf { levels, .. } = &mut node.split else {
                return Err("a tree asks for a category as if it were a number".into());
            };
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

    /// Whether the trees ask for `feature` as a category; `None` when they never ask.
    pub fn asks_for_categories(&self, feature: usize) -> Option<bool> {
        let mut nodes = self.trees.iter().flat_map(|tree| &tree.nodes).filter(|node| node.feature == feature);
        nodes.next().map(|node| matches!(node.split, Split::OneOf { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Child, Precision, Tree};
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
        forest.recode(0, &[33, 1, 40, 2]).unwrap();
        let answers: Vec<f64> = (-1..5).map(|code| forest.margin(&[f64::from(code)])).collect();
        assert_eq!(answers, [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_number_has_no_categories_to_renumber() {
        let mut forest = forest(Split::AtMost { threshold: 0.0, missing: super::super::Missing::NaN, missing_goes_yes: true });
        assert!(forest.recode(0, &[0]).is_err());
        assert!(forest.recode(7, &[0]).is_ok());
    }
}
