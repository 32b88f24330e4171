//! Load: connections that send one request after another, prepared once and patched in place, so that the load costs
//! little beside what it loads.
//!
//! Each connection owns its ordering keys and awaits each answer, so the order of a key is the order of its numbers.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;

use crate::checker::{Ledger, Ticket};
use crate::waiting::{PATIENCE, until_true};
use crate::wire::{Connection, request};

/// Before the next try of a sender that could not connect.
const PAUSE: Duration = Duration::from_millis(10);
/// Before the next look of a sender that is too far ahead.
const BRIEFLY: Duration = Duration::from_millis(1);

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
    every: Option<Duration>,
    ahead: Option<Ahead>,
    notes: Notes,
    spread: bool,
}

/// Whether every event is written down for the checker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notes {
    Kept,
    Timed,
    CountsOnly,
}

/// How far a load may be ahead of what follows it.
#[derive(Clone, Debug)]
struct Ahead {
    done: Arc<AtomicU64>,
    most: u64,
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
            every: None,
            ahead: None,
            notes: Notes::CountsOnly,
            spread: false,
        }
    }

    /// A `partitionkey` of its own for each event, so that its subject is not its ordering key.
    #[must_use]
    pub fn spread(self) -> Self {
        Self { spread: true, ..self }
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

    /// So many ordering keys for each sender.
    #[must_use]
    pub fn keys(self, keys: u16) -> Self {
        Self { keys, ..self }
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

    /// A request of each sender at that interval, however long the answers take.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { every: Some(interval), ..self }
    }

    /// Waits while more than so many events are acknowledged and not yet `done`, as a source does that is slowed down by
    /// what follows.
    #[must_use]
    pub fn ahead_of(self, done: Arc<AtomicU64>, most: u64) -> Self {
        Self { ahead: Some(Ahead { done, most }), ..self }
    }

    /// Writes down when every acknowledged event was sent.
    #[must_use]
    pub fn with_times(self) -> Self {
        Self { notes: Notes::Timed, ..self }
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

    /// Waits until so many more are acknowledged.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn flows(&self, more: u64) {
        let goal = self.acknowledged() + more;
        let what = format!("{more} more events are acknowledged");
        until_true(&what, PATIENCE, async || self.acknowledged() >= goal).await;
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
    /// When each acknowledged event was sent, in microseconds of Unix time, where that was asked for.
    pub sent: HashMap<Ticket, u64>,
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
        self.sent.extend(other.sent);
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
    every: Option<Duration>,
    ahead: Option<Ahead>,
    /// When the next request is due, where there is an interval.
    due: Instant,
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
            every: load.every,
            ahead: load.ahead.clone(),
            // Not all at once.
            due: Instant::now()
                + load.every.unwrap_or_default() * u32::from(number) / u32::from(load.connections),
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
            if !self.may_send().await {
                continue;
            }
            let tickets = self.next_tickets();
            let (begin, sent) = (Instant::now(), now_micros());
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
                if self.notes == Notes::Timed {
                    self.report.sent.extend(tickets.iter().map(|ticket| (*ticket, sent)));
                }
            }
            if let Some(pace) = self.pace {
                tokio::time::sleep(pace).await;
            }
        }
    }

    /// Waits for its turn, or a moment where it is too far ahead.
    async fn may_send(&mut self) -> bool {
        if let Some(interval) = self.every {
            tokio::time::sleep_until(self.due.into()).await;
            self.due += interval;
        }
        let Some(Ahead { done, most }) = &self.ahead else { return true };
        let acknowledged = self.shared.acknowledged.load(Ordering::Relaxed);
        if acknowledged.saturating_sub(done.load(Ordering::Relaxed)) <= *most {
            return true;
        }
        tokio::time::sleep(BRIEFLY).await;
        false
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

/// Microseconds of Unix time.
pub fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The events of a load as documents, for those who send them by another way.
pub struct Documents {
    document: Vec<u8>,
    place: Place,
    next: Ticket,
    keys: u16,
}

impl Documents {
    /// Events of so many ordering keys, in turn.
    pub fn new(keys: u16) -> Self {
        let load = Load::on(([127, 0, 0, 1], 0).into());
        let document = event(&load).into_bytes();
        let place = places(&document)[0];
        Self { document, place, next: Ticket { key: 0, seq: 0 }, keys }
    }

    /// The next one: its subject, and itself.
    pub fn one(&mut self) -> (String, &[u8]) {
        patch(&mut self.document, self.place, self.next);
        let subject = format!("document/doc-{:04}", self.next.key);
        self.next.key = (self.next.key + 1) % self.keys;
        self.next.seq += u32::from(self.next.key == 0);
        (subject, &self.document)
    }
}

/// A request whose ids and subjects are patched in place.
struct Prepared {
    request: Vec<u8>,
    places: Vec<Place>,
}

/// Where one event's id begins, the number in its subject, and that in its `partitionkey` if it has one.
#[derive(Clone, Copy)]
struct Place {
    id: usize,
    subject: usize,
    partition: Option<usize>,
}

const ID: &[u8] = b"k0000-00000000";
const SUBJECT: &[u8] = b"document/doc-0000";
const PARTITION: &[u8] = b"p-00000000";

impl Prepared {
    fn new(load: &Load) -> Self {
        let event = event(load);
        let (media, body) = match load.batch {
            1 => ("application/cloudevents+json", event),
            count => ("application/cloudevents-batch+json", format!("[{}]", vec![event; count].join(","))),
        };
        let request = request("POST", "/events", &[("content-type", media)], body.as_bytes());
        Self { places: places(&request), request }
    }

    fn patch(&mut self, index: usize, ticket: Ticket) {
        patch(&mut self.request, self.places[index], ticket);
    }
}

fn places(bytes: &[u8]) -> Vec<Place> {
    let partitions = positions(bytes, PARTITION);
    let subjects = positions(bytes, SUBJECT).into_iter().map(|at| at + SUBJECT.len() - 4);
    let both = positions(bytes, ID).into_iter().zip(subjects).enumerate();
    both.map(|(nth, (id, subject))| Place { id, subject, partition: partitions.get(nth).map(|at| at + 2) })
        .collect()
}

/// Writes a ticket's number over an id and the end of a subject.
fn patch(bytes: &mut [u8], place: Place, ticket: Ticket) {
    let Place { id, subject, partition } = place;
    number(&mut bytes[id + 1..id + 5], ticket.key.into());
    number(&mut bytes[id + 6..id + Ticket::WIDTH], ticket.seq);
    number(&mut bytes[subject..subject + 4], ticket.key.into());
    if let Some(at) = partition {
        number(&mut bytes[at..at + 8], ticket.seq);
    }
}

/// Fills all of these places with a number's digits: a load's costs are taken from what it measures.
fn number(places: &mut [u8], mut number: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// A document-processed event, as the pipeline's second stage writes it.
fn event(load: &Load) -> String {
    let filler = "x".repeat(load.filler);
    let partition = if load.spread { r#","partitionkey":"p-00000000""# } else { "" };
    format!(
        concat!(
            r#"{{"specversion":"1.0","type":"{}","source":"stage2-nlp-processing","id":"k0000-00000000","#,
            r#""time":"2025-12-14T12:00:00Z","datacontenttype":"application/json","#,
            r#""subject":"document/doc-0000"{},"data":{{"document_id":"doc-123","job_id":"job-456","#,
            r#""status":"success","processing_time_seconds":12.5,"output_location":"#,
            r#"{{"jsonl":"file:///app/data/extracted_events_2025-12-14.jsonl"}},"metrics":"#,
            r#"{{"event_count":5,"entity_count":23,"soa_triplet_count":12}},"note":"{}"}}}}"#
        ),
        load.kind, partition, filler
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
        let load = Load::on("127.0.0.1:1".parse().expect("an address")).batch(3).spread();
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
        assert_eq!(events[1]["partitionkey"], "p-00000001");
    }

    #[test]
    fn documents_are_numbered_by_key() {
        let mut documents = Documents::new(2);
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (subject, document) = documents.one();
            let event: serde_json::Value = serde_json::from_slice(document).expect("JSON");
            assert_eq!(event["subject"], subject);
            ids.push(event["id"].as_str().expect("an id").to_owned());
        }
        assert_eq!(ids, ["k0000-00000000", "k0001-00000000", "k0000-00000001"]);
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
