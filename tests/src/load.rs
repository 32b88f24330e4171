//! Load: connections that send one request after another, prepared once and patched in place, so that the load costs
//! little beside what it loads.
//!
//! Each connection owns its ordering keys and awaits each answer, so the order of a key is the order of its numbers.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::checker::{Ledger, Ticket};
use crate::wire::{Connection, request};

/// Before the next try of a sender that could not connect.
const PAUSE: Duration = Duration::from_millis(10);

/// What will be sent, and by how many.
#[derive(Clone, Debug)]
pub struct Load {
    to: SocketAddr,
    connections: u16,
    keys: u16,
    batch: usize,
    kind: String,
    filler: usize,
    pace: Option<Duration>,
    notes: Notes,
}

/// Whether every event is written down for the checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notes {
    Kept,
    CountsOnly,
}

impl Load {
    /// Load on that ingress: 8 connections with 4 ordering keys each, single events of 0.7 KB.
    pub fn on(to: SocketAddr) -> Self {
        let kind = "com.storytelling.nlp.document.processed".into();
        Self {
            to,
            connections: 8,
            keys: 4,
            batch: 1,
            kind,
            filler: 200,
            pace: None,
            notes: Notes::CountsOnly,
        }
    }

    /// So many senders at once.
    #[must_use]
    pub fn connections(self, connections: u16) -> Self {
        Self { connections, ..self }
    }

    /// So many events in a request; more than one are sent in batched mode.
    #[must_use]
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The events' `type`.
    #[must_use]
    pub fn kind(self, kind: &str) -> Self {
        Self { kind: kind.into(), ..self }
    }

    /// A pause after each answer.
    #[must_use]
    pub fn pace(self, pace: Duration) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Writes down what became of every event.
    #[must_use]
    pub fn with_ledger(self) -> Self {
        Self { notes: Notes::Kept, ..self }
    }

    /// Runs for that long.
    pub async fn run(self, length: Duration) -> Report {
        let running = self.start();
        tokio::time::sleep(length).await;
        running.stop().await
    }

    /// Runs until it is stopped.
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared::default());
        let mut senders = JoinSet::new();
        for number in 0..self.connections {
            let sender = Sender::new(&self, number, Arc::clone(&shared));
            senders.spawn(sender.run());
        }
        Running { senders, shared, begin: Instant::now() }
    }
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
}

/// A load that is under way. Dropping it ends it.
pub struct Running {
    senders: JoinSet<Report>,
    shared: Arc<Shared>,
    begin: Instant,
}

impl Running {
    /// Events acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets each sender finish its request and gathers what they saw.
    pub async fn stop(mut self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut whole = Report { elapsed: self.begin.elapsed(), ..Report::default() };
        while let Some(part) = self.senders.join_next().await {
            whole.merge(part.expect("a sender does not panic"));
        }
        whole.latencies.sort_unstable();
        whole
    }
}

/// What the senders saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What became of every event, where that was asked for.
    pub ledger: Ledger,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, and connections that could not be made.
    pub broken: u64,
    /// How long it ran.
    pub elapsed: Duration,
    latencies: Vec<u32>,
}

impl Report {
    /// Acknowledged events a second.
    pub fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // Counts of a test stay far below 2^52.
        let events = self.acknowledged as f64;
        events / self.elapsed.as_secs_f64()
    }

    /// The time within which that share (0.99) of the requests was answered.
    pub fn percentile(&self, share: f64) -> Duration {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = (self.latencies.len() as f64 * share) as usize;
        let micros = self.latencies.get(at).or(self.latencies.last()).copied().unwrap_or(0);
        Duration::from_micros(micros.into())
    }

    /// Answers other than 202, and requests without an answer.
    pub fn failures(&self) -> u64 {
        self.broken + self.statuses.iter().filter(|(status, _)| **status != 202).map(|(_, n)| n).sum::<u64>()
    }

    fn merge(&mut self, other: Self) {
        self.ledger.merge(other.ledger);
        self.acknowledged += other.acknowledged;
        self.broken += other.broken;
        self.latencies.extend(other.latencies);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }
}

struct Sender {
    to: SocketAddr,
    prepared: Prepared,
    keys: Vec<Ticket>,
    turn: usize,
    pace: Option<Duration>,
    notes: Notes,
    shared: Arc<Shared>,
    report: Report,
}

impl Sender {
    fn new(load: &Load, number: u16, shared: Arc<Shared>) -> Self {
        let keys = (0..load.keys).map(|key| Ticket { key: number * load.keys + key, seq: 0 }).collect();
        Self {
            to: load.to,
            prepared: Prepared::new(load),
            keys,
            turn: 0,
            pace: load.pace,
            notes: load.notes,
            shared,
            report: Report::default(),
        }
    }

