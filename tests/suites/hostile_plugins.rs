//! Plugins that misbehave, one guest each: the step's `on_error` holds, other routes keep their pace.

use serde_json::{Value, json};
use stagewire_tests::campaigns::{Length, hostile};
use stagewire_tests::{Host, Redis, places};

fn event(id: &str, kind: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "s", "type": kind, "data": { "n": 1 } })
}

/// One route through the guest, and one beside it that has no steps.
fn settings(redis: &Redis, guest: &str, on_error: &str) -> String {
    format!(
        "{}routes:\n  - name: hostile\n    match: [{{ not: {{ exact: {{ type: good }} }} }}]\n    steps:\n      - plugin: {guest}\n        on_error: {on_error}\n        limits: {{ time: 50ms, memory: 8MiB, output: 64KiB, events: 100 }}\n    deliver: [redis_streams]\n  - name: honest\n    match: [{{ exact: {{ type: good }} }}]\n    deliver: [redis_streams]\n",
        redis.events_section()
    )
}

/// The bad event meets each policy; the good ones around it arrive every time.
async fn on_error_holds(guest: &str, kind: &str) {
    for (on_error, arrivals) in [
        ("drop", &["before", "after"][..]),
        ("pass", &["before", "bad", "after"]),
        ("dead_letter", &["before", "after"]),
    ] {
        let redis = Redis::start().await;
        let host = Host::with(settings(&redis, guest, on_error)).guest(guest).start().await;
        host.send_all(&[event("before", "good"), event("bad", kind), event("after", "good")]).await;
        host.has_settled().await;
        let mut ids = redis.stream("nlp-events").ids().await;
        ids.sort_by_key(|id| ["before", "bad", "after"].iter().position(|known| known == id));
        assert_eq!(ids, arrivals, "{guest} with on_error: {on_error}");
        let failed = host.metric("stagewire_plugin_failed_total", &["route=\"hostile\""]).await;
        assert!(failed >= 1.0, "{guest}: its failure is counted");
        assert!(host.process().peak_resident() < 512 << 20, "{guest}: the host's memory stays bounded");
        // The step goes on with a fresh instance.
        host.send_all(&[event("again", kind)]).await;
        host.has_settled().await;
    }
}

#[tokio::test]
async fn an_endless_loop() {
    on_error_holds("endless-loop", "loop").await;
}

#[tokio::test]
async fn a_memory_bomb() {
    on_error_holds("memory-bomb", "bomb").await;
}

#[tokio::test]
async fn deep_recursion() {
    on_error_holds("deep-recursion", "deep").await;
}

#[tokio::test]
async fn a_trap() {
    on_error_holds("trap", "trap").await;
}

#[tokio::test]
async fn a_huge_output() {
    on_error_holds("huge-output", "bytes").await;
}

#[tokio::test]
async fn a_flooded_log_stays_small() {
    let redis = Redis::start().await;
    let host = Host::with(settings(&redis, "log-flood", "drop")).guest("log-flood").start().await;
    for number in 0..20 {
        host.send_all(&[event(&format!("bad-{number}"), "bad")]).await;
    }
    host.has_settled().await;
    assert!(host.log().len() < 1 << 20, "the log has {} bytes", host.log().len());
}

/// A candidate that cannot be loaded is refused with the plugin's name and the reason, and the host goes on.
async fn is_refused(bytes: &[u8], reasons: &[&str]) {
    let redis = Redis::start().await;
    let host = Host::with(settings(&redis, "trap", "drop")).guest("trap").start().await;
    let before = host.generation().await;
    host.put_plugin_bytes("trap", bytes);
    let refusal = host.reload().await.expect_err("such a plugin is refused");
    assert!(refusal.contains("trap"), "{refusal}");
    assert!(reasons.iter().any(|reason| refusal.contains(reason)), "{refusal}");
    assert_eq!(host.generation().await, before);
    host.send_all(&[event("good", "good")]).await;
    redis.stream("nlp-events").has(1).await;
}

fn guest(name: &str) -> Vec<u8> {
    std::fs::read(places::guest(name)).expect("the guest can be read")
}

#[tokio::test]
async fn a_wrong_world_is_refused() {
    is_refused(&guest("wrong-world"), &["filtering", "export"]).await;
}

#[tokio::test]
async fn a_future_version_of_the_interface_is_refused() {
    is_refused(&guest("future-version"), &["version", "0."]).await;
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let whole = guest("trap");
    is_refused(&whole[..whole.len() / 2], &["truncated", "unexpected end", "end-of-file", "damaged"]).await;
}

#[tokio::test]
async fn what_is_not_wasm_is_refused() {
    is_refused(b"#!/bin/sh\necho hello\n", &["not", "wasm"]).await;
}

#[tokio::test]
async fn refused_settings_refuse_the_swap_with_the_plugins_reason() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).guest("refuses-settings").start().await;
    let before = host.generation().await;
    host.put_settings(&settings(&redis, "refuses-settings", "drop"));
    let refusal = host.reload().await.expect_err("the plugin refuses its settings");
    assert!(refusal.contains("refuses-settings"), "{refusal}");
    assert_eq!(host.generation().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_route_keeps_its_pace_beside_all_of_them() {
    println!("{}", hostile::run(Length::Short).await);
}
