//! What is edited on disk becomes active as a whole, or not at all.

use std::time::Duration;

use serde_json::json;
use stagewire_tests::campaigns::swap::VERSIONS;
use stagewire_tests::waiting::{PATIENCE, until_true};
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
async fn a_change_that_a_reload_by_hand_has_read_is_not_swapped_in_again() {
    let settings = |route: &str| {
        format!(
            "events: {{ enabled: true, backend: local }}\nroutes: [{{ name: {route}, deliver: [local] }}]\n"
        )
    };
    let host = Host::with(settings("first")).start().await;
    for round in 0..3 {
        host.put_settings(&settings(&format!("by-hand-{round}")));
        let by_hand = host.reload().await.expect("the settings are right");
        let echo = tokio::time::timeout(Duration::from_millis(500), host.generation_after(by_hand)).await;
        assert!(echo.is_err(), "generation {by_hand} was swapped in again as {echo:?}");
        // The next change is noticed all the same.
        let next = format!("by-itself-{round}");
        host.put_settings(&settings(&next));
        let in_force = async || host.status().await["routes"] == json!([next]);
        until_true("the next change is in force", PATIENCE, in_force).await;
        assert_eq!(host.generation().await, by_hand + 1);
    }
}

#[tokio::test]
async fn reload_says_what_is_most_likely_not_meant() {
    let route =
        |name: &str| format!("{{ name: {name}, match: [{{ exact: {{ type: a }} }}], deliver: [local] }}");
    let twice = format!(
        "events: {{ enabled: true, backend: local }}\nroutes: [{}, {}]\n",
        route("one"),
        route("two")
    );
    let host = Host::with(twice).start().await;
    let settings = host.settings_path();
    let output = host.run(&["reload", "--config", &settings.to_string_lossy()]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("warning: ") && said.contains("\"one\""), "{said}");
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

/// One route, in a file of its own, to the stream.
fn rule(name: &str, kind: &str) -> String {
    format!("name: {name}\nmatch: [{{ exact: {{ type: {kind} }} }}]\ndeliver: [redis_streams]\n")
}

#[tokio::test]
async fn included_files_and_secrets_are_watched_and_no_event_is_lost() {
    let redis = Redis::start().await;
    let host = Host::with("events: { enabled: false }\n").start().await;
    let directory = host.settings_path().parent().expect("settings are in a directory").to_owned();
    let put = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a directory"))
            .expect("a directory can be made");
        std::fs::write(path.with_extension("new"), text).expect("a file can be written");
        std::fs::rename(path.with_extension("new"), path).expect("a file can be moved");
    };
    put("rules.d/10-started.yaml", &rule("started", stories::STARTED));
    put("name", "nlp-events\n");
    let section = redis.events_section().replace("stream_name: nlp-events", "stream_name: \"${file:name}\"");
    let settings = format!("include: rules.d\n{section}");
    host.put_settings(&settings);
    names(&host, &["started"]).await;

    // Each change is taken up by itself; after each, the events of its types arrive.
    let sent = async |count: usize| {
        redis.stream("nlp-events").has(count).await;
    };
    host.send_all(&[stories::started(), stories::completed()]).await;
    sent(1).await;
    put("rules.d/20-completed.yaml", &rule("completed", stories::COMPLETED));
    names(&host, &["started", "completed"]).await;
    host.send_all(&[stories::started(), stories::completed()]).await;
    sent(3).await;
    put("rules.d/10-started.yaml", &rule("nothing", "nothing.like.it"));
    names(&host, &["nothing", "completed"]).await;
    host.send_all(&[stories::started(), stories::completed()]).await;
    sent(4).await;
    std::fs::remove_file(directory.join("rules.d/20-completed.yaml")).expect("a file can be removed");
    names(&host, &["nothing"]).await;
    host.send_all(&[stories::completed()]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await.len(), 4);

    // A file that is refused, included by what is refused with it, is watched: its mending is enough.
    put("more.yaml", "routes: [{ name: more, deliver: [redis_stream] }]\n");
    host.put_settings(&settings.replace("include: rules.d", "include: [rules.d, more.yaml, later.yaml]"));
    until_true("the candidate is refused", PATIENCE, async || {
        let refused = host.status().await["refused"].to_string();
        refused.contains("later.yaml") && refused.contains("more.yaml:1:34")
    })
    .await;
    put("more.yaml", "routes: [{ name: more, deliver: [redis_streams] }]\n");
    put("later.yaml", "privacy: []\n");
    names(&host, &["nothing", "more"]).await;
    host.send_all(&[stories::completed()]).await;
    sent(5).await;

    // What a reload by hand has read first is watched as well.
    put("other.yaml", &rule("other", stories::COMPLETED));
    host.put_settings(&settings.replace("include: rules.d", "include: [rules.d, other.yaml]"));
    host.reload().await.expect("the settings are in order");
    names(&host, &["nothing", "other"]).await;
    put("other.yaml", &rule("another", stories::STARTED));
    names(&host, &["nothing", "another"]).await;
    host.send_all(&[stories::started()]).await;
    sent(6).await;

    // A secret that is changed is another place to go to, and nothing is lost on the way.
    put("name", "elsewhere\n");
    let mut total = 6;
    until_true("events go elsewhere", PATIENCE, async || {
        host.send_all(&[stories::started()]).await;
        total += 1;
        host.has_settled().await;
        !redis.stream("elsewhere").ids().await.is_empty()
    })
    .await;
    let arrived = redis.stream("nlp-events").ids().await.len() + redis.stream("elsewhere").ids().await.len();
    assert_eq!(arrived, total);
}

/// Waits until these are the routes in force.
async fn names(host: &Host, wanted: &[&str]) {
    until_true(&format!("the routes are {wanted:?}"), PATIENCE, async || {
        host.status().await["routes"] == json!(wanted)
    })
    .await;
}
