//! `events.redis_streams`: what can be set, and what is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{Client, ConnectionAddr, RedisConnectionInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::template::Template;
use super::super::{CONSUMERS_INTERVAL, Settings, Target, without_credentials};
use super::Redis;
use super::connection::Login;
use super::place::{self, Place, Way};
use crate::config::units::Span;
use crate::names::BackendName;

/// `events.redis_streams`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(
    extend("dependentRequired" = { "certificate": ["key"], "key": ["certificate"], "username": ["password"] }),
    extend("not" = { "required": ["sentinel", "cluster"] })
)]
pub struct RedisStreams {
    /// Where Redis is: `redis://[user:password@]host:port/database`, or `rediss://` for TLS. With `sentinel` or `cluster`
    /// the host is found there; what else is said here holds.
    #[schemars(regex(pattern = r"^(rediss?|valkeys?|redis\+unix|valkey\+unix|unix):"))]
    pub url: String,
    /// The stream's key. `{type}`, `{subject}` and any other attribute in braces stand for its value; `{{` and `}}` write
    /// braces, which a cluster takes for a hash tag.
    #[schemars(regex(pattern = r"^([^{}]|\{\{|\}\}|\{[a-z0-9]+\})+$"))]
    pub stream_name: String,
    /// Entries that the stream keeps, approximately; 0 for no limit.
    pub max_len: u64,
    /// Seconds that the stream keeps an entry, approximately; 0 for no limit. Needs Redis 6.2.
    pub ttl_seconds: u64,
    /// How an event is carried.
    pub layout: Layout,
    /// The user of Redis' access control list; goes before one in `url`.
    #[schemars(example = &"stage2")]
    pub username: Option<String>,
    /// The password; goes before one in `url`.
    #[schemars(example = &"${file:/run/secrets/redis}")]
    pub password: Option<String>,
    /// PEM file of the authorities that the server's certificate is signed by; the system's where absent.
    #[schemars(example = &"/etc/stagewire/redis-ca.pem")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate, where the server asks for one.
    #[schemars(example = &"/etc/stagewire/client.pem")]
    pub certificate: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[schemars(example = &"/etc/stagewire/client.key")]
    pub key: Option<PathBuf>,
    /// Whether the server's certificate is checked. Without, anybody can pretend to be it.
    pub verify_ssl: bool,
    /// Sentinels that know which server is the master.
    pub sentinel: Option<Sentinel>,
    /// Nodes of a cluster.
    pub cluster: Option<Cluster>,
    /// Replicas that must have a batch before it counts as delivered (`WAIT`): with 0 what a master has confirmed is lost
    /// where it dies before a replica has it.
    pub replicas: u32,
    /// The connection.
    pub connection_pool: ConnectionPool,
    /// Consumer groups of the stream whose lag is shown. Where `stream_name` is made of attributes, `stream/group`.
    pub consumers: Vec<String>,
    /// How often they are looked at.
    pub consumers_interval: Span,
}

/// `events.redis_streams.layout`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One field, `event`, with the whole event as JSON.
    #[default]
    Event,
    /// A field for each attribute, and `data` as it came.
    Attributes,
}

/// `events.redis_streams.sentinel`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("dependentRequired" = { "username": ["password"] }))]
pub struct Sentinel {
    /// Sentinels, asked in turn: `host:port`, or `rediss://host:port` where they speak TLS.
    #[schemars(length(min = 1), example = ["sentinel-1:26379"])]
    pub nodes: Vec<String>,
    /// What they call the master.
    #[schemars(length(min = 1))]
    pub master: String,
    /// The user at the sentinels.
    #[schemars(example = &"sentinel")]
    pub username: Option<String>,
    /// The password at the sentinels.
    #[schemars(example = &"${file:/run/secrets/sentinel}")]
    pub password: Option<String>,
}

impl Default for Sentinel {
    fn default() -> Self {
        Self { nodes: Vec::new(), master: "mymaster".into(), username: None, password: None }
    }
}

/// `events.redis_streams.cluster`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Some of its nodes, asked in turn for the others: `host:port`. They speak TLS where `url` begins with `rediss://`.
    #[schemars(length(min = 1), example = ["redis-1:6379"])]
    pub nodes: Vec<String>,
}

/// `events.redis_streams.connection_pool`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionPool {
    /// Connections at most. One pipelined connection carries a lane in order, so one is used.
    pub max_connections: u32,
    /// Seconds to connect, and to wait for an answer.
    pub timeout: u64,
}

impl Default for RedisStreams {
    fn default() -> Self {
        Self {
            url: "redis://redis:6379/1".into(),
            stream_name: "nlp-events".into(),
            max_len: 10_000,
            ttl_seconds: 86_400,
            layout: Layout::Event,
            username: None,
            password: None,
            ca_file: None,
            certificate: None,
            key: None,
            verify_ssl: true,
            sentinel: None,
            cluster: None,
            replicas: 0,
            connection_pool: ConnectionPool::default(),
            consumers: Vec::new(),
            consumers_interval: CONSUMERS_INTERVAL,
        }
    }
}

impl Default for ConnectionPool {
    fn default() -> Self {
        Self { max_connections: 10, timeout: 5 }
    }
}

