//! A real NATS server of the test's own: `JetStream`, which keeps what it confirms, and core NATS, which keeps nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::{self, consumer, stream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;

use super::{Broker, Content, Mistake};
use crate::peers::{python_reads, python_reads_recorded};
use crate::places;
use crate::process::free_port;
use crate::waiting::{PATIENCE, until};

/// Events in each content mode have a stream of their own, for a stream drops what comes twice.
const STREAMS: [(&str, Content); 2] = [("STRUCTURED", Content::Structured), ("BINARY", Content::Binary)];
/// A stream that others publish to.
const OTHER: &str = "OTHER";
/// Who may do everything, and who may publish nothing but requests.
const USERS: &str = r#"users: [
    { user: stage2, password: right },
    { user: guest, password: right, permissions: { publish: { allow: ["$JS.API.>", "_INBOX.>"] }, subscribe: ["_INBOX.>"] } }
  ]"#;

/// What a server asks of those who connect, as its configuration file has it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The inside of `authorization { … }`.
    pub authorization: String,
    /// Further lines: `tls { … }`, `max_payload: …`.
    pub more: String,
    /// When a message is on the disk.
    pub sync: Sync,
}

/// When `JetStream` syncs its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before each acknowledgement.
    #[default]
    Always,
    /// As the server does by itself: every two minutes.
    Usual,
}

impl Rules {
    /// Anybody may do everything, as a server does that nobody has set up.
    pub fn open() -> Self {
        Self { authorization: String::new(), more: String::new(), sync: Sync::Usual }
    }
}

/// Writes what a server needs into a directory.
///
/// # Errors
/// Of the file system.
pub fn lay_out(directory: &Path, address: SocketAddr, rules: &Rules) -> std::io::Result<()> {
    let Rules { authorization, more, sync } = rules;
    let path = directory.display();
    let sync = match sync {
        Sync::Always => "always",
        Sync::Usual => "2m",
    };
    let settings = format!(
        "listen: \"{address}\"\nmax_payload: 4MB\njetstream {{ store_dir: \"{path}/store\", sync_interval: {sync} }}\nauthorization {{ {authorization} }}\n{more}\n",
    );
    std::fs::write(directory.join("nats.conf"), settings)
}

/// The command that starts the server which was laid out there.
pub fn command(directory: &Path) -> Command {
    let mut command = Command::new(places::nats_server());
    command.arg("--config").arg(directory.join("nats.conf")).current_dir(directory);
    command
}

/// A server in a temporary directory.
pub struct Server {
    address: SocketAddr,
    process: Child,
    directory: TempDir,
}

impl Server {
    /// Starts one and waits until it takes connections.
    pub async fn start(rules: &Rules) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let address = free_port();
        lay_out(directory.path(), address, rules).expect("a file can be written");
        let process = serve(&directory);
        let mut server = Self { address, process, directory };
        server.answers().await;
        server
    }

    async fn answers(&mut self) {
        until("NATS answers", PATIENCE, async || {
            let ended = self.process.try_wait().ok().flatten();
            assert!(ended.is_none(), "nats-server ended with {ended:?}: {}", self.log());
            TcpStream::connect(self.address).await.ok()
        })
        .await;
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("nats.log")).unwrap_or_default()
    }

    /// `127.0.0.1:…`
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn kill(&mut self) {
        self.process.kill().await.expect("a running server can be killed");
    }

    async fn again(&mut self) {
        self.process = serve(&self.directory);
        self.answers().await;
    }

    /// A client of the test's own.
    async fn client(&self) -> async_nats::Client {
        // A server that lets anybody in takes the user as well.
        let options = async_nats::ConnectOptions::with_user_and_password("stage2".into(), "right".into());
        options.connect(format!("nats://{}", self.address)).await.expect("the test may connect")
    }

    fn config(&self, more: &str) -> String {
        format!("{{ servers: [\"nats://{}\"], {more} }}", self.address)
    }

    fn mistakes(&self, usual: &str) -> Vec<Mistake> {
        let closed = free_port();
        let signed_in = "user: stage2, password: right";
        let mistake = |name, config, says| Mistake { name, config, says };
        vec![
            mistake(
                "wrong port",
                format!("{{ servers: [\"nats://{closed}\"], {signed_in}, {usual} }}"),
                &["cannot connect to nats at nats://127.0.0.1", "is it running there?"],
            ),
            mistake(
                "wrong password",
                self.config(&format!("user: stage2, password: wrong-secret, {usual}")),
                &["refused the user and password"],
            ),
            mistake(
                "wrong password in the address",
                format!("{{ servers: [\"nats://stage2:wrong-secret@{}\"], {usual} }}", self.address),
                &["nats at nats://127.0.0.1", "refused the user of `servers`"],
            ),
            mistake("no password", self.config(usual), &["or that none is given"]),
            mistake(
                "an nkey that is none",
                self.config(&format!("nkey: wrong-secret, {usual}")),
                &["cannot sign in", "by the nkey: it is malformed"],
            ),
            mistake(
                "credentials that are not there",
                self.config(&format!("credentials_file: /nowhere/stage2.creds, {usual}")),
                &["credentials_file: cannot use /nowhere/stage2.creds"],
            ),
            mistake(
                "an authority that is not there",
                self.config(&format!("ca_file: /nowhere/ca.pem, {signed_in}, {usual}")),
                &["ca_file: cannot read /nowhere/ca.pem"],
            ),
            mistake(
                "TLS to a plain port",
                format!("{{ servers: [\"tls://{}\"], {signed_in}, timeout: 2s, {usual} }}", self.address),
                &["nats at tls://127.0.0.1"],
            ),
            mistake(
                "a user who may not publish",
                self.config(&format!("user: guest, password: right, timeout: 1s, {usual}")),
                &["Permissions Violation", "let the user publish there"],
            ),
        ]
    }
}

