//! A real fault-injecting TCP proxy between a host and its broker, driven by its HTTP API.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::places;
use crate::process::free_port;
use crate::waiting::{PATIENCE, until};
use crate::wire::{self, Response};

/// The one way that the proxy keeps.
const WAY: &str = "/proxies/way";

/// A proxy with one way through it. It ends with this value.
pub struct Toxiproxy {
    api: SocketAddr,
    door: SocketAddr,
    _process: Child,
}

impl Toxiproxy {
    /// Starts one. Its door is open from now on, and leads nowhere before [`Toxiproxy::leads_to`].
    pub async fn start() -> Self {
        let api = free_port();
        let process = Command::new(places::toxiproxy())
            .args(["-host", "127.0.0.1", "-port", &api.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("toxiproxy can be started");
        until("toxiproxy answers", PATIENCE, async || ask(api, "GET", "/version", None).await.ok()).await;
        let way = json!({ "name": "way", "listen": "127.0.0.1:0", "upstream": free_port().to_string() });
        let made = ask(api, "POST", "/proxies", Some(&way)).await.expect("toxiproxy answers");
        assert_eq!(made.status, 201, "{}", made.text());
        let door = made.json()["listen"].as_str().and_then(|listen| listen.parse().ok());
        Self { api, door: door.expect("it says where it listens"), _process: process }
    }

    /// Where clients come in.
    pub fn door(&self) -> SocketAddr {
        self.door
    }

    /// Leads there from now on.
    pub async fn leads_to(&self, upstream: SocketAddr) {
        self.ask("POST", WAY, Some(&json!({ "upstream": upstream.to_string() }))).await;
    }

    /// Lets nobody in, and closes what is open; or lets everybody in again.
    pub async fn shut(&self, shut: Shut) {
        self.ask("POST", WAY, Some(&json!({ "enabled": shut == Shut::No }))).await;
    }

    /// Makes the way worse, for connections there are and for those that come.
    pub async fn add(&self, toxic: &Toxic) {
        let Toxic { kind, way, share, attributes } = toxic;
        let (name, stream) = match way {
            Way::There => (format!("{kind}-there"), "upstream"),
            Way::Back => (format!("{kind}-back"), "downstream"),
        };
        let toxic = json!({ "name": name, "type": kind, "stream": stream, "toxicity": share, "attributes": attributes });
        self.ask("POST", &format!("{WAY}/toxics"), Some(&toxic)).await;
    }

    /// Takes away all that was added, and lets everybody in.
    pub async fn heal(&self) {
        self.ask("POST", "/reset", None).await;
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) {
        let answer = ask(self.api, method, path, body).await.expect("toxiproxy answers");
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    }
}

async fn ask(api: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Response> {
    let body = body.map(Value::to_string).unwrap_or_default();
    wire::send(api, method, path, &[("content-type", "application/json")], body.as_bytes()).await
}

/// Whether anybody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shut {
    Yes,
    No,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the broker.
    There,
    /// From the broker to the client.
    Back,
}

/// Something that makes a way worse.
#[derive(Clone, Debug)]
pub struct Toxic {
    /// The proxy's word for it.
    pub kind: &'static str,
    /// For which direction.
    pub way: Way,
    /// The share of connections that suffer it.
    pub share: f64,
    /// How bad it is.
    pub attributes: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Connection;
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Answers every byte with the same byte.
    async fn echo() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        if stream.write_u8(byte).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn what_is_added_is_felt_and_healed() {
        let proxy = Toxiproxy::start().await;
        proxy.leads_to(echo().await).await;
        let round_trip = async || {
            let begin = Instant::now();
            let mut stream = tokio::net::TcpStream::connect(proxy.door()).await.expect("it is let in");
            stream.write_u8(7).await.expect("a byte is sent");
            assert_eq!(stream.read_u8().await.expect("it comes back"), 7);
            begin.elapsed()
        };
        round_trip().await;
        let (way, attributes) = (Way::Back, json!({ "latency": 300 }));
        proxy.add(&Toxic { kind: "latency", way, share: 1.0, attributes }).await;
        assert!(round_trip().await >= Duration::from_millis(300));
        proxy.shut(Shut::Yes).await;
        assert!(Connection::open(proxy.door()).await.is_err());
        proxy.heal().await;
        assert!(round_trip().await < Duration::from_millis(300));
    }
}
