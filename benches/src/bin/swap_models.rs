//! Lets a server change its model again and again: `swap_models ADDRESS COUNT SECONDS FILE FILE` uploads the files in turn, activates each
//! and deletes the one before, COUNT times, spread evenly over SECONDS (0: one after the other). Prints how long the swaps took.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use assay_benches::{arguments, now, percentiles};

/// What the model is called that the first swap replaces.
const FIRST: &str = "swap-first";

fn main() {
    let [address, count, seconds, first, second] = arguments("swap_models ADDRESS COUNT SECONDS FILE FILE");
    let address: SocketAddr = address.parse().expect("ADDRESS is an address and a port");
    assert!(address.ip().is_loopback(), "only this machine is put under load");
    let count: usize = count.parse().expect("COUNT is a number");
    let seconds: f64 = seconds.parse().expect("SECONDS is a number");
    let files = [first, second].map(|file| std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}")));
    let mut server = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    server.set_nodelay(true).expect("a TCP socket has this option");

    let mut before = FIRST.to_owned();
    ask(&mut server, "POST", &format!("/v1/models?name={before}"), &files[1]);
    ask(&mut server, "POST", &format!("/v1/models/{before}/activate"), b"");
    let start = now();
    let mut took = Vec::with_capacity(count);
    for swap in 0..count {
        let due = Duration::from_secs_f64(seconds * swap as f64 / count as f64);
        thread::sleep(due.saturating_sub(start.elapsed()));
        let begin = now();
        let name = format!("swap-{}", swap % 2);
        ask(&mut server, "POST", &format!("/v1/models?name={name}"), &files[swap % 2]);
        ask(&mut server, "POST", &format!("/v1/models/{name}/activate"), b"");
        ask(&mut server, "DELETE", &format!("/v1/models/{before}"), b"");
        took.push(begin.elapsed());
        before = name;
    }
    println!("{}", percentiles(took, 0));
}

/// One request; any answer but 200 and 201 ends the run.
fn ask(server: &mut TcpStream, method: &str, path: &str, body: &[u8]) {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {FIRST}\r\nContent-Length: {}\r\n\r\n", body.len());
    server.write_all(&[head.as_bytes(), body].concat()).expect("the server reads");
    let (mut answer, mut bytes) = (Vec::new(), [0; 4_096]);
    while !is_whole(&answer) {
        let count = server.read(&mut bytes).expect("the server answers");
        assert!(count > 0, "the server closed the connection");
        answer.extend_from_slice(&bytes[..count]);
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.1 201"), "{method} {path}: {text}");
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(head_bytes) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..head_bytes]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("the server announces a length");
    answer.len() >= head_bytes + 4 + length
}
