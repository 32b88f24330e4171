//! What an operator can ask a running host: what became of an event, what a rule would do, what came lately.

use serde_json::{Value, json};
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, wire};

fn event(id: &str, kind: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/s", "type": kind, "subject": "a", "data": { "text": "a secret" } })
}

/// One route to the embedded stream: some types are dropped, and `trap` breaks the plugin.
const SETTINGS: &str = "events:\n  enabled: true\n  backends: [{ type: local }]\nroutes:\n  - name: chosen\n    match: [{ not: { exact: { type: unmatched } } }]\n    steps:\n      - { plugin: type-filter, settings: { deny: [secret.*] } }\n      - { plugin: trap }\n    deliver: [local]\n";

async fn start() -> Host {
    Host::with(SETTINGS).plugins(&["type-filter"]).guest("trap").start().await
}

async fn get(host: &Host, path: &str) -> Value {
    let answer = host.admin("GET", path).await.expect("the admin API answers");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn state(host: &Host, id: &str) -> Value {
    get(host, &format!("/api/v1/explain/{id}")).await["events"][0]["state"].clone()
}

#[tokio::test]
async fn each_event_has_its_story_also_after_a_restart() {
    let mut host = start().await;
    let events =
        [event("good", "a"), event("bad", "trap"), event("hidden", "secret.x"), event("none", "unmatched")];
    host.send_all(&events).await;
    host.has_settled().await;
    let expected =
        [("good", "delivered"), ("bad", "dead_letter"), ("hidden", "dropped"), ("none", "unmatched")];
    for (id, wanted) in expected {
        until_true(&format!("{id} is {wanted}"), PATIENCE, async || state(&host, id).await == wanted).await;
    }
    let stories = get(&host, "/api/v1/explain/hidden").await;
    let step = &stories["events"][0]["journeys"][0]["steps"][0];
    assert_eq!(step["reason"], "type secret.x is denied", "{stories}");
    let digest = step["digest"].as_str().expect("a step has a digest");
    assert!(host.status().await["plugins"].to_string().contains(digest), "{digest}");
    assert_eq!(get(&host, "/api/v1/explain/nobody").await, json!({ "events": [] }));

    assert!(host.terminate().await.success());
    host.restart().await;
    for (id, wanted) in expected {
        assert_eq!(state(&host, id).await, wanted, "{id}");
    }
    let settings = host.settings_path();
    let output = host.run(&["explain", "good", "--config", &settings.to_string_lossy()]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("good  delivered: a from /s\n"), "{said}");
    assert!(
        said.contains("step 1 type-filter sha256:") && said.contains("delivered to local after"),
        "{said}"
    );
    let output = host.run(&["explain", "nobody", "--config", &settings.to_string_lossy()]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is known of \"nobody\""));
}

#[tokio::test]
async fn no_text_of_an_event_is_kept_in_its_story() {
    let host = start().await;
    host.send_all(&[event("good", "a"), event("bad", "trap")]).await;
    host.has_settled().await;
    let told = get(&host, "/api/v1/explain/good").await.to_string()
        + &get(&host, "/api/v1/events").await.to_string();
    assert!(told.contains("good") && !told.contains("a secret"), "{told}");
    for file in std::fs::read_dir(host.data().join("provenance")).expect("there is a log") {
        let bytes = std::fs::read(file.expect("it can be listed").path()).expect("it can be read");
        assert!(!bytes.windows(8).any(|part| part == b"a secret"));
    }
}

#[tokio::test]
async fn a_dead_letter_that_is_tried_again_has_a_story_of_its_own() {
    let host = start().await;
    host.send_all(&[event("bad", "trap")]).await;
    host.has_settled().await;
    let answer = host.admin("POST", "/api/v1/dead-letters/retry").await.expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    until_true("the second passage is told", PATIENCE, async || {
        let stories = get(&host, "/api/v1/explain/bad").await;
        stories["events"]
            .as_array()
            .is_some_and(|stories| stories.iter().any(|story| story["letter"].is_u64()))
    })
    .await;
}

