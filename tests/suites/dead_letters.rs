//! Dead letters: kept with their reason, listed, tried again where they failed, dropped, and carried to a backend.

use serde_json::{Value, json};
use stagewire_tests::brokers::Broker as _;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, Receiver, Redis};

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "s", "type": "trap", "subject": id, "data": { "n": 1 } })
}

fn webhook(receiver: &Receiver, more: &str) -> String {
    format!(
        "events:\n  enabled: true\n  backend: webhook\n  webhook: {{ urls: [\"{}\"], retry_attempts: 0 }}\n{more}",
        receiver.url()
    )
}

async fn letters(host: &Host) -> Vec<Value> {
    let answer = host.admin("GET", "/api/v1/dead-letters").await.expect("the admin API answers");
    answer.json().as_array().cloned().unwrap_or_default()
}

async fn has_letters(host: &Host, count: usize) {
    let what = format!("there are {count} dead letters");
    until_true(&what, PATIENCE, async || letters(host).await.len() == count).await;
}

/// Runs `stagewire dead-letters …` and gives what it printed.
async fn command(host: &Host, arguments: &[&str]) -> (Option<i32>, String) {
    let settings = host.settings_path().to_string_lossy().into_owned();
    let all: Vec<&str> =
        ["dead-letters"].iter().chain(arguments).copied().chain(["--config", &settings]).collect();
    let output = host.run(&all).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn letters_are_listed_tried_again_once_and_dropped() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[400, 400, 422]);
    let host = Host::with(webhook(&receiver, "")).start().await;
    host.send_all(&[event("a"), event("b"), event("c")]).await;
    has_letters(&host, 3).await;

    let (code, said) = command(&host, &["list", "--reason", "answered 422", "--json"]).await;
    let listed: Vec<Value> = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, listed.len()), (Some(0), 1), "{said}");
    assert_eq!((&listed[0]["place"]["backend"], &listed[0]["tries"]), (&json!("webhook"), &json!(1)));
    assert_eq!(listed[0]["event"]["data"], json!({ "n": 1 }), "the event is unchanged");

    let (code, said) = command(&host, &["retry"]).await;
    assert_eq!(code, Some(2), "which ones must be said: {said}");
    let (code, said) = command(&host, &["retry", "--reason", "answered 400", "--dry-run"]).await;
    assert!(code == Some(0) && said.contains("2 letters match"), "{said}");
    assert_eq!(letters(&host).await.len(), 3, "a dry run does nothing");

    let (code, said) = command(&host, &["retry", "--reason", "answered 400", "--rate", "100"]).await;
    assert!(code == Some(0) && said.contains("2 of 2"), "{said}");
    has_letters(&host, 1).await;
    assert_eq!(receiver.has(2).await.len(), 2, "each is delivered once");

    let (code, said) = command(&host, &["drop", "--backend", "webhook"]).await;
    assert!(code == Some(0) && said.contains("1 of 1"), "{said}");
    has_letters(&host, 0).await;
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn a_letter_whose_retry_fails_is_a_letter_again() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[400, 404]);
    let host = Host::with(webhook(&receiver, "")).start().await;
    host.send_all(&[event("a")]).await;
    has_letters(&host, 1).await;
    let (code, said) = command(&host, &["retry", "--all"]).await;
    assert_eq!(code, Some(0), "{said}");
    until_true("it failed again", PATIENCE, async || {
        let letters = letters(&host).await;
        letters.len() == 1 && letters[0]["reason"].as_str().is_some_and(|reason| reason.contains("404"))
    })
    .await;
}