impl Settings for RedisStreams {
    fn open(self, name: BackendName, _: &Path) -> Result<Vec<Target>, String> {
        let client = Client::open(self.url.as_str())
            .map_err(|error| format!("url: {error}; write it like redis://host:6379/1"))?;
        let info = client.get_connection_info();
        let streams = self.template()?;
        self.check(info.addr())?;
        let way = self.way(info.addr())?;
        let address = way.to_string();
        let login = self.login(info.redis_settings());
        let backend = Redis::new(name.clone(), self, way, login, streams);
        Ok(vec![Target { name, address, backend: Box::new(backend), max_retries: None, pause: None }])
    }
}

impl RedisStreams {
    /// The longest to wait for one answer.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.connection_pool.timeout.max(1))
    }

    fn template(&self) -> Result<Template, String> {
        if self.stream_name.is_empty() {
            return Err("stream_name is empty; name a stream, like nlp-events".into());
        }
        let template = Template::parse(&self.stream_name).map_err(|error| format!("stream_name: {error}"))?;
        let fixed = self.cluster.is_none() || template.fixed().is_some() || self.has_hash_tag();
        if fixed { Ok(template) } else { Err(one_node(&self.stream_name)) }
    }

    /// Whether all streams of the template are on one node: a tag, `{{…}}`, stands before the first attribute.
    fn has_hash_tag(&self) -> bool {
        let tag = self.stream_name.split_once("{{").and_then(|(before, rest)| {
            let (tag, _) = rest.split_once("}}")?;
            Some((before, tag))
        });
        tag.is_some_and(|(before, tag)| !tag.is_empty() && !before.contains('{') && !tag.contains('{'))
    }

    fn check(&self, address: &ConnectionAddr) -> Result<(), String> {
        if self.sentinel.is_some() && self.cluster.is_some() {
            return Err("sentinel and cluster are both set; a cluster needs no sentinels, so keep one".into());
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err("certificate and key go together; give both".into());
        }
        if self.username.is_some() && self.password.is_none() {
            return Err("username is set without password; give both".into());
        }
        if self.sentinel.as_ref().is_some_and(|it| it.username.is_some() && it.password.is_none()) {
            return Err("sentinel.username is set without sentinel.password; give both".into());
        }
        let tls = matches!(address, ConnectionAddr::TcpTls { .. })
            || self.sentinel.iter().flat_map(|it| &it.nodes).any(|node| node.starts_with("rediss://"));
        let files = [("ca_file", &self.ca_file), ("certificate", &self.certificate), ("key", &self.key)];
        let plain = Template::parse(&self.stream_name).is_ok_and(|template| template.fixed().is_some());
        if let Some(name) = self.consumers.iter().find(|name| !plain && !name.contains('/')) {
            return Err(format!(
                "consumers: {name:?} is a group of no stream, as stream_name has several; write it like the-stream/{name}"
            ));
        }
        match files.into_iter().find(|(_, file)| file.is_some()) {
            Some((key, _)) if !tls => {
                Err(format!("{key} is set, and url has no TLS; write the url with rediss://"))
            }
            _ => Ok(()),
        }
    }

    fn way(&self, address: &ConnectionAddr) -> Result<Way, String> {
        let places = |key: &str, nodes: &[String]| {
            if nodes.is_empty() {
                return Err(format!("{key}.nodes is empty; name at least one, like redis-1:6379"));
            }
            let place = |node: &String| place::parse(node, address, self.verify_ssl);
            nodes
                .iter()
                .map(|node| place(node).ok_or_else(|| no_node(key, node)))
                .collect::<Result<Vec<_>, _>>()
        };
        if let Some(sentinel) = &self.sentinel {
            if sentinel.master.is_empty() {
                return Err(
                    "sentinel.master is empty; write what the sentinels call it, like mymaster".into()
                );
            }
            let sentinels = places("sentinel", &sentinel.nodes)?;
            let like = place::verified(address.clone(), self.verify_ssl);
            return Ok(Way::Sentinel { sentinels, master: sentinel.master.clone(), like });
        }
        if let Some(cluster) = &self.cluster {
            return Ok(Way::Cluster { nodes: places("cluster", &cluster.nodes)? });
        }
        let address = place::verified(address.clone(), self.verify_ssl);
        Ok(Way::Direct(Place { address, shown: without_credentials(&self.url) }))
    }

    fn login(&self, url: &RedisConnectionInfo) -> Login {
        let (username, password) = if self.password.is_some() {
            (self.username.clone(), self.password.clone())
        } else {
            (url.username().map(str::to_owned), url.password().map(str::to_owned))
        };
        // A cluster has no databases but 0.
        let database = if self.cluster.is_some() { 0 } else { url.db() };
        Login { username, password, database, keys: "username and password, or those in url" }
    }
}

fn one_node(template: &str) -> String {
    format!(
        "stream_name {template:?} spreads streams over the cluster's nodes, between which nothing is in order; begin it with a \
         hash tag, like {{{{nlp}}}}.{{type}}"
    )
}

fn no_node(key: &str, node: &str) -> String {
    format!("{key}.nodes: {:?} is no address; write it like redis-1:6379", without_credentials(node))
}
