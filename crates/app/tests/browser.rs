//! A real browser, a page from another origin, and `POST /predict` with a JSON content type, which needs a preflight.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use support::{Server, mixed_model};

#[test]
fn a_page_of_another_origin_may_call_predict_when_it_is_allowed() {
    let open = Server::start(&mixed_model().1, &[]);
    let pages = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", pages.local_addr().unwrap());
    let named = Server::start(&mixed_model().1, &["--cors-origin", &origin]);
    let closed = Server::start(&mixed_model().1, &["--cors-origin", "https://shop.example"]);
    let calls = [("open", &open, ""), ("named", &named, ""), ("closed", &closed, ""), ("refused", &open, "null")];
    let call = |(id, server, body): (&str, &Server, &str)| {
        let body = if body.is_empty() { r#"{features:[1,2,"FR"]}"# } else { body };
        format!("call('{id}', 'http://{}/predict', {body});", server.address)
    };
    let script = calls.map(call).join("\n");
    thread::spawn(move || serve_page(&pages, &page(&script)));

    let dom = dom_after_loading(&origin);
    let expected = open.predict(r#"{"features":[1,2,"FR"]}"#).text().to_owned();
    let shown = |id: &str| {
        let text = dom.split_once(&format!("<pre id=\"{id}\">")).and_then(|(_, rest)| rest.split_once("</pre>"));
        text.unwrap_or_else(|| panic!("no {id} in {dom}")).0.to_owned()
    };
    assert_eq!(shown("open"), format!("200 {expected}"));
    assert_eq!(shown("named"), format!("200 {expected}"));
    assert_eq!(shown("closed"), "blocked by the browser");
    assert!(shown("refused").starts_with("400 "), "an error can be read by the page: {}", shown("refused"));
    let preflights =
        |server: &Server| server.ask("GET", "/metrics", b"").text().contains("method=\"OPTIONS\",route=\"/predict\"");
    assert!(preflights(&open) && preflights(&closed), "the browser asked before it posted");
}

fn page(script: &str) -> String {
    let ids: String = ["open", "named", "closed", "refused"].map(|id| format!("<pre id=\"{id}\"></pre>")).concat();
    format!(
        "<!doctype html><title>A page of another origin</title>{ids}<script>
        function call(id, url, body) {{
          fetch(url, {{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: JSON.stringify(body)}})
            .then(answer => answer.text().then(text => answer.status + ' ' + text), () => 'blocked by the browser')
            .then(text => document.getElementById(id).textContent = text);
        }}
        {script}</script>"
    )
}

/// Gives the page to whoever asks for anything.
fn serve_page(pages: &TcpListener, page: &str) {
    for stream in pages.incoming() {
        let mut stream = stream.unwrap();
        let mut head = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while head.read_line(&mut line).is_ok_and(|length| length > 2) {
            line.clear();
        }
        let length = page.len();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
        );
    }
}

fn dom_after_loading(url: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", folder.path().display());
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-component-update", "--disable-sync", &profile, "--virtual-time-budget=10000", "--dump-dom", url])
        .stderr(Stdio::null())
        .output()
        .expect("this test needs the browser `chromium` on the PATH: install it with `apt-get install -y chromium`");
    String::from_utf8(output.stdout).unwrap()
}
