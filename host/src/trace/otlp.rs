//! Spans in OpenTelemetry's words: names and attributes by the semantic conventions for messaging and CloudEvents, what
//! they do not name under `stagewire.`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::context::Context;
use super::span::{About, Destination, Span, What};

/// What made the spans.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("stagewire").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// One span as OpenTelemetry has it.
pub(super) fn convert(span: Span, scope: &InstrumentationScope) -> SpanData {
    let Span { context, parent, remote, begun, ended, about, what, error } = span;
    let (name, kind) = title(&what);
    let mut attributes = Vec::with_capacity(16);
    if !matches!(what, What::Batch { .. }) {
        describe(&about, &mut attributes);
    }
    let links = match &what {
        What::Receive { link, .. } => link.iter().copied().collect(),
        What::Batch { events, .. } => events.clone(),
        _ => Vec::new(),
    };
    detail(what, &mut attributes);
    let status = match error {
        None => Status::Unset,
        Some(error) => {
            attributes.push(KeyValue::new("error.type", error.class));
            Status::Error { description: error.text.into() }
        }
    };
    let mut linked = SpanLinks::default();
    linked.links = links.into_iter().map(|context| Link::with_context(of(context))).collect();
    SpanData {
        span_context: of(context),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: remote,
        span_kind: kind,
        name,
        start_time: at(begun),
        end_time: at(ended.max(begun)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: linked,
        status,
        instrumentation_scope: scope.clone(),
    }
}

fn of(context: Context) -> SpanContext {
    let (trace, span) = (TraceId::from(context.trace), SpanId::from(context.span));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn at(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

/// "Messaging spans": the operation, then where.
fn title(what: &What) -> (Cow<'static, str>, SpanKind) {
    match what {
        What::Receive { ingress, .. } => (format!("receive {ingress}").into(), SpanKind::Consumer),
        What::Route { route, .. } => (format!("process {route}").into(), SpanKind::Internal),
        What::Step { plugin, .. } => {
            let name = plugin.split(' ').next().unwrap_or_default();
            (format!("step {name}").into(), SpanKind::Internal)
        }
        What::Send { to, .. } => (format!("send {}", to.name).into(), SpanKind::Producer),
        What::Batch { to, .. } => (format!("send {}", to.name).into(), SpanKind::Client),
        What::Bury { .. } => ("dead letter".into(), SpanKind::Internal),
    }
}

fn describe(about: &About, attributes: &mut Vec<KeyValue>) {
    let mut put = |key: &'static str, value: &str| attributes.push(KeyValue::new(key, value.to_owned()));
    put("messaging.message.id", &about.id);
    put("cloudevents.event_id", &about.id);
    put("cloudevents.event_source", &about.source);
    put("cloudevents.event_spec_version", "1.0");
    put("cloudevents.event_type", &about.kind);
    if let Some(subject) = &about.subject {
        put("cloudevents.event_subject", subject);
    }
    let size = i64::try_from(about.size).unwrap_or(i64::MAX);
    attributes.push(KeyValue::new("messaging.message.body.size", size));
}

fn detail(what: What, attributes: &mut Vec<KeyValue>) {
    let mut put = |key: &'static str, value: opentelemetry::Value| attributes.push(KeyValue::new(key, value));
    let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX).into();
    match what {
        What::Receive { ingress, .. } => {
            put("messaging.system", "stagewire".into());
            put("messaging.operation.name", "receive".into());
            put("messaging.operation.type", "receive".into());
            put("messaging.destination.name", ingress.into());
        }
        What::Route { route, generation, outcome, lanes } => {
            put("messaging.system", "stagewire".into());
            put("messaging.operation.name", "process".into());
            put("messaging.operation.type", "process".into());
            put("messaging.destination.name", route.to_string().into());
            put("stagewire.route", route.to_string().into());
            put("stagewire.generation", i64::try_from(generation).unwrap_or(i64::MAX).into());
            put("stagewire.outcome", outcome.into());
            put("stagewire.deliveries", number(lanes));
        }
        What::Step { route, step, plugin, verdict, reason } => {
            let (name, digest) = plugin.split_once(' ').unwrap_or((&plugin, ""));
            put("stagewire.route", route.to_string().into());
            put("stagewire.step", number(step));
            put("stagewire.plugin", name.to_owned().into());
            put("stagewire.plugin.digest", digest.to_owned().into());
            put("stagewire.verdict", verdict.into());
            if !reason.is_empty() {
                put("stagewire.reason", reason.into());
            }
        }
        What::Send { route, to, tries, batch, receipt } => {
            sending(&to, batch, &mut put);
            put("stagewire.route", route.to_string().into());
            put("stagewire.try", i64::from(tries).into());
            if !receipt.is_empty() {
                put("stagewire.receipt", receipt.into());
            }
        }
        What::Batch { to, count, .. } => sending(&to, count, &mut put),
        What::Bury { route, backend } => {
            put("stagewire.route", route.to_string().into());
            put("stagewire.backend", backend.to_string().into());
        }
    }
}

fn sending(to: &Destination, count: usize, put: &mut impl FnMut(&'static str, opentelemetry::Value)) {
    put("messaging.system", to.system.into());
    put("messaging.operation.name", "send".into());
    put("messaging.operation.type", "send".into());
    // A name that is made of the event's attributes is a template, of low cardinality.
    let key =
        if to.name.contains('{') { "messaging.destination.template" } else { "messaging.destination.name" };
    put(key, to.name.clone().into());
    if count > 1 {
        put("messaging.batch.message_count", i64::try_from(count).unwrap_or(i64::MAX).into());
    }
    put("stagewire.backend", to.backend.clone().into());
    put("stagewire.address", to.address.clone().into());
}
