//! `POST /events`: the HTTP ingress, HTTP/1.1 and h2c, or TLS.
//!
//! 202 is answered once the intake has taken the batch, and so once it is durable.

mod credentials;
mod service;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Intake;
use crate::config::settings;
use service::Service;

/// What a shutdown waits for open requests.
const DRAIN: Duration = Duration::from_secs(10);
/// After an error of `accept` (too many open files), so that it is no busy loop.
const PAUSE: Duration = Duration::from_millis(50);

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

/// Listens and serves until `stop`. Where nothing is `traced`, nobody is told of a request's trace.
///
/// # Errors
/// Why it cannot listen there or with that certificate, and the mend.
pub async fn serve(
    settings: &settings::Host,
    intake: Arc<dyn Intake>,
    traced: bool,
    stop: CancellationToken,
) -> Result<HttpIngress, String> {
    let listen = settings.listen;
    let tls = settings.http.tls.as_ref().map(tls::acceptor).transpose()?;
    let cannot =
        |error| format!("cannot listen on {listen}: {error}; stop the other process or set host.listen");
    let listener = TcpListener::bind(listen).await.map_err(cannot)?;
    let local_addr = listener.local_addr().map_err(cannot)?;
    let door = Door {
        service: Arc::new(Service::new(&settings.http, intake, traced)),
        tls,
        read_timeout: settings.http.read_timeout.0,
        connections: Arc::new(Semaphore::new(settings.http.max_connections.min(Semaphore::MAX_PERMITS))),
        tasks: TaskTracker::new(),
        stop,
    };
    let task = tokio::spawn(door.accept(listener));
    Ok(HttpIngress { local_addr, task })
}

struct Door {
    service: Arc<Service>,
    tls: Option<TlsAcceptor>,
    read_timeout: Duration,
    connections: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        while let Some((stream, permit)) = self.next(&listener).await {
            let connection = Connection {
                service: Arc::clone(&self.service),
                tls: self.tls.clone(),
                read_timeout: self.read_timeout,
                stop: self.stop.clone(),
            };
            self.tasks.spawn(async move {
                connection.serve(stream).await;
                drop(permit);
            });
        }
        drop(listener);
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "requests were still open at the end of the drain");
        }
    }

    /// The next connection; `None` at the end.
    async fn next(&self, listener: &TcpListener) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        loop {
            let permit = tokio::select! {
                permit = Arc::clone(&self.connections).acquire_owned() => permit.ok()?,
                () = self.stop.cancelled() => return None,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return None,
            };
            match accepted {
                Ok((stream, _)) => return Some((stream, permit)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

struct Connection {
    service: Arc<Service>,
    tls: Option<TlsAcceptor>,
    read_timeout: Duration,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Only latency is lost where this is refused.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.tls.clone() else { return self.speak(stream).await };
        match tokio::time::timeout(self.read_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut builder = Builder::new(TokioExecutor::new());
        // A client that sends its headers slowly, or none, is cut off.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.read_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .keep_alive_interval(self.read_timeout);
        let greeted = AtomicBool::new(false);
        let service = hyper::service::service_fn(|request| {
            greeted.store(true, Ordering::Relaxed);
            let service = Arc::clone(&self.service);
            async move { Ok::<_, std::convert::Infallible>(service.answer(request).await) }
        });
        // Before the first byte, and in the preface of HTTP/2, hyper's own limit does not hold yet.
        let silent = async {
            tokio::time::sleep(self.read_timeout).await;
            if greeted.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silent => return tracing::debug!("a connection sent no request in time"),
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

#[cfg(test)]
mod tests;
