//! Real brokers, each a process of the test's own on a free loopback port, and what the contract suite asks of them.

pub mod kafka;
pub mod nats;
pub mod rabbitmq;
pub mod receiver;
pub mod redis;

use std::net::SocketAddr;

use serde_json::Value;

/// How a backend carries an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One JSON document.
    Structured,
    /// Attributes beside the data.
    Binary,
}

/// A setting that is wrong on purpose.
pub struct Mistake {
    /// What is wrong, in a word or two.
    pub name: &'static str,
    /// The backend's `config:` with that mistake, in YAML's flow style.
    pub config: String,
    /// What its lane must say of it.
    pub says: &'static [&'static str],
}

/// What every backend of the contract suite delivers to.
#[expect(
    async_fn_in_trait,
    reason = "the suite names each broker's type, so nothing needs a bound on the futures"
)]
pub trait Broker: Sized {
    /// The backend's `type:`.
    const KIND: &'static str;
    /// What people call it, and how it is set up.
    const NAME: &'static str;
    /// The content modes that it has.
    const CONTENTS: &'static [Content];

    /// Starts one that keeps what it has confirmed over a [`Broker::kill`].
    async fn start() -> Self;

    /// Starts one whose clients come in by that door. Few brokers care: those that tell clients where to go.
    async fn behind(_door: SocketAddr) -> Self {
        Self::start().await
    }

    /// The backend's `config:` in YAML's flow style, with `more` after it (`max_len: 5`, or nothing).
    fn config(&self, content: Content, more: &str) -> String;

    /// At least so many events as a client that others wrote reads them, described as peers describe them, in the
    /// order of their arrival.
    async fn described(&self, count: usize) -> Vec<Value>;

    /// The ids of all events so far, in the order of their arrival.
    async fn ids(&self) -> Vec<String>;

    /// Ends it as a crash would.
    async fn kill(&mut self);

    /// Starts it again where it was, with what it has kept.
    async fn again(&mut self);

    /// Settings that people get wrong, against this broker.
    fn mistakes(&self) -> Vec<Mistake>;

    /// An `events:` section that publishes to it alone, by a backend of the name of its type.
    fn events(&self, content: Content, more: &str) -> String {
        events(Self::KIND, &self.config(content, more))
    }
}

/// An `events:` section with one backend, whose `config:` is in YAML's flow style.
pub fn events(kind: &str, config: &str) -> String {
    format!("events:\n  enabled: true\n  backends:\n    - {{ type: {kind}, config: {config} }}\n")
}

/// The loopback address that a backend's `config:` names.
pub fn address(config: &str) -> SocketAddr {
    let begin = config.find("127.0.0.1:").expect("a broker of the tests listens on loopback");
    let length = config[begin..].find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
    let address = &config[begin..length.map_or(config.len(), |length| begin + length)];
    address.parse().expect("it has a port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_names_its_address() {
        for config in
            ["{ url: \"redis://127.0.0.1:4711/1\" }", "amqp://a:b@127.0.0.1:4711", "[\"127.0.0.1:4711\"]"]
        {
            assert_eq!(address(config).port(), 4711, "{config}");
        }
    }
}