    async fn run(mut self) -> Report {
        while !self.shared.stop.load(Ordering::Relaxed) {
            if let Ok(connection) = Connection::open(self.to).await {
                self.send_over(connection).await;
            } else {
                self.report.broken += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.report
    }

    /// Sends until the connection breaks or the load ends.
    async fn send_over(&mut self, mut connection: Connection) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let tickets = self.next_tickets();
            let begin = Instant::now();
            let answer = connection.status(&self.prepared.request).await;
            let micros = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
            let Ok(status) = answer else {
                self.report.broken += 1;
                self.note(&tickets, Ledger::doubt);
                return;
            };
            self.report.latencies.push(micros);
            *self.report.statuses.entry(status).or_default() += 1;
            if status == 202 {
                let count = tickets.len() as u64;
                self.report.acknowledged += count;
                self.shared.acknowledged.fetch_add(count, Ordering::Relaxed);
                self.note(&tickets, Ledger::acknowledge);
            }
            if let Some(pace) = self.pace {
                tokio::time::sleep(pace).await;
            }
        }
    }

    fn next_tickets(&mut self) -> Vec<Ticket> {
        let count = self.prepared.places.len();
        let tickets: Vec<_> = (0..count).map(|_| self.next_ticket()).collect();
        for (index, ticket) in tickets.iter().enumerate() {
            self.prepared.patch(index, *ticket);
        }
        tickets
    }

    fn next_ticket(&mut self) -> Ticket {
        self.turn = (self.turn + 1) % self.keys.len();
        let ticket = self.keys[self.turn];
        self.keys[self.turn].seq += 1;
        ticket
    }

    fn note(&mut self, tickets: &[Ticket], how: fn(&mut Ledger, Ticket)) {
        if self.notes == Notes::Kept {
            for ticket in tickets {
                how(&mut self.report.ledger, *ticket);
            }
        }
    }
}

/// A request whose ids and subjects are patched in place.
struct Prepared {
    request: Vec<u8>,
    /// Where each event's id and the number in its subject begin.
    places: Vec<(usize, usize)>,
}

const ID: &[u8] = b"k0000-00000000";
const SUBJECT: &[u8] = b"document/doc-0000";

impl Prepared {
    fn new(load: &Load) -> Self {
        let event = event(&load.kind, load.filler);
        let (media, body) = match load.batch {
            1 => ("application/cloudevents+json", event),
            count => ("application/cloudevents-batch+json", format!("[{}]", vec![event; count].join(","))),
        };
        let request = request("POST", "/events", &[("content-type", media)], body.as_bytes());
        let ids = positions(&request, ID);
        let subjects = positions(&request, SUBJECT).into_iter().map(|at| at + SUBJECT.len() - 4);
        Self { places: ids.into_iter().zip(subjects).collect(), request }
    }

    fn patch(&mut self, index: usize, ticket: Ticket) {
        let (id, subject) = self.places[index];
        let mut at = Cursor::new(&mut self.request[id..id + Ticket::WIDTH]);
        // The widths are fixed, so the slices are filled exactly.
        let _ = write!(at, "{ticket}");
        let mut at = Cursor::new(&mut self.request[subject..subject + 4]);
        let _ = write!(at, "{:04}", ticket.key);
    }
}

/// A document-processed event, as the pipeline's second stage writes it.
fn event(kind: &str, filler: usize) -> String {
    let filler = "x".repeat(filler);
    format!(
        concat!(
            r#"{{"specversion":"1.0","type":"{}","source":"stage2-nlp-processing","id":"k0000-00000000","#,
            r#""time":"2025-12-14T12:00:00Z","datacontenttype":"application/json","#,
            r#""subject":"document/doc-0000","data":{{"document_id":"doc-123","job_id":"job-456","#,
            r#""status":"success","processing_time_seconds":12.5,"output_location":"#,
            r#"{{"jsonl":"file:///app/data/extracted_events_2025-12-14.jsonl"}},"metrics":"#,
            r#"{{"event_count":5,"entity_count":23,"soa_triplet_count":12}},"note":"{}"}}}}"#
        ),
        kind, filler
    )
}

fn positions(bytes: &[u8], what: &[u8]) -> Vec<usize> {
    (0..bytes.len().saturating_sub(what.len())).filter(|at| bytes[*at..].starts_with(what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[test]
    fn a_prepared_batch_is_patched_in_place() {
        let load = Load::on("127.0.0.1:1".parse().expect("an address")).batch(3);
        let mut prepared = Prepared::new(&load);
        let length = prepared.request.len();
        for seq in 0..3 {
            prepared.patch(seq as usize, Ticket { key: 17, seq });
        }
        assert_eq!(prepared.request.len(), length);
        let body = prepared.request.windows(4).position(|four| four == b"\r\n\r\n").expect("a body") + 4;
        let events: Vec<serde_json::Value> = serde_json::from_slice(&prepared.request[body..]).expect("JSON");
        assert_eq!(events[2]["id"], "k0017-00000002");
        assert_eq!(events[0]["subject"], "document/doc-0017");
    }

    #[tokio::test]
    async fn each_connection_numbers_its_own_keys() {
        let app = axum::Router::new().route("/events", axum::routing::post(async || StatusCode::ACCEPTED));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let report = Load::on(to).connections(2).batch(4).with_ledger().run(Duration::from_millis(100)).await;
        server.abort();
        assert_eq!(report.failures(), 0, "{:?}", report.statuses);
        assert!(report.acknowledged >= 8);
        assert_eq!(report.ledger.owed() as u64, report.acknowledged);
        assert!(report.percentile(0.5) <= report.percentile(0.99));
    }
}
