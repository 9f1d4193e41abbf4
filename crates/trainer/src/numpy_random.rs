//! The random permutation that NumPy's `RandomState(seed)` makes, so that a split by chance is the seed system's own split.
//!
//! Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998) with its `init_genrand`, and the legacy shuffle: for `i` from the last
//! place down, swap with a place drawn by masked rejection from 32-bit words.

const WORDS: usize = 624;

struct MersenneTwister {
    state: [u32; WORDS],
    next: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for place in 1..WORDS {
            let before = state[place - 1];
            state[place] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(index(place));
        }
        Self { state, next: WORDS }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn twist(&mut self) {
        for place in 0..WORDS {
            let joined = (self.state[place] & 0x8000_0000) | (self.state[(place + 1) % WORDS] & 0x7fff_ffff);
            let twisted = (joined >> 1) ^ if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[place] = self.state[(place + 397) % WORDS] ^ twisted;
        }
        self.next = 0;
    }

    /// A number from 0 to `last`, both included.
    fn up_to(&mut self, last: u32) -> u32 {
        let mask = u32::MAX.checked_shr(last.leading_zeros()).unwrap_or(0);
        loop {
            let drawn = self.next_u32() & mask;
            if drawn <= last {
                return drawn;
            }
        }
    }
}

/// `numpy.random.RandomState(seed).permutation(count)`; `count` is below 2³².
pub fn permutation(seed: u32, count: usize) -> Vec<u32> {
    let mut twister = MersenneTwister::new(seed);
    let mut places: Vec<u32> = (0..index(count)).collect();
    for place in (1..count).rev() {
        places.swap(place, twister.up_to(index(place)) as usize);
    }
    places
}

fn index(place: usize) -> u32 {
    u32::try_from(place).expect("tables hold fewer than 2^32 rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by NumPy 2 for `numpy.random.RandomState(seed).permutation(count)`.
    #[test]
    fn small_permutations_are_numpys() {
        assert_eq!(permutation(42, 10), [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]);
        assert_eq!(permutation(7, 5), [0, 3, 2, 1, 4]);
        assert_eq!(permutation(42, 1), [0]);
        assert_eq!(permutation(42, 0), [] as [u32; 0]);
    }

    #[test]
    fn a_permutation_past_the_first_twist_is_numpys() {
        let permutation = permutation(42, 2_000);
        assert_eq!([permutation[0], permutation[700], permutation[1_999]], [1860, 1883, 1126]);
    }
}
