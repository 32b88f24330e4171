//! `stagewire run`

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, Outcome, SettingsFile, block_on};
use crate::config::watch::Watcher;
use crate::host::{Host, StartError, Swapper};
use crate::telemetry::logs;

/// Run the host
///
/// SIGTERM and SIGINT drain and stop, SIGHUP reloads. Settings, rules and plugins are also swapped when their files
/// change.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stagewire run\n  stagewire run --config /etc/stagewire/settings.yaml\n  EVENTS_ENABLED=true REDIS_EVENTS_URL=redis://127.0.0.1/1 stagewire run"
)]
pub(super) struct Run {
    #[command(flatten)]
    file: SettingsFile,
}

impl Run {
    pub(super) fn run(self) -> Outcome {
        let settings = self.file.load()?;
        raise_open_files();
        logs::start(&settings.host.logs);
        logs::set_level(settings.events.as_ref().map(|events| events.monitoring.log_level));
        block_on(async move {
            let host = Host::start(self.file.config, settings).await.map_err(|error| match error {
                StartError::Settings(refused) => Failure::Usage(refused.to_string()),
                StartError::Room(message) => Failure::Failed(message),
            })?;
            let mut signals = Signals::listen()?;
            until_stopped(&host.view().swapper, &mut signals).await;
            tokio::select! {
                () = host.stop() => {}
                () = signals.end() => tracing::warn!("asked twice: stopping at once; what is unsettled goes on at the next start"),
            }
            Ok(())
        })
    }
}

/// As many connections and segments as the system allows: the usual soft limit of 1,024 open files is for `select(2)`,
/// which nothing here calls.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    // Where it is refused the old limit holds, and `accept` says when it is reached.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Never waited for: being listened to, a file that may not grow (`ulimit -f`) is an error to the journal, which
    /// says 503, instead of the end of the process.
    _file_size: Signal,
}

impl Signals {
    const FILE_SIZE: i32 = rustix::process::Signal::XFSZ.as_raw();

    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(Self::FILE_SIZE))?,
        })
    }

    /// SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Reloads when files change or SIGHUP asks, until SIGTERM or SIGINT.
async fn until_stopped(swapper: &Arc<Swapper>, signals: &mut Signals) {
    let mut files = swapper.files();
    let mut watcher = Watcher::new(files.borrow_and_update().clone());
    loop {
        tokio::select! {
            () = watcher.changed() => {
                // Its refusal is logged and shown in the status, as that of the other below.
                let _ = swapper.reload_changed().await;
                watcher.watch(files.borrow_and_update().clone());
                continue;
            }
            // Somebody else has reloaded, and other files are read now. Its sender is the swapper, which is here.
            Ok(()) = files.changed() => {
                watcher.watch(files.borrow_and_update().clone());
                continue;
            }
            _ = signals.hangup.recv() => {}
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
        }
        let _ = swapper.reload().await;
        watcher.watch(files.borrow_and_update().clone());
    }
}
