//! `cargo xtask bench explain`: how soon a host says what became of one event, among ten million that it keeps.
//!
//! The events go into a real journal, and what became of them is noted by a real recorder and written by the real thread; only
//! HTTP, plugins and backends are left out, which would take an hour. Then a host starts on that data and is asked over its API.

use std::path::Path;
use std::time::{Duration, Instant};

use stagewire::Event;
use stagewire::config;
use stagewire::host::Host;
use stagewire::journal::{Accepted, Batch, Journal, Options};
use stagewire::plugins::Outcome;
use stagewire::provenance::{self, Provenance, Recorder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const EVENTS: u64 = 10_000_000;
const BATCH: u64 = 1_000;
/// Before so many more the writer is waited for: it is not to leave anything out.
const BARRIER: u64 = 20_000;
/// Questions of each kind.
const ROUNDS: usize = 20;
const GOAL: &str = "at most 100 ms";
/// `name digest`, as a step has it.
const PLUGIN: &str = "redact sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[tokio::main]
async fn main() {
    let count = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(EVENTS);
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let settings = directory.path().join("settings.yaml");
    let (ingress, admin) = (free_port(), free_port());
    let data = directory.path().join("data");
    let text = format!(
        "host:\n  listen: 127.0.0.1:{ingress}\n  data: {}\n  admin: {{ listen: \"127.0.0.1:{admin}\" }}\n  \
         journal: {{ fsync: never, max_unsettled: 100GiB, retention: {{ age: 30d, size: 100GiB }} }}\n  provenance: {{ size: 100GiB }}\n\
         events:\n  enabled: true\n  backends: [{{ type: local }}]\n  monitoring: {{ log_level: ERROR }}\n",
        data.display()
    );
    std::fs::write(&settings, text).expect("the directory can be written");
    let loaded = config::load(&settings, &|_: &str| None).expect("the settings are good").settings;

    println!("explain: {count} events, each with a step and a delivery");
    let begin = Instant::now();
    fill(&data, Options::from(&loaded.host.journal), count).await;
    let size = |name: &str| size_of(&data.join(name)) as f64 / f64::from(1 << 20);
    show("filled in", format!("{:.0} s", begin.elapsed().as_secs_f64()), "for information");
    show("journal", format!("{:.0} MiB", size("journal")), "for information");
    show("provenance", format!("{:.0} MiB", size("provenance")), "for information");

    let before = resident();
    let begin = Instant::now();
    let host = Host::start(settings, loaded).await.expect("the host starts");
    show("start to ready", ms(begin.elapsed()), "for information");
    let first = ask(admin, "evt_0").await;
    show("first answer, from the start on", ms(begin.elapsed()), "for information");
    assert!(first.1.contains("\"state\":\"delivered\""), "{}", first.1);
    show(
        "memory more than before",
        format!("{:.0} MiB", resident().saturating_sub(before) as f64 / f64::from(1 << 20)),
        "for information",
    );
    let ids = [
        ("oldest", format!("evt_{}", count / 1_000)),
        ("middle", format!("evt_{}", count / 2)),
        ("newest", format!("evt_{}", count - 1)),
        ("unknown", "nobody".to_owned()),
    ];
    for (what, id) in ids {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            // Others nearby each time, so that no answer is the last one's.
            let id = match id.strip_prefix("evt_").and_then(|n| n.parse::<u64>().ok()) {
                Some(n) => format!("evt_{}", n.saturating_sub(round as u64 * 37)),
                None => format!("{id}-{round}"),
            };
            let (time, answer) = ask(admin, &id).await;
            assert_eq!(answer.contains("\"state\":\"delivered\""), what != "unknown", "{id}: {answer}");
            times.push(time);
        }
        times.sort();
        show(what, format!("{} median, {} at most", ms(times[ROUNDS / 2]), ms(times[ROUNDS - 1])), GOAL);
    }
    host.stop().await;
}

async fn fill(data: &Path, options: Options, count: u64) {
    let journal = Journal::open(data, options).expect("a new journal can be opened");
    let options = provenance::Options { bytes: u64::MAX };
    let provenance = Provenance::open(data, journal.clone(), options).expect("a new log can be opened");
    let (worker, inbox) = flume::bounded::<Batch>(64);
    journal.start(vec![worker]);
    let noting = {
        let (journal, provenance) = (journal.clone(), provenance.clone());
        std::thread::spawn(move || {
            let mut recorder = Recorder::new(Some(provenance.clone()), None);
            let mut noted: u64 = 0;
            while noted < count {
                for Accepted { event, at_ms, owed, .. } in
                    inbox.recv().expect("every event is handed out").events
                {
                    note(&mut recorder, &event, at_ms, owed.identity());
                    owed.settle();
                    noted += 1;
                    if noted.is_multiple_of(BARRIER) {
                        provenance.stories("nobody", &journal);
                    }
                }
            }
            recorder.flush();
            assert_eq!(provenance.left_out(), 0, "nothing was left out");
        })
    };
    for first in (0..count).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let events = (first..(first + BATCH).min(count)).map(event).collect();
        journal.append(events).await.expect("the journal takes it");
    }
    tokio::task::spawn_blocking(move || noting.join()).await.expect("it ends").expect("all is noted");
    provenance.close();
    journal.close().await;
}

fn event(number: u64) -> Event {
    let (id, subject) = (format!("evt_{number}"), format!("document/{}", number % 10_000));
    let event = Event::builder(id, "stage2", "com.example.document.processed").subject(subject);
    event.json(r#"{"text":"some words of a document"}"#).build().expect("the event is good")
}

/// What a worker and a lane note of an event.
fn note(recorder: &mut Recorder, event: &Event, at_ms: u64, identity: Option<u64>) {
    recorder.step(identity, ("greetings", 0), PLUGIN, event, &Outcome::Keep);
    recorder.sent(identity, "greetings", 1);
    recorder.routed(identity, event, at_ms, 1, 1);
    recorder.delivered(identity, ("greetings", "redis_streams"), 1, (at_ms + 3, 3), "1732633200000-12");
}

async fn ask(port: u16, id: &str) -> (Duration, String) {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the host listens");
    let request =
        format!("GET /api/v1/explain/{id} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the host reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the host answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    (begin.elapsed(), answer)
}

fn show(what: &str, value: impl std::fmt::Display, bound: &str) {
    println!("  {what:<34} {value} ({bound})");
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

fn size_of(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
