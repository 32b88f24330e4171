//! Conditions in CloudEvents SQL and CEL: from the settings to what arrives, and on the command line.

use serde_json::{Value, json};
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
