//! The task that hands spans to a collector by OTLP. Nobody waits for it: while the collector is away spans wait up to a
//! bound, and are then left out and counted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::otlp;
use super::tracer::{Sampling, Tracer};
use crate::causes::{innermost, untrusted};
use crate::config::settings;
use crate::telemetry::metrics::TraceMetrics;

/// How long a batch waits to fill.
const BEAT: Duration = Duration::from_secs(1);
/// What a host that stops waits for the collector.
const CLOSE: Duration = Duration::from_secs(2);
/// OTLP over HTTP: where traces go, below the endpoint.
const PATH: &str = "/v1/traces";

/// The values of environment variables; one that is empty counts as absent (OpenTelemetry's specification).
struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    /// The variable for traces goes before the one for all signals.
    fn exporter(&self, name: &str) -> Option<String> {
        self.get(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
            .or_else(|| self.get(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }
}

/// What is to be done, by the settings and, where they are silent, by OpenTelemetry's environment variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    sampling: Sampling,
    settings: settings::Tracing,
    protocol: settings::OtlpProtocol,
    /// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` name the service.
    named: bool,
    ca_file: Option<PathBuf>,
    /// The host's own certificate and its key.
    own: Option<(PathBuf, PathBuf)>,
    /// The collector speaks TLS.
    secured: bool,
}

impl Plan {
    /// None where nothing is to be traced.
    ///
    /// # Errors
    /// Which variable or setting is wrong, and how to write it.
    pub fn new(
        settings: &settings::Tracing,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let environment = Environment(environment);
        let off =
            environment.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
                || environment.get("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let endpoint = settings.endpoint.clone().or_else(|| environment.exporter("ENDPOINT"));
        if !settings.enabled.unwrap_or(endpoint.is_some() && !off) {
            return Ok(None);
        }
        let protocol = match (settings.protocol, environment.exporter("PROTOCOL").as_deref()) {
            (Some(protocol), _) => protocol,
            (None, None | Some("grpc")) => settings::OtlpProtocol::Grpc,
            (None, Some("http/protobuf")) => settings::OtlpProtocol::Http,
            (None, Some(other)) => {
                return Err(format!(
                    "OTEL_EXPORTER_OTLP_PROTOCOL: {other:?} is not understood; write grpc or http/protobuf"
                ));
            }
        };
        let own = |setting: &Option<PathBuf>, name| {
            setting.clone().or_else(|| environment.exporter(name).map(PathBuf::from))
        };
        let own = match (own(&settings.certificate, "CLIENT_CERTIFICATE"), own(&settings.key, "CLIENT_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("host.tracing: certificate and key go together; give both".into()),
        };
        let own_name = settings.resource.contains_key("service.name")
            || environment.get("OTEL_SERVICE_NAME").is_some()
            || environment
                .get("OTEL_RESOURCE_ATTRIBUTES")
                .is_some_and(|text| text.split(',').any(|pair| pair.trim().starts_with("service.name=")));
        Ok(Some(Self {
            secured: endpoint.is_some_and(|url| url.starts_with("https://")),
            sampling: sampling(settings, &environment)?,
            settings: settings.clone(),
            protocol,
            named: own_name,
            ca_file: settings.ca_file.clone().or_else(|| environment.exporter("CERTIFICATE").map(Into::into)),
            own,
        }))
    }

    /// Starts the exporter. `place` tells this host from others.
    ///
    /// # Errors
    /// Which setting the exporter does not take.
    pub fn start(self, place: &str, metrics: TraceMetrics) -> Result<(Tracer, Exporting), String> {
        let cause = Cause::default();
        let mut exporter = match self.protocol {
            settings::OtlpProtocol::Grpc => self.grpc(),
            settings::OtlpProtocol::Http => self.http(cause.clone()),
        }?;
        exporter.set_resource(&self.resource());
        let tracer = Tracer::new(self.sampling, self.settings.queue.max(1), place, metrics);
        let unnamed = self.secured && self.own.is_none();
        let exporting = Exporter { tracer: tracer.clone(), client: exporter, cause, unnamed, failing: false };
        let task = tokio::spawn(exporting.run());
        Ok((tracer.clone(), Exporting { tracer, task }))
    }

    fn resource(&self) -> Resource {
        let builder =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let builder = if self.named { builder } else { builder.with_service_name("stagewire") };
        let own = self.settings.resource.iter();
        builder.with_attributes(own.map(|(key, value)| KeyValue::new(key.clone(), value.clone()))).build()
    }

    fn authority(&self) -> Result<Option<Pem>, String> {
        self.ca_file.as_ref().map(|file| read("ca_file", file)).transpose()
    }

    /// The host's own certificate and its key, as they stand in their files.
    fn identity(&self) -> Result<Option<(Pem, Pem)>, String> {
        let both = |(certificate, key): &(PathBuf, PathBuf)| {
            Ok((read("certificate", certificate)?, read("key", key)?))
        };
        self.own.as_ref().map(both).transpose()
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let header = |(name, value): (&String, &String)| {
            let wrong = || format!("host.tracing.headers: {name:?} or its value is not allowed in a header");
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            let mut value: HeaderValue = value.parse().map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok((name, value))
        };
        self.settings.headers.iter().map(header).collect()
    }

    fn grpc(&self) -> Result<SpanExporter, String> {
        let mut builder =
            SpanExporter::builder().with_tonic().with_metadata(MetadataMap::from_headers(self.headers()?));
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(timeout) = self.settings.timeout {
            builder = builder.with_timeout(timeout.0);
        }
        let tls = ClientTlsConfig::new();
        let tls = match self.authority()? {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_enabled_roots(),
        };
        let tls = match self.identity()? {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        };
        if self.secured {
            builder = builder.with_tls_config(tls);
        }
        builder.build().map_err(|error| format!("host.tracing: {error}"))
    }

    fn http(&self, cause: Cause) -> Result<SpanExporter, String> {
        let mut client = reqwest::Client::builder();
        if let Some(timeout) = self.settings.timeout {
            client = client.timeout(timeout.0);
        }
        if let Some(pem) = self.authority()? {
            let read = reqwest::Certificate::from_pem_bundle(&pem);
            client = client.tls_certs_only(read.map_err(|error| format!("host.tracing.ca_file: {error}"))?);
        }
        if let Some((mut certificate, key)) = self.identity()? {
            // One after the other, whether the first ends with a line or not.
            certificate.push(b'\n');
            certificate.extend(key);
            let identity = reqwest::Identity::from_pem(&certificate);
            client = client.identity(
                identity
                    .map_err(|error| format!("host.tracing.certificate and key: {}", innermost(&error)))?,
            );
        }
        let client = client.build().map_err(|error| format!("host.tracing: {}", innermost(&error)))?;
        let client = Outspoken { client, cause };
        let text = |(name, value): (&String, &String)| (name.clone(), value.clone());
        self.headers()?;
        let headers: HashMap<_, _> = self.settings.headers.iter().map(text).collect();
        let mut builder = SpanExporter::builder().with_http().with_http_client(client).with_headers(headers);
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(traces_at(endpoint));
        }
        if let Some(timeout) = self.settings.timeout {
            builder = builder.with_timeout(timeout.0);
        }
        builder
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            .build()
            .map_err(|error| format!("host.tracing: {error}"))
    }
}

/// What stands in a PEM file.
type Pem = Vec<u8>;

fn read(key: &str, file: &Path) -> Result<Pem, String> {
    std::fs::read(file)
        .map_err(|error| format!("host.tracing.{key}: cannot read {}: {error}", file.display()))
}

/// Why the last request of OTLP over HTTP could not be sent.
type Cause = Arc<Mutex<Option<String>>>;

/// A client that notes why a request could not be sent: its exporter says no more of it than "network error".
#[derive(Clone, Debug)]
struct Outspoken {
    client: reqwest::Client,
    cause: Cause,
}

#[async_trait]
impl HttpClient for Outspoken {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.send_bytes(request).await;
        *self.cause.lock() = answer.as_ref().err().map(|error| innermost(error.as_ref()));
        answer
    }
}

/// What the exporter says, without its own name and without saying the same twice.
fn plain(error: &str) -> String {
    let of_grpc = error.rsplit_once("gRPC code: ").map(|(_, rest)| rest);
    let text = match of_grpc.map(|rest| rest.split_once("transport error: ")) {
        None => error,
        Some(Some((_, cause))) => cause,
        Some(None) => return format!("the collector answered {}", of_grpc.unwrap_or_default()),
    };
    // rustls leads to its manual.
    let text = text.split(": https://").next().unwrap_or(text);
    let mut parts: Vec<&str> = text.split(": ").collect();
    parts.dedup();
    let (first, second) = parts.split_at(parts.len() / 2);
    if first == second { first.join(": ") } else { parts.join(": ") }
}

/// What to do where spans cannot be exported for that reason; `unnamed` where the collector speaks TLS and is shown no certificate.
fn mend(why: &str, unnamed: bool) -> &'static str {
    // A server says only after the handshake that it misses something, or just goes away.
    let signs = ["certificaterequired", "close", "eof", "broken pipe", "reset"];
    let goes = unnamed && signs.iter().any(|sign| why.to_lowercase().contains(sign));
    let own =
        goes.then_some("if it asks its clients for a certificate, set host.tracing.certificate and key");
    untrusted(why).or(own).unwrap_or("check host.tracing.endpoint")
}

