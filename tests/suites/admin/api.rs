//! What the API does, and that it is as its description says.

use std::process::Stdio;

use serde_json::{Value, json};
use stagewire_tests::waiting::{PATIENCE, until, until_true};
use stagewire_tests::{Host, Receiver, places};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{OPERATE, READ, STEPPED, ask, done, event, tokens, webhook};

async fn document(host: &Host) -> Value {
    done(host, "GET", "/api/v1/openapi.json").await
}

/// Every operation with the path that it is asked by here.
fn operations(document: &Value) -> Vec<(String, String, &'static str, &'static str)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().into_iter().flat_map(move |methods| {
            methods.iter().map(move |(method, operation)| (path, method, operation["operationId"].as_str()))
        })
    });
    methods
        .map(|(path, method, name)| {
            let (query, body) = match name.expect("a name") {
                "try" => ("", r#"{"specversion":"1.0","id":"t","source":"s","type":"a"}"#),
                "validate" => ("", "events:\n  enabeld: true\n"),
                "dry-run" => ("?events=10", "events: { enabled: true, backend: local }\n"),
                "log-level" => ("?level=DEBUG&target=stagewire::router&for=1h", ""),
                "explain" | "events" | "journal" | "audit" => ("?limit=5", ""),
                "healthy" | "ready" => ("?verbose", ""),
                "retry" | "drop" => ("?dry_run=true", ""),
                _ => ("", ""),
            };
            (path.clone(), method.clone(), query, body)
        })
        .collect()
}

#[tokio::test]
async fn every_answer_is_as_the_description_says() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[400]);
    let settings = format!(
        "events:\n  enabled: true\n  backends:\n    - type: local\n    - {{ type: webhook, name: hook, config: {{ urls: [\"{}\"], retry_attempts: 0 }} }}\nroutes:\n  - name: all\n    match: [{{ not: {{ exact: {{ type: trap }} }} }}]\n    steps: [{{ plugin: step, shadow: drops-one }}]\n    deliver: [local, hook]\n  - {{ name: trapped, match: [{{ exact: {{ type: trap }} }}], steps: [{{ plugin: trap }}], deliver: [local] }}\n",
        receiver.url()
    );
    let plan = Host::with(settings).plugin_file("step", &places::guest("keeps-all"));
    let host = plan.guest("drops-one").guest("trap").start().await;
    host.send_all(&[event("one", "a"), event("two", "b"), event("three", "trap")]).await;
    until_true("two dead letters", PATIENCE, async || host.status().await["dead_letters"] == 2).await;
    let document = document(&host).await;
    let operations = operations(&document);
    assert!(operations.len() >= 30, "{} operations", operations.len());
    let mut answers = Vec::new();
    // What changes something comes last, so that there is something to see.
    let mut ordered = operations;
    ordered.sort_by_key(|(path, method, ..)| (method == "post", path.ends_with("pause")));
    for (path, method, query, body) in ordered {
        if path.ends_with("/tail") {
            continue;
        }
        for (id, known) in [(true, true), (false, false)] {
            // A second time with a thing that is not there, where the path names one.
            if !known && !path.contains('{') {
                continue;
            }
            let name = if path.contains("plugins") {
                "step"
            } else if path.contains("explain") {
                "one"
            } else {
                "hook"
            };
            let name = if id { name } else { "no-such-thing" };
            let asked = path.replace("{name}", name).replace("{id}", name) + query;
            let answer = ask(&host, &method.to_uppercase(), &asked, None, body.as_bytes()).await;
            // A rollback has no version before, and nothing is to be promoted into nothing.
            let expected =
                if known { answer.status == 200 || answer.status == 422 } else { answer.status != 500 };
            assert!(expected, "{method} {asked}: {} {}", answer.status, answer.text());
            answers.push(json!({
                "path": path, "method": method, "status": answer.status, "body": answer.text(),
                "kind": answer.header("content-type"),
            }));
        }
    }
    let faults = conforms(&json!({ "document": document, "answers": answers })).await;
    assert!(faults.is_empty(), "{faults}");
}

