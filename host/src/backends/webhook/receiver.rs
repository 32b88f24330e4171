//! One url: requests for events, in order per key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use foldhash::fast::FixedState;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::signature::{Signer, message_id};
use super::{HeaderEncoding, Webhook, WebhookMode, answer, handshake};
use crate::backends::parts::Parts;
use crate::backends::{Backend, Failure, Item, Outcomes, Receipt};
use crate::causes::{innermost, untrusted};
use crate::protocol::{http, json};

/// Events in a request, in batched mode; many receivers take no more than a megabyte.
const REQUEST: usize = 512;

pub(super) struct Receiver {
    client: reqwest::Client,
    url: reqwest::Url,
    address: String,
    signer: Signer,
    mode: WebhookMode,
    encoding: http::HeaderText,
    concurrency: usize,
    /// Who asks for permission, if it must.
    origin: Option<String>,
    rate: Option<f64>,
    /// It said 410: it gets nothing more until the settings change.
    gone: AtomicBool,
}

impl Receiver {
    pub(super) fn new(
        client: reqwest::Client,
        url: reqwest::Url,
        address: String,
        signer: Signer,
        settings: &Webhook,
    ) -> Self {
        Self {
            client,
            url,
            address,
            signer,
            mode: settings.mode,
            encoding: match settings.header_encoding {
                HeaderEncoding::Spec => http::HeaderText::Encoded,
                HeaderEncoding::Raw => http::HeaderText::Raw,
            },
            concurrency: settings.concurrency.max(1),
            origin: settings.handshake.then(|| settings.origin.clone()),
            rate: None,
            gone: AtomicBool::new(false),
        }
    }

    async fn post_event(&self, item: &Item) -> Result<Receipt, Failure> {
        let event = &item.event;
        let (mut headers, body) = match self.mode {
            WebhookMode::Binary => http::encode_binary_as(event, self.encoding),
            WebhookMode::Structured => {
                let mut document = Vec::new();
                json::encode(event, &mut document);
                (content_type("application/cloudevents+json; charset=utf-8"), document.into())
            }
            WebhookMode::Batched => return self.post_batch(std::slice::from_ref(item)).await,
        };
        go_on(item, &mut headers);
        self.post(|| message_id(event.id()), headers, body).await
    }

    async fn post_batch(&self, items: &[Item]) -> Result<Receipt, Failure> {
        let mut document = Vec::new();
        json::encode_batch(items.iter().map(|item| &item.event), &mut document);
        let mut headers = content_type("application/cloudevents-batch+json; charset=utf-8");
        // A request has one place for a trace; of several events each has its own in its attributes.
        if let [item] = items {
            go_on(item, &mut headers);
        }
        let id = || {
            let first = items.first().map(|item| message_id(item.event.id())).unwrap_or_default();
            format!("{first}+{}", items.len() - 1)
        };
        self.post(id, headers, document.into()).await
    }

