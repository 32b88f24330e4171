//! What an operator sees in a terminal: `top` in a real one, `tail`, and both for scripts.

use std::process::Stdio;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use stagewire_tests::load::Load;
use stagewire_tests::process::free_port;
use stagewire_tests::waiting::{PATIENCE, until, until_true};
use stagewire_tests::{Host, Terminal};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const TAB: &str = "\t";
const CTRL_C: &str = "\u{3}";

fn event(id: &str, kind: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "stage2", "type": kind, "subject": "document/1", "data": { "text": "hello" } })
}

/// Two routes: through a plugin to the embedded stream, and to a backend that is down.
async fn start() -> Host {
    let away = free_port();
    let settings = format!(
        "events:
  enabled: true
  backends:
    - type: local
    - {{ type: redis_streams, name: away, config: {{ url: \"redis://{away}/0\" }} }}
routes:
  - name: greetings
    match: [{{ exact: {{ type: com.example.hello }} }}]
    steps: [{{ plugin: type-filter, settings: {{ deny: [secret.*] }} }}, {{ plugin: trap }}]
    deliver: [local]
  - name: secrets
    match: [{{ prefix: {{ type: secret. }} }}]
    steps: [{{ plugin: type-filter, settings: {{ deny: [secret.*] }} }}]
    deliver: [local]
  - name: traps
    match: [{{ exact: {{ type: trap }} }}]
    steps: [{{ plugin: trap }}]
    deliver: [local]
  - name: to-away
    match: [{{ exact: {{ type: com.example.away }} }}]
    deliver: [away]
"
    );
    Host::with(settings).plugins(&["type-filter"]).guest("trap").start().await
}

fn config(host: &Host) -> String {
    host.settings_path().to_string_lossy().into_owned()
}

/// `stagewire top` in a terminal of that size, in colour.
fn top(host: &Host, size: (u16, u16)) -> Terminal {
    let mut command = host.command(&["top", "--interval", "200ms", "--config", &config(host)]);
    command.env_remove("NO_COLOR");
    Terminal::start(&command, size)
}

async fn said(host: &Host, arguments: &[&str]) -> (Option<i32>, String) {
    let settings = config(host);
    let output = host.run(&[arguments, &["--config", &settings]].concat()).await;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[tokio::test]
async fn top_is_live_under_load_and_gives_the_terminal_back() {
    let mut host = start().await;
    host.send_all(&[event("trap-1", "trap"), event("away-1", "com.example.away")]).await;
    let load = Load::on(host.ingress()).kind("com.example.hello").start();
    let mut terminal = top(&host, (80, 24));
    terminal.shows("live").await;
    terminal.shows("backend away is down").await;
    terminal.shows("because: backend away: cannot connect").await;
    let moving = |text: &str| {
        let row = text.lines().find(|line| line.trim_start().starts_with("local "));
        row.is_some_and(|row| !row.contains(" 0/s"))
    };
    until_true("the backend's rate moves", PATIENCE, async || {
        // What is below the problems is a page down.
        moving(&terminal.text()) || {
            terminal.resize(100, 50);
            false
        }
    })
    .await;
    let coloured = terminal.bytes().windows(5).any(|bytes| bytes == b"\x1b[38;" || bytes == b"\x1b[31m");
    assert!(coloured, "what is ill is red, too");
    terminal.resize(80, 24);
    terminal.types(TAB);
    terminal.shows("[2 Routes]").await;
    terminal.shows("type-filter").await;
    terminal.types("3");
    terminal.shows("breaker closed").await;
    terminal.types("4");
    terminal.shows("trap-1").await;
    terminal.types("5");
    terminal.shows("delivered").await;
    terminal.types("6");
    terminal.shows("next: see whether").await;
    terminal.types("?");
    terminal.shows("Ctrl-C").await;
    terminal.types("?p");
    terminal.shows("paused").await;
    terminal.types("p1");
    terminal.shows("live").await;
    load.stop().await;

    host.kill().await;
    terminal.shows("no answer").await;
    terminal.shows("no host answers at").await;
    host.restart().await;
    terminal.shows("live").await;
    assert!(!terminal.is_given_back());
    terminal.types("q");
    assert!(terminal.ends().await.success());
    assert!(terminal.is_given_back());
}

/// Somebody who drags a window types on: sizes come one after the other, and a key between them.
#[tokio::test]
async fn a_key_that_comes_together_with_a_new_size_is_read_at_once() {
    let host = start().await;
    let mut terminal = top(&host, (100, 30));
    terminal.shows("live").await;
    for round in 0..40 {
        let (key, page) = if round % 2 == 0 { ("2", "[2 Routes]") } else { ("3", "[3 Backends]") };
        // While one size is taken in, the next and the key come together.
        (0..8).for_each(|more| terminal.resize(100 + (round + more) % 7, 30));
        terminal.types(key);
        terminal.shows(page).await;
    }
    terminal.types("q");
    assert!(terminal.ends().await.success());
}

#[tokio::test]
async fn however_top_ends_the_terminal_is_as_before() {
    let host = start().await;
    for end in [CTRL_C, "terminated", "hung up"] {
        let mut terminal = top(&host, (80, 24));
        terminal.shows("live").await;
        match end {
            CTRL_C => terminal.types(CTRL_C),
            "terminated" => kill_process(terminal.process(), Signal::TERM).expect("it runs"),
            _ => kill_process(terminal.process(), Signal::HUP).expect("it runs"),
        }
        assert!(terminal.ends().await.success(), "{end}");
        assert!(terminal.is_given_back(), "{end}");
    }
}

#[tokio::test]
async fn without_colour_no_colour_is_written() {
    let host = start().await;
    let command = host.command(&["top", "--config", &config(&host)]);
    let mut terminal = Terminal::start(&command, (80, 24));
    terminal.shows("live").await;
    terminal.types("q");
    terminal.ends().await;
    let text = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    let colours: Vec<_> = text
        .split("\u{1b}[")
        .skip(1)
        .filter_map(|rest| rest.split_once('m').map(|(code, _)| code))
        .filter(|code| code.split(';').any(|part| matches!(part.parse(), Ok(30..=38 | 40..=48 | 90..=107))))
        .collect();
    assert_eq!(colours, [""; 0]);
}

#[tokio::test]
async fn top_for_scripts_is_lines_of_json_or_one_picture() {
    let mut host = start().await;
    host.send_all(&[event("hello-1", "com.example.hello")]).await;
    host.has_settled().await;
    let mut command = host.command(&["top", "--json", "--interval", "100ms", "--config", &config(&host)]);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("top can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut next = async || -> Value {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line comes");
        serde_json::from_str(&line.expect("it can be read").expect("there is one")).expect("it is JSON")
    };
    let (first, second) = (next().await, next().await);
    assert!(second["at_ms"].as_u64() > first["at_ms"].as_u64());
    assert_eq!(second["generation"], 1);
    assert!(second["latency"]["local"]["p99_ms"].is_f64(), "{second}");
    host.kill().await;
    until("a line says that the host is gone", PATIENCE, async || {
        next().await["error"].as_str().map(str::to_owned)
    })
    .await;
    child.kill().await.expect("it can be ended");

    let (code, text) = said(&host, &["top", "--once"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is it running?"), "{text}");
    host.restart().await;
    let (code, text) = said(&host, &["top", "--once"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("greetings") && text.contains("backend") && !text.contains('\u{1b}'), "{text}");
    let (code, text) = said(&host, &["top"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("top needs a terminal"), "{text}");
}

#[tokio::test]
async fn status_tells_scripts_by_its_code() {
    let host = Host::with("events:\n  enabled: true\n  backends: [{ type: local }]\n").start().await;
    let (code, text) = said(&host, &["status", "--check"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("nothing is wrong"), "{text}");
    host.put_settings("events:\n  enabled: true\n  backend: nonsense\n");
    until_true("the change is refused", PATIENCE, async || !host.status().await["refused"].is_null()).await;
    let (code, text) = said(&host, &["status", "--check"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the last change of rules or plugins was refused"), "{text}");
    assert_eq!(said(&host, &["status"]).await.0, Some(0));
}

#[tokio::test]
async fn a_tail_tells_what_became_of_each_event() {
    let host = start().await;
    let mut command = host.command(&["tail", "events", "--follow", "--config", &config(&host)]);
    command.env_remove("NO_COLOR");
    let terminal = Terminal::start(&command, (160, 40));
    let events = [
        event("good", "com.example.hello"),
        event("hidden", "secret.plans"),
        event("broken", "trap"),
        event("nowhere", "com.example.other"),
        event("stuck", "com.example.away"),
    ];
    host.send_all(&events).await;
    for (id, word) in [
        ("good", "delivered"),
        ("hidden", "dropped"),
        ("broken", "dead letter"),
        ("nowhere", "unmatched"),
        ("stuck", "under way"),
    ] {
        let line = until(&format!("{id} is told"), PATIENCE, async || {
            terminal.text().lines().find(|line| line.contains(id)).map(str::to_owned)
        })
        .await;
        assert!(line.contains(word), "{id}: {line}");
    }
    assert!(terminal.text().contains("type secret.plans is denied"), "{}", terminal.text());
    assert!(terminal.bytes().windows(5).any(|bytes| bytes == b"\x1b[32m"), "what is delivered is green, too");

    let ids = async |arguments: &[&str]| {
        let (code, text) = said(&host, arguments).await;
        assert_eq!(code, Some(0), "{text}");
        let line = |line: &str| serde_json::from_str::<Value>(line).expect("to a pipe it is JSON");
        text.lines()
            .map(line)
            .map(|event| event["id"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&["tail", "events", "--type", "example"]).await, ["good", "nowhere", "stuck"]);
    assert_eq!(ids(&["tail", "events", "--id", "broken"]).await, ["broken"]);
    assert_eq!(ids(&["tail", "journal", "--subject", "document/", "--type", "secret"]).await, ["hidden"]);
    assert_eq!(ids(&["tail", "local", "--source", "stage2"]).await, ["good"]);
    assert_eq!(ids(&["tail", "local", "--source", "other"]).await, [""; 0]);
    let (_, text) = said(&host, &["tail", "events", "--from", "1", "--id", "hidden"]).await;
    let told: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(told["outcome"]["why"], "type-filter: type secret.plans is denied");
    let (_, text) = said(&host, &["tail", "dead-letters"]).await;
    assert_eq!(serde_json::from_str::<Value>(&text).expect("it is JSON")["event"]["id"], "broken");
}