/// An endpoint without a path is a collector's; one with a path is meant as it is.
fn traces_at(endpoint: &str) -> String {
    let after_scheme = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    if after_scheme.trim_end_matches('/').contains('/') {
        endpoint.to_owned()
    } else {
        format!("{}{PATH}", endpoint.trim_end_matches('/'))
    }
}

fn sampling(settings: &settings::Tracing, environment: &Environment<'_>) -> Result<Sampling, String> {
    let argument = environment.get("OTEL_TRACES_SAMPLER_ARG");
    let ratio = || match &argument {
        None => Ok(settings::Tracing::SAMPLE),
        Some(text) => text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(|| {
            format!("OTEL_TRACES_SAMPLER_ARG: {text:?} is no share; write a number from 0 to 1")
        }),
    };
    let named = environment.get("OTEL_TRACES_SAMPLER");
    let (share, parent_based) = match named.as_deref() {
        None | Some("parentbased_traceidratio") => (ratio()?, true),
        Some("traceidratio") => (ratio()?, false),
        Some("always_on") => (1.0, false),
        Some("always_off") => (0.0, false),
        Some("parentbased_always_on") => (1.0, true),
        Some("parentbased_always_off") => (0.0, true),
        Some(other) => {
            return Err(format!(
                "OTEL_TRACES_SAMPLER: {other:?} is not understood; write parentbased_traceidratio, traceidratio, always_on \
                 or always_off"
            ));
        }
    };
    Ok(Sampling {
        ratio: settings.sample.unwrap_or(share),
        parent_based: settings.parent_based.unwrap_or(parent_based),
    })
}

