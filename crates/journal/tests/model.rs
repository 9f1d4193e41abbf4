//! Whatever is done to a journal, it holds what a list would hold.

mod support;

use assay_journal::{Entry, Journal, JournalError, Kind, NewEntry, Reader};
use proptest::prelude::*;
use tempfile::tempdir;

/// Something done to a journal.
#[derive(Clone, Debug)]
enum Act {
    Append(Vec<(Kind, Option<u8>, bool)>),
    Erase(u8),
    Retain(i64),
    Sweep(u64),
    Reopen,
}

/// What a list keeps of an entry.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    sequence: u64,
    kind: Kind,
    id: Option<String>,
    arrived: i64,
    personal: bool,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let kind = prop::sample::select(vec![Kind::Transaction, Kind::Decision, Kind::Decision, Kind::Label, Kind::Policy]);
    let entry = (kind, prop::option::weighted(0.9, 0..30_u8), any::<bool>());
    let act = prop_oneof![
        8 => prop::collection::vec(entry, 0..6).prop_map(Act::Append),
        1 => (0..30_u8).prop_map(Act::Erase),
        1 => (0..40_i64).prop_map(Act::Retain),
        2 => (1..5_u64).prop_map(Act::Sweep),
        1 => Just(Act::Reopen),
    ];
    prop::collection::vec(act, 1..25)
}

fn kept(entry: &Entry<&str>) -> Kept {
    let Entry { sequence, kind, arrived, .. } = *entry;
    Kept { sequence, kind, id: entry.id.map(str::to_owned), arrived, personal: entry.personal.is_some() }
}

/// What the journal holds must be what the list holds, however it is asked.
fn check(reader: &Reader, list: &[Kept]) -> Result<(), TestCaseError> {
    let mut all = Vec::new();
    reader.replay(0, u64::MAX, |entry| -> Result<(), JournalError> {
        all.push(kept(entry));
        Ok(())
    })?;
    prop_assert_eq!(&all, list);
    for number in 0..30_u8 {
        for kind in [Kind::Transaction, Kind::Decision, Kind::Label, Kind::Policy] {
            let id = number.to_string();
            let found: Vec<u64> = reader.all(kind, &id)?.iter().map(|entry| entry.sequence).collect();
            let alike = list.iter().filter(|entry| entry.kind == kind && entry.id.as_deref() == Some(&id));
            prop_assert_eq!(found, alike.map(|entry| entry.sequence).collect::<Vec<_>>());
        }
    }
    let labels = list.iter().filter(|entry| entry.kind == Kind::Label).map(|entry| entry.sequence);
    let latest: Vec<u64> = reader.latest(Kind::Label, u64::MAX, 3)?.iter().map(|entry| entry.sequence).collect();
    prop_assert_eq!(latest, labels.rev().take(3).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_holds_what_a_list_would(acts in acts()) {
        let folder = tempdir()?;
        let mut journal = Some(Journal::open(folder.path())?);
        let mut list: Vec<Kept> = Vec::new();
        for (now, act) in (0..).zip(acts) {
            let open = journal.as_mut().expect("it is open between acts");
            match act {
                Act::Append(entries) => {
                    let ids: Vec<Option<String>> = entries.iter().map(|entry| entry.1.map(|id| id.to_string())).collect();
                    let new = |(&(kind, _, personal), id): (&(Kind, Option<u8>, bool), &Option<String>)| {
                        (kind, id.clone(), personal)
                    };
                    let new: Vec<_> = entries.iter().zip(&ids).map(new).collect();
                    let is_taken = |place: usize| {
                        let earlier = list.iter().map(|kept| (kept.kind, kept.id.clone())).chain(new[..place].iter().map(|new| (new.0, new.1.clone())));
                        new[place].0.is_once() && new[place].1.is_some() && earlier.into_iter().any(|(kind, id)| kind.is_once() && id == new[place].1)
                    };
                    let is_refused = (0..new.len()).any(is_taken);
                    let group: Vec<NewEntry<'_>> = new
                        .iter()
                        .map(|(kind, id, personal)| NewEntry { kind: *kind, id: id.as_deref(), arrived: now, body: "[1]", personal: personal.then_some("{}") })
                        .collect();
                    match open.append(&group) {
                        Ok(sequences) => {
                            prop_assert!(!is_refused);
                            list.extend(sequences.zip(&new).map(|(sequence, (kind, id, personal))| {
                                Kept { sequence, kind: *kind, id: id.clone(), arrived: now, personal: *personal }
                            }));
                        }
                        Err(error) => prop_assert!(is_refused && matches!(error, JournalError::Known { .. } | JournalError::Twice { .. }), "{}", error),
                    }
                }
                Act::Erase(id) => {
                    let of_id = |kept: &&mut Kept| kept.personal && kept.id == Some(id.to_string());
                    let erased: Vec<u64> = list.iter_mut().filter(of_id).map(|kept| { kept.personal = false; kept.sequence }).collect();
                    prop_assert_eq!(&open.erase(&id.to_string(), now)?.sequences, &erased);
                    if !erased.is_empty() {
                        let sequence = open.head().sequence;
                        list.push(Kept { sequence, kind: Kind::Erasure, id: Some(id.to_string()), arrived: now, personal: false });
                    }
                }
                Act::Retain(since) => {
                    let cut = list.iter().position(|entry| entry.arrived >= since).unwrap_or(list.len());
                    let through = list.drain(..cut).next_back().map(|last| last.sequence);
                    prop_assert_eq!(open.retain(since, now, "{}")?.map(|cut| cut.through.sequence), through);
                    if cut > 0 {
                        list.push(Kept { sequence: open.head().sequence, kind: Kind::Cut, id: None, arrived: now, personal: false });
                    }
                }
                Act::Sweep(most) => {
                    open.sweep(most)?;
                }
                Act::Reopen => {
                    drop(journal.take());
                    journal = Some(Journal::open(folder.path())?);
                }
            }
            check(journal.as_ref().expect("it is open").read(), &list)?;
        }
        let open = journal.as_ref().expect("it is open");
        prop_assert_eq!(open.read().verify(|_, _| ())?.head, open.head());
        check(&Reader::open(folder.path())?, &list)?;
    }
}
