//! Plugins that misbehave, one guest each: the step's `on_error` holds, other routes keep their pace.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewire_tests::campaigns::{Length, hostile};
use stagewire_tests::waiting::{PATIENCE, until_true};
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
async fn what_takes_long_is_called_apart_from_the_workers_and_keeps_its_order() {
    let redis = Redis::start().await;
    let plan = Host::with(settings(&redis, "endless-loop", "drop")).guest("endless-loop");
    let host = plan.host("workers: 1").start().await;
    let is_apart = async || host.status().await["steps"][0]["apart"] == true;
    assert!(!is_apart().await);
    host.send_all(&[event("first", "loop")]).await;
    until_true("its calls are made apart", PATIENCE, is_apart).await;
    host.send_all(&[event("slow", "loop"), event("behind", "fine"), event("honest", "good")]).await;
    // All of one key: of its route the later one waits, and no other route does.
    let stream = redis.stream("nlp-events");
    stream.has(2).await;
    assert_eq!(stream.ids().await, ["honest", "behind"]);
    let log = host.log();
    assert!(log.contains("calls take long: they are made apart from the workers"), "{log}");
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

/// `host.put_settings` and the start put this below `plugins:`.
fn loading(bounds: &str, rest: &str) -> String {
    format!("  loading: {{ {bounds} }}\n{rest}")
}

fn leb(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

fn section(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number];
    leb(content.len(), &mut bytes);
    [bytes, content.to_vec()].concat()
}

/// A component with one function of this code, which has that many locals of 32 bits. Nothing of it is ever called: what it costs is
/// to compile it.
fn component(locals: usize, code: &[u8]) -> Vec<u8> {
    let mut body = vec![1];
    leb(locals, &mut body);
    body.push(0x7f);
    body.extend([code, &[0x0b]].concat());
    let mut function = vec![1];
    leb(body.len(), &mut function);
    function.extend(body);
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(10, &function),
    ]
    .concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat()
}

/// Loops within loops: the time that they take grows with the square of their number. 100 KB took a minute.
fn slow_to_compile() -> Vec<u8> {
    component(1, &[[0x03, 0x40].repeat(33_000), vec![0x0b; 33_000]].concat())
}

/// Thousands of values that all live as long as thousands of blocks. 100 KB took a gigabyte.
fn large_to_compile() -> Vec<u8> {
    let mut code = vec![0x03, 0x40];
    for local in 0..2_500 {
        let mut number = Vec::new();
        leb(local, &mut number);
        code.extend([&[0x20][..], &number, &[0x41, 1, 0x6a, 0x21], &number].concat());
    }
    code.extend([0x20, 0, 0x04, 0x40, 0x0b].repeat(16_000));
    code.extend([0x0c, 0, 0x0b]);
    component(2_500, &code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_takes_too_long_to_compile_is_refused_and_holds_nobody_up() {
    let redis = Redis::start().await;
    let settings = loading("time: 4s", &settings(&redis, "trap", "drop"));
    let host = Host::with(settings).guest("trap").start().await;
    let before = host.generation().await;
    host.put_plugin_bytes("trap", &slow_to_compile());
    let mut reload = std::pin::pin!(host.reload());
    let mut sent = 0;
    let refusal = loop {
        let event = event(&format!("good-{sent}"), "good");
        tokio::select! {
            refused = &mut reload => break refused.expect_err("it cannot be compiled in time"),
            // What goes by the event's way, and what asks for all that a swap changes.
            () = async {
                host.send_all(std::slice::from_ref(&event)).await;
                let plugins = host.admin("GET", "/api/v1/plugins").await.expect("the admin API answers");
                assert_eq!(plugins.status, 200);
                host.metric("stagewire_snapshot_generation", &[]).await;
            } => sent += 1,
        }
    };
    assert!(refusal.contains("takes more than 4s of processor time"), "{refusal}");
    assert!(sent >= 5, "{sent} events and questions got through meanwhile");
    assert_eq!(host.generation().await, before);
    redis.stream("nlp-events").has(sent).await;
    assert!(host.process().peak_resident() < 512 << 20, "the host itself compiles nothing");
}

#[tokio::test]
async fn a_file_that_takes_too_much_memory_to_compile_is_refused() {
    let redis = Redis::start().await;
    let settings = loading("memory: 256MiB", &settings(&redis, "trap", "drop"));
    let host = Host::with(settings).guest("trap").start().await;
    host.put_plugin_bytes("trap", &large_to_compile());
    let refusal = host.reload().await.expect_err("it takes too much memory");
    assert!(refusal.contains("takes more than 256MiB of memory"), "{refusal}");
    assert!(host.process().peak_resident() < 512 << 20, "the host itself compiles nothing");
}

#[tokio::test]
async fn a_host_that_is_to_end_does_not_wait_for_a_compiler() {
    let redis = Redis::start().await;
    let mut host = Host::with(settings(&redis, "trap", "drop")).guest("trap").start().await;
    host.put_plugin_bytes("trap", &slow_to_compile());
    // The watcher is the one that reloads here, as the one that signals are waited for beside.
    until_true("a child compiles", PATIENCE, async || {
        let children =
            std::fs::read_dir(format!("/proc/{}/task", host.process().0)).into_iter().flatten().flatten();
        let mut children =
            children.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        children.any(|children| !children.trim().is_empty())
    })
    .await;
    let begun = Instant::now();
    assert!(host.terminate().await.success());
    assert!(begun.elapsed() < Duration::from_secs(20), "it ended after {:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_no_file_or_too_large_is_refused() {
    let redis = Redis::start().await;
    let settings = loading("size: 1MiB", &settings(&redis, "trap", "drop"));
    let host = Host::with(settings).guest("trap").start().await;
    let place = host.plugin_directory().join("trap.wasm");
    let refused = async |put: &dyn Fn()| {
        std::fs::remove_file(&place).expect("the plugin directory can be written");
        put();
        host.reload().await.expect_err("such a plugin is refused")
    };
    let pipe = refused(&|| {
        let made = std::process::Command::new("mkfifo").arg(&place).status().expect("mkfifo can be started");
        assert!(made.success());
    })
    .await;
    assert!(pipe.contains("it is not a file"), "{pipe}");
    let device =
        refused(&|| std::os::unix::fs::symlink("/dev/zero", &place).expect("a link can be made")).await;
    assert!(device.contains("it is not a file"), "{device}");
    let large = refused(&|| {
        let file = std::fs::File::create(&place).expect("the plugin directory can be written");
        file.set_len(1 << 40).expect("a file may have holes");
    })
    .await;
    assert!(large.contains("it is larger than 1MiB"), "{large}");
}
