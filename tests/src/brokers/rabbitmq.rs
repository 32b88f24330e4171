//! A real `RabbitMQ` of the test's own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{Broker, Content, Mistake};
use crate::peers::python_reads;
use crate::process::free_port;
use crate::waiting::until;

/// A start takes seconds on an idle machine.
const BOOT: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest that the test's own client waits for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// What the distribution's wrapper calls; the wrapper itself starts a port mapper on all interfaces.
const LIBRARY: &str = "/usr/lib/rabbitmq/lib";
/// The queue that all events of the contract go to.
const QUEUE: &str = "contract";

/// A broker in a temporary directory, with its port mapper.
pub struct RabbitMq {
    node: Node,
    _directory: TempDir,
    /// Both are killed with this value: the mapper as a child, the broker as a group of processes.
    _mapper: Child,
    broker: Child,
    /// The ids that were taken out of the queue already.
    taken: Mutex<Vec<String>>,
}

impl RabbitMq {
    /// Starts one with more lines in its configuration file, and waits until it lets its users in.
    pub async fn with(more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let node = Node {
            address: free_port(),
            mapper: free_port(),
            between: free_port(),
            directory: directory.path().to_owned(),
        };
        node.lay_out(more).expect("a file can be written");
        let mapper = node.mapper;
        let child = node
            .mapper_command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("epmd does not start ({e}): install it by `cargo xtask setup`"));
        until("the port mapper answers", PATIENCE, async || TcpStream::connect(mapper).await.ok()).await;
        let broker = serve(&node);
        let this = Self { node, _directory: directory, _mapper: child, broker, taken: Mutex::default() };
        this.answers().await;
        this
    }

    async fn answers(&self) {
        until("RabbitMQ answers", BOOT, async || self.connection().await).await;
    }

    /// None where it does not answer in time: a broker that is about to start takes connections and says nothing, and
    /// the client would wait for ever.
    async fn connection(&self) -> Option<Connection> {
        let address = format!("{}/%2f", self.url("stage2:right"));
        let connecting = Connection::connect(&address, ConnectionProperties::default());
        tokio::time::timeout(ANSWER, connecting).await.ok()?.ok()
    }

    /// `amqp://…` of its vhost `/` for that user.
    pub fn url(&self, user: &str) -> String {
        format!("amqp://{user}@{}", self.node.address)
    }

    /// A channel of the test's own, with its connection.
    pub async fn channel(&self) -> (Connection, Channel) {
        until("the test has a channel", PATIENCE, async || {
            let connection = self.connection().await?;
            let channel = tokio::time::timeout(ANSWER, connection.create_channel()).await.ok()?.ok()?;
            Some((connection, channel))
        })
        .await
    }

    /// How many messages wait in a queue.
    pub async fn length(&self, queue: &str) -> u32 {
        let (_connection, channel) = self.channel().await;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        declared.expect("the queue is there").message_count()
    }

    /// Waits until a queue has at least that many messages.
    pub async fn has(&self, queue: &str, count: usize) {
        let what = format!("queue {queue} has {count} messages");
        until(&what, PATIENCE, async || (self.length(queue).await as usize >= count).then_some(())).await;
    }

    /// Binds the queue of the contract to an exchange.
    pub async fn bind(&self, exchange: &str, key: &str) {
        let (_connection, channel) = self.channel().await;
        let options = QueueBindOptions::default();
        let bound =
            channel.queue_bind(QUEUE.into(), exchange.into(), key.into(), options, FieldTable::default());
        bound.await.expect("the test may bind a queue");
    }

    /// Runs `rabbitmqctl`.
    pub async fn control(&self, arguments: &[&str]) {
        let mut command = Command::new(script().with_file_name("rabbitmqctl"));
        command.args(["--node", &self.node.name()]).args(arguments).stdin(Stdio::null());
        let run = command.envs(self.node.environment()).kill_on_drop(true).output();
        let output = tokio::time::timeout(BOOT, run).await.expect("rabbitmqctl ends").expect("it starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn stop(&self) {
        let id = self.broker.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }

    fn events_to(&self, user: &str, more: &str) -> String {
        format!("{{ url: \"{}\", {more} }}", self.url(user))
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Broker for RabbitMq {
    const KIND: &'static str = "rabbitmq";
    const NAME: &'static str = "RabbitMQ";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        Self::with("").await
    }

    fn config(&self, mode: Content, more: &str) -> String {
        let mode = match mode {
            Content::Structured => "structured",
            Content::Binary => "binary",
        };
        self.events_to(
            "stage2:right",
            &format!("exchange: contract, routing_key: \"x.{{type}}\", content: {mode}, {more}"),
        )
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        self.has(QUEUE, count).await;
        python_reads(&["rabbitmq", &format!("{}/%2f", self.url("stage2:right")), QUEUE]).await
    }

    async fn ids(&self) -> Vec<String> {
        let (_connection, channel) = self.channel().await;
        let mut known = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let options = BasicGetOptions { no_ack: true };
        loop {
            let taken = tokio::time::timeout(PATIENCE, channel.basic_get(QUEUE.into(), options)).await;
            let taken = taken.expect("RabbitMQ answers in time").expect("the queue is there");
            let Some(message) = taken else { break };
            let document: Value = serde_json::from_slice(&message.data).expect("a message is an event");
            known.push(document["id"].as_str().expect("an event has an id").to_owned());
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
        known
    }

    async fn kill(&mut self) {
        self.stop();
        self.broker.wait().await.expect("a killed broker ends");
    }

    async fn again(&mut self) {
        self.broker = serve(&self.node);
        self.answers().await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let closed = free_port();
        let right = |more: &str| self.events_to("stage2:right", more);
        let mistake = |name, config, says| Mistake { name, config, says };
        vec![
            mistake(
                "wrong port",
                format!("{{ url: \"amqp://stage2:right@{closed}/\" }}"),
                &["cannot connect to rabbitmq at amqp://127.0.0.1", "is it running there?"],
            ),
            mistake(
                "wrong password",
                self.events_to("stage2:wrong-secret", "exchange: contract"),
                &["refused the user or password of `url`"],
            ),
            mistake(
                "a vhost that is not there",
                format!("{{ url: \"{}/nowhere\" }}", self.url("stage2:right")),
                &["does not let this user into the vhost", "rabbitmqctl add_vhost"],
            ),
            mistake(
                "TLS to a plain port",
                format!("{{ url: \"amqps://stage2:right@{}/\", timeout: 2s }}", self.node.address),
                &["rabbitmq at amqps://127.0.0.1"],
            ),
            mistake(
                "an authority that is not there",
                right("ca_file: /nowhere/ca.pem"),
                &["ca_file: cannot read /nowhere/ca.pem"],
            ),
            mistake(
                "an exchange that is not there",
                right("exchange: nowhere, declare: false"),
                &["exchange \"nowhere\" does not exist", "set declare: true"],
            ),
            mistake(
                "an exchange of another type",
                right("exchange: direct-and-transient"),
                &["of another type or durability", "set declare: false"],
            ),
            mistake(
                "an exchange of no type",
                right("exchange: new, exchange_type: tropic"),
                &["cannot declare exchange \"new\"", "check exchange_type"],
            ),
            mistake(
                "no queue bound",
                right("exchange: unbound"),
                &["no queue of rabbitmq", "\"document.processed\"", "bind one, or set mandatory: false"],
            ),
            mistake(
                "a user who may not write",
                self.events_to("reader:right", "exchange: contract"),
                &["does not let this user write to exchange \"contract\"", "set its permissions"],
            ),
            mistake(
                "a user who may not create the exchange",
                self.events_to("reader:right", "exchange: new"),
                &["may not create exchange \"new\""],
            ),
        ]
    }
}

/// Users, exchanges and queues that a broker begins with.
fn definitions() -> Value {
    let user = |name: &str| json!({ "name": name, "password": "right", "tags": "" });
    let may = |name: &str, does: &str| json!({ "user": name, "vhost": "/", "configure": does, "write": does, "read": ".*" });
    let exchange = |name: &str, kind: &str, durable: bool| json!({ "name": name, "vhost": "/", "type": kind, "durable": durable, "auto_delete": false, "internal": false, "arguments": {} });
    json!({
        "users": [user("stage2"), user("reader")],
        "vhosts": [{ "name": "/" }],
        "permissions": [may("stage2", ".*"), may("reader", "^$")],
        "exchanges": [
            exchange("contract", "topic", true), exchange("unbound", "topic", true),
            exchange("direct-and-transient", "direct", false),
        ],
        "queues": [{ "name": QUEUE, "vhost": "/", "durable": true, "auto_delete": false, "arguments": {} }],
        "bindings": [{ "source": "contract", "vhost": "/", "destination": QUEUE, "destination_type": "queue",
            "routing_key": "x.#", "arguments": {} }],
    })
}

/// The script of the installed version.
fn script() -> PathBuf {
    let versions = std::fs::read_dir(LIBRARY).into_iter().flatten().filter_map(Result::ok);
    let mut scripts = versions.map(|version| version.path().join("sbin/rabbitmq-server"));
    let found = scripts.find(|script| script.is_file());
    found.unwrap_or_else(|| panic!("no rabbitmq-server below {LIBRARY}: install it by `cargo xtask setup`"))
}

/// Where a broker is, and what it is started with.
#[derive(Clone, Debug)]
pub struct Node {
    /// For its clients.
    pub address: SocketAddr,
    /// Its port mapper.
    pub mapper: SocketAddr,
    /// For other nodes.
    pub between: SocketAddr,
    /// All that it writes.
    pub directory: PathBuf,
}

impl Node {
    /// Writes what it needs into its directory, with more lines in its configuration file.
    ///
    /// # Errors
    /// Of the file system.
    pub fn lay_out(&self, more: &str) -> std::io::Result<()> {
        let settings = format!(
            "listeners.tcp.1 = {}\nload_definitions = {}/definitions.json\nlog.console = false\ndisk_free_limit.absolute = 1MB\n{more}\n",
            self.address,
            self.directory.display()
        );
        let files = [
            ("rabbitmq.conf", settings),
            ("definitions.json", definitions().to_string()),
            ("env.conf", String::new()),
            ("plugins", "[].\n".into()),
        ];
        files.into_iter().try_for_each(|(name, text)| std::fs::write(self.directory.join(name), text))
    }

    /// The command that starts its port mapper, which must be there before it.
    pub fn mapper_command(&self) -> Command {
        let mut command = Command::new("epmd");
        command
            .args(["-address", "127.0.0.1", "-port", &self.mapper.port().to_string()])
            .current_dir(&self.directory);
        command
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(script());
        command.envs(self.environment()).current_dir(&self.directory);
        command
    }

    fn name(&self) -> String {
        format!("test{}@localhost", self.address.port())
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let path = |name: &str| self.directory.join(name).into_os_string();
        // Between nodes it listens on loopback as well, and idle schedulers do not spin.
        let erlang = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none";
        vec![
            ("HOME", self.directory.clone().into_os_string()),
            ("RABBITMQ_NODENAME", self.name().into()),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_CONF_ENV_FILE", path("env.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_DIST_PORT", self.between.port().to_string().into()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", erlang.into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", self.mapper.port().to_string().into()),
        ]
    }
}

fn serve(node: &Node) -> Child {
    node.command()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // The script starts the broker as its child: they are killed together.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .expect("rabbitmq-server can be started")
}