fn serve(directory: &TempDir) -> Child {
    let log = directory.path().join("nats.log");
    command(directory.path())
        .arg("--log")
        .arg(log)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nats-server can be started")
}

fn content(content: Content) -> &'static str {
    match content {
        Content::Structured => "structured",
        Content::Binary => "binary",
    }
}

/// NATS with `JetStream`.
pub struct JetStream {
    server: Server,
    context: jetstream::Context,
    /// Ids that were read already, and how many messages of the first stream they are.
    read: Mutex<Vec<String>>,
}

impl JetStream {
    /// Starts one on these rules, which must let the user `stage2` in by the password `right`.
    pub async fn with(rules: &Rules) -> Self {
        let server = Server::start(rules).await;
        let context = jetstream::new(server.client().await);
        let subjects = vec!["other.>".to_owned()];
        let other = stream::Config { name: OTHER.into(), subjects, ..stream::Config::default() };
        context.create_stream(other).await.expect("the test may make a stream");
        Self { server, context, read: Mutex::default() }
    }

    /// Its server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How many messages a stream has; none where it does not exist.
    pub async fn length(&self, stream: &str) -> u64 {
        match self.context.get_stream(stream).await {
            Ok(stream) => stream.cached_info().state.messages,
            Err(_) => 0,
        }
    }

    /// The names of a stream's consumers.
    pub async fn consumers(&self, stream: &str) -> Vec<String> {
        let Ok(stream) = self.context.get_stream(stream).await else { return Vec::new() };
        stream.consumer_names().filter_map(async |name| name.ok()).collect().await
    }

    /// Takes so many messages by a durable pull consumer, as the next stage does; none is acknowledged yet.
    pub async fn fetch(&self, stream: &str, consumer: &str, count: usize) -> Vec<jetstream::Message> {
        let stream = self.context.get_stream(stream).await.expect("the stream is there");
        let consumer: consumer::PullConsumer =
            stream.get_consumer(consumer).await.expect("the consumer is there");
        let messages = consumer.fetch().max_messages(count).messages().await.expect("NATS answers");
        messages.map(|message| message.expect("a message is read")).collect().await
    }

    /// Makes a stream.
    pub async fn create(&self, name: &str, subject: &str) {
        self.create_small(name, subject, -1).await;
    }

    /// Makes a stream that refuses more than so many messages.
    pub async fn create_small(&self, name: &str, subject: &str, most: i64) {
        let made = self.context.create_stream(small(name, subject, most)).await;
        made.expect("the test may make a stream");
    }

    /// Lets a stream have as many messages as come.
    pub async fn raise(&self, name: &str, subject: &str) {
        let changed = self.context.update_stream(small(name, subject, -1)).await;
        changed.expect("the test may change a stream");
    }

    /// Waits until a stream has at least that many messages.
    pub async fn has(&self, stream: &str, count: u64) {
        let what = format!("stream {stream} has {count} messages");
        until(&what, PATIENCE, async || (self.length(stream).await >= count).then_some(())).await;
    }

    fn rules() -> Rules {
        Rules { authorization: USERS.into(), more: String::new(), sync: Sync::Always }
    }
}

