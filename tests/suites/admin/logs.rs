//! The log of a running host: its fields, its levels, and what is left out.

use serde_json::{Value, json};
use stagewire_tests::Host;
use stagewire_tests::waiting::{PATIENCE, until_true};

use super::{ask, done, event};

const LOCAL: &str = "events: { enabled: true, backend: local }\n";

fn lines(host: &Host) -> Vec<Value> {
    host.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn a_published_event_is_logged_with_the_fields_of_the_document() {
    let host = Host::with(LOCAL).start().await;
    let mut sent = event("evt_1", "com.storytelling.nlp.document.processed");
    sent["subject"] = json!("document/doc-7");
    sent["data"] = json!({ "document_id": "doc-7", "secret": "a secret" });
    host.send_all(&[sent]).await;
    let published = |line: &&Value| line["message"] == "event published";
    until_true("it is logged", PATIENCE, async || lines(&host).iter().any(|line| published(&line))).await;
    let lines = lines(&host);
    let line = lines.iter().find(published).expect("the line");
    for (field, value) in [
        ("event_id", "evt_1"),
        ("event_type", "com.storytelling.nlp.document.processed"),
        ("document_id", "doc-7"),
        ("backend", "local"),
        ("level", "INFO"),
        ("target", "stagewire::delivery::accounts"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["latency_ms"].is_u64() && line["timestamp"].is_string(), "{line}");
    assert!(!host.log().contains("a secret"), "and not its data");
}

#[tokio::test]
async fn a_level_is_set_for_a_target_and_taken_back_in_time() {
    let host = Host::with(LOCAL).start().await;
    let debug = |host: &Host| lines(host).iter().filter(|line| line["level"] == "DEBUG").count();
    let knock = async || {
        // A refused handshake is a line at debug.
        let mut stream = tokio::net::TcpStream::connect(host.ingress()).await.expect("it listens");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"nonsense\r\n\r\n").await.expect("it reads");
        let mut rest = Vec::new();
        // However it ends.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    };
    knock().await;
    assert_eq!(debug(&host), 0);
    let config = host.settings_path().to_string_lossy().into_owned();
    let set = host.run(&["log-level", "stagewire::ingress=debug", "--for", "3s", "--config", &config]).await;
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let levels = done(&host, "GET", "/api/v1/log-level").await;
    assert_eq!(levels["targets"][0]["target"], "stagewire::ingress", "{levels}");
    until_true("it says more", PATIENCE, async || {
        knock().await;
        debug(&host) > 0
    })
    .await;
    assert!(
        lines(&host).iter().filter(|line| line["level"] == "DEBUG").all(|line| line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("stagewire::ingress")))
    );
    until_true("it is taken back", PATIENCE, async || {
        done(&host, "GET", "/api/v1/log-level").await["targets"] == json!([])
    })
    .await;
    let before = debug(&host);
    knock().await;
    assert_eq!(debug(&host), before);
    // To the end of the host, and taken back by hand; a swap leaves it as it is.
    done(&host, "POST", "/api/v1/log-level?level=error").await;
    host.reload().await.expect("the same settings");
    assert!(
        done(&host, "GET", "/api/v1/log-level").await["filter"]
            .as_str()
            .is_some_and(|text| text.ends_with("stagewire=error"))
    );
    done(&host, "POST", "/api/v1/log-level/reset?target=stagewire").await;
    assert_eq!(done(&host, "GET", "/api/v1/log-level").await["targets"], json!([]));
    for wrong in ["level=loud", "level=debug&target=a%3Db", "level=debug&target=", "level=debug&for=soon", ""]
    {
        let answer = ask(&host, "POST", &format!("/api/v1/log-level?{wrong}"), None, b"").await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_flood_is_cut_and_what_was_left_out_is_counted() {
    let mut host = Host::with(LOCAL).host("logs: { lines: 10 }").start().await;
    let events: Vec<_> = (0..2_000).map(|n| event(&format!("e{n}"), "a")).collect();
    assert_eq!(host.send_batch(&events).await.status, 202);
    host.has_settled().await;
    // The end says what is not said yet.
    host.terminate().await;
    let lines = lines(&host);
    let written = lines.iter().filter(|line| line["message"] == "event published").count() as u64;
    let place = "stagewire::delivery::accounts";
    let left_out: u64 =
        lines.iter().filter(|line| line["of"] == place).filter_map(|line| line["left_out"].as_u64()).sum();
    assert_eq!(written + left_out, 2_000, "{written} and {left_out}");
    assert!((10..1_000).contains(&written), "{written}");
}
