//! `POST /events`: the HTTP ingress, HTTP/1.1 and h2c, or TLS.
//!
//! 202 is answered once the intake has taken the batch, and so once it is durable.

mod credentials;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Intake;
use crate::config::settings;
use crate::listener;
use service::Service;

/// What a shutdown waits for open requests.
const DRAIN: Duration = Duration::from_secs(10);

/// The running ingress.
pub struct HttpIngress {
    /// Where it listens.
    pub local_addr: SocketAddr,
    task: JoinHandle<()>,
}

impl HttpIngress {
    /// Waits until every request that was under way has been answered.
    pub async fn stopped(self) {
        if self.task.await.is_err() {
            tracing::error!("the HTTP ingress ended by a panic");
        }
    }
}

/// Listens and serves, within the runtime that it is called in, until `stop`. Where nothing is `traced`, nobody is told of a request's trace.
///
/// # Errors
/// Why it cannot listen there or with that certificate, and the mend.
pub fn serve(
    settings: &settings::Host,
    intake: Arc<dyn Intake>,
    traced: bool,
    stop: CancellationToken,
) -> Result<HttpIngress, String> {
    let listen = settings.listen;
    let tls = settings.http.tls.as_ref().map(|tls| listener::acceptor(tls, "host.http.tls")).transpose()?;
    let cannot =
        |error| format!("cannot listen on {listen}: {error}; stop the other process or set host.listen");
    let socket = listener::bind(listen).map_err(cannot)?;
    let local_addr = socket.local_addr().map_err(cannot)?;
    let limits = listener::Limits {
        connections: settings.http.max_connections,
        read_timeout: settings.http.read_timeout.0,
        drain: DRAIN,
    };
    let service = Arc::new(Service::new(&settings.http, intake, traced));
    let task = tokio::spawn(listener::serve(socket, service, tls, limits, stop));
    Ok(HttpIngress { local_addr, task })
}

#[cfg(test)]
mod tests;
