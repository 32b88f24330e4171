//! What is edited on disk becomes active as a whole, or not at all.

use serde_json::json;
use stagewire_tests::campaigns::swap::VERSIONS;
use stagewire_tests::{Host, Redis, places, stories};

fn with_route(redis: &Redis, kinds: &str) -> String {
    format!(
        "{}routes:\n  - name: chosen\n    steps:\n      - plugin: type-filter\n        settings: {{ allow: [{kinds}] }}\n    deliver: [redis_streams]\n",
        redis.events_section()
    )
}

#[tokio::test]
async fn an_edited_rule_becomes_active_by_itself() {
    let redis = Redis::start().await;
    let host = Host::with(with_route(&redis, stories::STARTED)).plugins(&["type-filter"]).start().await;
    host.send_all(&[stories::started(), stories::completed()]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await, ["evt_batch_started"]);

    let before = host.generation().await;
    host.put_settings(&with_route(&redis, stories::COMPLETED));
    host.generation_after(before).await;
    host.send_all(&[stories::started(), stories::completed()]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await, ["evt_batch_started", "evt_batch_completed"]);
}

#[tokio::test]
async fn a_rebuilt_plugin_becomes_active_by_itself() {
    let redis = Redis::start().await;
    let settings = format!(
        "{}routes:\n  - name: stamped\n    steps:\n      - plugin: stamp\n        settings: {{ version: x }}\n    deliver: [redis_streams]\n",
        redis.events_section()
    );
    let host = Host::with(settings).plugin_file("stamp", &places::guest(VERSIONS[0])).start().await;
    host.send_all(&[stories::started()]).await;
    let before = host.generation().await;
    host.put_plugin("stamp", &places::guest(VERSIONS[1]));
    host.generation_after(before).await;
    host.send_all(&[stories::completed()]).await;
    redis.stream("nlp-events").has(2).await;
    let events = redis.stream("nlp-events").events().await;
    assert_ne!(events[0]["version"], events[1]["version"], "each version leaves its own mark");
}

#[tokio::test]
async fn a_refused_candidate_leaves_the_last_good_one_running() {
    let redis = Redis::start().await;
    let host = Host::with(with_route(&redis, stories::STARTED)).plugins(&["type-filter"]).start().await;
    let before = host.generation().await;
    host.put_settings("events:\n  enabeld: true\n");
    let refusal = host.reload().await.expect_err("an unknown key is refused");
    assert!(refusal.contains("enabeld"), "{refusal}");
    host.put_settings(&with_route(&redis, stories::STARTED));
    host.put_plugin_bytes("type-filter", b"not wasm at all");
    let refusal = host.reload().await.expect_err("a plugin that is not wasm is refused");
    assert!(refusal.contains("type-filter"), "{refusal}");
    assert_eq!(host.generation().await, before);
    assert!(host.metric("stagewire_swaps_refused_total", &[]).await >= 2.0);
    host.send_all(&[stories::started()]).await;
    redis.stream("nlp-events").has(1).await;
}

#[tokio::test]
async fn reload_wait_answers_with_the_generation_or_why_not() {
    let host = Host::with("events: { enabled: false }\n").start().await;
    let settings = host.settings_path();
    let arguments = ["reload", "--wait", "--config", &*settings.to_string_lossy()];
    let output = host.run(&arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let generation = host.generation().await.to_string();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&generation));
    host.put_settings("routes:\n  - name: r\n    deliver: [nowhere]\n");
    let output = host.run(&arguments).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"));
}

#[tokio::test]
async fn settings_behind_swapped_symlinks_are_seen() {
    let redis = Redis::start().await;
    let host = Host::with(with_route(&redis, stories::STARTED)).plugins(&["type-filter"]).start().await;
    let before = host.generation().await;
    // As a ConfigMap is mounted: the file is a link through a directory that is a link itself.
    let path = host.settings_path();
    let directory = path.parent().expect("settings are in a directory");
    let text = std::fs::read_to_string(&path).expect("the settings can be read");
    let put = |name: &str, text: &str| {
        std::fs::create_dir_all(directory.join(name)).expect("a directory can be made");
        std::fs::write(directory.join(name).join("settings.yaml"), text).expect("a file can be written");
    };
    let link = |to: &str, name: &str| {
        let beside = directory.join("link.new");
        std::os::unix::fs::symlink(to, &beside).expect("a link can be made");
        std::fs::rename(beside, directory.join(name)).expect("a link can be moved");
    };
    put("..1", &text.replace(stories::STARTED, stories::COMPLETED));
    link("..1", "..data");
    link("..data/settings.yaml", "settings.yaml");
    let second = host.generation_after(before).await;
    put("..2", &text.replace(stories::STARTED, stories::FAILED));
    link("..2", "..data");
    host.generation_after(second).await;
    host.send_all(&[stories::completed(), stories::STORIES[0].failed()]).await;
    host.has_settled().await;
    let events = redis.stream("nlp-events").events().await;
    assert_eq!(
        json!(events.iter().map(|event| &event["type"]).collect::<Vec<_>>()),
        json!([stories::FAILED])
    );
}
