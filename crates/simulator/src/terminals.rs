//! Which terminals can a customer reach? A grid over the square that draws one of them without listing them all.

use crate::draws::{Draws, Subject};

/// Length of the side of the square in which everyone lives, in the handbook's unit.
pub(crate) const SQUARE_SIDE: f64 = 100.0;

/// Cells along one radius: finer cells follow the circle better, coarser ones are fewer to visit.
const CELLS_PER_RADIUS: f64 = 4.0;

/// Cells along one side at most, so that the grid of a tiny radius stays at 4 MB.
const MAX_CELLS_PER_SIDE: usize = 1_024;

/// Draws from the cells around a customer before all of them are looked at; more than half of the draws land inside
/// the circle, so looking at all is for customers at the edge of nowhere.
const QUICK_DRAWS: u32 = 32;

/// A point of the square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl Place {
    /// A place drawn uniformly.
    pub(crate) fn draw(draws: &mut Draws) -> Self {
        Self { x: draws.between(0.0, SQUARE_SIDE), y: draws.between(0.0, SQUARE_SIDE) }
    }

    fn is_within(self, radius: f64, other: Self) -> bool {
        let (dx, dy) = (self.x - other.x, self.y - other.y);
        dx * dx + dy * dy < radius * radius
    }
}

/// All terminals, in the order of their grid cells, with the radius within which customers use them.
///
/// A list of terminals per customer would grow with customers times terminals; the grid grows with their sum.
#[derive(Debug)]
pub(crate) struct Terminals {
    radius: f64,
    cells_per_side: usize,
    /// Identity and place, row of cells by row of cells.
    standing: Vec<(u32, Place)>,
    /// Where each cell begins in `standing`, and one past the last.
    cell_starts: Vec<u32>,
}

impl Terminals {
    /// Places `count` terminals by chance.
    pub(crate) fn new(count: u32, radius: f64, seed: u64) -> Self {
        let place = |id| (id, Place::draw(&mut Draws::new(seed, Subject::Terminal { id })));
        let mut standing: Vec<(u32, Place)> = (0..count).map(place).collect();
        let cells_per_side = cells_per_side(count, radius);
        standing.sort_by_key(|&(_, place)| cell(place, cells_per_side));

        let mut cell_starts = vec![0; cells_per_side * cells_per_side + 1];
        for &(_, place) in &standing {
            cell_starts[cell(place, cells_per_side) + 1] += 1;
        }
        for next in 1..cell_starts.len() {
            cell_starts[next] += cell_starts[next - 1];
        }
        Self { radius, cells_per_side, standing, cell_starts }
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.standing.len()).expect("built from a u32 count")
    }

    /// One of the terminals within the radius of `place`, each equally likely; `None` where there is none.
    pub(crate) fn draw_near(&self, place: Place, draws: &mut Draws) -> Option<u32> {
        let candidates = self.rows_around(place).map(<[_]>::len).sum::<usize>();
        let candidates = u32::try_from(candidates).expect("no more than all terminals");
        if candidates == 0 {
            return None;
        }
        for _ in 0..QUICK_DRAWS {
            let (id, terminal) = self.candidate(place, draws.below(candidates));
            if place.is_within(self.radius, terminal) {
                return Some(id);
            }
        }
        let reachable = self.reachable(place);
        let choices = u32::try_from(reachable.len()).expect("no more than all terminals");
        (choices > 0).then(|| reachable[draws.below(choices) as usize])
    }

    fn candidate(&self, place: Place, mut position: u32) -> (u32, Place) {
        for row in self.rows_around(place) {
            match row.get(position as usize) {
                Some(&terminal) => return terminal,
                None => position -= u32::try_from(row.len()).expect("no more than all terminals"),
            }
        }
        unreachable!("the position is below the candidates that were counted")
    }

    fn reachable(&self, place: Place) -> Vec<u32> {
        let candidates = self.rows_around(place).flatten();
        candidates.filter(|(_, terminal)| place.is_within(self.radius, *terminal)).map(|&(id, _)| id).collect()
    }

    /// The cells that the circle may touch: in each row of cells they are neighbours, so their terminals are one slice.
    fn rows_around(&self, place: Place) -> impl Iterator<Item = &[(u32, Place)]> {
        let span = |centre| {
            let first = cell_along(centre - self.radius, self.cells_per_side);
            let last = cell_along(centre + self.radius, self.cells_per_side);
            (first, last)
        };
        let (left, right) = span(place.x);
        let (bottom, top) = span(place.y);
        (bottom..=top).map(move |row| {
            let start = self.cell_starts[row * self.cells_per_side + left];
            let end = self.cell_starts[row * self.cells_per_side + right + 1];
            &self.standing[start as usize..end as usize]
        })
    }
}

