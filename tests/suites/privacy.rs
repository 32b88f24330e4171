//! What events may not carry is nowhere to be found afterwards.

use std::path::Path;

use serde_json::{Value, json};
use stagewire_tests::Host;

const SECRET: &str = "Once upon a time there was a secret.";

fn settings(action: &str) -> String {
    format!(
        "events:\n  enabled: true\n  backends: [{{ type: local }}]\nprivacy: [{{ action: {action}, types: [com.storytelling.*, trap] }}]\nroutes:\n  - name: r\n    steps: [{{ plugin: trap }}]\n    deliver: [local]\n"
    )
}

fn document(id: &str, kind: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/s", "type": format!("com.storytelling.nlp.{kind}"),
        "subject": "document/1",
        "data": { "document_id": "1", "pages": [{ "raw_text": SECRET, "number": 7 }], "content": { "body": SECRET } },
    })
}

/// Every file below a directory that has the secret in it.
fn leaks(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            found.extend(leaks(&path));
        } else if std::fs::read(&path)
            .expect("it can be read")
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_forbidden_field_is_refused_with_its_name_and_kept_nowhere() {
    let host = Host::with(settings("reject")).guest("trap").start().await;
    let answer = host.send(&document("1", "document.processed")).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("content") && !answer.text().contains(SECRET), "{}", answer.text());
    let mut harmless = document("2", "document.processed");
    harmless["data"] = json!({ "document_id": "1" });
    let batch = [harmless, document("3", "document.processed")];
    assert_eq!(host.send_batch(&batch).await.status, 422, "a batch is refused whole");
    assert!(host.metric("stagewire_privacy_events_total", &["action=\"reject\""]).await >= 2.0);
    assert_eq!(host.status().await["journal"]["next"], 0);
    assert_eq!(leaks(&host.data()), [""; 0]);
    assert!(!host.log().contains(SECRET));
}

#[tokio::test]
async fn what_is_removed_reaches_no_stream_no_dead_letter_and_no_log() {
    let host = Host::with(settings("remove")).guest("trap").start().await;
    // The second type lets the plugin trap: its event becomes a dead letter.
    let mut trapped = document("2", "x");
    trapped["type"] = json!("trap");
    host.send_all(&[document("1", "document.processed"), trapped]).await;
    host.has_settled().await;
    let path = host.settings_path();
    let output = host.run(&["tail", "local", "--config", &path.to_string_lossy()]).await;
    let event: Value = serde_json::from_slice(&output.stdout).expect("one event came");
    assert_eq!(event["data"], json!({ "document_id": "1", "pages": [{ "number": 7 }] }));
    assert_eq!(leaks(&host.data()), [""; 0]);
    assert!(!host.log().contains(SECRET));
    let letters = host.admin("GET", "/api/v1/dead-letters").await.expect("it answers").text();
    assert!(!letters.contains(SECRET), "{letters}");
}

#[tokio::test]
async fn a_rule_that_is_no_path_is_refused_with_its_line() {
    let settings = "events: { enabled: false }\nprivacy:\n  - fields: [text, 'a..b']\n";
    let output = Host::with(settings).refused().await;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("a..b"), "{said}");
}
