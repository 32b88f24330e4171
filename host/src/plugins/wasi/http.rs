//! `wasi:http`: requests to the hosts that a step grants, and to no others. Redirects are answers like any other.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{self, Method};
use http_body_util::{BodyDataStream, BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use reqwest::{Body, Client, Url, redirect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::causes::innermost;
use crate::config::Hosts;
use crate::networks::{Denied, Guard};
use crate::plugins::bindings::v0_1::host::Level;
use crate::plugins::voice::Voice;

/// Requests that one instance may have under way, answers that it has not read to their end included.
const MOST_AT_ONCE: usize = 16;
/// The most bytes of the body of a GET: nearly none has one.
const MOST_OF_A_GET: usize = 64 << 10;
/// The usual time to an answer, where the plugin names none; the time of the call bounds it as well.
const ANSWER: Duration = Duration::from_secs(600);

/// Where a step may send requests, and the connections for that: one pool for all of its instances.
#[derive(Debug, Default)]
pub(in crate::plugins) struct Http {
    hosts: Vec<Hosts>,
    /// None where there is no host either.
    client: Option<Client>,
}

impl Http {
    pub(in crate::plugins) fn new(hosts: Vec<Hosts>, guard: Guard) -> Result<Self, String> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .dns_resolver(guard)
            .no_proxy()
            .user_agent(concat!("stagewire/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("cannot make an HTTP client: {error}"))?;
        Ok(Self { hosts, client: Some(client) })
    }

    pub(in crate::plugins) fn hosts(&self) -> impl Iterator<Item = &Hosts> {
        self.hosts.iter()
    }

    /// The url, if it is one that is granted. What is checked is what is asked then.
    fn admitted(&self, uri: &http::Uri) -> Result<(Client, Url), String> {
        let url: Url = uri.to_string().parse().map_err(|error| format!("asked for no url: {error}"))?;
        if let Some(client) = self.client.as_ref().filter(|_| self.hosts.iter().any(|hosts| hosts.has(&url)))
        {
            return Ok((client.clone(), url));
        }
        let address = address(&url);
        Err(format!(
            "asked for {address}, which the step does not grant; write `grants: {{ http: [\"{address}\"] }}` under it \
             if the plugin may"
        ))
    }
}

/// The requests of one instance.
pub(super) struct Outgoing {
    http: Arc<Http>,
    voice: Arc<Voice>,
    /// The most bytes of an answer: more has no place in the plugin's memory.
    most: u64,
    places: Arc<Semaphore>,
}

impl Outgoing {
    pub(super) fn new(http: Arc<Http>, voice: Arc<Voice>, most: u64) -> Self {
        Self { http, voice, most, places: Arc::new(Semaphore::new(MOST_AT_ONCE)) }
    }
}

type Worker = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Worker), Error>;

impl WasiHttpHooks for Outgoing {
    /// The client sets it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Worker,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let (client, url) = match self.http.admitted(request.uri()) {
            Ok(admitted) => admitted,
            Err(why) => {
                self.voice.log(Level::Warn, &why);
                return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
            }
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Box::new(std::future::ready(Err(Error::ConnectionLimitReached)));
        };
        let (voice, most) = (Arc::clone(&self.voice), self.most);
        Box::new(async move {
            let answer = send(&client, url, request, options).await;
            let answer =
                answer.inspect_err(|(_, why)| voice.log(Level::Warn, why)).map_err(|(error, _)| error)?;
            let nothing: Worker = Box::new(std::future::ready(Ok(())));
            Ok((bounded(answer, most, place), nothing))
        })
    }
}

async fn send(
    client: &Client,
    url: Url,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<reqwest::Response, (Error, String)> {
    // What else the plugin asks for may be the event's data.
    let address = address(&url);
    let limit = |limit: Option<Duration>| limit.unwrap_or(ANSWER);
    let patience = options.map_or(ANSWER, |options| {
        limit(options.connect_timeout).saturating_add(limit(options.first_byte_timeout))
    });
    let answer = async {
        let (parts, body) = request.into_parts();
        let mut prepared = client.request(parts.method.clone(), url).headers(parts.headers);
        if matches!(parts.method, Method::GET | Method::HEAD) {
            // Many servers refuse one with a body whose end is not known, though it be empty.
            let body = Limited::new(body, MOST_OF_A_GET).collect().await;
            let body =
                body.map_err(|error| (Error::HttpRequestBodySize(None), format!("its body: {error}")))?;
            let body = body.to_bytes();
            if !body.is_empty() {
                prepared = prepared.body(body);
            }
        } else if !body.is_end_stream() {
            prepared = prepared.body(Body::wrap_stream(BodyDataStream::new(body)));
        }
        let answer = prepared.send().await;
        answer.map_err(|error| (told(&error), format!("cannot reach {address}: {}", innermost(&error))))
    };
    let late = |_| Err((Error::ConnectionReadTimeout, format!("{address} did not answer in time")));
    tokio::time::timeout(patience, answer).await.unwrap_or_else(late)
}

fn address(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// An answer whose body is cut off where it becomes too long, and keeps its place until it is gone.
fn bounded(answer: reqwest::Response, most: u64, place: OwnedSemaphorePermit) -> http::Response<WasiBody> {
    http::Response::<Body>::from(answer).map(|body| {
        let most_bytes = usize::try_from(most).unwrap_or(usize::MAX);
        let told = move |error: Box<dyn StdError + Send + Sync>| match error.downcast_ref::<reqwest::Error>()
        {
            _ if error.is::<LengthLimitError>() => Error::HttpResponseBodySize(Some(most)),
            Some(error) if error.is_timeout() => Error::ConnectionReadTimeout,
            _ => Error::HttpResponseIncomplete,
        };
        let body = Limited::new(body, most_bytes).map_err(told);
        body.map_frame(move |frame| {
            let _ = &place;
            frame
        })
        .boxed_unsync()
    })
}

/// What the plugin is told of an error.
fn told(error: &reqwest::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<Denied>() {
            return Error::DestinationIpProhibited;
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        Error::ConnectionTimeout
    } else if error.is_connect() {
        Error::ConnectionRefused
    } else {
        Error::HttpProtocolError
    }
}