impl Broker for JetStream {
    const KIND: &'static str = "nats";
    const NAME: &'static str = "NATS JetStream";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        Self::with(&Self::rules()).await
    }

    fn config(&self, mode: Content, more: &str) -> String {
        let mode = content(mode);
        let stream = mode.to_uppercase();
        self.server.config(&format!(
            "user: stage2, password: right, subject: \"{mode}.{{type}}\", stream: {stream}, create_stream: true, content: {mode}, {more}"
        ))
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        let what = format!("NATS has {count} messages");
        until(&what, PATIENCE, async || {
            let mut all = 0;
            for (stream, _) in STREAMS {
                all += self.length(stream).await;
            }
            (all >= count as u64).then_some(())
        })
        .await;
        let url = format!("nats://stage2:right@{}", self.server.address);
        let mut arguments = vec!["nats", url.as_str()];
        arguments.extend(STREAMS.map(|(stream, _)| stream));
        python_reads(&arguments).await
    }

    async fn ids(&self) -> Vec<String> {
        let (name, _) = STREAMS[0];
        let Ok(stream) = self.context.get_stream(name).await else { return Vec::new() };
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for sequence in known.len() as u64 + 1..=stream.cached_info().state.last_sequence {
            let Ok(message) = stream.get_raw_message(sequence).await else { break };
            known.push(id(&message.payload));
        }
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
        known
    }

    async fn kill(&mut self) {
        self.server.kill().await;
    }

    async fn again(&mut self) {
        self.server.again().await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let signed_in = "user: stage2, password: right";
        let mistake = |name, more: &str, says| Mistake {
            name,
            config: self.server.config(&format!("{signed_in}, {more}")),
            says,
        };
        let mut mistakes = self.server.mistakes("subject: other.x");
        mistakes.extend([
            mistake(
                "a stream that is not there",
                "stream: NOWHERE",
                &["stream \"NOWHERE\" does not exist", "nats stream add NOWHERE", "create_stream: true"],
            ),
            mistake(
                "a subject that no stream has",
                "subject: nobody.listens",
                &["no stream at nats", "\"nobody.listens\"", "set create_stream"],
            ),
            mistake(
                "a subject that another stream has",
                "subject: other.x, stream: MINE, create_stream: true",
                &["cannot create stream \"MINE\"", "overlap"],
            ),
            mistake(
                "a subject that the stream does not have",
                "subject: nobody.listens, stream: OTHER, create_stream: true",
                &["\"nobody.listens\""],
            ),
        ]);
        mistakes
    }
}

fn small(name: &str, subject: &str, most: i64) -> stream::Config {
    stream::Config {
        name: name.into(),
        subjects: vec![subject.into()],
        max_messages: most,
        discard: stream::DiscardPolicy::New,
        ..stream::Config::default()
    }
}

fn id(document: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Id {
        id: String,
    }
    serde_json::from_slice::<Id>(document).expect("a message is an event").id
}

/// NATS without `JetStream`, with a subscriber that keeps what it receives.
pub struct CoreNats {
    server: Server,
    received: Arc<Mutex<Vec<async_nats::Message>>>,
    subscriber: AbortHandle,
}

impl CoreNats {
    fn received(&self) -> Vec<async_nats::Message> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for CoreNats {
    fn drop(&mut self) {
        self.subscriber.abort();
    }
}

impl Broker for CoreNats {
    const KIND: &'static str = "nats";
    const NAME: &'static str = "NATS";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        let server = Server::start(&JetStream::rules()).await;
        let client = server.client().await;
        let mut messages = client.subscribe("contract.>").await.expect("the test may subscribe");
        // What the server answers after the subscription, it answers with the subscription in place.
        let inbox = client.new_inbox();
        let answered = client.request(inbox, Vec::new().into()).await;
        assert!(answered.is_err(), "nobody is there to answer");
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        let subscriber = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            }
        });
        Self { server, received, subscriber: subscriber.abort_handle() }
    }

    fn config(&self, mode: Content, more: &str) -> String {
        let mode = content(mode);
        self.server.config(&format!(
            "user: stage2, password: right, subject: \"contract.{{type}}\", jetstream: false, content: {mode}, {more}"
        ))
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        let what = format!("the subscriber has {count} messages");
        until(&what, PATIENCE, async || (self.received().len() >= count).then_some(())).await;
        let recorded: Vec<_> = self.received().iter().map(recorded).collect();
        python_reads_recorded("nats-recorded", &recorded).await
    }

    async fn ids(&self) -> Vec<String> {
        self.received().iter().map(|message| id(&message.payload)).collect()
    }

    async fn kill(&mut self) {
        self.server.kill().await;
    }

    async fn again(&mut self) {
        self.server.again().await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        self.server.mistakes("jetstream: false, subject: contract.x")
    }
}

/// A message in the form that the peers read.
fn recorded(message: &async_nats::Message) -> Value {
    let headers = message.headers.iter().flat_map(async_nats::HeaderMap::iter);
    let headers: serde_json::Map<_, _> = headers
        .filter_map(|(name, values)| Some((name.to_string(), values.first()?.to_string().into())))
        .collect();
    json!({ "headers": headers, "body": BASE64.encode(&message.payload) })
}
