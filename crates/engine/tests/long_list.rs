//! A list as long as lists may be, by itself in a process: what it takes is what is promised.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use assay_domain::Value;
use assay_engine::Lists;
use assay_engine::lists::{Entry, ListChange, ListError, ListKind, ListValue, MAX_ENTRIES, Provenance};

/// Bytes that an entry of integers takes at most, as docs/policy.md has it.
const ENTRY_BYTES: usize = 52;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1_024
}

#[test]
fn ten_million_entries_take_no_more_than_is_promised_and_one_more_is_refused() {
    let mut lists = Lists::default();
    let change = |lists: &mut Lists, change| lists.change(&change, |_| false);
    let list = || "cards".to_owned();
    let entry = |number: usize| Entry {
        value: ListValue::Integer(i64::try_from(number).unwrap() * 7_919),
        expires: Some(i64::try_from(number).unwrap()),
        provenance: Provenance { source: "processor".into(), author: "import".into(), note: String::new() },
    };
    change(&mut lists, ListChange::Create { list: list(), kind: ListKind::Bigint }).unwrap();
    let before = resident_bytes();
    for piece in 0..MAX_ENTRIES / 10_000 {
        let entries = (0..10_000).map(|place| entry(piece * 10_000 + place)).collect();
        change(&mut lists, ListChange::Add { list: list(), entries }).unwrap();
    }
    let taken = resident_bytes() - before;
    assert_eq!(lists.len(), MAX_ENTRIES);
    assert!(lists.memory_bytes() <= MAX_ENTRIES * ENTRY_BYTES, "{}", lists.memory_bytes());
    // What the process holds beside it is the last piece, and a little.
    assert!(taken <= MAX_ENTRIES * ENTRY_BYTES + (16 << 20), "{taken}");
    println!("{} bytes counted, {taken} resident", lists.memory_bytes());

    let one_more = |number| ListChange::Add { list: list(), entries: vec![entry(number)] };
    assert_eq!(change(&mut lists, one_more(MAX_ENTRIES)), Err(ListError::Full));
    // One that is there already takes no room.
    assert_eq!(change(&mut lists, one_more(MAX_ENTRIES - 1)), Ok(()));
    let holds = |lists: &Lists, number: i64, at| lists.holds(0, &Value::Integer(number), at);
    assert!(holds(&lists, 7_919 * 5_000_000, 4_999_999));
    assert!(!holds(&lists, 7_919 * 5_000_000, 5_000_000));
    assert!(!holds(&lists, 7_919 * 5_000_000 + 1, 0));
    change(&mut lists, ListChange::Prune { list: list(), before: Some(9_999_989) }).unwrap();
    assert_eq!(lists.len(), 10);
    assert!(holds(&lists, 7_919 * 9_999_990, 0));
}
