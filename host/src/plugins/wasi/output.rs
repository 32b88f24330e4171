//! Standard output and standard error: lines of the plugin's log.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::plugins::bindings::v0_1::host::Level;
use crate::plugins::voice::Voice;

/// A line that is longer is written in parts.
const LINE: usize = 4 << 10;
/// What may be written at once.
const PERMIT: usize = 64 << 10;

/// One of the two; all streams of it write to the same line.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Line>>);

struct Line {
    level: Level,
    voice: Arc<Voice>,
    begun: Vec<u8>,
}

impl Output {
    pub(super) fn new(voice: &Arc<Voice>, level: Level) -> Self {
        Self(Arc::new(Mutex::new(Line { level, voice: Arc::clone(voice), begun: Vec::new() })))
    }
}

impl Line {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n').flat_map(|line| line.chunks(LINE)) {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") || self.begun.len() >= LINE {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        let line = String::from_utf8_lossy(&self.begun);
        if !line.trim().is_empty() {
            self.voice.log(self.level, line.trim_end());
        }
        self.begun.clear();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Streams of later versions of WASI, which no plugin imports.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}
