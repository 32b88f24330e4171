//! What the host is measured against: the least one would write by hand. It takes structured events over HTTP, checks
//! the required attributes, adds them to a Redis stream, answers 202. No journal, no plugins, no routes.
//!
//! usage: `forwarder LISTEN REDIS_URL STREAM`

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use serde_json::value::RawValue;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAX_LEN: usize = 10_000;
const MAX_BODY: usize = 8 << 20;

#[derive(Deserialize)]
struct Attributes<'a> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
}

struct Out {
    connection: MultiplexedConnection,
    stream: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, listen, url, stream] = &arguments[..] else {
        return Err("usage: forwarder LISTEN REDIS_URL STREAM".into());
    };
    let connection = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    let out = Arc::new(Out { connection, stream: stream.clone() });
    let app = Router::new()
        .route("/events", post(receive))
        .route("/readyz", get(async || "ready"))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(out);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(
        axum::serve::ListenerExt::tap_io(listener, |stream| {
            // As the host does; without effect where it fails.
            let _ = stream.set_nodelay(true);
        }),
        app,
    )
    .await?;
    Ok(())
}

async fn receive(State(out): State<Arc<Out>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(events) = parse(media, &body) else { return StatusCode::BAD_REQUEST };
    let mut pipeline = redis::pipe();
    for event in events {
        pipeline
            .cmd("XADD")
            .arg(&out.stream)
            .arg(("MAXLEN", "~", MAX_LEN))
            .arg("*")
            .arg("event")
            .arg(event)
            .ignore();
    }
    match pipeline.query_async::<()>(&mut out.connection.clone()).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The documents of a request, each with its required attributes there.
fn parse<'a>(media: &str, body: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let documents = match media {
        "application/cloudevents-batch+json" => {
            let raw: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
            raw.into_iter().map(|event| event.get().as_bytes()).collect()
        }
        _ => vec![body],
    };
    documents.iter().all(|document| is_event(document)).then_some(documents)
}

fn is_event(document: &[u8]) -> bool {
    serde_json::from_slice::<Attributes<'_>>(document).is_ok_and(|event| {
        event.specversion == "1.0"
            && [event.id, event.source, event.r#type].iter().all(|attribute| !attribute.is_empty())
    })
}
