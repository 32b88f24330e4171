//! From a plugin's file to machine code: within bounds, in a process of its own, and kept on disk.
//!
//! A file of 100 KB can keep the compiler busy for a minute or have it take a gigabyte, and a compiler cannot be interrupted.
//! So the `stagewire` command compiles in a child ([`apart`]) that may take so much processor time and memory, gives way to
//! events, and can be ended. A library that has no such command beside it compiles in its own process.

mod apart;
mod kept;
mod weight;

use std::borrow::Cow;
use std::path::Path;

use parking_lot::Mutex;
use wasmtime::component::Component;
use wit_component::ComponentEncoder;

pub use apart::answer;

use super::error::{PluginError, Refusal};
use super::said;
use crate::config::settings::Loading;
use crate::config::units::Size;
use crate::names::Digest;
use apart::Children;
use kept::Kept;
use weight::weight;

/// Machine code is larger than what it is made of: of the runtimes that plugins bring, twice to three times.
const GROWS: u64 = 8;
/// The most that an instance may take for its functions and globals. Python's runtime has a megabyte of them.
const HEAVIEST: Size = Size::mib(32);

/// Makes code of files.
pub(super) struct Compiler {
    bounds: Mutex<Loading>,
    children: Children,
    kept: Option<Kept>,
}

impl Compiler {
    pub(super) fn new(cache: Option<&Path>) -> Result<Self, PluginError> {
        let kept = cache.map(Kept::open).transpose().map_err(PluginError::engine)?;
        Ok(Self { bounds: Mutex::default(), children: Children::default(), kept })
    }

    /// What a file may take from now on.
    pub(super) fn bound(&self, bounds: Loading) {
        *self.bounds.lock() = bounds;
    }

    /// From now on events flow beside, and go first.
    pub(super) fn yield_to_events(&self) {
        self.children.yield_to_events();
    }

    /// Ends what is being compiled, and begins nothing more.
    pub(super) fn stop(&self) {
        self.children.stop();
    }

    /// The code of a file: from the disk where it was compiled before.
    pub(super) fn compile(
        &self,
        engine: &wasmtime::Engine,
        file: &[u8],
        digest: Digest,
    ) -> Result<Component, Refusal> {
        let bounds = *self.bounds.lock();
        if !file.starts_with(b"\0asm") {
            return Err(Refusal::NotWasm);
        }
        if file.len() as u64 > bounds.size.0 {
            return Err(Refusal::TooLarge(bounds.size));
        }
        if weight(file) > HEAVIEST.0 {
            let why = format!("an instance of it would take more than {HEAVIEST} beside its memory");
            return Err(Refusal::Uncompiled(why));
        }
        if let Some(code) = self.kept.as_ref().and_then(|kept| kept.find(engine, digest))
            && let Ok(component) = ready(engine, &code)
        {
            return Ok(component);
        }
        let code = self.children.compile(file, &bounds).unwrap_or_else(|| compiled(engine, file))?;
        let component = ready(engine, &code).map_err(|error| Refusal::Damaged(short(&error)))?;
        if let Some(kept) = &self.kept {
            // It works all the same; only the next start takes longer.
            kept.keep(engine, digest, &code).unwrap_or_else(|problem| tracing::warn!("{problem}"));
        }
        Ok(component)
    }
}

/// Code as it is kept and handed over, of a component or of a core module that carries its world.
fn compiled(engine: &wasmtime::Engine, file: &[u8]) -> Result<Vec<u8>, Refusal> {
    let component = component(engine, file)?;
    engine.precompile_component(&component).map_err(|error| Refusal::Damaged(short(&error)))
}

#[allow(unsafe_code)]
fn ready(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: wasmtime asks that `precompile_component` made these bytes, since they hold machine code. It did: in this process, in
    // a child that is this very program, or before, for the cache, whose directory is this user's alone and whose files carry a
    // checksum. Code of another version of wasmtime, or for another machine, is refused by wasmtime itself.
    unsafe { Component::deserialize(engine, code) }
}

fn component<'a>(engine: &wasmtime::Engine, file: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
    match file.get(4..8) {
        None => Err(Refusal::Damaged(format!("it ends after {} bytes", file.len()))),
        // The second half of the version says component or core module.
        Some([_, _, 1, _]) => Ok(Cow::Borrowed(file)),
        Some(_) => {
            // The encoder trusts the lengths that it reads (it panics on a module that is cut short).
            wasmtime::Module::validate(engine, file).map_err(|error| Refusal::Damaged(short(&error)))?;
            encode(file).map(Cow::Owned)
        }
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.module(module).and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| Refusal::Module(said::line(&error.root_cause().to_string(), said::REASON)))
}

/// The first line of what wasmtime says.
pub(super) fn short(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    said::line(cause.lines().next().unwrap_or_default(), said::REASON)
}
