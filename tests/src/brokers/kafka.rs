//! A real Apache Kafka of the test's own: one process in `KRaft` mode, with a plain listener and one that asks for TLS and
//! SCRAM.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Broker, Content, Mistake};
use crate::certificates::Authority;
use crate::peers::python_reads_kafka;
use crate::places;
use crate::process::free_port;
use crate::waiting::until;

/// A JVM on a busy machine takes its time.
const START: Duration = Duration::from_mins(2);
const ANSWER: Duration = Duration::from_secs(20);

/// The one user that the secured listener knows.
pub const USER: &str = "alice";
/// Her password.
pub const PASSWORD: &str = "right-secret";

const TOPIC: &str = "contract";
const PARTITIONS: i32 = 3;

/// Where a broker listens.
#[derive(Clone, Copy, Debug)]
pub struct Listeners {
    /// Anybody, in clear.
    pub plain: SocketAddr,
    /// TLS, and `SCRAM-SHA-256` for [`USER`].
    pub secured: SocketAddr,
    /// Its own controller.
    pub controller: SocketAddr,
    /// Those who come in by a door that leads here.
    pub proxied: Option<Proxied>,
}

/// A listener behind a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Proxied {
    /// Where it listens.
    pub here: SocketAddr,
    /// Where it tells its clients to go.
    pub door: SocketAddr,
}

impl Listeners {
    /// The one that the settings of a backend name.
    fn usual(&self) -> SocketAddr {
        self.proxied.map_or(self.plain, |proxied| proxied.here)
    }
}

/// Writes what a broker needs into a directory: its settings, its certificate and who signed that, its formatted log.
///
/// # Errors
/// What could not be written, or what Kafka said of it.
pub async fn lay_out(directory: &Path, listeners: Listeners) -> anyhow::Result<()> {
    let authority = Authority::new();
    let pair = authority.issue("kafka");
    std::fs::copy(authority.file(), authority_of(directory))?;
    let store = directory.join("keystore.pem");
    // Kafka wants key and certificate in one file.
    std::fs::write(&store, [std::fs::read(pair.key)?, std::fs::read(pair.certificate)?].concat())?;
    std::fs::write(directory.join("server.properties"), properties(directory, listeners, &store))?;
    if directory.join("log/meta.properties").is_file() {
        return Ok(());
    }
    let user = format!("SCRAM-SHA-256=[name={USER},password={PASSWORD}]");
    let id = "c3RhZ2V3aXJlLXRlc3RzMQ";
    let output = java(directory, "kafka.tools.StorageTool")
        .args(["format", "-t", id, "-c", "server.properties", "--add-scram", &user])
        .output()
        .await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The certificate of the authority that signed the certificate of the broker which was laid out there.
pub fn authority_of(directory: &Path) -> PathBuf {
    directory.join("authority.pem")
}

/// The command that starts the broker which was laid out there.
pub fn command(directory: &Path) -> Command {
    let mut command = java(directory, "kafka.Kafka");
    command.arg("server.properties");
    command
}

fn java(directory: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(places::kafka().join("*"))
        .arg(class)
        .current_dir(directory);
    command
}

fn properties(directory: &Path, listeners: Listeners, store: &Path) -> String {
    let Listeners { plain, secured, controller, proxied } = listeners;
    let open = |more: Option<SocketAddr>| {
        let more = more.map(|address| format!(",PROXIED://{address}")).unwrap_or_default();
        format!("PLAINTEXT://{plain},SASL_SSL://{secured}{more}")
    };
    let here = open(proxied.map(|proxied| proxied.here));
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let mut text = String::new();
    let mut set = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}={value}");
    };
    set("process.roles", &"broker,controller");
    set("node.id", &1);
    set("controller.quorum.voters", &format_args!("1@{controller}"));
    set("controller.listener.names", &"CONTROLLER");
    set("listeners", &format_args!("{here},CONTROLLER://{controller}"));
    set("advertised.listeners", &open(proxied.map(|proxied| proxied.door)));
    set("inter.broker.listener.name", &"PLAINTEXT");
    let security = "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT";
    set("listener.security.protocol.map", &security);
    set("sasl.enabled.mechanisms", &"SCRAM-SHA-256");
    set("listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config", &module);
    set("ssl.keystore.type", &"PEM");
    set("ssl.keystore.location", &store.display());
    set("log.dirs", &directory.join("log").display());
    set("num.partitions", &PARTITIONS);
    for replicas in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        set(&format!("{replicas}.replication.factor"), &1);
    }
    set("transaction.state.log.min.isr", &1);
    set("auto.create.topics.enable", &false);
    set("message.max.bytes", &(16 << 20));
    // The cleaner's usual buffer of 128 MiB is half of the heap that it has here.
    set("log.cleaner.dedupe.buffer.size", &(4 << 20));
    // So that records of all partitions can be put into the order of their arrival.
    set("log.message.timestamp.type", &"LogAppendTime");
    text
}

