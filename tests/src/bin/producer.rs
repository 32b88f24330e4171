//! What the host's backends are measured against: the same client libraries used by hand, as well as they can be, for
//! somebody who has nothing else to do than to send prepared events and see them confirmed. The messages are the host's, with
//! the header by which the protocol's CloudEvents binding knows a document.
//!
//! usage: `producer KIND TARGET NAME SECONDS`; prints events, microseconds and microseconds of processor time, its own and
//! that of all else

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use stagewire_tests::load::Documents;
use stagewire_tests::process::{Process, all_cpu};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The media type of a document, by which each protocol's CloudEvents binding knows structured mode.
const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";
/// Ordering keys, as the load on the host has them.
const KEYS: u16 = 4_096;
/// Entries of a pipeline, as in a batch of the host.
const PIPELINE: usize = 512;
const PIPELINES: usize = 2;
/// Messages that wait for their confirmation.
const WINDOW: usize = 1_000;
/// Requests under way at once, as in the settings of the host.
const REQUESTS: usize = 32;
const MAX_LEN: usize = 10_000;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, target, name, seconds] = &arguments[..] else {
        bail!("usage: producer KIND TARGET NAME SECONDS");
    };
    let length = Duration::from_secs_f64(seconds.parse()?);
    // Connections are made and warm before it counts.
    run(kind, target, name, Duration::from_millis(500)).await?;
    let (this, begin) = (Process(std::process::id()), Instant::now());
    let before = (this.cpu(), all_cpu());
    let events = run(kind, target, name, length).await?;
    let (micros, own) = (begin.elapsed().as_micros(), this.cpu().saturating_sub(before.0));
    let rest = all_cpu().saturating_sub(before.1 + own);
    println!("{events} {micros} {} {}", own.as_micros(), rest.as_micros());
    Ok(())
}

/// How many were confirmed.
async fn run(kind: &str, target: &str, name: &str, length: Duration) -> Result<u64> {
    let end = Instant::now() + length;
    match kind {
        "redis_streams" => redis(target, name, end).await,
        "kafka" => kafka(target, name, end).await,
        "nats" => jetstream(target, name, end).await,
        "rabbitmq" => rabbitmq(target, name, end).await,
        "webhook" => webhook(target, end).await,
        other => bail!("there is no {other:?}"),
    }
}

async fn redis(url: &str, stream: &str, end: Instant) -> Result<u64> {
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let one = async |mut connection: redis::aio::MultiplexedConnection| -> Result<u64> {
        let (mut documents, mut sent) = (Documents::new(KEYS), 0);
        while Instant::now() < end {
            let mut pipeline = redis::Pipeline::with_capacity(PIPELINE);
            for _ in 0..PIPELINE {
                let (_, document) = documents.one();
                pipeline
                    .cmd("XADD")
                    .arg(stream)
                    .arg(("MAXLEN", "~", MAX_LEN))
                    .arg("*")
                    .arg("event")
                    .arg(document);
            }
            pipeline.query_async::<Vec<String>>(&mut connection).await?;
            sent += PIPELINE as u64;
        }
        Ok(sent)
    };
    let all = try_join_all((0..PIPELINES).map(|_| one(connection.clone()))).await?;
    Ok(all.into_iter().sum())
}

/// Counts what is delivered.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicU64>);

impl ClientContext for Counts {}

impl ProducerContext for Counts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
    }
}

async fn kafka(server: &str, topic: &str, end: Instant) -> Result<u64> {
    let counts = Counts::default();
    let mut config = ClientConfig::new();
    for (name, value) in [
        ("bootstrap.servers", server),
        ("acks", "all"),
        ("enable.idempotence", "true"),
        ("linger.ms", "5"),
        ("compression.type", "none"),
        ("queue.buffering.max.messages", "20000"),
    ] {
        config.set(name, value);
    }
    let producer: ThreadedProducer<Counts> = config.create_with_context(counts.clone())?;
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || {
        let (mut documents, mut sent) = (Documents::new(KEYS), 0);
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        while Instant::now() < end {
            let (key, document) = documents.one();
            let media = Header { key: "content-type", value: Some(STRUCTURED) };
            let headers = OwnedHeaders::new_with_capacity(1).insert(media);
            let mut record = BaseRecord::to(&topic).key(&key).payload(document).headers(headers);
            while let Err((error, again)) = producer.send(record) {
                anyhow::ensure!(error == full, error);
                std::thread::sleep(Duration::from_millis(1));
                record = again;
            }
            sent += 1;
        }
        producer.flush(Duration::from_mins(1))?;
        anyhow::ensure!(counts.0.load(Ordering::Relaxed) == sent, "not all was delivered");
        Ok(sent)
    })
    .await?
}

async fn jetstream(url: &str, subject: &str, end: Instant) -> Result<u64> {
    let context = async_nats::jetstream::new(async_nats::connect(url).await?);
    let (mut documents, mut sent, mut waiting) = (Documents::new(KEYS), 0, VecDeque::new());
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("content-type", STRUCTURED);
    while Instant::now() < end {
        let document = documents.one().1.to_vec();
        let publish = context.publish_with_headers(subject.to_owned(), headers.clone(), document.into());
        waiting.push_back(publish.await?);
        if waiting.len() >= WINDOW {
            waiting.pop_front().context("one waits")?.await?;
        }
        sent += 1;
    }
    for acknowledgement in waiting {
        acknowledgement.await?;
    }
    Ok(sent)
}

async fn rabbitmq(url: &str, exchange: &str, end: Instant) -> Result<u64> {
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let properties = BasicProperties::default().with_delivery_mode(2).with_content_type(STRUCTURED.into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (mut documents, mut sent, mut waiting) = (Documents::new(KEYS), 0, VecDeque::new());
    while Instant::now() < end {
        let (_, document) = documents.one();
        let publish =
            channel.basic_publish(exchange.into(), "x.y".into(), options, document, properties.clone());
        waiting.push_back(publish.await?);
        if waiting.len() >= WINDOW {
            let confirmed = waiting.pop_front().context("one waits")?.await?;
            anyhow::ensure!(confirmed.is_ack(), "a message was refused");
        }
        sent += 1;
    }
    for confirmation in waiting {
        anyhow::ensure!(confirmation.await?.is_ack(), "a message was refused");
    }
    Ok(sent)
}

async fn webhook(url: &str, end: Instant) -> Result<u64> {
    // Both ends are on this machine; the client insists on a provider all the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let one = async || -> Result<u64> {
        let (mut documents, mut sent) = (Documents::new(KEYS), 0);
        while Instant::now() < end {
            let request = client.post(url).header("content-type", STRUCTURED);
            let answer = request.body(documents.one().1.to_vec()).send().await?;
            anyhow::ensure!(answer.status().is_success(), "it answered {}", answer.status());
            sent += 1;
        }
        Ok(sent)
    };
    let all = try_join_all((0..REQUESTS).map(|_| one())).await?;
    Ok(all.into_iter().sum())
}