/// What others' packages find wrong.
async fn conforms(given: &Value) -> String {
    let script = places::root().join("tests/clients/python/conforms.py");
    let mut command = Command::new(places::python());
    command
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("python starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(given.to_string().as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_drained_backend_gets_what_waits_and_takes_no_more() {
    let receiver = Receiver::start().await;
    let host = Host::with(webhook(&receiver)).start().await;
    done(&host, "POST", "/api/v1/backends/hook/pause").await;
    host.send_all(&[event("one", "a"), event("two", "a")]).await;
    until_true("both wait", PATIENCE, async || host.status().await["lanes"][0]["queued"] == 2).await;
    let drained = host.run(&["backend", "drain", "hook", "--wait", "1m", "--config", &config(&host)]).await;
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    assert_eq!(receiver.has(2).await.len(), 2);
    let lane = &host.status().await["lanes"][0];
    assert_eq!((&lane["paused"], &lane["emptying"]), (&json!(true), &json!(true)), "{lane}");
    host.send_all(&[event("three", "a")]).await;
    host.metric_reaches("stagewire_lane_refused_total", &["backend=\"hook\""], 1.0).await;
    assert_eq!(receiver.received().len(), 2, "it takes no more");
    assert_eq!(host.status().await["journal"]["unsettled"], 1, "and the journal keeps it");
    done(&host, "POST", "/api/v1/backends/hook/resume").await;
    receiver.has(3).await;
    host.has_settled().await;
}

#[tokio::test]
async fn a_suspended_plugin_is_not_called_until_it_is_resumed() {
    let host = Host::with(STEPPED).plugin_file("step", &places::guest("keeps-all")).start().await;
    let suspended = host.run(&["plugin", "suspend", "step", "--config", &config(&host)]).await;
    assert!(suspended.status.success(), "{}", String::from_utf8_lossy(&suspended.stderr));
    host.send_all(&[event("one", "a")]).await;
    host.has_settled().await;
    let reason = "plugin \"step\" is suspended by an operator";
    let story = until("its story is told", PATIENCE, async || {
        let told = done(&host, "GET", "/api/v1/explain/one").await;
        told["events"][0]["journeys"][0]["steps"].as_array().filter(|steps| !steps.is_empty()).cloned()
    })
    .await;
    assert!(json!(story).to_string().contains(&reason.replace('"', "\\\"")), "{story:?}");
    let generation = host.reload().await.expect("the same settings");
    assert!(generation > 1);
    // A new version of it is suspended, too.
    host.put_plugin("step", &places::guest("drops-one"));
    host.reload().await.expect("another plugin");
    assert_eq!(host.status().await["steps"][0]["suspended"], true);
    assert_eq!(done(&host, "GET", "/api/v1/plugins").await[0]["suspended"], true);
    let resumed = host.run(&["plugin", "resume", "step", "--config", &config(&host)]).await;
    assert!(resumed.status.success());
    assert_eq!(host.status().await["steps"][0]["suspended"], false);
    host.send_all(&[event("two", "a")]).await;
    host.metric_reaches("stagewire_events_published_total", &[], 1.0).await;
}

#[tokio::test]
async fn the_journal_is_read_by_offsets_and_times() {
    let host = Host::with("events: { enabled: true, backend: local }\n").start().await;
    let send = async |ids: std::ops::Range<u32>| {
        let events: Vec<_> =
            ids.map(|n| event(&format!("e{n}"), if n % 2 == 0 { "even" } else { "odd" })).collect();
        assert_eq!(host.send_batch(&events).await.status, 202);
    };
    send(0..100).await;
    let last = done(&host, "GET", "/api/v1/journal?limit=1000").await["events"][99]["at_ms"].clone();
    let last = last.as_u64().expect("a time");
    // The next millisecond.
    until_true("time goes on", PATIENCE, async || {
        let ask = format!("/api/v1/journal?since_ms={}", last + 1);
        send(100..101).await;
        done(&host, "GET", &ask).await["events"][0]["at_ms"].as_u64().is_some()
    })
    .await;
    let later = done(&host, "GET", &format!("/api/v1/journal?since_ms={}&limit=1", last + 1)).await;
    assert!(later["events"][0]["offset"].as_u64() >= Some(100), "{later}");
    let before = done(&host, "GET", &format!("/api/v1/journal?until_ms={}&limit=1000", last + 1)).await;
    assert!(before["events"].as_array().is_some_and(|events| events.len() >= 100), "{before}");
    let part = done(&host, "GET", "/api/v1/journal?from=10&to=20&limit=4").await;
    let offsets = |part: &Value| -> Vec<_> {
        part["events"].as_array().into_iter().flatten().filter_map(|event| event["offset"].as_u64()).collect()
    };
    assert_eq!((offsets(&part), &part["next"]), (vec![10, 11, 12, 13], &json!(14)));
    let rest = done(&host, "GET", "/api/v1/journal?from=14&to=20").await;
    assert_eq!((offsets(&rest), &rest["next"]), ((14..20).collect(), &Value::Null));
    let odd = done(&host, "GET", "/api/v1/journal?to=100&type=odd&limit=1000").await;
    assert_eq!(offsets(&odd).len(), 50);
    assert!(!odd.to_string().contains("a secret"), "data is not shown");
}

#[tokio::test]
async fn a_document_is_checked_and_tried_and_nothing_comes_into_force() {
    let plan = Host::with(STEPPED).plugin_file("step", &places::guest("keeps-all"));
    let host = plan.env("HIDDEN", "swordfish-in-the-sea").start().await;
    host.send_all(&[event("one", "a"), event("two", "b")]).await;
    let plugins = host.plugin_directory().display().to_string();
    let with = |routes: &str| {
        format!(
            "events:\n  enabled: true\n  backend: local\nplugins: {{ directory: \"{plugins}\" }}\nroutes: {routes}\n"
        )
    };
    let rehearse = async |what: &str, document: &str| -> Value {
        let answer = ask(&host, "POST", &format!("/api/v1/settings/{what}"), None, document.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let before = host.status().await;
    let only_a = with(
        "[{ name: all, match: [{ exact: { type: a } }], deliver: [local] }, { name: more, deliver: [local] }]",
    );
    let found = rehearse("dry-run?events=100", &only_a).await;
    assert_eq!((&found["valid"], &found["tried"]), (&json!(true), &json!(2)), "{found}");
    assert_eq!((&found["routes"]["added"], &found["routes"]["changed"]), (&json!(["more"]), &json!(["all"])));
    assert_eq!(found["differing"], 2, "{found}");
    assert!(!found.to_string().contains("a secret"), "{found}");
    assert!(rehearse("validate", &with("[{ name: all, deliver: [local] }]")).await["valid"] == true);

    let wrong = rehearse("validate", &with("[{ name: all, deliver: [locla] }]")).await;
    assert_eq!((&wrong["valid"], &wrong["faults"][0]["line"]), (&json!(false), &json!(5)), "{wrong}");
    for sly in [
        with("/etc/passwd"),
        with("[{ name: all, match: [{ exact: { type: \"${HIDDEN}\" } }], deliver: [\"${HIDDEN}\"] }]"),
        with("[{ name: all, steps: [{ plugin: ../../etc/passwd }], deliver: [local] }]"),
        "plugins: { directory: /etc }\n".into(),
        "host: { workers: \"${HIDDEN}\" }\n".into(),
        "host: { http: { tls: { certificate: /etc/shadow, key: /nowhere } } }\n".into(),
    ] {
        let found = rehearse("dry-run?events=10", &sly).await.to_string();
        assert!(
            !found.contains("swordfish") && !found.contains("root:") && !found.contains("No such file"),
            "{found}"
        );
    }
    let after = host.status().await;
    for same in ["generation", "routes", "plugins", "refused", "since_ms"] {
        assert_eq!(after[same], before[same], "{same}");
    }
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_and_stays_there() {
    let receiver = Receiver::start().await;
    let mut host = Host::with(webhook(&receiver)).admin(&tokens()).start().await;
    for (path, status) in [
        ("/api/v1/reload", 200),
        ("/api/v1/backends/hook/pause", 200),
        ("/api/v1/backends/nowhere/pause", 404),
        ("/api/v1/log-level?level=WARN&target=stagewire::router", 200),
    ] {
        assert_eq!(ask(&host, "POST", path, Some(OPERATE), b"").await.status, status, "{path}");
    }
    assert_eq!(ask(&host, "POST", "/api/v1/reload", Some(READ), b"").await.status, 403);
    assert_eq!(ask(&host, "POST", "/api/v1/settings/validate", Some(READ), b"").await.status, 200);
    let audit = async |host: &Host| ask(host, "GET", "/api/v1/audit", Some(READ), b"").await.json();
    let records = audit(&host).await;
    let actions: Vec<_> =
        records.as_array().into_iter().flatten().map(|record| record["action"].clone()).collect();
    assert_eq!(
        actions,
        ["log-level", "pause", "pause", "reload"],
        "changes alone, the latest first: {records}"
    );
    assert_eq!((&records[0]["who"], &records[0]["role"]), (&json!("ops"), &json!("operate")));
    assert!(
        records[0]["remote"].as_str().is_some_and(|remote| remote.starts_with("127.0.0.1:")),
        "{records}"
    );
    assert_eq!((&records[1]["outcome"], &records[1]["status"]), (&json!("refused"), &json!(404)));
    assert!(records[1]["reason"].as_str().is_some_and(|reason| reason.contains("nowhere")), "{records}");
    assert_eq!(host.log().matches("\"target\":\"audit\"").count(), 4, "{}", host.log());
    assert!(!host.log().contains(OPERATE) && !records.to_string().contains(OPERATE), "no token is shown");

    host.terminate().await;
    host.restart().await;
    assert_eq!(audit(&host).await, records);
    let said = host.run(&["audit", "--token", READ, "--config", &config(&host)]).await;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("/api/v1/backends/hook/pause") && text.contains("ops"), "{text}");
    let refused = host.run(&["audit", "--config", &config(&host)]).await;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && text.contains("STAGEWIRE_TOKEN"), "{text}");
}

fn config(host: &Host) -> String {
    host.settings_path().to_string_lossy().into_owned()
}

#[tokio::test]
async fn the_page_about_it_is_followed_to_the_letter() {
    let page = std::fs::read_to_string(places::root().join("docs/admin.md")).expect("the page is there");
    let host = Host::with("events: { enabled: true, backend: local }\n").admin(&tokens()).start().await;
    host.send_all(&[event("evt_1", "document.x")]).await;
    host.has_settled().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = format!(
        "events: {{ enabled: true, backend: local }}\nplugins: {{ directory: {} }}\n",
        host.plugin_directory().display()
    );
    std::fs::write(directory.path().join("settings.yaml"), settings).expect("it can be written");
    let blocks = crate::docs::blocks(&page, "sh");
    assert_eq!(blocks.len(), 3);
    for (index, block) in blocks.iter().enumerate() {
        // Only who may operate may do the second.
        let token = if index == 1 { OPERATE } else { READ };
        let environment = [
            ("ADMIN", format!("http://{}", host.admin_address())),
            ("TOKEN", format!("Authorization: Bearer {token}")),
        ];
        crate::docs::typed(block, directory.path(), &environment).await;
    }
}
