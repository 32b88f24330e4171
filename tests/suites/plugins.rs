//! The life of plugins in a running host: their state, their candidates, their earlier versions.

use serde_json::{Value, json};
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, places};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Events to the embedded stream through one step.
fn through(step: &str) -> String {
    format!(
        "events:\n  enabled: true\n  backends: [{{ type: local }}]\nroutes:\n  - name: r\n    steps: [{{ {step} }}]\n    deliver: [local]\n"
    )
}

fn event(id: &str, kind: &str, subject: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": kind, "subject": subject })
}

/// The ids in the embedded stream.
async fn delivered(host: &Host) -> Vec<String> {
    host.has_settled().await;
    let settings = host.settings_path();
    let output = host.run(&["tail", "local", "--config", &settings.to_string_lossy()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ids = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    ids.filter_map(|event| event["id"].as_str().map(Into::into)).collect()
}

async fn step(host: &Host) -> Value {
    host.status().await["steps"][0].clone()
}

#[tokio::test]
async fn state_outlives_swaps_and_restarts() {
    let remembers = through("plugin: remembers, grants: { keyvalue: true }");
    let mut host = Host::with(remembers.clone()).guest("remembers").start().await;
    host.send_all(&[event("1", "claim", "a"), event("2", "claim", "a")]).await;
    assert_eq!(delivered(&host).await, ["1"]);
    let before = host.generation().await;
    host.put_settings(&through("plugin: remembers, grants: { keyvalue: true }, limits: { time: 51ms }"));
    host.generation_after(before).await;
    host.send_all(&[event("3", "claim", "a"), event("4", "claim", "b")]).await;
    assert_eq!(delivered(&host).await, ["1", "4"]);
    assert!(host.terminate().await.success());
    host.restart().await;
    host.send_all(&[event("5", "claim", "b"), event("6", "claim", "c")]).await;
    assert_eq!(delivered(&host).await, ["1", "4", "6"]);
    assert!(step(&host).await["state"].as_u64().is_some_and(|bytes| bytes > 0));
}

#[tokio::test]
async fn a_plugin_without_its_grant_is_refused_by_name() {
    let host = Host::with(through("plugin: remembers")).guest("remembers").refused().await;
    assert!(!host.status.success());
    let said = String::from_utf8_lossy(&host.stderr).into_owned() + &String::from_utf8_lossy(&host.stdout);
    assert!(said.contains("needs keyvalue"), "{said}");
    assert!(said.contains("grants: { keyvalue: true }"), "{said}");
}

#[tokio::test]
async fn a_shadow_finds_the_one_event_that_would_come_out_otherwise() {
    let plan = Host::with(through("plugin: keeps-all, shadow: drops-one.wasm"));
    let host = plan.guest("keeps-all").guest("drops-one").start().await;
    let events: Vec<_> =
        (0..10_000).map(|n| event(&format!("evt_{n}"), "t", &format!("s{}", n % 97))).collect();
    for batch in events.chunks(500) {
        assert_eq!(host.send_batch(batch).await.status, 202);
    }
    assert_eq!(delivered(&host).await.len(), 10_000, "a shadow has no effect");
    until_true("the shadow has seen all", PATIENCE, async || {
        let shadow = step(&host).await["shadow"].clone();
        shadow["compared"].as_u64().zip(shadow["left_out"].as_u64()).is_some_and(|(a, b)| a + b == 10_000)
    })
    .await;
    let shadow = step(&host).await["shadow"].clone();
    assert_eq!(shadow["left_out"], 0, "{shadow}");
    assert_eq!(shadow["differed"], 1, "{shadow}");
    let difference = &shadow["differences"][0];
    assert_eq!(
        (&difference["id"], &difference["current"], &difference["candidate"]),
        (&json!("evt_7777"), &json!("keep"), &json!("drop: the one"))
    );
}

#[tokio::test]
async fn a_canary_takes_its_share_of_the_keys_whole() {
    let [old, new, ..] = stagewire_tests::campaigns::swap::VERSIONS;
    let settings = through("plugin: old, settings: { version: old }, canary: { plugin: new, percent: 30 }");
    let plan = Host::with(settings).plugin_file("old", &places::guest(old));
    let host = plan.plugin_file("new", &places::guest(new)).start().await;
    let events: Vec<_> = (0..2_000).map(|n| event(&n.to_string(), "t", &format!("s{}", n % 500))).collect();
    assert_eq!(host.send_batch(&events).await.status, 202);
    host.has_settled().await;
    let settings = host.settings_path();
    let output = host.run(&["tail", "local", "--config", &settings.to_string_lossy()]).await;
    let mut marks = std::collections::HashMap::<String, Vec<String>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let event: Value = serde_json::from_str(line).expect("an event a line");
        marks.entry(event["subject"].to_string()).or_default().push(event["version"].to_string());
    }
    assert!(
        marks.values().all(|marks| marks.iter().all(|mark| *mark == marks[0])),
        "a key keeps its version"
    );
    let share = step(&host).await["canary"]["events"].as_u64().expect("the canary counts") as f64 / 2_000.0;
    assert!((0.2..0.4).contains(&share), "{share}");
}

#[tokio::test]
async fn a_candidate_is_promoted_and_taken_back() {
    let plan = Host::with(through("plugin: keeps-all, shadow: drops-one"));
    let host = plan.guest("keeps-all").guest("drops-one").start().await;
    let before = step(&host).await["digest"].clone();
    let answer = host.admin("POST", "/api/v1/plugins/keeps-all/promote").await.expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let promoted = step(&host).await;
    assert_eq!(promoted["digest"], promoted["shadow"]["digest"]);
    host.send_all(&[event("evt_7777", "t", "s")]).await;
    assert_eq!(delivered(&host).await, [""; 0]);
    let settings = host.settings_path();
    let output =
        host.run(&["plugin", "rollback", "keeps-all", "--config", &settings.to_string_lossy()]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(step(&host).await["digest"], before);
    host.send_all(&[event("evt_7777", "t", "s")]).await;
    assert_eq!(delivered(&host).await, ["evt_7777"]);
    let versions = host.admin("GET", "/api/v1/plugins").await.expect("it answers").json();
    let kept = versions.as_array().into_iter().flatten().find(|plugin| plugin["name"] == "keeps-all");
    assert_eq!(kept.map(|plugin| plugin["versions"].as_array().map(Vec::len)), Some(Some(2)), "{versions}");
    let unknown = host.admin("POST", "/api/v1/plugins/keeps-all/rollback?to=0000").await.expect("it answers");
    assert_eq!(unknown.status, 422);
    assert!(unknown.text().contains("kept are"), "{}", unknown.text());
}

#[tokio::test]
async fn cases_beside_a_plugin_keep_a_version_out_that_fails_them() {
    let host = Host::with(through("plugin: filter")).plugin_file("filter", &places::guest("keeps-all"));
    let host = host.start().await;
    let cases = host.plugin_directory().join("filter.test.yaml");
    std::fs::write(
        &cases,
        "cases:\n  - name: the one stays\n    event: { id: evt_7777 }\n    expect: keep\n",
    )
    .expect("the plugin directory can be written");
    let before = step(&host).await["digest"].clone();
    host.put_plugin("filter", &places::guest("drops-one"));
    let refusal = host.reload().await.expect_err("the case fails");
    assert!(refusal.contains("the one stays"), "{refusal}");
    assert_eq!(step(&host).await["digest"], before);
    let wasm = host.plugin_directory().join("filter.wasm");
    let output = host.run(&["plugin", "test", &wasm.to_string_lossy()]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("FAILED  the one stays (drop)") && said.contains("0 passed, 1 failed"), "{said}");
    let output = host.run(&["plugin", "test", &wasm.to_string_lossy(), "--update"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    host.reload().await.expect("what is expected now is what comes");
}

#[tokio::test]
async fn a_running_host_lists_its_plugins_with_their_uses() {
    let settings = through("plugin: keeps-all, shadow: drops-one.wasm")
        + "  - name: counted\n    steps: [{ plugin: remembers, grants: { keyvalue: true } }]\n    deliver: [local]\n";
    let plan = Host::with(settings).guest("keeps-all").guest("drops-one").guest("remembers");
    let host = plan.start().await;
    host.send_all(&[event("1", "claim", "a"), event("evt_7777", "claim", "a")]).await;
    host.has_settled().await;
    until_true("the shadow has seen both", PATIENCE, async || step(&host).await["shadow"]["compared"] == 2)
        .await;
    let settings = host.settings_path();
    let settings = settings.to_string_lossy();
    let output = host.run(&["plugin", "list", "--config", &settings, "--json"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plugins: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let plugin = |name: &str| {
        let found = plugins.as_array().into_iter().flatten().find(|plugin| plugin["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is in {plugins}")).clone()
    };
    let (first, shadow, state) = (plugin("keeps-all"), plugin("drops-one"), plugin("remembers"));
    assert_eq!((&first["kind"], &first["interface"]), (&json!("filter"), &json!("0.1.0")));
    assert!(first["size"].as_u64().is_some_and(|size| size > 1_000), "{first}");
    let used = |plugin: &Value| plugin["uses"][0].clone();
    assert_eq!((&used(&first)["role"], &used(&first)["kept"]), (&json!("step"), &json!(2)));
    assert!(used(&first)["memory"].as_u64().is_some_and(|memory| memory > 60_000), "{first}");
    assert_eq!((&used(&shadow)["role"], &used(&shadow)["differed"]), (&json!("shadow"), &json!(1)));
    assert_eq!((&used(&state)["granted"], &used(&state)["dropped"]), (&json!(["keyvalue"]), &json!(1)));
    let output = host.run(&["plugin", "list", "--config", &settings]).await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["keeps-all", "r, step 1", "shadow, 1 differ", "granted keyvalue"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let output = host.run(&["plugin", "list", "plugins"]).await;
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("Keeps every event"),
        "a directory is listed as well"
    );
}

#[tokio::test]
async fn cases_are_run_again_when_something_is_saved() {
    let host = Host::with("events: { enabled: false }\n").guest("keeps-all").prepare();
    let wasm = host.plugin_directory().join("keeps-all.wasm");
    let cases = host.plugin_directory().join("keeps-all.test.yaml");
    std::fs::write(&cases, "cases: [{ name: first, event: {}, expect: keep }]\n").expect("it can be written");
    let mut command = host.command(&["plugin", "test", "--watch", &wasm.to_string_lossy()]);
    let command =
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut watch = command.spawn().expect("the command can be started");
    let mut lines = BufReader::new(watch.stdout.take().expect("it is a pipe")).lines();
    let mut says = async |part: &str| loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it says something");
        let line = line.expect("it can be read").expect("it does not end");
        if line.contains(part) {
            break;
        }
    };
    says("ok      first (keep)").await;
    says("waiting for changes").await;
    std::fs::write(&cases, "cases: [{ name: second, event: {}, expect: drop }]\n")
        .expect("it can be written");
    says("FAILED  second (keep)").await;
    says("waiting for changes").await;
    watch.kill().await.expect("it runs");
}
