//! `stagewire run`

use std::path::PathBuf;
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
pub struct Run {
    #[command(flatten)]
    file: SettingsFile,
}

impl Run {
    pub(super) fn run(self) -> Outcome {
        let settings = self.file.load()?;
        logs::start();
        logs::set_level(settings.events.as_ref().map(|events| events.monitoring.log_level));
        block_on(async move {
            let host = Host::start(self.file.config, settings).await.map_err(|error| match error {
                StartError::Settings(refused) => Failure::Usage(refused.to_string()),
                StartError::Room(message) => Failure::Failed(message),
            })?;
            until_stopped(&host.view().swapper).await?;
            host.stop().await;
            Ok(())
        })
    }
}

/// Reloads when files change or SIGHUP asks, until SIGTERM or SIGINT.
async fn until_stopped(swapper: &Arc<Swapper>) -> Outcome {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut watcher = Watcher::new(watched(swapper))?;
    while wait(&mut watcher, &mut hangup, &mut terminate, &mut interrupt).await {
        // Its refusal is logged and shown in the status.
        let _ = swapper.reload().await;
        watcher.watch(watched(swapper));
    }
    Ok(())
}

/// Whether to reload (true) or to stop.
async fn wait(watcher: &mut Watcher, hangup: &mut Signal, terminate: &mut Signal, interrupt: &mut Signal) -> bool {
    tokio::select! {
        () = watcher.changed() => true,
        _ = hangup.recv() => true,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
    }
}

fn watched(swapper: &Swapper) -> Vec<PathBuf> {
    swapper.files()
}
