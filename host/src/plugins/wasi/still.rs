//! `wasi:io` on a worker, where nothing waits: what is not ready at once is a trap. All that is inert is ready at once.

use futures_util::FutureExt;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io as waiting;

use super::{State, table};

fn at_once<T>(future: impl Future<Output = T>) -> Result<T> {
    future.now_or_never().ok_or_else(|| Error::msg("waited for what a step without such a grant never gets"))
}

fn stream_at_once<T>(future: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    at_once(future).map_err(StreamError::Trap)?
}

impl poll::Host for State {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        at_once(waiting::poll::Host::poll(table(self), pollables))?
    }
}

impl poll::HostPollable for State {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        at_once(waiting::poll::HostPollable::ready(table(self), pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        at_once(waiting::poll::HostPollable::block(table(self), pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        waiting::poll::HostPollable::drop(table(self), pollable)
    }
}

impl streams::Host for State {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        Ok(waiting::streams::Host::convert_stream_error(table(self), error)?.into())
    }
}

type Output = Resource<DynOutputStream>;
type Input = Resource<DynInputStream>;

impl streams::HostOutputStream for State {
    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        waiting::streams::HostOutputStream::check_write(table(self), stream)
    }

    fn write(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        waiting::streams::HostOutputStream::write(table(self), stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        let host = table(self);
        stream_at_once(waiting::streams::HostOutputStream::blocking_write_and_flush(host, stream, bytes))
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        waiting::streams::HostOutputStream::flush(table(self), stream)
    }

    fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        stream_at_once(waiting::streams::HostOutputStream::blocking_flush(table(self), stream))
    }

    fn subscribe(&mut self, stream: Output) -> Result<Resource<DynPollable>> {
        waiting::streams::HostOutputStream::subscribe(table(self), stream)
    }

    fn write_zeroes(&mut self, stream: Output, length: u64) -> StreamResult<()> {
        waiting::streams::HostOutputStream::write_zeroes(table(self), stream, length)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Output, length: u64) -> StreamResult<()> {
        let host = table(self);
        stream_at_once(waiting::streams::HostOutputStream::blocking_write_zeroes_and_flush(
            host, stream, length,
        ))
    }

    fn splice(&mut self, stream: Output, from: Input, length: u64) -> StreamResult<u64> {
        waiting::streams::HostOutputStream::splice(table(self), stream, from, length)
    }

    fn blocking_splice(&mut self, stream: Output, from: Input, length: u64) -> StreamResult<u64> {
        let host = table(self);
        stream_at_once(waiting::streams::HostOutputStream::blocking_splice(host, stream, from, length))
    }

    fn drop(&mut self, stream: Output) -> Result<()> {
        at_once(waiting::streams::HostOutputStream::drop(table(self), stream))?
    }
}

impl streams::HostInputStream for State {
    fn read(&mut self, stream: Input, length: u64) -> StreamResult<Vec<u8>> {
        waiting::streams::HostInputStream::read(table(self), stream, length)
    }

    fn blocking_read(&mut self, stream: Input, length: u64) -> StreamResult<Vec<u8>> {
        stream_at_once(waiting::streams::HostInputStream::blocking_read(table(self), stream, length))
    }

    fn skip(&mut self, stream: Input, length: u64) -> StreamResult<u64> {
        waiting::streams::HostInputStream::skip(table(self), stream, length)
    }

    fn blocking_skip(&mut self, stream: Input, length: u64) -> StreamResult<u64> {
        stream_at_once(waiting::streams::HostInputStream::blocking_skip(table(self), stream, length))
    }

    fn subscribe(&mut self, stream: Input) -> Result<Resource<DynPollable>> {
        waiting::streams::HostInputStream::subscribe(table(self), stream)
    }

    fn drop(&mut self, stream: Input) -> Result<()> {
        at_once(waiting::streams::HostInputStream::drop(table(self), stream))?
    }
}
