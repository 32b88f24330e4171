//! The log on disk: one host at a time, and what `journal check` says of it.

use std::fs;
use std::path::{Path, PathBuf};

use stagewire_tests::waiting::{PATIENCE, until_true};
use stagewire_tests::{Host, Redis, stories};

#[tokio::test]
async fn one_host_locks_the_data_directory_for_itself() {
    let first = Host::with("events: { enabled: false }\n").start().await;
    let settings = fs::read_to_string(first.settings_path()).expect("the settings can be read");
    let ports = stagewire_tests::process::free_port();
    let other = settings.replace(&first.ingress().to_string(), &ports.to_string());
    let path = first.settings_path().with_file_name("other.yaml");
    fs::write(&path, other).expect("the directory can be written");
    let output = first.run(&["run", "--config", &path.to_string_lossy()]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(said.contains("lock") || said.contains("in use") || said.contains("another"), "{said}");
    first.send_all(&[stories::started()]).await;
}

#[tokio::test]
async fn a_whole_journal_is_checked_and_a_damaged_one_is_found() {
    let redis = Redis::start().await;
    let mut host = Host::with(redis.events_section()).start().await;
    host.send_all(&stories::processed()).await;
    host.has_settled().await;
    assert!(host.terminate().await.success());
    let settings = host.settings_path();
    let check = ["journal", "check", "--config", &*settings.to_string_lossy()];
    let output = host.run(&check).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // In the middle of the largest file, where records are.
    let damaged = largest_file(&host.data().join("journal"));
    let mut bytes = fs::read(&damaged).expect("a segment can be read");
    let text = b"stage2-nlp-processing";
    let at = bytes.windows(text.len()).position(|window| window == text).expect("events are in the segment");
    bytes[at] ^= 0xFF;
    fs::write(&damaged, bytes).expect("a segment can be written");
    let output = host.run(&check).await;
    assert_eq!(output.status.code(), Some(1), "damage is found");
}

#[tokio::test]
async fn a_full_disk_is_answered_by_503_and_recovered_from_without_a_restart() {
    let redis = Redis::start().await;
    let host = Host::with(redis.events_section()).host("journal: { segment: 1GiB }").start().await;
    host.send_all(&stories::processed()).await;
    host.has_settled().await;
    // Files may not grow any more: to the host the disk is full.
    host.process().limit_files(Some(1));
    let answer = host.send(&stories::started()).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some() && answer.text().contains("the journal cannot write"));
    let ready = host.admin("GET", "/readyz").await.expect("the admin API answers");
    assert_eq!(ready.status, 503, "a journal that cannot write is unready: {}", ready.text());
    host.process().limit_files(None);
    until_true("the host is ready again by itself", PATIENCE, async || {
        host.admin("GET", "/readyz").await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    host.send_all(&[stories::completed()]).await;
    host.has_settled().await;
    let ids = redis.stream("nlp-events").ids().await;
    assert_eq!(ids.len(), stories::STORIES.len() + 1, "what got 503 was not kept: {ids:?}");
}

fn largest_file(directory: &Path) -> PathBuf {
    let entries = fs::read_dir(directory).expect("the journal has a directory").flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    // Segments are made at their full length, so look for content.
    let written =
        |path: &PathBuf| fs::read(path).unwrap_or_default().iter().rposition(|byte| *byte != 0).unwrap_or(0);
    files.map(|entry| entry.path()).max_by_key(written).expect("the journal has a file")
}
