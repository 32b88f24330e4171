//! Three masters, which share the slots.

use redis::aio::MultiplexedConnection;
use serde_json::Value;
use tokio::process::Command;

use super::{Broker, Content, Keeps, Mistake, STREAMS, Server, Stream, config, described};
use crate::process::free_port;
use crate::waiting::{PATIENCE, until_true};

/// A cluster.
pub struct Cluster {
    nodes: Vec<Server>,
    /// The node that has the contract's streams.
    owner: usize,
    connection: MultiplexedConnection,
}

impl Cluster {
    /// Its nodes.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// `cluster: …`
    pub fn place(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("\"{}\"", node.address())).collect();
        format!("cluster: {{ nodes: [{}] }}", nodes.join(", "))
    }

    /// The node that has that key, and one that has not.
    pub async fn owner_and_other(&self, key: &str) -> (&Server, &Server) {
        let owner = owner(&self.nodes, key).await;
        (&self.nodes[owner], &self.nodes[(owner + 1) % self.nodes.len()])
    }

    /// Waits until each node thinks that all is well.
    async fn is_well(nodes: &[Server]) {
        for node in nodes {
            until_true("the cluster is complete", PATIENCE, async || {
                let info = node.answer::<String>(&["CLUSTER", "INFO"]).await.unwrap_or_default();
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            })
            .await;
        }
    }
}

async fn node() -> Server {
    let bus = free_port().port().to_string();
    let more = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "3000"];
    Server::start(Keeps::Everything, &more).await
}

async fn owner(nodes: &[Server], key: &str) -> usize {
    for (index, node) in nodes.iter().enumerate() {
        if node.answer::<u64>(&["EXISTS", key]).await.is_ok() {
            return index;
        }
    }
    panic!("one of the nodes has the slot of {key}");
}

impl Broker for Cluster {
    const KIND: &'static str = "redis_streams";
    const NAME: &'static str = "Redis Cluster";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        let nodes = vec![node().await, node().await, node().await];
        let addresses = nodes.iter().map(|node| node.address().to_string());
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .kill_on_drop(true)
            .output()
            .await
            .expect("redis-cli is installed (cargo xtask setup)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        Self::is_well(&nodes).await;
        let owner = owner(&nodes, STREAMS[0]).await;
        let connection = nodes[owner].connection(0).await;
        Self { nodes, owner, connection }
    }

    fn config(&self, content: Content, more: &str) -> String {
        config(&self.place(), content, more)
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        let url = format!("redis://{}/0", self.nodes[self.owner].address());
        described(&self.connection, &url, count).await
    }

    async fn ids(&self) -> Vec<String> {
        Stream::new(STREAMS[0], self.connection.clone()).ids().await
    }

    async fn kill(&mut self) {
        self.nodes[self.owner].kill().await;
    }

    async fn again(&mut self) {
        self.nodes[self.owner].again().await;
        Self::is_well(&self.nodes).await;
        self.connection = self.nodes[self.owner].connection(0).await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let other = self.nodes[(self.owner + 1) % self.nodes.len()].address();
        let mistake = |name, config: String, says| Mistake { name, config: format!("{{ {config} }}"), says };
        vec![
            mistake(
                "a node as if it were alone",
                format!("url: \"redis://{other}/0\", stream_name: \"{{{{contract}}}}.event\""),
                &["is a node of a cluster: MOVED", "name its nodes in cluster"],
            ),
            mistake(
                "a database in a cluster",
                format!("url: \"redis://{other}/1\""),
                &[
                    "is a node of a cluster",
                    "SELECT is not allowed in cluster mode",
                    "name its nodes in cluster",
                ],
            ),
            mistake(
                "nodes that are not there",
                format!("cluster: {{ nodes: [\"{}\"] }}", free_port()),
                &["cannot connect to redis at redis://127.0.0.1", "is it running there?"],
            ),
            mistake(
                "TLS to a plain cluster",
                format!("url: \"rediss://redis:6379\", {}", self.place()),
                &["no TLS with redis at rediss://127.0.0.1"],
            ),
        ]
    }
}
