//! A webhook's receiving end, which keeps every request as it came.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Broker, Content, Mistake};
use crate::certificates::{Authority, Pair};
use crate::peers::python_reads_recorded;
use crate::process::free_port;
use crate::waiting::{PATIENCE, until, until_true};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Received {
    /// The id of the event that it brought, in either mode.
    pub fn id(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Id {
            id: String,
        }
        if let Some(id) = self.headers.get("ce-id") {
            return String::from_utf8_lossy(id.as_bytes()).into_owned();
        }
        serde_json::from_slice::<Id>(&self.body).expect("a body is an event").id
    }

    /// In the form that the peers read: headers as Latin-1 text (bytes as they came), the body in base64.
    pub fn for_peers(&self) -> Value {
        let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        let headers: serde_json::Map<_, _> = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), latin(value.as_bytes()).into()))
            .collect();
        json!({ "headers": headers, "body": base64::engine::general_purpose::STANDARD.encode(&self.body) })
    }
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<Vec<StatusCode>>,
    /// Before each answer.
    pause: Mutex<Duration>,
}

/// The receiver; it answers 200 unless told otherwise, and stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    /// Its own, so that its connections end with it; none while it is away.
    runtime: Option<Runtime>,
}

impl Receiver {
    /// Starts one.
    #[expect(clippy::unused_async, reason = "each broker is started in the same way")]
    pub async fn start() -> Self {
        Self::with(None)
    }

    fn with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let runtime = Some(serve(listener, tls.clone(), Arc::clone(&shared)));
        Self { address, shared, tls, runtime }
    }

    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Where it receives.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/webhook", self.address)
    }

    /// Answers the next requests so, one after the other, before it answers 200 again.
    pub fn answer_first(&self, statuses: &[u16]) {
        let statuses = statuses.iter().rev().map(|code| StatusCode::from_u16(*code).expect("a status"));
        self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(statuses);
    }

    /// Takes so long for each answer from now on.
    pub fn answer_slowly(&self, pause: Duration) {
        *self.shared.pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }

    /// What was accepted so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until that many requests were accepted.
    pub async fn has(&self, count: usize) -> Vec<Received> {
        let what = format!("the receiver has {count} requests");
        until_true(&what, PATIENCE, async || self.received().len() >= count).await;
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a thread can be started");
    let app = Router::new().fallback(receive).with_state(shared);
    runtime.spawn(async move {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        match tls {
            None => axum::serve(listener, app).await,
            Some(acceptor) => axum::serve(Secured { listener, acceptor }, app).await,
        }
    });
    runtime
}

/// Connections that have shaken hands.
struct Secured {
    listener: tokio::net::TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, from)) = self.listener.accept().await else { continue };
            // Whoever speaks no TLS, or does not trust the certificate, is let go of.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The same behind TLS, with a certificate of an authority of its own.
pub struct SecuredReceiver {
    receiver: Receiver,
    authority: Authority,
    expired: Receiver,
    stranger: Authority,
}

impl SecuredReceiver {
    fn place(&self, url: &str, more: &str) -> String {
        format!("{{ urls: [\"{url}\"], ca_file: {}, {more} }}", self.authority.file().display())
    }
}

fn acceptor(Pair { certificate, key }: &Pair) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a certificate can be read");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("it is PEM");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key can be read");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("the provider has them").with_no_client_auth().with_single_cert(chain, key);
    Arc::new(config.expect("certificate and key belong together")).into()
}

impl Broker for SecuredReceiver {
    const KIND: &'static str = "webhook";
    const NAME: &'static str = "webhook over TLS";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        let authority = Authority::new();
        // Not for `localhost`.
        let receiver = Receiver::with(Some(acceptor(&authority.issue_for("receiver", &["127.0.0.1"]))));
        let expired = Receiver::with(Some(acceptor(&authority.issue_expired("expired"))));
        Self { receiver, authority, expired, stranger: Authority::new() }
    }

    fn config(&self, content: Content, more: &str) -> String {
        self.place(&self.receiver.url(), &format!("mode: {}, {more}", mode(content)))
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        self.receiver.described(count).await
    }

    async fn ids(&self) -> Vec<String> {
        self.receiver.ids().await
    }

    async fn kill(&mut self) {
        self.receiver.kill().await;
    }

    async fn again(&mut self) {
        self.receiver.again().await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mistake = |name, config, says| Mistake { name, config, says };
        let (url, port) = (self.receiver.url(), self.receiver.address.port());
        let stranger = self.stranger.file();
        vec![
            mistake(
                "an authority that did not sign",
                format!("{{ urls: [\"{url}\"], ca_file: {} }}", stranger.display()),
                &["cannot reach https://127.0.0.1", "UnknownIssuer", "set ca_file"],
            ),
            mistake("no authority", format!("{{ urls: [\"{url}\"] }}"), &["UnknownIssuer", "set ca_file"]),
            mistake(
                "a name that the certificate is not for",
                self.place(&format!("https://localhost:{port}/webhook"), ""),
                &["cannot reach https://localhost", "reach it by a name that the certificate is for"],
            ),
            mistake(
                "a certificate that has expired",
                self.place(&self.expired.url(), ""),
                &["cannot reach https://127.0.0.1", "renew it"],
            ),
            mistake(
                "no TLS to a port that speaks it",
                self.place(&format!("http://127.0.0.1:{port}/webhook"), ""),
                &["cannot reach http://127.0.0.1"],
            ),
        ]
    }
}

