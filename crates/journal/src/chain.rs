//! What chains entries together: each hash covers the one before it, so that one changed byte shows in every later one.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];
/// What is random of a journal; its chain and the marks of its ids begin with it.
pub type Identity = [u8; 16];
/// What nobody can guess about the fields of a person, so that their digest tells nothing once it is erased.
pub type Salt = [u8; 16];

/// The end of a journal: whoever keeps a copy can tell later whether anything up to there was changed or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last entry; 0 before the first.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
}

impl fmt::Display for Head {
    /// `17:9f86…`, to be kept elsewhere.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.sequence, hexadecimal(&self.hash))
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (sequence, hash) = text.trim().split_once(':')?;
            Some(Self { sequence: sequence.parse().ok()?, hash: hash_of_hexadecimal(hash)? })
        };
        parsed().ok_or_else(|| {
            "this is no head of a journal; give one as it was exported, a number, a colon and 64 digits".to_owned()
        })
    }
}

/// What an entry's hash covers, beside the hash before it.
pub struct Link<'a> {
    pub sequence: u64,
    pub arrived: i64,
    pub kind: &'a str,
    pub id: Option<&'a str>,
    pub body: &'a str,
    pub digest: Option<&'a [u8]>,
}

impl Link<'_> {
    /// The hash of this entry after the one with the hash `previous`. Every part has its length before it, so that no two entries read alike.
    pub fn hash(&self, previous: &Hash) -> Hash {
        let mut sum = Sha256::new();
        let mut fixed = [0; 48];
        fixed[..32].copy_from_slice(previous);
        fixed[32..40].copy_from_slice(&self.sequence.to_be_bytes());
        fixed[40..].copy_from_slice(&self.arrived.to_be_bytes());
        sum.update(fixed);
        for part in [Some(self.kind.as_bytes()), self.id.map(str::as_bytes), Some(self.body.as_bytes()), self.digest] {
            // No part is as long as what stands for one that is not there.
            let length = part.map_or(u32::MAX, |part| u32::try_from(part.len()).expect("texts have their limit"));
            sum.update(length.to_be_bytes());
            sum.update(part.unwrap_or_default());
        }
        sum.finalize().into()
    }
}

/// The hash before the first entry.
pub fn origin(identity: &Identity) -> Hash {
    Sha256::new().chain_update(b"assay journal").chain_update(identity).finalize().into()
}

/// What stands in the chain for the fields of a person.
pub fn digest(salt: &[u8], personal: &str) -> Hash {
    Sha256::new().chain_update(salt).chain_update(personal).finalize().into()
}

/// A number that hardly two ids share, and that who does not know the identity cannot aim at. It is 0 for nothing but no id.
pub fn mark(identity: &Identity, space: &str, id: &str) -> u64 {
    let sum = Sha256::new().chain_update(identity).chain_update(space).chain_update([0]).chain_update(id).finalize();
    let (first, _) = sum.split_first_chunk().expect("a hash is longer than a number");
    u64::from_be_bytes(*first).max(1)
}

/// A hash as 64 digits.
pub fn hexadecimal(hash: &Hash) -> String {
    let digit = |digit: u8| char::from_digit(u32::from(digit), 16).expect("half a byte is a digit");
    hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn hash_of_hexadecimal(text: &str) -> Option<Hash> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 64).then(|| bytes.try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_was_written() {
        let head = Head { sequence: 17, hash: Sha256::digest(b"test").into() };
        assert_eq!(head.to_string(), "17:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in
            ["", "17", "17:", "17:9f", "x:9f86", &format!("{head}0"), &format!("-{head}"), &head.to_string().replace('9', "é")]
        {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_two_entries_read_alike() {
        let link = |id, body, digest| Link { sequence: 1, arrived: 2, kind: "label", id, body, digest }.hash(&[0; 32]);
        let all = [
            link(None, "{}", None),
            link(Some(""), "{}", None),
            link(Some("{}"), "", None),
            link(None, "{}", Some(&[][..])),
            link(None, "", Some(&b"{}"[..])),
        ];
        for (place, hash) in all.iter().enumerate() {
            assert!(!all[..place].contains(hash), "{place}");
        }
    }
}