/// A Kafka in a temporary directory. It keeps what it has confirmed when it is killed.
pub struct Kafka {
    listeners: Listeners,
    server: Child,
    directory: TempDir,
}

impl Kafka {
    /// Starts one, and waits until it answers.
    pub async fn start() -> Self {
        Self::with(None).await
    }

    async fn with(door: Option<SocketAddr>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let proxied = door.map(|door| Proxied { here: free_port(), door });
        let listeners =
            Listeners { plain: free_port(), secured: free_port(), controller: free_port(), proxied };
        lay_out(directory.path(), listeners).await.expect("Kafka can be laid out");
        let kafka = Self { listeners, server: serve(directory.path()), directory };
        kafka.answers().await;
        kafka
    }

    /// The plain listener, as clients name it.
    pub fn server(&self) -> String {
        self.listeners.plain.to_string()
    }

    /// The settings of a backend that reaches the secured listener with that password, in YAML's flow style.
    pub fn secured(&self, password: &str, more: &str) -> String {
        format!(
            "{{ bootstrap_servers: [\"{}\"], security_protocol: SASL_SSL, sasl_mechanism: SCRAM-SHA-256, \
             sasl_username: {USER}, sasl_password: {password}, ssl_ca_file: \"{}\", topic: {TOPIC}, {more} }}",
            self.listeners.secured,
            authority_of(self.directory.path()).display()
        )
    }

    /// Creates a topic, with settings of its own.
    pub async fn create_topic(&self, name: &str, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        topic.config.extend_from_slice(settings);
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let created = self.admin().create_topics(&[topic], &options).await.expect("Kafka answers");
        created[0].as_ref().unwrap_or_else(|(name, code)| panic!("topic {name} can be created: {code}"));
    }

    /// Waits until a topic has at least so many records.
    pub async fn has(&self, topic: &str, count: usize) {
        let what = format!("topic {topic} has {count} records");
        until(&what, ANSWER * 3, async || (self.ids_of(topic).await.len() >= count).then_some(())).await;
    }

    /// The ids of the events in a topic, in the order of their arrival.
    pub async fn ids_of(&self, topic: &str) -> Vec<String> {
        let (config, topic) = (self.client(), topic.to_owned());
        // The client blocks.
        tokio::task::spawn_blocking(move || read_ids(&config, &topic)).await.expect("the topic can be read")
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.server()).set("group.id", "reader");
        config.set("enable.auto.commit", "false");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("a client can be made")
    }

    async fn answers(&self) {
        let admin = self.admin();
        until("Kafka answers", START, async || {
            let asked =
                tokio::task::block_in_place(|| admin.inner().fetch_metadata(None, Duration::from_secs(1)));
            asked.ok().filter(|metadata| !metadata.brokers().is_empty())
        })
        .await;
    }
}

