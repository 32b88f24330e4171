//! Connections: accepted up to a number, over TLS where it is set, and cut off where a client is slow. What is said on them is the
//! matter of a [`Service`].

mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use tls::acceptor;

/// After an error of `accept` (too many open files), so that it is no busy loop.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that the system may have made and that are not accepted yet; it cuts the number down to its own limit
/// (`net.core.somaxconn`). Where more come at once their clients try again, a second later at the earliest.
const BACKLOG: u32 = 4_096;

/// What answers.
pub(crate) trait Service: Send + Sync + 'static {
    /// The answer to one request of a client at that address.
    fn answer(
        &self,
        request: Request<Incoming>,
        from: SocketAddr,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// A connection was closed because of what its client did, or did not do in time.
    fn cut_off(&self, from: SocketAddr, why: &str);
}

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Open connections; more wait to be accepted.
    pub(crate) connections: usize,
    /// The longest that a client may take to send its headers.
    pub(crate) read_timeout: Duration,
    /// What a shutdown waits for open requests.
    pub(crate) drain: Duration,
}

/// Listens there; nothing is accepted yet.
pub(crate) fn bind(to: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of an earlier process that are being forgotten are no obstacle.
    socket.set_reuseaddr(true)?;
    socket.bind(to)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until `stop`, then answers what is under way.
pub(crate) async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    stop: CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let protocol = Arc::new(protocol(limits.read_timeout));
    let door = Door { service, protocol, tls, limits, connections, tasks: TaskTracker::new(), stop };
    door.accept(listener).await;
}

/// HTTP/1.1, or HTTP/2 where a client begins by it.
fn protocol(read_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // A client that sends its headers slowly, or none, is cut off.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(read_timeout);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256).keep_alive_interval(read_timeout);
    builder
}

struct Door<S> {
    service: Arc<S>,
    protocol: Arc<Builder<TokioExecutor>>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    connections: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<S: Service> Door<S> {
    async fn accept(self, listener: TcpListener) {
        while let Some((stream, from, permit)) = self.next(&listener).await {
            let connection = Connection {
                service: Arc::clone(&self.service),
                protocol: Arc::clone(&self.protocol),
                tls: self.tls.clone(),
                read_timeout: self.limits.read_timeout,
                stop: self.stop.clone(),
                from,
            };
            self.tasks.spawn(async move {
                connection.serve(stream).await;
                drop(permit);
            });
        }
        drop(listener);
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(open = self.tasks.len(), "requests were still open at the end of the drain");
        }
    }

    /// The next connection; `None` at the end.
    async fn next(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
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
                Ok((stream, from)) => return Some((stream, from, permit)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

struct Connection<S> {
    service: Arc<S>,
    protocol: Arc<Builder<TokioExecutor>>,
    tls: Option<TlsAcceptor>,
    read_timeout: Duration,
    stop: CancellationToken,
    from: SocketAddr,
}

impl<S: Service> Connection<S> {
    async fn serve(self, stream: TcpStream) {
        // Only latency is lost where this is refused.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.tls.clone() else { return self.speak(stream).await };
        match Box::pin(tokio::time::timeout(self.read_timeout, acceptor.accept(stream))).await {
            // Boxed, so that a connection without TLS has no room for it.
            Ok(Ok(stream)) => Box::pin(self.speak(stream)).await,
            Ok(Err(error)) => self.service.cut_off(self.from, &format!("its TLS handshake failed: {error}")),
            Err(_) => self.service.cut_off(self.from, "its TLS handshake took too long"),
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let greeted = AtomicBool::new(false);
        let from = self.from;
        let service = hyper::service::service_fn(|request| {
            greeted.store(true, Ordering::Relaxed);
            let service = Arc::clone(&self.service);
            // Boxed, so that a connection without a request has no room for one.
            Box::pin(async move { Ok::<_, std::convert::Infallible>(service.answer(request, from).await) })
        });
        // Before the first byte, and in the preface of HTTP/2, hyper's own limit does not hold yet.
        let silent = async {
            tokio::time::sleep(self.read_timeout).await;
            if greeted.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let connection = self.protocol.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silent => return self.service.cut_off(from, "it sent no request in time"),
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            self.service.cut_off(from, &format!("it ended early: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Service for Nobody {
        async fn answer(&self, _: Request<Incoming>, _: SocketAddr) -> Response<Body> {
            Response::default()
        }

        fn cut_off(&self, _: SocketAddr, _: &str) {}
    }

    #[tokio::test]
    async fn a_connection_takes_little_memory() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_client, (stream, from)) = (opened.unwrap(), accepted.unwrap());
        let connection = Connection {
            service: Arc::new(Nobody),
            protocol: Arc::new(protocol(Duration::from_secs(1))),
            tls: None,
            read_timeout: Duration::from_secs(1),
            stop: CancellationToken::new(),
            from,
        };
        let size = std::mem::size_of_val(&connection.serve(stream));
        // hyper's buffers of 8 and 16 KiB come on top.
        assert!(size <= 4_096, "{size} bytes");
    }
}
