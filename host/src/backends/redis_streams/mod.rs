//! Redis Streams: one `XADD` an event, those of a key in order, on one server, by sentinels or in a cluster.

mod connection;
mod entries;
mod find;
mod groups;
mod place;
mod publish;
mod settings;
mod stream;
mod wire;
mod words;

#[cfg(test)]
mod tests;

use async_trait::async_trait;

use self::connection::Login;
use self::entries::Entries;
use self::place::{Place, Way};
pub use self::settings::{Cluster, ConnectionPool, Layout, RedisStreams, Sentinel};
use self::wire::Wire;
use super::template::Template;
use super::{Backend, Failure, Item, Outcomes, Watched};
use crate::Event;
use crate::names::BackendName;

struct Redis {
    name: BackendName,
    settings: RedisStreams,
    way: Way,
    login: Login,
    entries: Entries,
    server: Option<Server>,
    /// A node that a stream is on its way to, as another told (`ASK`).
    asked: Option<Place>,
    /// Who is asked first for the server to write to.
    turn: usize,
    /// Whether replicas did not have the last batch in time.
    late: bool,
}

/// The server that is written to.
struct Server {
    wire: Wire,
    place: Place,
    /// The stream is not quite there yet: each batch must say that it knows (`ASKING`).
    asking: bool,
    /// Whether an answer may still come.
    answers: bool,
}

impl Redis {
    fn new(name: BackendName, settings: RedisStreams, way: Way, login: Login, streams: Template) -> Self {
        let entries = Entries::new(streams, &settings);
        Self { name, settings, way, login, entries, server: None, asked: None, turn: 0, late: false }
    }

    async fn open(&mut self) -> Result<Server, words::Trouble> {
        let asked = self.asked.take();
        let asking = asked.is_some();
        let place = match asked {
            Some(place) => place,
            None => {
                find::server(&self.way, self.turn, self.entries.tag(), &self.login, &self.settings).await?
            }
        };
        let wire = connection::open(&place, &self.login, &self.settings).await?;
        Ok(Server { wire, place, asking, answers: true })
    }
}

#[async_trait]
impl Backend for Redis {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.server = None;
        let opened = self.open().await;
        // Whoever led astray is not asked first again.
        self.turn = self.turn.wrapping_add(1);
        self.server = Some(opened.map_err(|trouble| Failure::from(trouble).of(&self.name))?);
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        let Some(mut server) = self.server.take() else {
            return vec![Err(Failure::Reconnect("not connected".into()).of(&self.name)); batch.len()];
        };
        let outcomes = self.publish_to(&mut server, batch).await;
        self.server = Some(server);
        outcomes.into_iter().map(|outcome| outcome.map_err(|failure| failure.of(&self.name))).collect()
    }

    fn place(&self, event: &Event) -> Result<Option<String>, String> {
        self.entries.stream(event).map(|stream| Some(format!("stream {stream}")))
    }

    fn destination(&self) -> (&'static str, String) {
        ("redis", self.settings.stream_name.clone())
    }

    fn consumers(&self) -> Option<Watched> {
        groups::watched(&self.settings, &self.way, &self.login)
    }

    async fn close(&mut self) {
        self.server = None;
    }
}
