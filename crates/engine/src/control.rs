//! Who is in the control group? The same ids for ever, by a seed that is written down.

use sha2::{Digest, Sha256};

/// 2⁶⁴.
pub(crate) const DRAWS: f64 = 18_446_744_073_709_551_616.0;

/// Whether an id is among the share: the first eight bytes of SHA-256 over `seed`, a colon and the id lie below it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share is between 0 and 1")]
pub(crate) fn is_member(share: f64, seed: u64, id: &str) -> bool {
    draw(&seed.to_string(), id) < (share * DRAWS) as u64
}

/// The draw of an id, among 2⁶⁴.
pub(crate) fn draw(seed: &str, id: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(seed);
    hash.update(":");
    hash.update(id);
    hash.finalize().iter().take(8).fold(0, |draw, &byte| draw << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_share_is_in_the_group_and_another_seed_draws_another() {
        let members = |seed| (0..100_000).filter(|id| is_member(0.02, seed, &id.to_string())).collect::<Vec<_>>();
        let (one, other) = (members(1), members(2));
        // Five standard deviations of a binomial around 2,000.
        assert!((1_779..=2_221).contains(&one.len()), "{}", one.len());
        let both = one.iter().filter(|id| other.contains(id)).count();
        assert!(both < 100, "{both}");
        assert_eq!(one, members(1));
        assert!(!is_member(0.0, 1, "a"));
    }

    /// Worked out by `printf '42:tx-1' | sha256sum`, so that others can draw the group too.
    #[test]
    fn the_draw_is_the_documented_one() {
        let draw = |share| is_member(share, 42, "tx-1");
        let first = 0xce_u8;
        assert!(!draw(f64::from(first) / 256.0) && draw((f64::from(first) + 1.0) / 256.0));
    }
}
