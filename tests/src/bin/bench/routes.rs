//! Many routes, and routes that change under load.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stagewire_tests::load::Load;
use stagewire_tests::{Host, Redis};

use crate::contenders::{Contender, alternate, events, medians};
use crate::figures::{compare, median, show};

const KIND: &str = "com.storytelling.nlp.document.processed";

/// (e) CPU an event with many routes, of which one matches, against few.
pub(crate) async fn many_against_few() {
    let many = Contender::host(&routes(1_000), "workers: 2").await;
    let few = Contender::host(&routes(10), "workers: 2").await;
    let load = |load: Load| load.connections(16).batch(100);
    let rounds = alternate([&many, &few], load).await;
    let cpu = medians(["1,000 routes", "10 routes"], &rounds, |round| round.cpu);
    compare("batches of 100", "µs", cpu, "at most 2.0");
}

fn routes(count: usize) -> String {
    let mut text = String::from("routes:\n");
    for number in 0..count {
        let kind = if number == count / 2 { KIND.into() } else { format!("com.example.kind{number}") };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  - name: route-{number}\n    match: [{{ exact: {{ type: {kind} }} }}]\n    deliver: [redis_streams]\n"
        );
    }
    text
}

/// (f) Latency while rules are swapped twice a second, and the time from the file's change to the new generation.
pub(crate) async fn swap_under_load() {
    let redis = Redis::start().await;
    let host = Host::with(settings(&redis, 0)).plugins(&["type-filter"]).start().await;
    let load = || Load::on(host.ingress()).connections(16).pace(Duration::from_millis(2));
    let window = Duration::from_secs(5);
    load().run(Duration::from_secs(1)).await;
    let (mut steady, mut swapped, mut active) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..3 {
        steady.push(millis(load().run(window).await.percentile(0.99)));
        let running = load().start();
        let begin = Instant::now();
        let mut number = 0;
        while begin.elapsed() < window {
            number += 1;
            let before = host.generation().await;
            let change = Instant::now();
            host.put_settings(&settings(&redis, round * 1_000 + number));
            host.generation_after(before).await;
            active.push(millis(change.elapsed()));
            tokio::time::sleep(Duration::from_millis(500).saturating_sub(change.elapsed())).await;
        }
        let report = running.stop().await;
        assert_eq!(report.failures(), 0, "requests failed: {:?}", report.statuses);
        swapped.push(millis(report.percentile(0.99)));
    }
    compare("p99", "ms", [("swapping", median(swapped)), ("steady", median(steady))], "at most 1.2");
    let longest = active.iter().copied().fold(0.0, f64::max);
    show("rules active after, median", format!("{:.0} ms", median(active)), "within 500 ms");
    show("rules active after, longest", format!("{longest:.0} ms"), "within 500 ms");
}

fn settings(redis: &Redis, number: usize) -> String {
    format!(
        "{}routes:\n  - name: filtered-{number}\n    steps:\n      - plugin: type-filter\n        settings: {{ allow: [{KIND}, com.example.kind{number}] }}\n    deliver: [redis_streams]\n",
        events(redis)
    )
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
