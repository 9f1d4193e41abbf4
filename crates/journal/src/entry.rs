//! What an entry is: of which kind, about what, when it arrived, and what it says.

use std::fmt;
use std::str::FromStr;

use serde::de::IgnoredAny;

use crate::chain::Hash;
use crate::error::JournalError;

/// Entries that one group may have; an import writes several.
pub const MAX_GROUP: usize = 1 << 16;
/// Bytes that an id may have; a longer one is refused.
pub const MAX_ID: usize = 1 << 10;
/// Bytes that a body, or the fields of a person, may have; longer ones are refused.
pub const MAX_TEXT: usize = 1 << 24;

/// Defines the kinds with the names that stand in the file.
macro_rules! kinds {
    ($($(#[$comment:meta])* $kind:ident = $name:literal,)*) => {
        /// What an entry is about. The journal grows by kinds; none is ever renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$comment])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name that stands in the file.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A transaction that came without asking for a decision, as an import brings them.
    Transaction = "transaction",
    /// A transaction, and the decision made for it.
    Decision = "decision",
    /// What became known of a transaction: fraud or genuine.
    Label = "label",
    /// What a reviewer made of a decision.
    Disposition = "disposition",
    /// A model that came, went, or changed its part.
    Model = "model",
    /// A policy that decides from here on.
    Policy = "policy",
    /// A definition of transactions and features.
    Definition = "definition",
    /// An entry of a list that came or went.
    List = "list",
    /// A limit that changed.
    Limit = "limit",
    /// The share of traffic that a model decides.
    Rollout = "rollout",
    /// A rule that is silent for a while.
    Snooze = "snooze",
    /// An act of the governor that stops a runaway policy.
    Governor = "governor",
    /// A key that was made, changed or revoked.
    Key = "key",
    /// The fields of a person were erased; the journal writes it itself.
    Erasure = "erasure",
    /// Old entries were cut off; the journal writes it itself.
    Cut = "cut",
}

impl Kind {
    /// Whether an id has at most one entry: a transaction is in the journal once, decided or imported.
    pub const fn is_once(self) -> bool {
        matches!(self, Self::Transaction | Self::Decision)
    }

    /// The name under which ids are looked up; kinds that share it share their ids.
    pub(crate) const fn space(self) -> &'static str {
        if self.is_once() { Self::Transaction.name() } else { self.name() }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name).ok_or(())
    }
}

/// An entry to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Which transaction, model, list… it is about.
    pub id: Option<&'a str>,
    /// When it arrived, in microseconds since 1970 UTC.
    pub arrived: i64,
    /// What it says: canonical JSON, of which the journal knows no more.
    pub body: &'a str,
    /// The fields that are a person's, as JSON; [`crate::Journal::erase`] takes them away.
    pub personal: Option<&'a str>,
}

/// An entry as it was written: of `&str` when it is borrowed for a moment, of `String` to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<Text = String> {
    /// Its place, counted from 1 without gaps.
    pub sequence: u64,
    /// What it is about.
    pub kind: Kind,
    /// Which transaction, model, list… it is about.
    pub id: Option<Text>,
    /// When it arrived, in microseconds since 1970 UTC.
    pub arrived: i64,
    /// What it says: canonical JSON.
    pub body: Text,
    /// The fields that are a person's, unless there were none or they were erased.
    pub personal: Option<Text>,
    /// What chains it to all before it.
    pub hash: Hash,
}

impl Entry<&str> {
    /// The same entry, to keep.
    pub fn to_owned(&self) -> Entry {
        Entry {
            sequence: self.sequence,
            kind: self.kind,
            id: self.id.map(str::to_owned),
            arrived: self.arrived,
            body: self.body.to_owned(),
            personal: self.personal.map(str::to_owned),
            hash: self.hash,
        }
    }
}

impl NewEntry<'_> {
    /// Whether the entry at `place` of a group can be written at all.
    pub(crate) fn check(&self, place: usize) -> Result<(), JournalError> {
        let too_long = |what, most| Err(JournalError::TooLong { place, what, most });
        if self.id.is_some_and(|id| id.len() > MAX_ID) {
            return too_long("id", MAX_ID);
        }
        for (what, text) in [("body", Some(self.body)), ("personal part", self.personal)] {
            let Some(text) = text else { continue };
            if text.len() > MAX_TEXT {
                return too_long(what, MAX_TEXT);
            }
            // One text that is no JSON would make every query over the views fail.
            if serde_json::from_str::<IgnoredAny>(text).is_err() {
                return Err(JournalError::NotJson { place, what });
            }
        }
        Ok(())
    }
}
