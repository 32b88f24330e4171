//! Plugin files and rules are swapped while events flow: none lost, none failed, none seen by two versions.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Findings, Length};
use crate::load::Load;
use crate::waiting::PATIENCE;
use crate::{Host, Redis, places};

/// The guest that writes its version and its setting onto each event, and its other build.
pub const VERSIONS: [&str; 2] = ["stamps-version-1", "stamps-version-2"];

/// Swaps again and again.
///
/// # Panics
/// If an event is lost, refused, out of order, or marked by two versions or two rules.
pub async fn run(length: Length) -> Findings {
    let redis = Redis::start().await;
    let host =
        Host::with(settings(&redis, 0)).plugin_file("stamp", &places::guest(VERSIONS[0])).start().await;
    let load = Load::on(host.ingress()).connections(8).pace(Duration::from_millis(2)).with_ledger().start();
    let (swaps, first) = (length.pick(60, 2_100), host.generation().await);
    let (mut times, mut last) = (Vec::new(), first);
    for number in 1..=swaps {
        let begin = Instant::now();
        if number % 2 == 0 {
            host.put_plugin("stamp", &places::guest(VERSIONS[number / 2 % 2]));
        } else {
            host.put_settings(&settings(&redis, number));
        }
        // The watcher may be first: either way what is on the disk is active when this answers.
        host.reload().await.expect("a good candidate is swapped in");
        last = host.generation_after(last).await;
        times.push(begin.elapsed());
    }
    let report = load.stop().await;
    assert_eq!(
        report.failures(),
        0,
        "requests failed during swaps: {:?}, {}",
        report.statuses,
        report.broken
    );
    host.has_settled().await;
    let stream = redis.stream("nlp-events");
    stream.is_quiet_at(report.ledger.owed(), PATIENCE).await;
    let events = stream.events().await;
    let verdict = report.ledger.check(events.iter().filter_map(|event| event["id"].as_str()));
    verdict.must_be_clean();
    let mixed: Vec<_> = events.iter().filter(|event| !is_whole(event)).collect();
    assert!(mixed.is_empty(), "{} events saw a mixture of versions, first {}", mixed.len(), mixed[0]);
    times.sort_unstable();
    let mut findings = Findings::default();
    findings.add("swaps", format!("{swaps}, generations {first} to {last}"));
    findings.add("events", verdict);
    findings.add("requests that failed", report.failures());
    findings.add("mixtures of versions", mixed.len());
    findings.add("a swap, median", format!("{:?}", times[times.len() / 2]));
    findings.add("a swap, longest", format!("{:?}", times[times.len() - 1]));
    findings
}

/// Two steps of one plugin and one value: an event that one snapshot processed shows the same in both.
fn settings(redis: &Redis, value: usize) -> String {
    let step = |place: &str| {
        format!("      - plugin: stamp\n        settings: {{ place: {place}, value: \"{value}\" }}\n")
    };
    format!(
        "{}routes:\n  - name: stamped\n    steps:\n{}{}    deliver: [redis_streams]\n",
        redis.events_section(),
        step("first"),
        step("second")
    )
}

fn is_whole(event: &Value) -> bool {
    event["first"].is_string() && event["first"] == event["second"]
}