#[tokio::test]
async fn the_latest_events_are_listed_and_found() {
    let host = start().await;
    let events: Vec<_> =
        (0..250).map(|n| event(&format!("e{n}"), if n % 2 == 0 { "even" } else { "odd" })).collect();
    assert_eq!(host.send_batch(&events).await.status, 202);
    let latest = get(&host, "/api/v1/events?limit=2").await;
    let ids: Vec<_> = latest.as_array().into_iter().flatten().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["e249", "e248"]);
    until_true("it is noted what became of them", PATIENCE, async || {
        let onwards = get(&host, "/api/v1/events?from=3&limit=2&outcome=true").await;
        onwards[1]["outcome"]["state"] == "delivered"
    })
    .await;
    let onwards = get(&host, "/api/v1/events?from=3&limit=2&outcome=true").await;
    let ids: Vec<_> = onwards.as_array().into_iter().flatten().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["e3", "e4"]);
    assert_eq!(onwards[0]["outcome"]["routes"], json!(["chosen"]), "{onwards}");
    assert_eq!(get(&host, "/api/v1/events?source=nobody").await, json!([]));
    let found = get(&host, "/api/v1/events?type=odd&limit=1000").await;
    assert_eq!(found.as_array().map(Vec::len), Some(125));
    assert_eq!(get(&host, "/api/v1/events?id=e7").await[0]["id"], "e7");
}

#[tokio::test]
async fn an_event_is_tried_on_the_rules_in_force_without_a_trace() {
    let host = start().await;
    let body = event("tried", "secret.x").to_string();
    let path = "/api/v1/routes/test";
    let answer =
        wire::send(host.admin_address(), "POST", path, &[], body.as_bytes()).await.expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()[0]["steps"][0]["verdict"], "drop: type secret.x is denied");
    let answer = wire::send(host.admin_address(), "POST", path, &[], b"{}").await.expect("it answers");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(get(&host, "/api/v1/explain/tried").await, json!({ "events": [] }));
    let routes = get(&host, "/api/v1/routes").await;
    assert_eq!((&routes[0]["name"], &routes[0]["steps"][1]["plugin"]), (&json!("chosen"), &json!("trap")));
}

#[tokio::test]
async fn a_paused_backend_keeps_its_events_until_it_is_resumed() {
    let host = start().await;
    let act = async |what: &str| {
        let answer = host.admin("POST", &format!("/api/v1/backends/local/{what}")).await.expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    act("pause").await;
    host.send_all(&[event("waits", "a")]).await;
    until_true("it waits in the lane", PATIENCE, async || host.status().await["lanes"][0]["queued"] == 1)
        .await;
    assert_eq!(host.status().await["lanes"][0]["paused"], true);
    // It is noted a moment after the lane has it.
    until_true("it is told as pending", PATIENCE, async || state(&host, "waits").await == "pending").await;
    act("resume").await;
    until_true("it is delivered", PATIENCE, async || state(&host, "waits").await == "delivered").await;
    let unknown = host.admin("POST", "/api/v1/backends/nobody/pause").await.expect("it answers");
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn the_history_has_rates() {
    let host = start().await;
    host.send_all(&[event("a", "a"), event("b", "b")]).await;
    until_true("drops and failed tries are in it", PATIENCE, async || {
        let series = get(&host, "/api/v1/history").await["series"].clone();
        series["dropped"].is_array() && series["failures/local"].is_array()
    })
    .await;
    until_true("two samples were taken", PATIENCE, async || {
        let received = get(&host, "/api/v1/history").await["series"]["received"].clone();
        received
            .as_array()
            .is_some_and(|points| points.iter().any(|point| point.as_f64().is_some_and(|rate| rate > 0.0)))
    })
    .await;
}
