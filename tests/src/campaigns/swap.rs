//! Plugin files and rules are swapped while events flow: none lost, none failed, none seen by two versions.
//!
//! Each event matches two routes, which stamp it and deliver it to two streams. One snapshot processes an event from
//! beginning to end, so both streams must show the same stamp: that of the rules, or of the plugin's build where it
//! brings its own. Now and then the plugin goes back to the version before, by command and by its file, and the clock is looked at.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Findings, Length};
use crate::load::Load;
use crate::redis::Stream;
use crate::waiting::{PATIENCE, until_true};
use crate::{Host, Redis, places};

/// Builds of the guest that stamps: with its settings' version, or with its own.
pub const VERSIONS: [&str; 3] = ["stamps-version", "stamps-version-1", "stamps-version-2"];

const STREAMS: [&str; 2] = ["left", "right"];

/// So many looks at the host's memory, evenly over the swaps. The first third of them is a host that still warms up.
const LOOKS: usize = 30;
/// The most that its memory may grow from the second third to the last, as the promise is.
const GROWTH: f64 = 1.05;
/// The most that going back by command may take, in the middle, as the promise is.
const BACK: Duration = Duration::from_millis(100);

/// Swaps again and again.
///
/// # Panics
/// If an event is lost, refused, out of order, or stamped by two versions; in full length also if the host's memory grows, or if
/// going back takes too long.
pub async fn run(length: Length) -> Findings {
    let redis = Redis::start().await;
    let host =
        Host::with(settings(&redis, 0)).plugin_file("stamp", &places::guest(VERSIONS[0])).start().await;
    let pace = Duration::from_millis(length.pick(2, 20));
    let load = Load::on(host.ingress()).connections(8).pace(pace).with_ledger().start();
    let (swaps, first) = (length.pick(60, 10_000), host.generation().await);
    let (mut times, mut last) = (Vec::new(), first);
    let (mut resident, mut by_command, mut by_file) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=swaps {
        if number % (swaps / LOOKS) == 0 {
            resident.push(host.process().resident());
        }
        let begin = Instant::now();
        if number % 20 == 9 {
            by_command.push(back_by_command(&host).await);
            last = host.generation_after(last).await;
            continue;
        }
        if number % 20 == 19 {
            by_file.push(back_by_file(&host).await);
            last = host.generation_after(last).await;
            continue;
        }
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
    [&mut times, &mut by_command, &mut by_file].into_iter().for_each(|times| times.sort_unstable());
    findings.add("mixtures of versions", mixed);
    findings.add("versions seen", stamps[0].values().collect::<std::collections::HashSet<_>>().len());
    for (what, times) in [("a swap", &times), ("back by command", &by_command), ("back by file", &by_file)] {
        let (middle, longest) = (times[times.len() / 2], times[times.len() - 1]);
        findings.add(what, format!("median {middle:.1?}, longest {longest:.1?}, of {}", times.len()));
    }
    let curve: Vec<_> = resident.iter().map(|bytes| (bytes >> 20).to_string()).collect();
    findings.add("resident, MiB", curve.join(" "));
    let third = |nth: usize| {
        let mut part = resident[nth * LOOKS / 3..(nth + 1) * LOOKS / 3].to_vec();
        part.sort_unstable();
        part[part.len() / 2] as f64
    };
    let growth = third(2) / third(1);
    findings.add("last third to second", format!("{growth:.3} (at most {GROWTH})"));
    if length == Length::Full {
        assert!(growth <= GROWTH, "the host's memory grows\n{findings}");
        assert!(by_command[by_command.len() / 2] < BACK, "going back takes too long\n{findings}");
    }
    findings
}

/// Goes back to the version before; how long that took, from the command's start until the version is in force.
async fn back_by_command(host: &Host) -> Duration {
    let before = host.status().await["steps"][0]["digest"].clone();
    let (settings, begin) = (host.settings_path(), Instant::now());
    let output = host.run(&["plugin", "rollback", "stamp", "--config", &settings.to_string_lossy()]).await;
    let took = begin.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(host.status().await["steps"][0]["digest"], before, "another version is in force");
    took
}

/// Puts the file of another version in place, and waits until the host has noticed by itself.
async fn back_by_file(host: &Host) -> Duration {
    let digest = async || host.status().await["steps"][0]["digest"].clone();
    let (before, now) = (digest().await, std::fs::read(host.plugin_directory().join("stamp.wasm")));
    let now = now.expect("the plugin is there");
    let guests =
        VERSIONS.map(|version| std::fs::read(places::guest(version)).expect("the guest can be read"));
    let other = guests.iter().find(|bytes| **bytes != now).expect("there are several versions");
    let begin = Instant::now();
    host.put_plugin_bytes("stamp", other);
    until_true("the other version is in force", PATIENCE, async || digest().await != before).await;
    begin.elapsed()
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