/// The running exporter.
pub struct Exporting {
    tracer: Tracer,
    task: JoinHandle<()>,
}

impl Exporting {
    /// Exports what waits, within a limit, and ends.
    pub async fn stop(self) {
        self.tracer.close();
        let abort = self.task.abort_handle();
        if tokio::time::timeout(CLOSE, self.task).await.is_err() {
            abort.abort();
        }
    }
}

struct Exporter {
    tracer: Tracer,
    client: SpanExporter,
    cause: Cause,
    /// The collector speaks TLS, and is shown no certificate.
    unnamed: bool,
    /// The last batch was not taken.
    failing: bool,
}

impl Exporter {
    async fn run(mut self) {
        loop {
            let closed = self.tracer.is_closed();
            let batch = self.tracer.batch();
            if !batch.is_empty() {
                self.export(batch).await;
            } else if closed {
                return;
            } else {
                // Who fills a batch, or ends, says so.
                let _ = tokio::time::timeout(BEAT, self.tracer.filled()).await;
            }
        }
    }

    async fn export(&mut self, spans: Vec<super::span::Span>) {
        let (scope, count) = (otlp::scope(), spans.len() as u64);
        let spans = spans.into_iter().map(|span| otlp::convert(span, &scope)).collect();
        let metrics = self.tracer.metrics();
        match self.client.export(spans).await {
            Ok(()) => {
                metrics.exported.inc_by(count);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("spans are exported again");
                }
            }
            Err(error) => {
                metrics.dropped_by_collector.inc_by(count);
                let cause = self.cause.lock().take();
                if !std::mem::replace(&mut self.failing, true) {
                    let why = cause.unwrap_or_else(|| plain(&error.to_string()));
                    let mend = mend(&why, self.unnamed);
                    tracing::warn!("spans cannot be exported, they are left out: {why}; {mend}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(settings: &settings::Tracing, pairs: &[(&str, &str)]) -> Result<Option<Plan>, String> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Plan::new(settings, &move |name| {
            pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn nothing_is_traced_until_a_collector_is_named() {
        let nothing = settings::Tracing::default();
        assert_eq!(plan(&nothing, &[]), Ok(None));
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        assert!(plan(&nothing, &[endpoint]).unwrap().is_some());
        assert_eq!(plan(&nothing, &[endpoint, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(plan(&nothing, &[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        let off = settings::Tracing { enabled: Some(false), ..settings::Tracing::default() };
        assert_eq!(plan(&off, &[endpoint]), Ok(None));
    }

    #[test]
    fn the_settings_go_before_the_environment_and_traces_before_all_signals() {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ];
        let found = plan(&settings::Tracing::default(), &environment).unwrap().unwrap();
        assert_eq!(found.protocol, settings::OtlpProtocol::Http);
        assert_eq!(found.sampling, Sampling { ratio: 0.5, parent_based: false });
        let own = settings::Tracing {
            protocol: Some(settings::OtlpProtocol::Grpc),
            sample: Some(0.25),
            parent_based: Some(true),
            ..settings::Tracing::default()
        };
        let found = plan(&own, &environment).unwrap().unwrap();
        assert_eq!(found.protocol, settings::OtlpProtocol::Grpc);
        assert_eq!(found.sampling, Sampling { ratio: 0.25, parent_based: true });
    }

    #[test]
    fn what_the_environment_has_wrong_is_said() {
        let with = |name, value| {
            plan(&settings::Tracing::default(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), (name, value)])
                .unwrap_err()
        };
        assert!(with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json").contains("write grpc or http/protobuf"));
        assert!(with("OTEL_TRACES_SAMPLER_ARG", "7").contains("from 0 to 1"));
        assert!(with("OTEL_TRACES_SAMPLER", "often").contains("\"often\""));
    }

    #[test]
    fn why_spans_do_not_get_there_is_said_plainly() {
        let grpc = |cause: &str| plain(&format!("Operation failed: T export failed with gRPC code: {cause}"));
        let refused =
            "Unavailable: transport error: tcp connect error: tcp connect error: Connection refused";
        assert_eq!(grpc(refused), "tcp connect error: Connection refused");
        let unknown = "invalid peer certificate: UnknownIssuer";
        assert_eq!(grpc(&format!("Unavailable: transport error: {unknown}: {unknown}")), unknown);
        assert_eq!(mend(unknown, true), "set ca_file to the authority that signed it");
        let gone = grpc("Unknown: transport error: closed without close_notify: https://docs.rs/rustls");
        assert_eq!(gone, "closed without close_notify");
        assert!(mend(&gone, true).ends_with("set host.tracing.certificate and key"));
        assert!(mend("operation was canceled: connection closed", true).ends_with("certificate and key"));
        assert_eq!(mend(&gone, false), "check host.tracing.endpoint");
        assert_eq!(grpc("PermissionDenied"), "the collector answered PermissionDenied");
        assert_eq!(
            plain("HTTP export failed with status code: 401"),
            "HTTP export failed with status code: 401"
        );
    }

    #[test]
    fn a_collector_gets_traces_where_they_belong() {
        assert_eq!(traces_at("http://collector:4318"), "http://collector:4318/v1/traces");
        assert_eq!(traces_at("http://collector:4318/"), "http://collector:4318/v1/traces");
        assert_eq!(
            traces_at("https://api.example.com/otlp/v1/traces"),
            "https://api.example.com/otlp/v1/traces"
        );
    }
}
