//! Plugins that misbehave stand beside an honest route: its pace and the host's memory stay as they were.
//!
//! The honest route gets half of what it could take. Windows alternate: beside it as many other events go through a plugin that does
//! nothing, or through each of those that misbehave; medians of the windows are compared. What is measured is an event's whole way,
//! from its sender to the stream.

use std::time::Duration;

use super::{Findings, Length};
use crate::checker::Ticket;
use crate::languages::{self, Built};
use crate::load::{Load, Report, now_micros};
use crate::{Host, Redis, places};

/// Guests that load well and misbehave, and the event type on which they do.
pub const MISBEHAVE: [(&str, &str); 6] = [
    ("endless-loop", "loop"),
    ("memory-bomb", "bomb"),
    ("deep-recursion", "deep"),
    ("trap", "trap"),
    ("huge-output", "bytes"),
    ("log-flood", "flood"),
];

/// Other languages, each with one plugin that does as an event's type says, and the memory that its runtime needs.
pub const LANGUAGES: [(&str, &str); 2] = [("c", "8MiB"), ("go", "32MiB")];

/// What the plugins in other languages do.
pub const KINDS: [&str; 8] = ["loop", "bomb", "deep", "trap", "bytes", "lies", "same", "flood"];

const HONEST: &str = "com.example.honest";
/// Of a plugin that does nothing.
const QUIET: &str = "com.example.quiet";
const CONNECTIONS: u16 = 8;
/// Between two events of one sort of misbehaviour.
const BETWEEN: Duration = Duration::from_millis(100);
/// Instances of a step: one a worker.
const WORKERS: u64 = 2;
/// What all limits of the steps below add up to, in bytes of each worker.
const LIMITS: u64 = (6 * 8 + 8 * 8 + 8 * 32) << 20;
/// What the events of the campaign themselves may take: queues, notes, what an allocator keeps.
const ROOM: u64 = 96 << 20;
/// The most that the honest route's slowest events may lose, as the promise is.
const MOST: f64 = 1.10;

/// What the honest route felt in one window.
struct Felt {
    /// The time within which 99 of 100 events were in the stream.
    delivered: f64,
    /// The same of their acceptance.
    accepted: f64,
    resident: u64,
}

/// Measures the honest route by turns beside a plugin that does nothing, and with every misbehaving one being called beside it.
///
/// # Panics
/// If the honest route loses or fails an event, or the host's memory grows by more than the limits allow; in full length also if
/// its slowest events are slower by more than a tenth.
pub async fn run(length: Length) -> Findings {
    let redis = Redis::start().await;
    let plugins: Vec<Built> = tokio::task::spawn_blocking(|| {
        LANGUAGES.map(|(language, _)| languages::build(&format!("tests/plugins/hostile/{language}"))).into()
    })
    .await
    .expect("they build");
    let mut plan = Host::with(settings(&redis)).host(&format!("workers: {WORKERS}")).guest("keeps-all");
    for (guest, _) in MISBEHAVE {
        plan = plan.plugin_file(guest, &places::guest(guest));
    }
    for ((language, _), built) in LANGUAGES.iter().zip(&plugins) {
        plan = plan.plugin_file(&format!("hostile-{language}"), &built.file);
    }
    let host = plan.start().await;
    let window = Duration::from_secs(length.pick(2, 20));
    let capacity = Load::on(host.ingress()).connections(2 * CONNECTIONS).kind(HONEST).run(window).await;
    host.has_settled().await;
    // As many events a second as half of that.
    let every = Duration::from_secs_f64(2.0 * f64::from(CONNECTIONS) / capacity.rate());
    let mut sent = capacity.acknowledged;
    // They strike at once; what they do from then on is what the host has to live with.
    let mut called = calls(&host, misdeeds(), Duration::from_secs(length.pick(1, 10))).await;
    host.has_settled().await;
    let before = host.process().resident();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..length.pick(2, 9) {
        let quiet = vec![QUIET.to_owned(); misdeeds().len()];
        let ((felt, count), _) =
            tokio::join!(honest(&host, &redis, every, window), calls(&host, quiet, window));
        alone.push(felt);
        sent += count;
        host.has_settled().await;
        let ((felt, count), more) =
            tokio::join!(honest(&host, &redis, every, window), calls(&host, misdeeds(), window));
        beside.push(felt);
        sent += count;
        called += more;
        host.has_settled().await;
    }
    let after = host.process().resident();
    let added = redis.stream("nlp-events").added().await;
    assert_eq!(added, sent, "each honest event arrives, and no other");
    let ratio = median(&beside, |felt| felt.delivered) / median(&alone, |felt| felt.delivered);
    let mut findings = Findings::default();
    findings.add("capacity", format!("{:.0} events a second, of which half", capacity.rate()));
    for (name, of) in [
        ("delivered", (|felt: &Felt| felt.delivered) as fn(&Felt) -> f64),
        ("accepted", |felt| felt.accepted),
    ] {
        let all = |windows: &[Felt]| {
            windows.iter().map(|felt| format!("{:.1}", of(felt))).collect::<Vec<_>>().join(" ")
        };
        findings.add(
            &format!("p99 {name}, beside quiet"),
            format!("{:.1} ms (windows: {})", median(&alone, of), all(&alone)),
        );
        findings.add(
            &format!("p99 {name}, beside hostile"),
            format!("{:.1} ms (windows: {})", median(&beside, of), all(&beside)),
        );
    }
    findings.add("ratio of p99 delivered", format!("{ratio:.2} (at most {MOST})"));
    findings.add("honest events", sent);
    findings.add("calls of hostile plugins", called);
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let curve: Vec<_> = beside.iter().map(|felt| (felt.resident >> 20).to_string()).collect();
    findings.add("resident before, after", format!("{}, {} ({})", mib(before), mib(after), curve.join(" ")));
    findings.add("resident at its peak", mib(host.process().peak_resident()));
    findings.add("limits of all steps", mib(WORKERS * LIMITS));
    let allowed = before + ROOM;
    assert!(after <= allowed, "memory grew from {before} to {after} bytes\n{findings}");
    // The peak is that of all instances at once, on top of what the host takes by itself.
    let most = before + WORKERS * LIMITS;
    assert!(host.process().peak_resident() <= most, "more than {most} bytes at its peak\n{findings}");
    assert!(
        length == Length::Short || ratio <= MOST,
        "the honest route is slower by more than a tenth\n{findings}"
    );
    findings
}

