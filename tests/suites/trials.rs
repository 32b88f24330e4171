//! Rules that are tried before they are live: one event, a file of cases, a file of settings against a running host.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use stagewire_tests::{Host, places, wire};

const SETTINGS: &str = "\
events:
  enabled: true
  backends:
    - { type: local }
    - { type: nats, config: { servers: ['nats://user:s3cret@127.0.0.1:1'], subject: 'nlp.{type}' } }
routes:
  - name: chosen
    match:
      - prefix: { type: com.example. }
      - sql: \"subject LIKE 'document/%' AND EXISTS source\"
    steps:
      - plugin: redact
        settings: { remove: [text] }
    deliver: [local, nats]
  - name: counted
    match: [{ cel: 'data.count > 2' }]
    deliver: [local]
";

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A host that does not run, and a file beside its settings.
fn prepared(settings: &str, name: &str, text: &str) -> (Host, String) {
    let host = Host::with(settings).plugins(&["redact"]).prepare();
    let file = host.data().with_file_name(name);
    std::fs::write(&file, text).expect("a temporary file can be written");
    (host, file.to_string_lossy().into_owned())
}

const EVENT: &str = r#"{
  "specversion": "1.0", "id": "e-1", "source": "stage2", "type": "com.example.made", "subject": "document/7",
  "datacontenttype": "application/json", "data": { "text": "hello", "count": 1 }
}"#;

#[tokio::test]
async fn each_route_says_what_decided_what_its_steps_change_and_where_the_event_goes() {
    let (host, event) = prepared(SETTINGS, "event.json", EVENT);
    let settings = host.settings_path().to_string_lossy().into_owned();
    let asked = ["route", "test", "--config", &settings, "--event", &event];
    let output = host.run(&asked).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output).replace(&*host.data().to_string_lossy(), "data");
    assert_eq!(
        shown,
        r#"chosen: takes it
  because type begins with "com.example." is true: type is "com.example.made"
  because subject LIKE 'document/%' is true: subject is "document/7"
  because EXISTS source is true: source is "stage2"
  step redact: 1 event(s) out
      {
        "data": {
    -     "count": 1,
    -     "text": "hello"
    +     "count": 1
        },
        "datacontenttype": "application/json",
        "id": "e-1",
  → local (data/streams/events, stream events)
  → nats (nats://127.0.0.1:1, subject nlp.com.example.made)
counted: does not match
  because data.count > 2 is false: data.count is 1"#
    );
    let output = host.run(&[&asked[..], &["--json"]].concat()).await;
    let trials: Value = serde_json::from_str(&stdout(&output)).expect("it prints JSON");
    assert_eq!(trials[0]["steps"][0]["deed"], "change");
    assert_eq!(trials[0]["steps"][0]["change"]["to"][0]["data"], json!({ "count": 1 }));
    assert_eq!(trials[0]["deliveries"][1]["place"], "subject nlp.com.example.made");
    assert_eq!((&trials[1]["matched"], &trials[1]["decided_by"]), (&json!(false), &json!("data.count > 2")));
    assert_eq!(trials[1]["because"][0]["found"], json!({ "data.count": 1 }));
}

#[tokio::test]
async fn match_says_which_part_decided() {
    let (host, event) = prepared("events: { enabled: false }\n", "event.json", EVENT);
    let asked =
        async |arguments: &[&str]| host.run(&[&["match", "--event", &event], arguments].concat()).await;
    let output = asked(&["--sql", "type = 'com.example.made' AND subject LIKE 'batch/%'"]).await;
    assert_eq!((stdout(&output), output.status.code()), ("false".into(), Some(1)));
    let said = "because subject LIKE 'batch/%' is false: subject is \"document/7\"";
    assert!(stderr(&output).contains(said), "{}", stderr(&output));
    let output = asked(&["--cel", "data.count > 0 && type != 'x'", "--explain"]).await;
    assert_eq!(
        stdout(&output),
        "true\nbecause data.count > 0 is true: data.count is 1\nbecause type != 'x' is true: type is \"com.example.made\""
    );
    let output = asked(&["--prefix", "subject=batch/", "--json", "--explain"]).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).expect("it prints JSON");
    assert_eq!(answer["because"][0]["found"], json!({ "subject": "document/7" }));
    let output = asked(&["--prefix", "subject=batch/", "--json"]).await;
    assert_eq!(stdout(&output), r#"{"value":false,"error":null,"message":null}"#);
}

#[tokio::test]
async fn the_sample_of_cases_passes() {
    let cases = places::root().join("config/cases");
    let path = |name: &str| cases.join(name).to_string_lossy().into_owned();
    let (host, _) = prepared("", "none", "");
    let (settings, cases) = (path("settings.yaml"), path("cases.yaml"));
    let output = host.run(&["route", "test", "--config", &settings, "--cases", &cases]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).ends_with("3 passed, 0 failed"), "{}", stdout(&output));
}

