//! The embedded stream: a segment log under the data directory, read by `stagewire tail local`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backend, Failure, Item, Outcomes, Receipt, Settings, Target};
use crate::Event;
use crate::config::units::Size;
use crate::journal::{LogError, LogOptions, SegmentLog, SegmentReader, now_ms};
use crate::names::BackendName;

/// `events.local`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    /// The stream's name: a directory under `streams` of `host.data`.
    pub stream_name: String,
    /// The size beyond which the oldest events are removed.
    pub max_bytes: Size,
    /// Whether an event counts as delivered only once it is on the disk.
    pub fsync: bool,
}

impl Default for Local {
    fn default() -> Self {
        Self { stream_name: "events".into(), max_bytes: Size::mib(1_024), fsync: true }
    }
}

fn directory(data: &Path, stream: &str) -> Result<PathBuf, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if stream.is_empty() || stream.starts_with('.') || !stream.bytes().all(allowed) {
        return Err(format!(
            "stream_name {stream:?} is not allowed; use letters, digits, dots, hyphens and underscores"
        ));
    }
    Ok(data.join("streams").join(stream))
}

impl Settings for Local {
    fn open(self, name: BackendName, data: &Path) -> Result<Vec<Target>, String> {
        let dir = directory(data, &self.stream_name)?;
        let address = dir.display().to_string();
        let backend = Box::new(Stream { dir, settings: self, log: None });
        Ok(vec![Target { name, address, backend, max_retries: None, pause: None }])
    }
}

struct Stream {
    dir: PathBuf,
    settings: Local,
    log: Option<Arc<Mutex<SegmentLog>>>,
}

#[async_trait]
impl Backend for Stream {
    async fn connect(&mut self) -> Result<(), Failure> {
        // Eight segments make the whole, so that removing the oldest removes an eighth.
        let segment_bytes = (self.settings.max_bytes.0 / 8).clamp(64 << 10, 64 << 20);
        let dir = self.dir.clone();
        let open = move || SegmentLog::open(&dir, LogOptions { segment_bytes, max_bytes: None });
        let opened =
            tokio::task::spawn_blocking(open).await.map_err(|error| Failure::Retry(error.to_string()))?;
        self.log = Some(Arc::new(Mutex::new(opened.map_err(|error| Failure::Retry(error.to_string()))?)));
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let Some(log) = self.log.clone() else {
            return vec![Err(Failure::Reconnect("the stream is not open".into())); batch.len()];
        };
        let events: Vec<Event> = batch.iter().map(|item| item.event.clone()).collect();
        let Local { fsync, max_bytes, .. } = self.settings;
        let written =
            tokio::task::spawn_blocking(move || append(&mut log.lock(), &events, fsync, max_bytes.0));
        match written.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(first) => (first..)
                .take(batch.len())
                .map(|offset| Ok(Receipt::Sequence { number: offset, duplicate: false }))
                .collect(),
            Err(error) => {
                let message = format!("cannot write to the stream in {}: {error}", self.dir.display());
                vec![Err(Failure::BackOff(std::time::Duration::from_secs(1), message)); batch.len()]
            }
        }
    }

    fn place(&self, _: &Event) -> Result<Option<String>, String> {
        Ok(Some(format!("stream {}", self.settings.stream_name)))
    }

    async fn close(&mut self) {
        self.log = None;
    }
}

fn append(log: &mut SegmentLog, events: &[Event], fsync: bool, max_bytes: u64) -> std::io::Result<u64> {
    let at = now_ms().to_le_bytes();
    let parts: Vec<[&[u8]; 2]> = events.iter().map(|event| [&at[..], event.record()]).collect();
    let records: Vec<&[&[u8]]> = parts.iter().map(|parts| &parts[..]).collect();
    log.stage(&records)?;
    let first = if fsync { log.commit_durably() } else { log.commit() }?;
    log.shrink_to(max_bytes)?;
    Ok(first)
}

/// Reads a stream from any process, also while a host writes it.
///
/// # Errors
/// A name that is not allowed, or a stream that is not there.
pub fn read(
    data: &Path,
    stream: &str,
    from: u64,
) -> Result<impl Iterator<Item = Result<(u64, Event), LogError>>, String> {
    let dir = directory(data, stream)?;
    let reader = SegmentReader::open(&dir, from).map_err(|error| format!("no stream {stream:?}: {error}"))?;
    Ok(reader.filter_map(|entry| match entry {
        Ok((offset, record)) => {
            let event = record.get(8..).and_then(|_| Event::from_record(record.slice(8..)).ok())?;
            Some(Ok((offset, event)))
        }
        Err(error) => Some(Err(error)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::testing::items;

    #[tokio::test]
    async fn a_stream_is_read_while_it_is_written_and_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..2_u64 {
            let mut target = Local::default().open("local".into(), dir.path()).unwrap().remove(0);
            target.backend.connect().await.unwrap();
            let outcomes = target.backend.publish(&items(round * 10..round * 10 + 10)).await;
            assert_eq!(outcomes[9], Ok(Receipt::Sequence { number: round * 10 + 9, duplicate: false }));
            let read: Vec<_> = read(dir.path(), "events", 0)
                .unwrap()
                .map(|entry| entry.unwrap().1.id().to_owned())
                .collect();
            assert_eq!(read, (0..round * 10 + 10).map(|id| id.to_string()).collect::<Vec<_>>());
            target.backend.close().await;
        }
    }

    #[tokio::test]
    async fn the_oldest_go_when_the_stream_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Local { max_bytes: Size(256 << 10), fsync: false, ..Local::default() };
        let mut target = settings.open("local".into(), dir.path()).unwrap().remove(0);
        target.backend.connect().await.unwrap();
        for start in 0..100 {
            target.backend.publish(&items(start * 100..start * 100 + 100)).await;
        }
        let read: Vec<_> = read(dir.path(), "events", 0).unwrap().map(|entry| entry.unwrap().0).collect();
        assert!(read[0] > 0 && read.last() == Some(&9_999), "{:?}..{:?}", read.first(), read.last());
    }

    #[test]
    fn names_stay_inside_the_directory() {
        for name in ["", "..", "a/b", ".hidden", "a b"] {
            let settings = Local { stream_name: name.into(), ..Local::default() };
            assert!(settings.open("local".into(), Path::new("/data")).is_err(), "{name:?}");
        }
    }
}