/// Half load for a while, and what became of it.
async fn honest(host: &Host, redis: &Redis, every: Duration, window: Duration) -> (Felt, u64) {
    let stream = redis.stream("nlp-events");
    stream.trim().await;
    let since = now_micros() / 1_000;
    let load = Load::on(host.ingress()).connections(CONNECTIONS).kind(HONEST).every(every).with_times();
    let report = load.run(window).await;
    assert_eq!(report.failures(), 0, "honest requests failed: {:?}", report.statuses);
    stream.has(usize::try_from(report.acknowledged).expect("a test sends few")).await;
    let felt = Felt {
        delivered: delivered(&report, stream.arrivals().await, since),
        accepted: report.percentile(0.99).as_secs_f64() * 1e3,
        resident: host.process().resident(),
    };
    (felt, report.acknowledged)
}

/// The time within which 99 of 100 events were in the stream, in milliseconds.
fn delivered(report: &Report, arrivals: Vec<(String, u64)>, since: u64) -> f64 {
    let late = |(id, at): (String, u64)| {
        let sent = report.sent.get(&Ticket::parse(&id)?)?;
        // Redis counts whole milliseconds.
        (at >= since).then(|| (at as f64 + 0.5 - *sent as f64 / 1e3).max(0.0))
    };
    let mut times: Vec<f64> = arrivals.into_iter().filter_map(late).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().expect("events arrived")
}

fn median(windows: &[Felt], of: impl Fn(&Felt) -> f64) -> f64 {
    let mut figures: Vec<f64> = windows.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The type of each misdeed of each plugin.
fn misdeeds() -> Vec<String> {
    let others = LANGUAGES.iter().flat_map(|(language, _)| KINDS.map(|kind| format!("{language}.{kind}")));
    MISBEHAVE.map(|(_, kind)| kind.to_owned()).into_iter().chain(others).collect()
}

/// Sends events of these types, of each one at a time.
async fn calls(host: &Host, kinds: Vec<String>, window: Duration) -> u64 {
    let mut loads = tokio::task::JoinSet::new();
    for kind in kinds {
        let load = Load::on(host.ingress()).connections(1).kind(&kind).pace(BETWEEN);
        loads.spawn(load.run(window));
    }
    loads.join_all().await.iter().map(|report| report.acknowledged).sum()
}

fn settings(redis: &Redis) -> String {
    let route = |name: &str, plugin: &str, kind: &str, memory: &str| {
        format!(
            "  - name: {name}\n    match: [{{ exact: {{ type: {kind} }} }}]\n    steps:\n      - plugin: {plugin}\n        on_error: drop\n        limits: {{ time: 20ms, memory: {memory}, output: 64KiB }}\n    deliver: [hole]\n"
        )
    };
    let rust = MISBEHAVE.map(|(guest, kind)| route(guest, guest, kind, "8MiB")).concat();
    let others = LANGUAGES.iter().flat_map(|(language, memory)| {
        KINDS.map(|kind| {
            let of_type = format!("{language}.{kind}");
            route(&format!("{language}-{kind}"), &format!("hostile-{language}"), &of_type, memory)
        })
    });
    format!(
        "events:\n  enabled: true\n  monitoring: {{ log_events: false }}\n  backends:\n    - type: redis_streams\n      config: {{ url: \"{}\", stream_name: nlp-events, max_len: 100000000 }}\n    - {{ name: hole, type: local }}\nroutes:\n  - name: honest\n    match: [{{ exact: {{ type: {HONEST} }} }}]\n    deliver: [redis_streams]\n{}{rust}{}",
        redis.url(),
        route("quiet", "keeps-all", QUIET, "8MiB"),
        others.collect::<String>()
    )
}