fn serve(directory: &Path) -> Child {
    let log = std::fs::File::create(directory.join("kafka.log")).expect("the log can be written");
    let errors = log.try_clone().expect("a file handle can be doubled");
    let mut command = command(directory);
    command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
    command.spawn().unwrap_or_else(|e| panic!("java does not start ({e}): install it by `cargo xtask setup`"))
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("kafka.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- Kafka's last lines ---\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

impl Broker for Kafka {
    const KIND: &'static str = "kafka";
    const NAME: &'static str = "Kafka";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        let kafka = Self::start().await;
        kafka.create_topic(TOPIC, &[]).await;
        kafka
    }

    async fn behind(door: SocketAddr) -> Self {
        let kafka = Self::with(Some(door)).await;
        kafka.create_topic(TOPIC, &[]).await;
        kafka
    }

    fn config(&self, content: Content, more: &str) -> String {
        let content = match content {
            Content::Structured => "structured",
            Content::Binary => "binary",
        };
        format!(
            "{{ bootstrap_servers: [\"{}\"], topic: {TOPIC}, content: {content}, {more} }}",
            self.listeners.usual()
        )
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        self.has(TOPIC, count).await;
        python_reads_kafka(&self.server(), TOPIC, count).await
    }

    async fn ids(&self) -> Vec<String> {
        self.ids_of(TOPIC).await
    }

    async fn kill(&mut self) {
        self.server.kill().await.expect("a running server can be killed");
    }

    async fn again(&mut self) {
        self.server = serve(self.directory.path());
        self.answers().await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let Listeners { plain, secured, .. } = self.listeners;
        let to = |server: &str, more: &str| {
            format!("{{ bootstrap_servers: [\"{server}\"], topic: {TOPIC}, {more} }}")
        };
        let (plain, secured) = (plain.to_string(), secured.to_string());
        let user = format!("sasl_username: {USER}, sasl_password: {PASSWORD}");
        let authority = authority_of(self.directory.path());
        let trusting = format!("ssl_ca_file: \"{}\"", authority.display());
        let mistake = |name, config, says| Mistake { name, config, says };
        vec![
            mistake(
                "wrong port",
                to(&free_port().to_string(), ""),
                &["cannot connect to kafka at 127.0.0.1", "is it running there?"],
            ),
            mistake(
                "unknown host",
                to("no-such-host.invalid:9092", ""),
                &["no such host", "check bootstrap_servers"],
            ),
            mistake(
                "missing topic",
                format!("{{ bootstrap_servers: [\"{plain}\"], topic: no-such-topic }}"),
                &[
                    "topic \"no-such-topic\" does not exist on 127.0.0.1",
                    "create it or set auto_create: true",
                ],
            ),
            mistake(
                "TLS to a plain port",
                to(&plain, "security_protocol: SSL"),
                &["no TLS with kafka at", "check security_protocol"],
            ),
            mistake(
                "plain to a TLS port",
                to(&secured, ""),
                &["kafka at 127.0.0.1", "check security_protocol"],
            ),
            mistake(
                "wrong password",
                self.secured("wrong-secret", ""),
                &["refused sasl_mechanism, sasl_username or sasl_password"],
            ),
            mistake(
                "unknown user",
                self.secured(PASSWORD, "").replace(USER, "mallory"),
                &["refused sasl_mechanism, sasl_username or sasl_password"],
            ),
            mistake(
                "mechanism that is off",
                self.secured(PASSWORD, "").replace("SCRAM-SHA-256", "PLAIN"),
                &["refused sasl_mechanism", "SCRAM-SHA-256"],
            ),
            mistake(
                "unknown authority",
                to(&secured, &format!("security_protocol: SASL_SSL, sasl_mechanism: SCRAM-SHA-256, {user}")),
                &["no TLS with kafka at", "certificate", "check security_protocol and ssl_ca_file"],
            ),
            mistake(
                "no credentials",
                to(&secured, &format!("security_protocol: SSL, {trusting}")),
                &["check security_protocol"],
            ),
        ]
    }
}

/// The same with `acks: all`: the broker keeps the sequence, so that batches go one behind the other.
pub struct KafkaInSync(Kafka);

impl Broker for KafkaInSync {
    const KIND: &'static str = Kafka::KIND;
    const NAME: &'static str = Kafka::NAME;
    const CONTENTS: &'static [Content] = Kafka::CONTENTS;

    async fn start() -> Self {
        Self(<Kafka as Broker>::start().await)
    }

    async fn behind(door: SocketAddr) -> Self {
        Self(Kafka::behind(door).await)
    }

    fn config(&self, content: Content, more: &str) -> String {
        self.0.config(content, &format!("acks: all, {more}"))
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        self.0.described(count).await
    }

    async fn ids(&self) -> Vec<String> {
        self.0.ids().await
    }

    async fn kill(&mut self) {
        self.0.kill().await;
    }

    async fn again(&mut self) {
        self.0.again().await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        self.0.mistakes()
    }
}

fn read_ids(config: &ClientConfig, topic: &str) -> Vec<String> {
    let consumer: BaseConsumer = config.create().expect("a client can be made");
    let (mut places, mut left) = (TopicPartitionList::new(), 0);
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER).expect("Kafka tells of its topics");
    // A topic that is not there yet has no partitions.
    for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
        left += length(&consumer, topic, partition.id());
        let begin = places.add_partition_offset(topic, partition.id(), Offset::Beginning);
        begin.expect("the beginning is an offset");
    }
    if left == 0 {
        return Vec::new();
    }
    consumer.assign(&places).expect("partitions can be assigned");
    let mut found = Vec::new();
    while left > 0 {
        let message = consumer.poll(ANSWER).expect("a record comes").expect("it can be read");
        found.push((message.timestamp().to_millis(), id(&message)));
        left -= 1;
    }
    // Stable: within a partition the log's order stays.
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, id)| id).collect()
}

/// How many records a partition has. One that has just been made has no leader yet.
fn length(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    let deadline = Instant::now() + ANSWER;
    loop {
        match consumer.fetch_watermarks(topic, partition, ANSWER) {
            Ok((low, high)) => return high - low,
            Err(error) => assert!(Instant::now() < deadline, "Kafka tells its offsets: {error}"),
        }
    }
}

/// The id of the event that a record holds, in either mode.
fn id(message: &BorrowedMessage<'_>) -> String {
    #[derive(serde::Deserialize)]
    struct Id {
        id: String,
    }
    let mut headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    if let Some(id) = headers.find(|header| header.key == "ce_id").and_then(|header| header.value) {
        return String::from_utf8_lossy(id).into_owned();
    }
    let document = message.payload().unwrap_or_default();
    serde_json::from_slice::<Id>(document).expect("a record's value is an event").id
}
