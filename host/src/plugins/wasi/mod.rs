//! WASI 0.2 as plugins see it: inert, but for what their step grants.
//!
//! Runtimes of languages import most of it without needing it. So all of it is there, and does nothing by itself: no
//! variables, no directories, no sockets, output to the plugin's log, the time of the call, and numbers that are the same
//! each time that an event passes. What a step grants stands in its place. Two linkers have it: one for workers, on which
//! nothing may wait, and one for steps that run apart.

mod clocks;
mod http;
mod output;
mod random;
mod sockets;
mod still;

use std::sync::Arc;

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wasmtime_wasi_io::bindings::wasi::io;

pub(super) use http::Http;

use super::bindings::v0_1::host::Level;
use super::grants::Granted;
use super::instance::State;
use super::limits::Limits;
use super::voice::Voice;
use http::Outgoing;
use output::Output;
use random::Dice;

/// Streams, pollables, descriptors and the like that one instance may have at once.
const MOST_RESOURCES: usize = 1_024;
/// The most bytes of one set of HTTP headers.
const MOST_HEADERS: usize = 32 << 10;

/// The packages that are there, by their names.
pub(super) const PACKAGES: [&str; 7] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:http", "wasi:io", "wasi:random", "wasi:sockets"];
/// The version that they are of.
pub(super) const VERSION: &str = "0.2.";

/// What one instance has of it. Made when it is first asked for: a plugin that imports none of it pays nothing.
pub(super) struct Wasi {
    table: ResourceTable,
    ctx: WasiCtx,
    dice: Dice,
    random: Option<WasiRandomCtx>,
    http: WasiHttpCtx,
    outgoing: Outgoing,
}

impl Wasi {
    pub(super) fn new(granted: &Granted, voice: &Arc<Voice>, limits: &Limits) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MOST_HEADERS);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        let mut builder = WasiCtx::builder();
        builder.stdout(Output::new(voice, Level::Info)).stderr(Output::new(voice, Level::Warn));
        builder.envs(&granted.environment).allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        for (seen, directory) in granted.directories.iter() {
            if let Err(error) = builder.preopened_dir(directory, seen, FsPerms::ReadOnly) {
                // It was there when the step was made.
                let gone = format!("cannot open {}, which it was granted: {error}", directory.display());
                voice.log(Level::Error, &gone);
            }
        }
        Self {
            table,
            ctx: builder.build(),
            dice: Dice::default(),
            random: granted.random.then(WasiRandomCtx::default),
            http,
            outgoing: Outgoing::new(
                granted.http.clone().unwrap_or_default(),
                Arc::clone(voice),
                limits.memory,
            ),
        }
    }

    /// Another call begins.
    pub(super) fn begin(&mut self) {
        self.dice.begin();
    }
}

impl State {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi_and_event().0
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table, .. } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Wasi { http: ctx, outgoing, table, .. } = self.wasi();
        WasiHttpCtxView { ctx, hooks: outgoing, table }
    }
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

fn table(state: &mut State) -> &mut ResourceTable {
    &mut state.wasi().table
}

/// For instances on workers: nothing waits there.
pub(super) fn link_near(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::sync::{filesystem, io, sockets};
    link_common(linker)?;
    io::poll::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    io::streams::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::udp_create_socket::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// For instances that run apart.
pub(super) fn link_apart(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::{filesystem, sockets};
    link_common(linker)?;
    io::poll::add_to_linker::<_, Table>(linker, table)?;
    io::streams::add_to_linker::<_, Table>(linker, table)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::udp::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::udp_create_socket::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// What never waits.
fn link_common(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::{cli, clocks, filesystem, random, sockets};
    io::error::add_to_linker::<_, Table>(linker, table)?;
    clocks::wall_clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    clocks::monotonic_clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    random::random::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    random::insecure::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    random::insecure_seed::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    sockets::tcp_create_socket::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, State::sockets)?;
    sockets::network::add_to_linker::<_, WasiSockets>(
        linker,
        &sockets::network::LinkOptions::default(),
        State::sockets,
    )?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, State::sockets)
}
