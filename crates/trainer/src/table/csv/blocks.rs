//! Input cut into blocks of whole rows, so that several threads can each parse one.

use std::io::{self, Read};

use memchr::{memchr_iter, memrchr};

/// Cuts what it reads at row ends. Only one thread reads; that is a copy from the page cache.
pub struct Blocks<R> {
    input: R,
    /// The beginning of a row, for the next block.
    rest: Vec<u8>,
    block_bytes: usize,
    longest_row_bytes: usize,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    /// Blocks of at least `block_bytes`, and of no more than that and one longest row.
    pub fn new(input: R, block_bytes: usize, longest_row_bytes: usize) -> Self {
        Self { input, rest: Vec::new(), block_bytes, longest_row_bytes, ended: false }
    }

    /// Whether the last block was given out.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Replaces `block` with the next rows; false when there are none.
    ///
    /// Every block begins where a row begins and, but for the last, ends where one ends. A row longer than allowed ends the
    /// input: who parses the block sees what is wrong with it.
    pub fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        block.clear();
        block.append(&mut self.rest);
        loop {
            let wanted = self.block_bytes;
            block.reserve(wanted + PROBE_BYTES);
            let read = self.input.by_ref().take(wanted as u64).read_to_end(block)?;
            self.ended = read < wanted;
            if self.ended {
                return Ok(!block.is_empty());
            }
            if let Some(end) = last_row_end(block) {
                self.rest.extend_from_slice(&block[end..]);
                block.truncate(end);
                return Ok(true);
            }
            if block.len() > self.longest_row_bytes {
                self.ended = true;
                return Ok(true);
            }
        }
    }
}

/// Room that lets `read_to_end` see the end without growing the block.
const PROBE_BYTES: usize = 64;

/// The position after the last line feed outside quotes. Inside quotes an odd number of quotes has gone before it.
fn last_row_end(block: &[u8]) -> Option<usize> {
    let mut end = block.len();
    let mut quotes_before_end = memchr_iter(b'"', block).count();
    while let Some(line_feed) = memrchr(b'\n', &block[..end]) {
        quotes_before_end -= memchr_iter(b'"', &block[line_feed..end]).count();
        if quotes_before_end.is_multiple_of(2) {
            return Some(line_feed + 1);
        }
        end = line_feed;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive_last_row_end(block: &[u8]) -> Option<usize> {
        let mut quoted = false;
        let mut end = None;
        for (position, byte) in block.iter().enumerate() {
            quoted ^= *byte == b'"';
            if *byte == b'\n' && !quoted {
                end = Some(position + 1);
            }
        }
        end
    }

    proptest! {
        #[test]
        fn blocks_end_at_the_last_line_feed_outside_quotes(text in "[a\",\n]{0,60}", block_bytes in 1_usize..20) {
            prop_assert_eq!(last_row_end(text.as_bytes()), naive_last_row_end(text.as_bytes()));
            let mut blocks = Blocks::new(text.as_bytes(), block_bytes, 1_000);
            let mut joined = Vec::new();
            let mut block = Vec::new();
            while blocks.next(&mut block).unwrap() {
                prop_assert!(blocks.ended() || naive_last_row_end(&block) == Some(block.len()));
                joined.extend_from_slice(&block);
            }
            prop_assert_eq!(joined, text.as_bytes());
        }
    }

    #[test]
    fn a_row_without_end_ends_the_input_at_the_limit() {
        let mut blocks = Blocks::new(io::repeat(b'"'), 10, 100);
        let mut block = Vec::new();
        assert!(blocks.next(&mut block).unwrap());
        assert_eq!(block.len(), 110);
        assert!(!blocks.next(&mut block).unwrap());
    }
}
