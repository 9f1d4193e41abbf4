//! A server that is killed loses nothing that it has answered, and decides afterwards as if it had never been killed: at any point, while it
//! starts, while it writes a snapshot, while it leaves, while the features of another model are filled.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod decider;
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use decider::{
    Acknowledged, Definition, Transactions, assert_remembers, assert_replays, assert_same_as_never_ended, assert_whole, place,
    prepare, start, wait_for_state, wait_until_ready, work,
};
use support::{Random, Server};

/// Clients at once.
const CLIENTS: u64 = 4;
/// Rounds with one journal: then it is held against a server that was not killed, and a new one begins.
const ROUNDS_OF_A_JOURNAL: u64 = 12;

/// How often a server is killed: `ASSAY_KILL_ROUNDS`, or as often as is quick.
fn rounds() -> u64 {
    std::env::var("ASSAY_KILL_ROUNDS").map_or(24, |rounds| rounds.parse().unwrap())
}

#[test]
fn every_answered_decision_outlives_a_kill_and_the_server_decides_as_if_never_killed() {
    let mut random = Random(rounds());
    let (mut round, mut answered, mut snapshots) = (0, 0, 0);
    while round < rounds() {
        let definition =
            if (round / ROUNDS_OF_A_JOURNAL).is_multiple_of(2) { Definition::TextIds } else { Definition::IntegerIds };
        let (folder, transactions) = (place(definition), Transactions::new(definition));
        let mut told = Acknowledged::default();
        for _ in 0..ROUNDS_OF_A_JOURNAL.min(rounds() - round) {
            round += 1;
            if random.below(3) == 0 {
                kill_at_the_start(folder.path(), &mut random);
            }
            let server = start(folder.path(), &["--snapshot-every", "40", "--drain-seconds", "0"]);
            wait_until_ready(&server);
            if server.ask("GET", "/v1/lists", b"").json()["lists"].as_array().is_none_or(Vec::is_empty) {
                prepare(&server);
            }
            assert_remembers(&server, &folder.path().join("data"), &told);
            assert_whole(&folder.path().join("data"));
            snapshots += u64::from(folder.path().join("data/snapshot").exists());
            told = killed_under_load(server, &transactions, round, &mut random);
            answered += told.len();
        }
        let server = start(folder.path(), &[]);
        wait_until_ready(&server);
        assert_remembers(&server, &folder.path().join("data"), &told);
        assert_whole(&folder.path().join("data"));
        assert_replays(&folder.path().join("data"));
        assert_same_as_never_ended(&server, folder.path(), &transactions);
    }
    println!("{round} kills, {answered} requests answered in the rounds, {snapshots} starts from a snapshot");
    assert!(answered as u64 > 10 * rounds(), "servers were killed before they decided: {answered} requests in {round} rounds");
}

#[test]
fn a_kill_while_the_features_of_another_model_are_filled_loses_nothing_and_leaves_one_of_the_two_deciding() {
    let mut random = Random(3);
    let (folder, transactions) = (place(Definition::TextIds), Transactions::new(Definition::TextIds));
    let data = folder.path().join("data");
    let server = start(folder.path(), &[]);
    wait_until_ready(&server);
    prepare(&server);
    let mut past = server.connect();
    for _ in 0..10 {
        let many: Vec<_> = (0..1_000).map(|_| transactions.next()).collect();
        assert_eq!(past.ask("POST", "/v1/decisions", &[], serde_json::to_string(&many).unwrap().as_bytes()).status, 200);
    }
    drop(server);
    std::fs::write(folder.path().join("models/other.model"), Definition::OneMore.model()).unwrap();
    let mut told = Acknowledged::default();
    let mut activated = Vec::new();
    for round in 0..rounds() / 6 {
        let mut server = start(folder.path(), &["--snapshot-every", "40"]);
        wait_until_ready(&server);
        assert_remembers(&server, &data, &told);
        assert_whole(&data);
        let active = server.ask("GET", "/v1/models", b"").json()["active"].as_str().unwrap().to_owned();
        let next = if active.starts_with("fraud") { "other" } else { "fraud" };
        wait_for_state(&server, next, "loaded");
        let address = server.address;
        told = Acknowledged::default();
        thread::scope(|scope| {
            let transactions = &transactions;
            let client = scope.spawn(move || work(address, transactions, round));
            activated.push(server.ask("POST", &format!("/v1/models/{next}/activate"), b""));
            thread::sleep(Duration::from_micros(random.below(600_000).cast_unsigned()));
            server.kill();
            told.add(client.join().unwrap());
        });
    }
    let statuses: Vec<u16> = activated.iter().map(|reply| reply.status).collect();
    assert!(statuses.iter().all(|&status| status == 202), "{statuses:?}");
    let server = start(folder.path(), &[]);
    wait_until_ready(&server);
    assert_remembers(&server, &data, &told);
    assert_whole(&data);
    assert_replays(&data);
    assert_same_as_never_ended(&server, folder.path(), &transactions);
}

/// Kills a server at some point of its start: before it is ready, or just after.
fn kill_at_the_start(folder: &Path, random: &mut Random) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--bind", "127.0.0.1:0", "--models", "models", "--model", "models/fraud.model", "--data-dir", "data"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_micros(random.below(150_000).cast_unsigned()));
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Lets clients work, and kills the server at some point: in the middle of everything, or while it leaves.
fn killed_under_load(mut server: Server, transactions: &Transactions, round: u64, random: &mut Random) -> Acknowledged {
    let mut told = Acknowledged::default();
    thread::scope(|scope| {
        let address = server.address;
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || work(address, transactions, round * CLIENTS + client))).collect();
        // Snapshots are looked after twice a second: some rounds last long enough for one.
        let limit = if random.below(4) == 0 { 1_500_000 } else { 250_000 };
        thread::sleep(Duration::from_micros(random.below(limit).cast_unsigned()));
        if random.below(4) == 0 {
            server.signal("INT");
            thread::sleep(Duration::from_micros(random.below(150_000).cast_unsigned()));
        }
        server.kill();
        for client in clients {
            told.add(client.join().unwrap());
        }
    });
    told
}