#[tokio::test]
async fn an_event_that_a_plugin_fails_on_goes_on_from_that_step() {
    let redis = Redis::start().await;
    let route = |guest: &str| {
        format!(
            "{}routes:\n  - name: r\n    steps: [{{ plugin: step }}]\n    deliver: [redis_streams]\n# {guest}\n",
            redis.events_section()
        )
    };
    let trap = stagewire_tests::places::guest("trap");
    let host = Host::with(route("trap")).plugin_file("step", &trap).start().await;
    host.send_all(&[event("a")]).await;
    has_letters(&host, 1).await;
    let letter = letters(&host).await.remove(0);
    assert_eq!((&letter["route"], &letter["place"]["plugin"]), (&json!("r"), &json!("step")));
    assert!(letter["place"]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));

    let before = host.generation().await;
    host.put_plugin("step", &stagewire_tests::places::guest("keeps-all"));
    host.generation_after(before).await;
    let (code, said) = command(&host, &["retry", "--route", "r"]).await;
    assert_eq!(code, Some(0), "{said}");
    redis.stream("nlp-events").has(1).await;
    has_letters(&host, 0).await;
}

#[tokio::test]
async fn letters_are_exported_also_while_no_host_runs() {
    let receiver = Receiver::start().await;
    receiver.answer_first(&[400]);
    let mut host = Host::with(webhook(&receiver, "")).start().await;
    host.send_all(&[event("a")]).await;
    has_letters(&host, 1).await;
    assert!(host.terminate().await.success());
    let (code, said) = command(&host, &["export"]).await;
    let letter: Value = serde_json::from_str(said.trim()).expect("one JSON line");
    assert_eq!((code, &letter["event"]["id"]), (Some(0), &json!("a")));
    let (code, said) = command(&host, &["retry", "--all"]).await;
    assert!(code == Some(1) && said.contains("no host answers"), "{said}");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_retry_loses_no_letter() {
    let (receiver, mut redis) =
        (Receiver::start().await, <Redis as stagewire_tests::brokers::Broker>::start().await);
    drop(receiver);
    let settings = format!("{}  dlq: {{ max_retries: 0 }}\n", redis.events_section());
    let route = "routes:\n  - name: r\n    steps: [{ plugin: step }]\n    deliver: [redis_streams]\n";
    let trap = stagewire_tests::places::guest("trap");
    let mut host = Host::with(format!("{settings}{route}")).plugin_file("step", &trap).start().await;
    host.send_all(&[event("a"), event("b")]).await;
    has_letters(&host, 2).await;
    let before = host.generation().await;
    host.put_plugin("step", &stagewire_tests::places::guest("keeps-all"));
    host.generation_after(before).await;
    redis.kill().await;
    let (code, said) = command(&host, &["retry", "--all"]).await;
    assert_eq!(code, Some(0), "{said}");
    host.kill().await;
    redis.again().await;
    host.restart().await;
    has_letters(&host, 2).await;
    let (code, said) = command(&host, &["retry", "--all"]).await;
    assert_eq!(code, Some(0), "{said}");
    redis.stream("nlp-events").has(2).await;
    has_letters(&host, 0).await;
}

#[tokio::test]
async fn letters_go_to_the_stream_that_the_settings_name_once_it_is_there() {
    let (receiver, mut redis) =
        (Receiver::start().await, <Redis as stagewire_tests::brokers::Broker>::start().await);
    receiver.answer_first(&[400]);
    let dlq = format!(
        "  redis_streams: {{ url: \"{}\" }}\n  dlq: {{ enabled: true, backend: redis_streams, stream_name: nlp-events-dlq, max_retries: 3 }}\n",
        redis.url()
    );
    redis.kill().await;
    let host = Host::with(webhook(&receiver, &dlq)).start().await;
    host.send_all(&[event("a")]).await;
    has_letters(&host, 1).await;
    redis.again().await;
    redis.stream("nlp-events-dlq").has(1).await;
    has_letters(&host, 0).await;
    let carried = redis.stream("nlp-events-dlq").events().await.remove(0);
    assert_eq!((&carried["id"], &carried["data"]), (&json!("a"), &json!({ "n": 1 })));
    assert_eq!((&carried["dlqbackend"], &carried["dlqtries"]), (&json!("webhook"), &json!(1)));
    assert!(carried["dlqreason"].as_str().is_some_and(|reason| reason.contains("400")), "{carried}");
}