const CASES: &str = "\
cases:
  - name: its text goes
    event: { type: com.example.made, subject: document/1, data: { text: hello, count: 5 } }
    expect:
      routes: [chosen]
      dropped: {}
      delivered: { local: [{ data: { count: 5, text: hello } }, { data: { text: hello } }], nats: [{ subject: document/1 }] }
  - event: { type: other, data: { count: 3 } }
";

#[tokio::test]
async fn cases_that_fail_show_the_difference_and_are_updated() {
    let (host, cases) = prepared(SETTINGS, "cases.yaml", CASES);
    let settings = host.settings_path().to_string_lossy().into_owned();
    let asked = ["route", "test", "--config", &settings, "--cases", &cases];
    let output = host.run(&asked).await;
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{}", stderr(&output));
    for part in [
        "FAILED its text goes",
        "-           \"text\": \"hello\"",
        "+     \"counted\"",
        "FAILED case 2",
        "nothing is expected",
        "0 passed, 2 failed",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let output = host.run(&[&asked[..], &["--json"]].concat()).await;
    let report: Value = serde_json::from_str(&stdout(&output)).expect("it prints JSON");
    assert_eq!((&report["passed"], &report["cases"][1]["name"]), (&json!(false), &json!("case 2")));
    assert_eq!(report["cases"][0]["found"]["routes"], json!(["chosen", "counted"]));
    let output = host.run(&[&asked[..], &["--update"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = host.run(&asked).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let written = std::fs::read_to_string(&cases).expect("the cases are there");
    assert!(written.contains("its text goes") && written.contains("counted"), "{written}");
}

#[tokio::test]
async fn a_broken_file_of_cases_is_refused_with_its_lines() {
    let wrong = "\
cases:
  - event: { type: x }
    expcet: { routes: [] }
  - event: { type: x }
    expect: { routes: [choosen], delivered: { redis: [] } }
  - expect: {}
  - file: nowhere.json
  - event: { id: '' }
";
    let (host, cases) = prepared(SETTINGS, "cases.yaml", wrong);
    let settings = host.settings_path().to_string_lossy().into_owned();
    let output = host.run(&["route", "test", "--config", &settings, "--cases", &cases]).await;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cases.yaml:3:5") && said.contains("did you mean \"expect\"?"), "{said}");
    std::fs::write(&cases, wrong.replace("expcet", "expect")).expect("a temporary file can be written");
    let output = host.run(&["route", "test", "--config", &settings, "--cases", &cases]).await;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        "there is no route \"choosen\"",
        "did you mean \"chosen\"?",
        "there is no backend \"redis\"",
        "the case has no event",
        "nowhere.json",
        "not an event",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_file_is_held_against_what_runs() {
    let mut host = Host::with(SETTINGS).plugins(&["redact"]).start().await;
    let settings = host.settings_path().to_string_lossy().into_owned();
    let asked = ["validate", &settings, "--against", "running"];
    let output = host.run(&[&asked[..], &["--exit-code"]].concat()).await;
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", stderr(&output));
    assert!(shown.contains("against generation 1:\na swap would change nothing"), "{shown}");
    assert!(shown.contains("not compared, because they are secret: nats.servers[0]"), "{shown}");

    let next = host.data().with_file_name("next.yaml");
    let text = std::fs::read_to_string(host.settings_path()).expect("the settings are there");
    let text = text
        .replace("s3cret", "other")
        .replace("/plugins\n", "/plugins-next\n")
        .replace("remove: [text]", "remove: [text, html]")
        .replace("- name: counted", "- name: many")
        .replace("  - { type: local }\n", "  - { type: local, config: { stream_name: others } }\n")
        .replace("host:\n", "host:\n  workers: 1\n");
    std::fs::write(&next, text).expect("the settings can be written");
    // In a directory that the running host does not watch.
    let plugins = host.data().with_file_name("plugins-next");
    std::fs::create_dir(&plugins).expect("a directory can be made");
    std::fs::write(plugins.join("redact.wasm"), with_a_section(&places::plugin("redact")))
        .expect("a file can be written");
    let next = next.to_string_lossy().into_owned();
    let asked = ["validate", &next, "--against", "running"];
    let output = host.run(&asked).await;
    let shown = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", stderr(&output));
    for part in [
        "  ~ chosen\n      steps[0].settings.remove: [\"text\"] → [\"text\",\"html\"]\n  - counted\n  + many\n",
        "plugins\n  ~ redact\n      digest: \"sha256:",
        "backends\n  ~ local\n      config: null → {\"stream_name\":\"others\"}\n",
        "at the next start\n  ~ host.workers: null → 1\n",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("s3cret") && !shown.contains("other@"), "{shown}");
    assert_eq!(host.run(&[&asked[..], &["--exit-code"]].concat()).await.status.code(), Some(1));
    let output = host.run(&[&asked[..], &["--json"]].concat()).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).expect("it prints JSON");
    assert_eq!((&answer["changed"], &answer["changes"]["routes"]["many"]), (&json!(true), &json!("added")));

    let answer =
        wire::send(host.admin_address(), "GET", "/api/v1/settings", &[], b"").await.expect("it answers");
    assert!(!answer.text().contains("s3cret"), "{}", answer.text());
    assert_eq!(answer.json()["settings"]["routes"][0]["name"], "chosen");

    host.terminate().await;
    let output = host.run(&asked).await;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("no host answers at"), "{}", stderr(&output));
}

/// The same plugin under another digest.
fn with_a_section(file: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(file).expect("the plugin is there");
    // A custom section (id 0) of three bytes: its name "x", and one byte.
    bytes.extend([0, 3, 1, b'x', 0]);
    bytes
}

#[tokio::test]
async fn what_is_hardly_meant_is_a_warning_that_strict_refuses() {
    let settings = SETTINGS.replace("prefix: { type: com.example. }", "exact: { Type: com.example.made }");
    let (host, _) = prepared(&settings, "none", "");
    let file = host.settings_path().to_string_lossy().into_owned();
    let output = host.run(&["validate", &file]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    for part in [
        "no event has an attribute \"Type\"",
        "did you mean \"type\"?",
        "route \"chosen\" takes no event",
        "settings.yaml:",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(host.run(&["validate", &file, "--strict"]).await.status.code(), Some(1));
    let output = host.run(&["validate", &file, "--json"]).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).expect("it prints JSON");
    assert_eq!((&answer["valid"], answer["warnings"].as_array().map(Vec::len)), (&json!(true), Some(2)));
}

#[tokio::test]
async fn a_route_that_is_passed_over_says_why() {
    let settings = "\
events: { enabled: true, backend: local }
routes:
  - { name: morning, match: [{ prefix: { type: com. } }], times: [{ to: '12:00' }], stop: true, deliver: [local] }
  - { name: all, deliver: [local] }
  - { name: rest, otherwise: true, deliver: [local] }
";
    let (host, event) = prepared(settings, "event.json", EVENT);
    let file = host.settings_path().to_string_lossy().into_owned();
    let at = async |time: &str| {
        let output = host.run(&["route", "test", "--config", &file, "--event", &event, "--at", time]).await;
        stdout(&output)
    };
    let morning = at("2026-01-05T11:59:00Z").await;
    assert!(morning.contains("morning: takes it"), "{morning}");
    assert!(
        morning.contains("all: is passed over; stop: route morning takes it, and none after that"),
        "{morning}"
    );
    let evening = at("2026-01-05T20:00:00Z").await;
    assert!(evening.contains("morning: is passed over; times: it takes no events then"), "{evening}");
    assert!(evening.contains("rest: is passed over; otherwise: route all takes it"), "{evening}");
    let cases = host.data().with_file_name("cases.yaml");
    let event = "event: { type: com.x }";
    let text = format!(
        "cases:\n  - {{ at: 2026-01-05T11:59:00Z, {event}, expect: {{ routes: [morning] }} }}\n  - {{ at: 2026-01-05T20:00:00Z, {event}, expect: {{ routes: [all] }} }}\n"
    );
    std::fs::write(&cases, text).expect("a temporary file can be written");
    let output = host.run(&["route", "test", "--config", &file, "--cases", &cases.to_string_lossy()]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}
