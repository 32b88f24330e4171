//! An OTLP receiver that others wrote (`opentelemetry-proto`, `grpcio`), in a process of its own: what arrived there, span by
//! span.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::certificates::Pair;
use crate::places;
use crate::process::free_port;
use crate::waiting::{PATIENCE, until};

/// The receiver. It ends with its value.
pub struct Collector {
    grpc: SocketAddr,
    http: SocketAddr,
    directory: TempDir,
    process: Option<Child>,
    /// Its certificate and key, and the authority of its clients' certificates where they must bring one.
    tls: Vec<PathBuf>,
}

/// One span as it arrived.
#[derive(Clone, Debug)]
pub struct Span(pub Value);

impl Span {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// Its trace, in hexadecimal.
    pub fn trace(&self) -> &str {
        self.text("trace")
    }

    /// Its id, in hexadecimal.
    pub fn id(&self) -> &str {
        self.text("span")
    }

    /// The id of the span above; empty for the first.
    pub fn parent(&self) -> &str {
        self.text("parent")
    }

    /// One of its attributes.
    pub fn attribute(&self, key: &str) -> &Value {
        &self.0["attributes"][key]
    }

    /// Why it failed.
    pub fn error(&self) -> Option<&str> {
        self.0["error"].as_str()
    }

    /// `00-TRACE-SPAN-01`
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace(), self.id())
    }
}

impl Collector {
    /// Starts one and waits until it takes connections.
    pub async fn start() -> Self {
        let mut collector = Self::absent();
        collector.again().await;
        collector
    }

    /// Starts one that speaks TLS by that certificate. With an authority it asks its clients for a certificate of it.
    pub async fn secured(Pair { certificate, key }: &Pair, clients: Option<&Path>) -> Self {
        let mut collector = Self::absent();
        collector.tls =
            [certificate, key].into_iter().map(PathBuf::as_path).chain(clients).map(Into::into).collect();
        collector.again().await;
        collector
    }

    /// Where one will be, and is not yet.
    pub fn absent() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self { grpc: free_port(), http: free_port(), directory, process: None, tls: Vec::new() }
    }

    /// Starts it at its place.
    pub async fn again(&mut self) {
        let mut command = Command::new(places::python());
        command.arg(places::root().join("tests/clients/python/collector.py"));
        command
            .args([self.grpc.port().to_string(), self.http.port().to_string()])
            .arg(self.file())
            .args(&self.tls);
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
        self.process = Some(child.expect("the collector can be started"));
        for address in [self.grpc, self.http] {
            until("the collector answers", PATIENCE, async || TcpStream::connect(address).await.ok()).await;
        }
    }

    /// Ends it.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.expect("a running collector can be killed");
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("spans.jsonl")
    }

    /// Its URL for gRPC.
    pub fn grpc(&self) -> String {
        self.url(self.grpc)
    }

    /// Its URL for HTTP.
    pub fn http(&self) -> String {
        self.url(self.http)
    }

    fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_empty() { "http" } else { "https" };
        format!("{scheme}://{address}")
    }

    /// All spans so far, in the order of their arrival.
    pub fn spans(&self) -> Vec<Span> {
        let lines = std::fs::read_to_string(self.file()).unwrap_or_default();
        // The last line may be half written.
        lines.lines().filter_map(|line| serde_json::from_str(line).ok()).map(Span).collect()
    }

    /// Waits until so many spans of a name have come.
    pub async fn named(&self, name: &str, count: usize) -> Vec<Span> {
        until(&format!("{count} spans {name:?} have arrived"), PATIENCE, async || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.name() == name).collect();
            (spans.len() >= count).then_some(spans)
        })
        .await
    }

    /// Waits for the one span of a name.
    pub async fn one(&self, name: &str) -> Span {
        let mut spans = self.named(name, 1).await;
        assert_eq!(spans.len(), 1, "one span {name:?}: {spans:?}");
        spans.remove(0)
    }
}
