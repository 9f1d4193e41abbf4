//! A checksum for the tests that pin a stream.

/// In the manner of FNV-1a, a word at a time, rotated so that high bits count too.
pub(crate) struct Checksum(u64);

impl Checksum {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}