/// Fine enough for the radius, never many more cells than terminals.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast, then clamped")]
fn cells_per_side(terminals: u32, radius: f64) -> usize {
    let by_radius = SQUARE_SIDE * CELLS_PER_RADIUS / radius;
    let by_count = f64::from(terminals).sqrt();
    (by_radius.min(by_count) as usize).clamp(1, MAX_CELLS_PER_SIDE)
}

fn cell(place: Place, cells_per_side: usize) -> usize {
    cell_along(place.y, cells_per_side) * cells_per_side + cell_along(place.x, cells_per_side)
}

/// The cell of one coordinate; what lies outside the square belongs to the cell at its edge.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating cast: below the square is 0")]
fn cell_along(coordinate: f64, cells_per_side: usize) -> usize {
    let cell = (coordinate * cells_per_side as f64 / SQUARE_SIDE) as usize;
    cell.min(cells_per_side - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Looks at every terminal: slow and obviously right.
    fn reachable_by_brute_force(terminals: &Terminals, place: Place) -> BTreeSet<u32> {
        let within = |&&(_, terminal): &&(u32, Place)| {
            let (dx, dy) = (terminal.x - place.x, terminal.y - place.y);
            dx * dx + dy * dy < terminals.radius * terminals.radius
        };
        terminals.standing.iter().filter(within).map(|&(id, _)| id).collect()
    }

    proptest! {
        #[test]
        fn the_grid_finds_the_terminals_that_brute_force_finds(
            count in 1_u32..3_000,
            radius in prop_oneof![1e-6..1.0, 1.0..20.0, 20.0..150.0],
            seed: u64,
            x in 0.0..SQUARE_SIDE,
            y in 0.0..SQUARE_SIDE,
        ) {
            let terminals = Terminals::new(count, radius, seed);
            let place = Place { x, y };
            let found = terminals.reachable(place);
            let expected = reachable_by_brute_force(&terminals, place);
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<u32>>(), expected.clone());

            let mut draws = Draws::new(seed, Subject::Customer { id: 0 });
            for _ in 0..20 {
                match terminals.draw_near(place, &mut draws) {
                    Some(id) => prop_assert!(expected.contains(&id)),
                    None => prop_assert!(expected.is_empty()),
                }
            }
        }
    }

    #[test]
    fn every_reachable_terminal_is_drawn_about_equally_often() {
        let terminals = Terminals::new(2_000, 5.0, 11);
        let place = Place { x: 30.0, y: 99.0 };
        let expected = reachable_by_brute_force(&terminals, place);
        let mut times = vec![0_u32; terminals.standing.len()];
        let mut draws = Draws::new(11, Subject::Customer { id: 0 });
        for _ in 0..1_000 * expected.len() {
            times[terminals.draw_near(place, &mut draws).unwrap() as usize] += 1;
        }
        assert!(expected.len() > 5);
        assert!(expected.iter().all(|&id| (850..1_150).contains(&times[id as usize])));
    }

    #[test]
    fn a_lone_terminal_in_a_far_corner_of_the_circle_is_still_found() {
        let terminals = Terminals::new(1, 3.0, 5);
        let (id, terminal) = terminals.standing[0];
        let near = Place { x: terminal.x + 2.0, y: terminal.y - 2.0 };
        let outside = Place { x: terminal.x + 2.5, y: terminal.y - 2.5 };
        let mut draws = Draws::new(5, Subject::Customer { id: 0 });
        assert_eq!(terminals.draw_near(near, &mut draws), Some(id));
        assert_eq!(terminals.draw_near(outside, &mut draws), None);
    }
}
