//! The admin listener: health, metrics, the admin API and the dashboard. Loopback only.

mod api;
mod dashboard;
mod events;
mod guard;
mod letters;
mod plugins;
mod problem;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use guard::Guard;
pub(crate) use letters::shown;

use crate::config::settings;
use crate::host::View;

/// The running listener.
pub struct AdminServer {
    /// Where it listens.
    pub local_addr: SocketAddr,
    task: JoinHandle<()>,
}

/// Starts listening.
///
/// # Errors
/// Why it cannot listen there, and the mend.
pub async fn serve(
    settings: &settings::Admin,
    view: Arc<View>,
    stop: CancellationToken,
) -> Result<AdminServer, String> {
    let listen = settings.listen;
    if !listen.ip().is_loopback() {
        return Err(format!(
            "host.admin.listen: {listen} is not loopback; the admin API has no credentials yet"
        ));
    }
    let cannot = |error| {
        format!("cannot listen on {listen}: {error}; stop the other process or set host.admin.listen")
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let local_addr = listener.local_addr().map_err(cannot)?;
    let router = Guard::new(local_addr, &settings.hosts).before(api::router(view));
    let task = tokio::spawn(async move {
        let serve = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serve.await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    Ok(AdminServer { local_addr, task })
}

impl AdminServer {
    /// Waits until the listener has ended.
    pub async fn stopped(self) {
        // A connection that stays open must not hold the host up.
        let limit = std::time::Duration::from_secs(1);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(limit, self.task).await.is_err() {
            abort.abort();
        }
    }
}
