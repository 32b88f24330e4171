//! Plugins that misbehave stand beside an honest route: its pace and the host's memory stay as they were.

use std::time::Duration;

use super::{Findings, Length};
use crate::load::{Load, Report};
use crate::{Host, Redis};

/// Guests that load well and misbehave, and the event type on which they do.
pub const MISBEHAVE: [(&str, &str); 6] = [
    ("endless-loop", "loop"),
    ("memory-bomb", "bomb"),
    ("deep-recursion", "deep"),
    ("trap", "trap"),
    ("huge-output", "bytes"),
    ("log-flood", "flood"),
];

const HONEST: &str = "com.example.honest";

/// Measures the honest route alone, then with every misbehaving guest being called beside it.
///
/// # Panics
/// If the honest route loses or fails an event, or the host's memory grows without bound.
pub async fn run(length: Length) -> Findings {
    let redis = Redis::start().await;
    let mut plan = Host::with(settings(&redis));
    for (guest, _) in MISBEHAVE {
        plan = plan.guest(guest);
    }
    let host = plan.start().await;
    let window = Duration::from_secs(length.pick(3, 60));
    let alone = honest(&host, window).await;
    let before = host.process().resident();
    let (together, called) = tokio::join!(honest(&host, window), misbehave(&host, window));
    host.has_settled().await;
    let after = host.process().resident();
    for report in [&alone, &together] {
        assert_eq!(report.failures(), 0, "honest requests failed: {:?}", report.statuses);
    }
    let stream = redis.stream("nlp-events");
    let owed = alone.acknowledged + together.acknowledged;
    assert_eq!(stream.length().await as u64, owed, "each honest event arrives, and no other");
    assert!(after < before + (256 << 20), "memory grew from {before} to {after} bytes");
    let mut findings = Findings::default();
    findings.add("honest p99, alone", format!("{:?}", alone.percentile(0.99)));
    findings.add("honest p99, beside hostile", format!("{:?}", together.percentile(0.99)));
    findings.add("honest events", owed);
    findings.add("calls of hostile plugins", called);
    findings.add("resident before, after", format!("{} MiB, {} MiB", before >> 20, after >> 20));
    findings
}

async fn honest(host: &Host, window: Duration) -> Report {
    Load::on(host.ingress()).connections(4).kind(HONEST).pace(Duration::from_millis(2)).run(window).await
}

/// Sends each guest its own events, one at a time.
async fn misbehave(host: &Host, window: Duration) -> u64 {
    let mut loads = tokio::task::JoinSet::new();
    for (_, kind) in MISBEHAVE {
        let load = Load::on(host.ingress()).connections(1).kind(kind).pace(Duration::from_millis(50));
        loads.spawn(load.run(window));
    }
    loads.join_all().await.iter().map(|report| report.acknowledged).sum()
}

fn settings(redis: &Redis) -> String {
    let hostile = MISBEHAVE.map(|(guest, kind)| {
        format!(
            "  - name: {guest}\n    match: [{{ exact: {{ type: {kind} }} }}]\n    steps:\n      - plugin: {guest}\n        on_error: drop\n        limits: {{ time: 20ms, memory: 8MiB, output: 64KiB }}\n    deliver: [hole]\n"
        )
    });
    format!(
        "events:\n  enabled: true\n  backends:\n    - type: redis_streams\n      config: {{ url: \"{}\", stream_name: nlp-events, max_len: 100000000 }}\n    - {{ name: hole, type: local }}\nroutes:\n  - name: honest\n    match: [{{ exact: {{ type: {HONEST} }} }}]\n    deliver: [redis_streams]\n{}",
        redis.url(),
        hostile.concat()
    )
}