    async fn post(
        &self,
        id: impl FnOnce() -> String,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Receipt, Failure> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(self.wants_no_more());
        }
        self.signer.sign(id, &body, &mut headers);
        let sent = self.client.post(self.url.clone()).headers(headers).body(body).send().await;
        match sent {
            Ok(response) if response.status() == StatusCode::GONE => {
                self.gone.store(true, Ordering::Relaxed);
                Err(self.wants_no_more())
            }
            Ok(response) => answer::verdict(&self.address, response.status(), response.headers()),
            Err(error) if error.is_timeout() => {
                Err(Failure::Retry(format!("{} did not answer in time", self.address)))
            }
            Err(error) if error.is_redirect() => {
                Err(Failure::Reject(format!("{} leads astray: {}", self.address, innermost(&error))))
            }
            Err(error) => {
                let why = innermost(&error);
                let mend = untrusted(&why).map(|mend| format!("; {mend}")).unwrap_or_default();
                Err(Failure::Reconnect(format!("cannot reach {}: {why}{mend}", self.address)))
            }
        }
    }

    fn wants_no_more(&self) -> Failure {
        Failure::Reject(format!(
            "{} answered 410 Gone: it wants no more events and gets none; remove the url, or reload changed settings",
            self.address
        ))
    }

    /// The events of one key after the other from the first that nobody has begun with, key by key until none is left.
    async fn post_in_turn(&self, batch: &[Item], keys: &Keys) -> Vec<(usize, Result<Receipt, Failure>)> {
        let mut outcomes = Vec::new();
        while let Some(first) = keys.begin() {
            let (mut at, mut failed) = (Some(first), false);
            while let Some(index) = at {
                let outcome = if failed { Err(Failure::Held) } else { self.post_event(&batch[index]).await };
                // A rejected event is out of the way; the next of its key may go.
                failed |= outcome.as_ref().is_err_and(Failure::holds_up);
                outcomes.push((index, outcome));
                at = keys.behind[index];
            }
        }
        outcomes
    }

    /// Each key after its order, several keys at once.
    async fn post_keys(&self, batch: &[Item]) -> Outcomes {
        let keys = Keys::of(batch);
        let mut outcomes: Outcomes = vec![Err(Failure::Held); batch.len()];
        let several = (0..self.concurrency.min(batch.len())).map(|_| self.post_in_turn(batch, &keys));
        let mut running: FuturesUnordered<_> = several.collect();
        while let Some(finished) = running.next().await {
            finished.into_iter().for_each(|(index, outcome)| outcomes[index] = outcome);
        }
        outcomes
    }
}

/// Tells the receiver which span to go on with (W3C Trace Context 3).
fn go_on(item: &Item, headers: &mut HeaderMap) {
    for (name, value) in item.trace_headers() {
        // What the event's own `tracestate` holds may be no header's value.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// The keys of a batch, in the order of their first events.
struct Keys {
    firsts: Vec<usize>,
    /// How many of them were begun with.
    begun: AtomicUsize,
    /// The next event of the same key, behind each event.
    behind: Vec<Option<usize>>,
}

impl Keys {
    fn of(batch: &[Item]) -> Self {
        let (mut firsts, mut behind) = (Vec::new(), vec![None; batch.len()]);
        let mut last: HashMap<u64, usize, FixedState> = HashMap::default();
        for (index, item) in batch.iter().enumerate() {
            match last.insert(item.key, index) {
                Some(before) => behind[before] = Some(index),
                None => firsts.push(index),
            }
        }
        Self { firsts, begun: AtomicUsize::new(0), behind }
    }

    /// The first event of the next key.
    fn begin(&self) -> Option<usize> {
        self.firsts.get(self.begun.fetch_add(1, Ordering::Relaxed)).copied()
    }
}

fn content_type(kind: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
}

#[async_trait]
impl Backend for Receiver {
    async fn connect(&mut self) -> Result<(), Failure> {
        // Connections are made by need; that nobody is there shows with the first event, or the question.
        if let Some(origin) = &self.origin {
            let asked = handshake::ask(&self.client, &self.url, origin, &self.address).await;
            self.rate = asked.map_err(Failure::Retry)?.rate;
        }
        Ok(())
    }

    async fn publish(&mut self, batch: &[Item]) -> Outcomes {
        if self.mode != WebhookMode::Batched {
            return self.post_keys(batch).await;
        }
        let mut parts = Parts::new(batch, REQUEST);
        while let Some(part) = parts.next() {
            let outcomes = match self.post_batch(part).await {
                // One that is hopeless must not take the others with it.
                Err(Failure::Reject(_)) if part.len() > 1 => self.post_keys(part).await,
                outcome => vec![outcome; part.len()],
            };
            parts.settle(outcomes);
        }
        parts.outcomes()
    }

    fn destination(&self) -> (&'static str, String) {
        ("http", self.address.clone())
    }

    fn rate(&self) -> Option<f64> {
        self.rate
    }

    async fn close(&mut self) {}
}
