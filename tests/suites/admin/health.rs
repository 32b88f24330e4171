//! How healthy a host says it is, and why.

use serde_json::json;
use stagewire_tests::process::free_port;
use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, places};

use super::{STEPPED, ask, done, event};

/// Status and text of a probe.
async fn probe(host: &Host, path: &str) -> (u16, String) {
    let answer = ask(host, "GET", path, None, b"").await;
    (answer.status, answer.text())
}

async fn becomes(host: &Host, word: &str) {
    until_true(&format!("it is {word}"), PATIENCE, async || probe(host, "/healthz").await.1.trim() == word)
        .await;
}

#[tokio::test]
async fn a_backend_that_is_down_is_degraded_and_not_unready() {
    let away = free_port();
    let settings = format!(
        "events:\n  enabled: true\n  backends:\n    - type: local\n    - {{ type: redis_streams, name: away, config: {{ url: \"redis://{away}/0\" }} }}\n"
    );
    let host = Host::with(settings).start().await;
    host.send_all(&[event("one", "a")]).await;
    becomes(&host, "degraded").await;
    assert_eq!(probe(&host, "/readyz").await, (200, "ready\n".into()));
    let (status, text) = probe(&host, "/readyz?verbose").await;
    assert_eq!(status, 200);
    assert!(text.contains("[+] journal ok\n") && text.contains("[+] backend/local ok\n"), "{text}");
    assert!(text.contains("[~] backend/away degraded: down: ") && text.ends_with("\ndegraded\n"), "{text}");
    let health = done(&host, "GET", "/api/v1/health").await;
    assert_eq!(health["condition"], "degraded", "{health}");
}

#[tokio::test]
async fn a_journal_that_cannot_write_is_unready_until_it_can() {
    let host = Host::with("events: { enabled: true, backend: local }\n").start().await;
    becomes(&host, "ok").await;
    host.process().limit_files(Some(4_096));
    until_true("the journal cannot write", PATIENCE, async || {
        // What fits still goes in.
        host.send(&event("one", &"t".repeat(200))).await.status == 503
    })
    .await;
    let (status, text) = probe(&host, "/readyz").await;
    assert!(status == 503 && text.starts_with("not ready: journal: it cannot write: "), "{status} {text}");
    assert_eq!(probe(&host, "/healthz").await, (503, "unready\n".into()));
    let (status, text) = probe(&host, "/readyz?verbose").await;
    assert!(status == 503 && text.starts_with("[-] journal unready: it cannot write: "), "{status} {text}");
    assert_eq!(probe(&host, "/livez").await, (200, "ok\n".into()), "it lives: a restart would not help");
    host.process().limit_files(None);
    becomes(&host, "ok").await;
    assert_eq!(probe(&host, "/readyz").await.0, 200);
}

#[tokio::test]
async fn what_operators_and_wrong_files_do_is_said() {
    let host = Host::with(STEPPED).plugin_file("step", &places::guest("keeps-all")).start().await;
    becomes(&host, "ok").await;
    done(&host, "POST", "/api/v1/backends/local/pause").await;
    done(&host, "POST", "/api/v1/plugins/step/suspend").await;
    host.put_settings("events: { enabled: true, backend: nowhere }\n");
    assert!(host.reload().await.is_err());
    let health = done(&host, "GET", "/api/v1/health").await;
    let checks = health["checks"].as_array().expect("checks");
    let reason = |name: &str| {
        let check =
            checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {health}"));
        assert_eq!(check["condition"], "degraded", "{check}");
        check["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(reason("backend/local"), "paused by an operator");
    assert_eq!(reason("plugin/step"), "suspended by an operator");
    assert!(reason("settings").contains("nowhere"), "{health}");
    assert_eq!(probe(&host, "/readyz").await.0, 200);
    done(&host, "POST", "/api/v1/backends/local/resume").await;
    done(&host, "POST", "/api/v1/plugins/step/resume").await;
    host.put_settings(STEPPED);
    host.reload().await.expect("good settings");
    becomes(&host, "ok").await;
    assert_eq!(done(&host, "GET", "/api/v1/health").await["condition"], json!("ok"));
}
