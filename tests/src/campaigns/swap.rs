//! Plugin files and rules are swapped while events flow: none lost, none failed, none seen by two versions.
//!
//! Each event matches two routes, which stamp it and deliver it to two streams. One snapshot processes an event from
//! beginning to end, so both streams must show the same stamp: that of the rules, or of the plugin's build where it
//! brings its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Findings, Length};
use crate::load::Load;
use crate::redis::Stream;
use crate::waiting::PATIENCE;
use crate::{Host, Redis, places};

/// Builds of the guest that stamps: with its settings' version, or with its own.
pub const VERSIONS: [&str; 3] = ["stamps-version", "stamps-version-1", "stamps-version-2"];

const STREAMS: [&str; 2] = ["left", "right"];

/// Swaps again and again.
///
/// # Panics
/// If an event is lost, refused, out of order, or stamped by two versions.
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
            host.put_plugin("stamp", &places::guest(VERSIONS[number / 2 % VERSIONS.len()]));
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
    let mut findings = Findings::default();
    findings.add("swaps", format!("{swaps}, generations {first} to {last}"));
    findings.add("requests that failed", report.failures());
    let mut stamps = Vec::new();
    for name in STREAMS {
        let stream = redis.stream(name);
        stream.is_quiet_at(report.ledger.owed(), PATIENCE).await;
        let ids = stream.ids().await;
        let verdict = report.ledger.check(ids.iter().map(String::as_str));
        verdict.must_be_clean();
        findings.add(name, verdict);
        stamps.push(stamped(&stream).await);
    }
    let mixed = stamps[0].iter().filter(|(id, stamp)| stamps[1].get(*id) != Some(*stamp)).count();
    assert_eq!(mixed, 0, "{mixed} events were stamped by two versions");
    times.sort_unstable();
    findings.add("mixtures of versions", mixed);
    findings.add("versions seen", stamps[0].values().collect::<std::collections::HashSet<_>>().len());
    findings.add("a swap, median", format!("{:.1?}", times[times.len() / 2]));
    findings.add("a swap, longest", format!("{:.1?}", times[times.len() - 1]));
    findings
}

fn settings(redis: &Redis, version: usize) -> String {
    let backend = |name: &str| {
        let url = redis.url();
        format!(
            "    - {{ name: {name}, type: redis_streams, config: {{ url: \"{url}\", stream_name: {name}, max_len: 100000000 }} }}\n"
        )
    };
    let route = |name: &str| {
        format!(
            "  - name: {name}\n    steps:\n      - plugin: stamp\n        settings: {{ version: \"rules {version}\" }}\n    deliver: [{name}]\n"
        )
    };
    let (backends, routes) = (STREAMS.map(backend).concat(), STREAMS.map(route).concat());
    format!(
        "events:\n  enabled: true\n  monitoring: {{ log_events: false }}\n  backends:\n{backends}routes:\n{routes}"
    )
}

/// The stamp of each event, by its id.
async fn stamped(stream: &Stream) -> HashMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Stamped {
        id: String,
        version: String,
    }
    let parse = |raw: &Vec<u8>| serde_json::from_slice::<Stamped>(raw).expect("every event is stamped");
    stream.raw().await.iter().map(parse).map(|event| (event.id, event.version)).collect()
}