fn mode(content: Content) -> &'static str {
    match content {
        Content::Structured => "structured",
        Content::Binary => "binary",
    }
}

impl Broker for Receiver {
    const KIND: &'static str = "webhook";
    const NAME: &'static str = "webhook";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        Self::start().await
    }

    fn config(&self, content: Content, more: &str) -> String {
        format!("{{ urls: [\"{}\"], mode: {}, {more} }}", self.url(), mode(content))
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        let recorded: Vec<_> = self.has(count).await.iter().map(Received::for_peers).collect();
        python_reads_recorded("read", &recorded).await
    }

    async fn ids(&self) -> Vec<String> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Received::id).collect()
    }

    /// What it has accepted it keeps, as a receiver does that stores events before it answers.
    async fn kill(&mut self) {
        self.stop();
    }

    async fn again(&mut self) {
        // The old socket is closed by a thread that is about to end.
        let listener =
            until("the port is free again", PATIENCE, async || TcpListener::bind(self.address).ok());
        self.runtime = Some(serve(listener.await, self.tls.clone(), Arc::clone(&self.shared)));
    }

    fn mistakes(&self) -> Vec<Mistake> {
        // Each is met once, in this order; the last is tried again and again.
        let answers = [401, 403, 404, 413, 302, 410, 500, 500, 500, 500, 500, 500];
        self.answer_first(&answers);
        let mistake = |name, config, says| Mistake { name, config, says };
        let (closed, port) = (free_port(), self.address.port());
        let to = |url: &str, more: &str| format!("{{ urls: [\"{url}\"], {more} }}");
        let here = || to(&self.url(), "");
        vec![
            mistake(
                "nobody listens there",
                to(&format!("http://{closed}/webhook"), ""),
                &["cannot reach http://127.0.0.1"],
            ),
            mistake(
                "no such host",
                to("https://receiver.invalid/webhook", ""),
                &["cannot reach https://receiver.invalid/webhook"],
            ),
            mistake(
                "TLS to a plain port",
                to(&format!("https://127.0.0.1:{port}/webhook"), ""),
                &["cannot reach https://127.0.0.1"],
            ),
            mistake(
                "a proxy that is not there",
                to(&self.url(), &format!("proxy: \"http://{closed}\"")),
                &["cannot reach http://127.0.0.1"],
            ),
            mistake(
                "a name in a denied network",
                to(&format!("http://localhost:{port}/webhook"), "deny_networks: [\"127.0.0.0/8\", \"::1\"]"),
                &["localhost is ", "in one of webhook.deny_networks"],
            ),
            mistake(
                "wrong credentials",
                here(),
                &["answered 401", "check the credentials in webhook.headers"],
            ),
            mistake("credentials without the right", here(), &["answered 403", "webhook.headers"]),
            mistake("a wrong path", here(), &["answered 404"]),
            mistake("an event that is too large there", here(), &["answered 413"]),
            mistake("a receiver that has moved", here(), &["answered 302", "follow_redirects: true"]),
            mistake("a receiver that has gone", here(), &["answered 410 Gone", "remove the url"]),
            mistake("a receiver that fails", here(), &["answered 500"]),
        ]
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let granted = [("webhook-allowed-origin", "*")];
    if method != Method::POST {
        return (StatusCode::OK, granted);
    }
    let pause = *shared.pause.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::time::sleep(pause).await;
    let status =
        shared.answers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or(StatusCode::OK);
    if status.is_success() {
        shared.received.lock().unwrap_or_else(PoisonError::into_inner).push(Received { headers, body });
    }
    (status, granted)
}
