//! Which events a route takes, in which order, and what it leaves out: from the settings to what arrives, and on the command
//! line.

use serde_json::{Value, json};
use stagewire_tests::brokers::Broker as _;
use stagewire_tests::load::Load;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, Redis};

fn event(id: &str, subject: &str, count: u32) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "stage2", "type": "com.storytelling.nlp.document.processed",
        "subject": subject, "datacontenttype": "application/json", "data": { "metrics": { "event_count": count } },
    })
}

fn settings(redis: &Redis, conditions: &[&str]) -> String {
    let routes = conditions.iter().enumerate().map(|(number, conditions)| {
        format!("  - name: route-{number}\n    match: [{conditions}]\n    deliver: [redis_streams]\n")
    });
    format!("{}routes:\n{}", redis.events_section(), routes.collect::<String>())
}

const SQL: &str = "{ sql: \"type LIKE '%.processed' AND subject LIKE 'document/%'\" }";
const CEL: &str = "{ cel: 'data.metrics.event_count > 2' }";

#[tokio::test]
async fn events_go_where_sql_and_cel_send_them_and_a_payload_is_parsed_once() {
    let redis = Redis::start().await;
    let both = format!("{{ exact: {{ type: document.processed }} }}, {SQL}, {CEL}");
    let never = "{ cel: 'data.metrics.event_count == 100' }";
    let unknown = "{ sql: missing = 1 }";
    let host = Host::with(settings(&redis, &[&both, never, unknown])).start().await;
    host.send_all(&[event("a", "document/1", 5), event("b", "document/2", 1), event("c", "batch/1", 5)])
        .await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await, ["a"]);
    host.metric_reaches("stagewire_payloads_parsed_total", &[], 3.0).await;
    host.metric_reaches("stagewire_condition_errors_total", &["route-2"], 3.0).await;
}

#[tokio::test]
async fn an_expression_that_is_none_is_refused_with_its_place_and_the_last_good_rules_stay() {
    let redis = Redis::start().await;
    let host = Host::with(settings(&redis, &[SQL])).start().await;
    let before = host.generation().await;
    for (wrong, said) in [
        ("{ sql: \"subject LIKE document\" }", "expected a pattern in quotes"),
        ("{ cel: 'data.count >' }", "the expression ends here, and is not whole"),
    ] {
        host.put_settings(&settings(&redis, &[wrong]));
        let refusal = host.reload().await.expect_err("the expression is refused");
        assert!(refusal.contains(said), "{refusal}");
        let output = host.run(&["validate", &host.settings_path().to_string_lossy()]).await;
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(shown.contains("settings.yaml:"), "file and line: {shown}");
    }
    assert_eq!(host.generation().await, before);
    host.send_all(&[event("a", "document/1", 5), event("b", "batch/1", 5)]).await;
    host.has_settled().await;
    assert_eq!(redis.stream("nlp-events").ids().await, ["a"]);
}

#[tokio::test]
async fn match_prints_value_error_and_message() {
    let host = Host::with("events: { enabled: false }\n").prepare();
    let file = host.data().with_file_name("event.json");
    std::fs::write(&file, event("a", "document/1", 5).to_string()).expect("the event can be written");
    let file = file.to_string_lossy().into_owned();
    let asked = async |arguments: &[&str]| {
        let output = host.run(&[&["match", "--event", &file], arguments].concat()).await;
        (String::from_utf8_lossy(&output.stdout).trim().to_owned(), output.status.code())
    };
    let cases = [
        ("--sql", "subject LIKE 'document/%'", json!(true), json!(null)),
        ("--sql", "-10", json!(-10), json!(null)),
        ("--sql", "ABS(-2147483648)", json!(2_147_483_647), json!("math")),
        ("--sql", "missing * 5", json!(0), json!("missingAttribute")),
        ("--sql", "INT('a')", json!(0), json!("cast")),
        ("--sql", "NOPE()", json!(false), json!("missingFunction")),
        ("--sql", "LEFT('abc', -1)", json!("abc"), json!("functionEvaluation")),
        ("--sql", "ABC(", json!(false), json!("parse")),
        ("--cel", "data.metrics.event_count", json!(5), json!(null)),
        ("--cel", "data.nothing > 0", json!(null), json!("evaluation")),
        ("--cel", "data >", json!(null), json!("parse")),
    ];
    for (dialect, expression, value, error) in cases {
        let (printed, code) = asked(&[dialect, expression, "--json"]).await;
        let answer: Value = serde_json::from_str(&printed).expect("it prints JSON");
        assert_eq!((&answer["value"], &answer["error"]), (&value, &error), "{expression}");
        assert_eq!(answer["message"].is_string(), answer["error"].is_string(), "{expression}");
        assert_eq!(code, Some(0), "{expression}");
    }
    assert_eq!(asked(&["--sql", "attempt = 1 OR TRUE"]).await, ("false".into(), Some(1)));
    assert_eq!(asked(&["--sql", "LENGTH(subject)"]).await, ("10".into(), Some(0)));
    assert_eq!(asked(&["--cel", "type == 'x'"]).await, ("false".into(), Some(1)));
    assert_eq!(asked(&["--sql", "type ="]).await, (String::new(), Some(2)));
    assert_eq!(asked(&["--exact", "type=document.processed"]).await, ("true".into(), Some(0)));
}

