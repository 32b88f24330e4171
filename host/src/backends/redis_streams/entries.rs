//! What is sent for a batch: an `XADD` for each event, and now and then an `XTRIM`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use redis::{Cmd, Pipeline};

use super::super::template::Template;
use super::super::{Failure, Item};
use super::settings::{Layout, RedisStreams};
use crate::journal::now_ms;
use crate::protocol::{json, redis as binding};

/// How often entries older than `ttl_seconds` are trimmed.
const TRIM: Duration = Duration::from_secs(1);

/// Where events go, and as what.
pub(super) struct Entries {
    streams: Template,
    /// The stream of all events, where there is only one.
    stream: Option<Arc<str>>,
    layout: Layout,
    max_len: u64,
    ttl_seconds: u64,
    /// Streams that were added to since the last trimming by age, which was then.
    touched: HashSet<Arc<str>, FixedState>,
    trimmed: Option<Instant>,
}

impl Entries {
    pub(super) fn new(streams: Template, settings: &RedisStreams) -> Self {
        Self {
            stream: streams.fixed().map(Arc::from),
            streams,
            layout: settings.layout,
            max_len: settings.max_len,
            ttl_seconds: settings.ttl_seconds,
            touched: HashSet::default(),
            trimmed: None,
        }
    }

    /// What decides on the slot of all streams in a cluster.
    pub(super) fn tag(&self) -> &str {
        self.streams.texts().next().unwrap_or_default()
    }

    /// A stream among several holds up only the keys that go there.
    pub(super) fn nowhere(&self, pause: Duration, text: String) -> Failure {
        self.streams.nowhere(pause, text)
    }

    /// The stream of each event, or why it can have none.
    pub(super) fn streams(&self, items: &[&Item]) -> Vec<Result<Arc<str>, Failure>> {
        let stream = |item: &&Item| {
            if let Some(stream) = &self.stream {
                return Ok(Arc::clone(stream));
            }
            let filled = self.streams.fill(&item.event, |value| value.into());
            filled.map(Arc::from).map_err(Failure::Reject)
        };
        items.iter().map(stream).collect()
    }

    /// A transaction: all of it or nothing, so that order holds also when one command is refused.
    pub(super) fn pipeline(&mut self, items: &[&Item], streams: &[Result<Arc<str>, Failure>]) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(items.len() + 3);
        pipeline.atomic().ignore_errors();
        let mut document = Vec::new();
        for (item, stream) in items.iter().zip(streams) {
            let Ok(stream) = stream else { continue };
            self.add(&mut pipeline, stream, item, &mut document);
            if self.ttl_seconds > 0 && !self.touched.contains(stream) {
                self.touched.insert(Arc::clone(stream));
            }
        }
        self.trim(&mut pipeline);
        pipeline
    }

    fn add(&self, pipeline: &mut Pipeline, stream: &str, item: &Item, document: &mut Vec<u8>) {
        let event = &item.event;
        // To measure: growing it bit by bit cost more than the rest of the encoding.
        let mut command = Cmd::with_capacity(16, event.record().len() + stream.len() + 512);
        command.arg("XADD").arg(stream);
        if self.max_len > 0 {
            command.arg("MAXLEN").arg("~").arg(self.max_len);
        }
        command.arg("*");
        match self.layout {
            Layout::Event => {
                document.clear();
                json::encode(event, document);
                command.arg("event").arg(&document[..]);
                // Beside the event, as a transport's headers are. Where attributes are fields the names are taken.
                for (name, value) in item.trace_headers() {
                    command.arg(name).arg(value);
                }
            }
            Layout::Attributes => {
                for (name, value) in binding::fields(event) {
                    command.arg(name).arg(&value[..]);
                }
            }
        }
        pipeline.add_command(command);
    }

    /// `XADD` takes only one of `MAXLEN` and `MINID`: age is trimmed by a command of its own, now and then.
    fn trim(&mut self, pipeline: &mut Pipeline) {
        let due = self.trimmed.is_none_or(|last| last.elapsed() >= TRIM);
        if self.ttl_seconds == 0 || !due {
            return;
        }
        self.trimmed = Some(Instant::now());
        let oldest = now_ms().saturating_sub(self.ttl_seconds.saturating_mul(1_000));
        for stream in self.touched.drain() {
            pipeline.cmd("XTRIM").arg(&*stream).arg("MINID").arg("~").arg(oldest).ignore();
        }
    }
}
