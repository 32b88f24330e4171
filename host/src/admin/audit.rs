//! The audit log: who changed what, when, from where, and how it ended. In the log under the target `audit`, and in two files of
//! bounded size in the data directory, for reading it back.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::settings::Role;
use crate::journal::now_ms;

/// Beyond that a file is put aside, and the one that was aside is gone.
const MOST_BYTES: u64 = 1 << 20;
/// What is kept of why a change was refused.
const LONGEST: usize = 500;

/// One change, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Record {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// The name of the token; `loopback` where none is needed.
    pub who: String,
    /// What the token allows.
    pub role: Role,
    /// From where.
    pub remote: Option<SocketAddr>,
    /// What was done: the operation's id in the API's description.
    pub action: String,
    /// On what: path and query.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The status of the answer.
    pub status: u16,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// As it was asked for.
    Done,
    /// Nothing changed.
    Refused,
}

/// The files.
#[derive(Clone)]
pub(super) struct Audit(Arc<Mutex<PathBuf>>);

impl Audit {
    /// In a directory that is there.
    pub(super) fn new(data: &Path) -> Self {
        Self(Arc::new(Mutex::new(data.join("audit.jsonl"))))
    }

    /// Notes a change. Blocks. What cannot be kept on disk is in the log all the same.
    pub(super) fn note(&self, mut record: Record) {
        record.at_ms = now_ms();
        record.reason = record.reason.map(|reason| reason.chars().take(LONGEST).collect());
        let Record { who, action, target, status, .. } = &record;
        let (remote, outcome) = (record.remote.map(tracing::field::display), record.outcome);
        let reason = record.reason.as_deref();
        tracing::info!(target: "audit", who, remote, action, on = target, ?outcome, status, reason, "a change by the admin API");
        let path = self.0.lock();
        if let Err(error) = append(&path, &record) {
            tracing::error!(%error, file = %path.display(), "the audit file cannot be written; the change stands in the log alone");
        }
    }

    /// The latest changes, newest first. Blocks.
    pub(super) fn latest(&self, limit: usize) -> Vec<Record> {
        let path = self.0.lock();
        let mut records: Vec<Record> =
            [aside(&path), path.clone()].iter().flat_map(|file| read(file)).collect();
        records.reverse();
        records.truncate(limit);
        records
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("1.jsonl")
}

fn append(path: &Path, record: &Record) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() >= MOST_BYTES) {
        std::fs::rename(path, aside(path))?;
    }
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(&line)
}

/// A line that a crash has cut off is left out.
fn read(file: &Path) -> Vec<Record> {
    let Ok(file) = std::fs::File::open(file) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: usize) -> Record {
        Record {
            at_ms: 0,
            who: "ops".into(),
            role: Role::Operate,
            remote: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
            action: "pause".into(),
            target: format!("/api/v1/backends/{number}/pause"),
            outcome: Outcome::Refused,
            status: 404,
            reason: Some("x".repeat(LONGEST + 1)),
        }
    }

    #[test]
    fn the_latest_come_first_and_a_cut_off_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::new(directory.path());
        assert!(audit.latest(10).is_empty());
        (0..3).for_each(|number| audit.note(record(number)));
        let file = directory.path().join("audit.jsonl");
        std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"at_ms\":1").unwrap();
        let latest = audit.latest(2);
        let targets: Vec<_> = latest.iter().map(|record| record.target.as_str()).collect();
        assert_eq!(targets, ["/api/v1/backends/2/pause", "/api/v1/backends/1/pause"]);
        assert_eq!(latest[0].reason.as_ref().unwrap().len(), LONGEST);
        assert!(latest[0].at_ms > 0);
    }

    #[test]
    fn the_files_stay_small() {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::new(directory.path());
        let file = directory.path().join("audit.jsonl");
        for number in 0..3 {
            audit.note(record(number));
            let length = usize::try_from(MOST_BYTES).unwrap();
            std::fs::OpenOptions::new()
                .append(true)
                .open(&file)
                .unwrap()
                .write_all(&vec![b'\n'; length])
                .unwrap();
        }
        audit.note(record(3));
        let targets: Vec<_> = audit.latest(10).into_iter().map(|record| record.target).collect();
        assert_eq!(targets, ["/api/v1/backends/3/pause", "/api/v1/backends/2/pause"]);
        let sizes =
            std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
        assert!(sizes.sum::<u64>() < 3 * MOST_BYTES);
    }
}
