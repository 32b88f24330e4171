//! A Redis that asks for TLS, a client's certificate, and a user.

use std::net::SocketAddr;

use redis::aio::MultiplexedConnection;
use serde_json::Value;

use super::{Broker, Content, Keeps, Mistake, STREAMS, Server, Stream, config, described};
use crate::certificates::{Authority, Pair};
use crate::process::free_port;

/// A server with a port for TLS, and a plain one for the test itself.
pub struct Secured {
    server: Server,
    connection: MultiplexedConnection,
    tls: SocketAddr,
    authority: Authority,
    own: Pair,
    /// Nobody trusts it.
    stranger: Authority,
}

impl Secured {
    /// `url: …` and the files for TLS.
    fn place(&self, url: &str) -> String {
        format!("url: \"{url}\", ca_file: {}, {}", self.authority.file().display(), self.certificate())
    }

    fn certificate(&self) -> String {
        format!("certificate: {}, key: {}", self.own.certificate.display(), self.own.key.display())
    }
}

impl Broker for Secured {
    const KIND: &'static str = "redis_streams";
    const NAME: &'static str = "Redis with TLS and users";
    const CONTENTS: &'static [Content] = &[Content::Structured, Content::Binary];

    async fn start() -> Self {
        let (authority, tls) = (Authority::new(), free_port());
        // Not for `localhost`.
        let Pair { certificate, key } = authority.issue_for("server", &["127.0.0.1"]);
        let file = |path: &std::path::Path| path.display().to_string();
        let (port, certificate, key) = (tls.port().to_string(), file(&certificate), file(&key));
        let ca = file(&authority.file());
        let mut more = vec!["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
        more.extend(["--tls-ca-cert-file", &ca]);
        // All that the docs ask for, and nothing else.
        more.extend(["--user", "stage2", "on", ">right-secret", "~{contract}*", "resetchannels", "+ping"]);
        more.extend(["+select", "+multi", "+exec", "+xadd", "+xtrim", "+wait"]);
        let server = Server::start(Keeps::Everything, &more).await;
        let connection = server.connection(1).await;
        let own = authority.issue("client");
        Self { server, connection, tls, authority, own, stranger: Authority::new() }
    }

    fn config(&self, content: Content, more: &str) -> String {
        let place = self.place(&format!("rediss://{}/1", self.tls));
        config(&format!("{place}, username: stage2, password: right-secret"), content, more)
    }

    async fn described(&self, count: usize) -> Vec<Value> {
        described(&self.connection, &format!("redis://{}/1", self.server.address()), count).await
    }

    async fn ids(&self) -> Vec<String> {
        Stream::new(STREAMS[0], self.connection.clone()).ids().await
    }

    async fn kill(&mut self) {
        self.server.kill().await;
    }

    async fn again(&mut self) {
        self.server.again().await;
        self.connection = self.server.connection(1).await;
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let (here, port) = (format!("rediss://{}/1", self.tls), self.tls.port());
        let user = "username: stage2, password: right-secret";
        let mistake = |name, config: String, says| Mistake { name, config: format!("{{ {config} }}"), says };
        let (ca, stranger) = (self.authority.file(), self.stranger.file());
        let (ca, stranger) = (ca.display(), stranger.display());
        vec![
            mistake(
                "no TLS to a port that speaks it",
                format!("url: \"redis://{}/1\"", self.tls),
                &["redis at redis://127.0.0.1", "closed the connection", "write rediss://"],
            ),
            mistake(
                "an authority that did not sign",
                format!("url: \"{here}\", ca_file: {stranger}, {}, {user}", self.certificate()),
                &["no TLS with redis at rediss://127.0.0.1", "UnknownIssuer", "set ca_file"],
            ),
            mistake(
                "no authority",
                format!("url: \"{here}\", {}, {user}", self.certificate()),
                &["UnknownIssuer", "set ca_file"],
            ),
            mistake(
                "an authority that is not there",
                format!("url: \"{here}\", ca_file: /nowhere/ca.pem, {user}"),
                &["ca_file: cannot read /nowhere/ca.pem"],
            ),
            mistake(
                "a name that the certificate is not for",
                format!("{}, {user}", self.place(&format!("rediss://localhost:{port}/1"))),
                &[
                    "no TLS with redis at rediss://localhost",
                    "reach it by a name that the certificate is for",
                ],
            ),
            mistake(
                "no certificate of one's own",
                format!("url: \"{here}\", ca_file: {ca}, {user}"),
                &["no TLS with redis at rediss://127.0.0.1", "check ca_file, certificate and key"],
            ),
            mistake(
                "wrong password",
                format!("{}, username: stage2, password: wrong-secret", self.place(&here)),
                &["refused the user or password: WRONGPASS"],
            ),
            mistake(
                "a stream that the user may not write to",
                format!("{}, {user}, stream_name: other", self.place(&here)),
                &["does not permit it: NOPERM", "grant the user the stream's key"],
            ),
        ]
    }
}