/// A route to a stream of its own.
fn route(redis: &Redis, routes: &[(&str, &str)]) -> String {
    let url = redis.url();
    let backend = |(name, _): &(&str, &str)| {
        format!(
            "    - {{ name: {name}, type: redis_streams, config: {{ url: \"{url}\", stream_name: {name}, max_len: 0 }} }}\n"
        )
    };
    let route = |(name, more): &(&str, &str)| format!("  - {{ name: {name}, deliver: [{name}]{more} }}\n");
    format!(
        "events:\n  enabled: true\n  backends:\n{}routes:\n{}",
        routes.iter().map(backend).collect::<String>(),
        routes.iter().map(route).collect::<String>()
    )
}

#[tokio::test]
async fn a_route_that_stops_and_one_for_the_rest() {
    let redis = Redis::start().await;
    let routes = [
        ("rest", ", otherwise: true"),
        ("documents", ", match: [{ prefix: { subject: document/ } }], stop: true"),
        ("batches", ", match: [{ prefix: { subject: batch/ } }]"),
        ("never", ", match: [{ prefix: { subject: document/ } }]"),
    ];
    let host = Host::with(route(&redis, &routes)).start().await;
    host.send_all(&[event("a", "document/1", 1), event("b", "batch/1", 1), event("c", "job/1", 1)]).await;
    host.has_settled().await;
    let ids = async |name: &str| redis.stream(name).ids().await;
    assert_eq!(ids("documents").await, ["a"]);
    assert_eq!(ids("batches").await, ["b"]);
    assert_eq!(ids("rest").await, ["c"]);
    assert!(ids("never").await.is_empty());
    host.metric_reaches("stagewire_events_unmatched_total", &[], 0.0).await;
    let file = host.data().with_file_name("event.json");
    std::fs::write(&file, event("a", "document/1", 5).to_string()).expect("the event can be written");
    let settings = host.settings_path().to_string_lossy().into_owned();
    let output =
        host.run(&["route", "test", "--config", &settings, "--event", &file.to_string_lossy()]).await;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("rest: is passed over; otherwise: route documents takes it"), "{shown}");
    assert!(shown.contains("never: is passed over; stop: route documents takes it"), "{shown}");
}

#[tokio::test]
async fn what_a_route_leaves_out_is_counted_explained_and_goes_to_others_all_the_same() {
    let redis = Redis::start().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970");
    let hour = (now.as_secs() / 3_600 + 2) % 24;
    let later = format!(", stop: true, times: [{{ from: '{hour:02}:00', to: '{hour:02}:59' }}]");
    let routes = [
        ("once", ", dedup: { window: 1h }"),
        ("few", ", rate: 2"),
        ("half", ", sample: { share: 0.5, by: subject }"),
        ("later", &later),
        ("all", ""),
    ];
    let mut host = Host::with(route(&redis, &routes)).start().await;
    let events: Vec<_> = (0..40).map(|n| event(&format!("e{n}"), &format!("document/{n}"), n)).collect();
    assert_eq!(host.send_batch(&events).await.status, 202);
    assert_eq!(host.send_batch(&events[..10]).await.status, 202);
    host.has_settled().await;
    let length = async |name: &str| redis.stream(name).length().await;
    assert_eq!(length("later").await, 0);
    assert_eq!((length("once").await, length("all").await), (40, 50));
    assert_eq!(length("few").await, 2, "both batches come within half a second");
    let half = length("half").await;
    assert!((10..40).contains(&half), "{half} of 50");
    let metric = "stagewire_route_left_out_total";
    host.metric_reaches(metric, &["route=\"once\"", "reason=\"duplicate\""], 10.0).await;
    host.metric_reaches(metric, &["route=\"few\"", "reason=\"rate\""], 48.0).await;
    host.metric_reaches(metric, &["route=\"half\"", "reason=\"not_sampled\""], 50.0 - half as f64).await;
    let settings = host.settings_path().to_string_lossy().into_owned();
    until_true("the explanation is written", PATIENCE, async || {
        let output = host.run(&["explain", "e3", "--config", &settings]).await;
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.contains("left out by the route: one of the same source and id went before (dedup)")
            && shown.contains("left out by the route: more came than its rate")
    })
    .await;
    // What has been seen is known after a restart.
    assert!(host.terminate().await.success());
    host.restart().await;
    host.send_all(&events[..3]).await;
    host.has_settled().await;
    assert_eq!(length("once").await, 40);
}

/// Events of one subject come from one connection, one after the other; their ordering keys are all different, so that the
/// workers share them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_subject_keep_their_order_on_a_route_that_orders_by_it() {
    let mut redis = <Redis as stagewire_tests::brokers::Broker>::start().await;
    let routes = [("by-subject", ", order_by: subject"), ("by-key", "")];
    let mut host = Host::with(route(&redis, &routes))
        .host("workers: 4")
        .host("delivery: { queue: 100, overflow: 1MiB, retry_max: 200ms }")
        .start()
        .await;
    let load = Load::on(host.ingress()).connections(8).spread().with_ledger().start();
    load.flows(2_000).await;
    // The backend is away until its lanes are full, and events wait in the journal.
    redis.kill().await;
    until_true("the lanes are full", PATIENCE, async || {
        let status = host.status().await;
        let lanes = status["lanes"].as_array().cloned().unwrap_or_default();
        lanes.iter().all(|lane| lane["full"] == true)
    })
    .await;
    load.flows(1_000).await;
    redis.again().await;
    load.flows(1_000).await;
    host.kill().await;
    let report = load.stop().await;
    host.restart().await;
    host.has_settled().await;
    let ids = redis.stream("by-subject").ids().await;
    report.ledger.check(ids.iter().map(String::as_str)).must_be_clean();
}
