//! What is sent for a part of a batch: an `XADD` for each event, of which the last of a stream trims it, and now and then an
//! `XTRIM`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::super::template::Template;
use super::super::{Failure, Item};
use super::settings::{Layout, RedisStreams};
use super::wire::{put, put_count};
use crate::Event;
use crate::journal::now_ms;
use crate::protocol::{json, redis as binding};

/// How often entries older than `ttl_seconds` are trimmed.
const TRIM: Duration = Duration::from_secs(1);

/// What was written, and so how it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Commands, without those of the transaction itself.
    pub(super) commands: usize,
    /// A transaction, and how many commands are before it; otherwise each command stands for itself.
    pub(super) transaction: Option<usize>,
}

/// Where events go, and as what.
pub(super) struct Entries {
    streams: Template,
    /// The stream of all events, where there is only one.
    stream: Option<Arc<str>>,
    layout: Layout,
    /// `MAXLEN`, `~` and how many; empty where there is no limit.
    limit: Vec<u8>,
    ttl_seconds: u64,
    /// Streams that were added to since the last trimming by age, which was then.
    touched: HashSet<Arc<str>, FixedState>,
    trimmed: Option<Instant>,
    document: Vec<u8>,
}

impl Entries {
    pub(super) fn new(streams: Template, settings: &RedisStreams) -> Self {
        Self {
            stream: streams.fixed().map(Arc::from),
            streams,
            layout: settings.layout,
            limit: limit(settings.max_len),
            ttl_seconds: settings.ttl_seconds,
            touched: HashSet::default(),
            trimmed: None,
            document: Vec::new(),
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
        items.iter().map(|item| self.stream(&item.event).map_err(Failure::Reject)).collect()
    }

    pub(super) fn stream(&self, event: &Event) -> Result<Arc<str>, String> {
        match &self.stream {
            Some(stream) => Ok(Arc::clone(stream)),
            None => self.streams.fill(event, |value| value.into()).map(Arc::from),
        }
    }

    /// Writes a transaction, all of it or nothing, so that order holds also when one command is refused. Without any
    /// command it is left out. `asking` says before it that the stream is on its way there.
    pub(super) fn transaction(
        &mut self,
        items: &[&Item],
        streams: &[Result<Arc<str>, Failure>],
        asking: bool,
        out: &mut Vec<u8>,
    ) -> Sent {
        let begin = out.len();
        if asking {
            command(&[b"ASKING"], out);
        }
        command(&[b"MULTI"], out);
        let commands = self.commands(items, streams, out);
        if commands == 0 {
            out.truncate(begin);
        } else {
            command(&[b"EXEC"], out);
        }
        Sent { commands, transaction: Some(usize::from(asking)) }
    }

    /// Writes a command for each event, each of which may be refused by itself. Returns how many commands that are.
    pub(super) fn commands(
        &mut self,
        items: &[&Item],
        streams: &[Result<Arc<str>, Failure>],
        out: &mut Vec<u8>,
    ) -> usize {
        let trims = self.trims(streams);
        let mut count = 0;
        for ((item, stream), trims) in items.iter().zip(streams).zip(trims) {
            let Ok(stream) = stream else { continue };
            self.add(stream, item, trims, out);
            count += 1;
            if self.ttl_seconds > 0 && !self.touched.contains(stream) {
                self.touched.insert(Arc::clone(stream));
            }
        }
        count + self.trim(out)
    }

    /// Which events are the last of their stream, and trim it to `max_len`. Where each did, that was an eighth of the server's work.
    fn trims(&self, streams: &[Result<Arc<str>, Failure>]) -> Vec<bool> {
        let mut closed: HashSet<&str, FixedState> = HashSet::default();
        let mut trims = vec![false; streams.len()];
        if !self.limit.is_empty() {
            for (stream, trims) in streams.iter().zip(&mut trims).rev() {
                *trims = stream.as_ref().is_ok_and(|stream| closed.insert(stream));
                if *trims && self.stream.is_some() {
                    break;
                }
            }
        }
        trims
    }

    fn add(&mut self, stream: &str, item: &Item, trims: bool, out: &mut Vec<u8>) {
        let event = &item.event;
        let limit = if trims { &self.limit[..] } else { &[] };
        let before = if trims { 6 } else { 3 };
        match self.layout {
            Layout::Event => {
                // Beside the event, as a transport's headers are. Where attributes are fields the names are taken.
                let beside: Vec<_> = item.trace_headers().collect();
                put_count(before + 2 + 2 * beside.len(), out);
                put_head(stream, limit, out);
                put(b"event", out);
                self.document.clear();
                json::encode(event, &mut self.document);
                put(&self.document, out);
                for (name, value) in beside {
                    put(name.as_bytes(), out);
                    put(value.as_bytes(), out);
                }
            }
            Layout::Attributes => {
                put_count(before + 2 * binding::fields(event).count(), out);
                put_head(stream, limit, out);
                for (name, value) in binding::fields(event) {
                    put(name.as_bytes(), out);
                    put(&value, out);
                }
            }
        }
    }

    /// `XADD` takes only one of `MAXLEN` and `MINID`: age is trimmed by a command of its own, now and then.
    fn trim(&mut self, out: &mut Vec<u8>) -> usize {
        let due = self.trimmed.is_none_or(|last| last.elapsed() >= TRIM);
        if self.ttl_seconds == 0 || !due {
            return 0;
        }
        self.trimmed = Some(Instant::now());
        let oldest = now_ms().saturating_sub(self.ttl_seconds.saturating_mul(1_000)).to_string();
        let streams = self.touched.drain();
        streams
            .map(|stream| command(&[b"XTRIM", stream.as_bytes(), b"MINID", b"~", oldest.as_bytes()], out))
            .count()
    }
}

/// The arguments before an event's own.
fn put_head(stream: &str, limit: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"$4\r\nXADD\r\n");
    put(stream.as_bytes(), out);
    out.extend_from_slice(limit);
    out.extend_from_slice(b"$1\r\n*\r\n");
}

fn limit(max_len: u64) -> Vec<u8> {
    let mut limit = Vec::new();
    if max_len > 0 {
        put(b"MAXLEN", &mut limit);
        put(b"~", &mut limit);
        put(max_len.to_string().as_bytes(), &mut limit);
    }
    limit
}

fn command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    put_count(arguments.len(), out);
    arguments.iter().for_each(|argument| put(argument, out));
}
