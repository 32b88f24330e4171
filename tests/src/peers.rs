//! Clients that others wrote: curl, the Python package `cloudevents`, the Go SDK. They are told what to send by a
//! description, and describe what they read, so that both ends are theirs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::host::{BATCHED, STRUCTURED};
use crate::places;

const LIMIT: Duration = Duration::from_mins(1);

/// How an event travels in HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The whole event is a JSON document.
    Structured,
    /// Attributes are headers, data is the body.
    Binary,
    /// Several events are a JSON array.
    Batched,
}

impl Mode {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Structured, Self::Binary, Self::Batched];

    fn name(self) -> &'static str {
        match self {
            Self::Structured => "structured",
            Self::Binary => "binary",
            Self::Batched => "batched",
        }
    }
}

/// Whose client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `curl`
    Curl,
    /// The package `cloudevents` of Python.
    Python,
    /// `github.com/cloudevents/sdk-go/v2`
    Go,
}

impl Peer {
    /// Sends described events.
    ///
    /// # Panics
    /// Unless the peer says that all were accepted.
    pub async fn send(self, mode: Mode, url: &str, events: &[Value]) {
        match self {
            Self::Curl => curl(mode, url, events).await,
            Self::Python | Self::Go => {
                let mut arguments = self.program();
                arguments.extend(["send", mode.name(), url].map(Into::into));
                run(&arguments, &lines(events)).await;
            }
        }
    }

    /// Reads documents (`{"document": …}`) or recorded requests, and describes the events.
    pub async fn read(self, given: &[Value]) -> Vec<Value> {
        let mut arguments = self.program();
        arguments.push("read".into());
        parse(&run(&arguments, &lines(given)).await)
    }

    fn program(self) -> Vec<PathBuf> {
        match self {
            Self::Curl => panic!("curl reads no events"),
            Self::Python => vec![places::python(), places::root().join("tests/clients/python/peer.py")],
            Self::Go => vec![places::go_peer()],
        }
    }
}

/// Events that are easily spoilt on the way, as descriptions: every kind of attribute with every kind of character, and
/// data of every kind.
pub fn delicate() -> Vec<Value> {
    let event = |id: &str, more: Value, data: (&str, Value)| {
        let mut attributes = attributes(id);
        let more = more.as_object().cloned().unwrap_or_default();
        attributes.as_object_mut().expect("an object of attributes").extend(more);
        json!({ "attributes": attributes, data.0: data.1 })
    };
    let json_type = "application/json";
    vec![
        event(
            "plain",
            json!({ "datacontenttype": json_type }),
            ("json", json!({ "a": [1, 2.5, null, "x"] })),
        ),
        event(
            "unicode",
            json!({ "datacontenttype": json_type, "subject": "Žlutý kůň / 黒い馬 🐎" }),
            ("json", json!({ "text": "naïve — “quoted” \u{1F40E} \u{2028}" })),
        ),
        event(
            "extensions",
            json!({ "datacontenttype": json_type, "partitionkey": "k-1", "attempt": 7, "urgent": true,
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "unknownone": "as it came; with, commas = signs" }),
            ("json", json!({ "deep": { "er": { "still": [[], {}, ""] } } })),
        ),
        event(
            "schema",
            json!({ "datacontenttype": json_type, "dataschema": "https://example.com/schema#v1?x=1",
                "time": "2025-12-14T12:00:00.123456Z", "subject": "a \"quoted\" subject" }),
            ("json", json!({ "large": 9_007_199_254_740_993_i64, "negative": -1 })),
        ),
        event("text", json!({ "datacontenttype": "text/plain" }), ("text", json!("two\nlines, no JSON"))),
    ]
}

/// What has no text form, and so cannot be sent by hand in binary mode.
pub fn bytes() -> Value {
    json!({
        "attributes": with(attributes("bytes"), "datacontenttype", "application/octet-stream"),
        "base64": "AAECA//+gIE="
    })
}

/// Text of that id as data.
pub fn text(id: &str, text: &str) -> Value {
    json!({ "attributes": with(attributes(id), "datacontenttype", "text/plain"), "text": text })
}

/// What every event has; the SDKs would make up a time where there is none.
fn attributes(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/stage2/nlp", "type": "com.example.delicate",
        "time": "2025-12-14T12:00:00Z" })
}

fn with(mut attributes: Value, name: &str, value: &str) -> Value {
    attributes[name] = value.into();
    attributes
}

/// Reads a broker with a client that Python has for it (`["nats", URL, STREAM…]`), and describes the events.
pub async fn python_reads(arguments: &[&str]) -> Vec<Value> {
    let mut all = Peer::Python.program();
    all.extend(arguments.iter().map(Into::into));
    parse(&run(&all, "").await)
}

/// Reads recorded messages of that form, and describes the events.
pub async fn python_reads_recorded(form: &str, recorded: &[Value]) -> Vec<Value> {
    let mut arguments = Peer::Python.program();
    arguments.push(form.into());
    parse(&run(&arguments, &lines(recorded)).await)
}

/// Runs a producer or a consumer that traces by OpenTelemetry's own SDK, and answers with what it prints.
pub async fn traced(arguments: &[&str]) -> Value {
    let mut all = vec![places::python(), places::root().join("tests/clients/python/traced.py")];
    all.extend(arguments.iter().map(Into::into));
    parse(&run(&all, "").await).remove(0)
}

/// Reads a stream with Python's own Redis client, and describes the events.
pub async fn python_reads_redis(url: &str, stream: &str, count: usize) -> Vec<Value> {
    let address = url.trim_start_matches("redis://");
    let (address, db) = address.split_once('/').unwrap_or((address, "0"));
    let (host, port) = address.split_once(':').unwrap_or((address, "6379"));
    let mut arguments = Peer::Python.program();
    arguments.extend(["redis", host, port, db, stream, &count.to_string()].map(Into::into));
    parse(&run(&arguments, "").await)
}

/// Reads a topic with Python's own Kafka client and the package's Kafka binding, and describes the events.
pub async fn python_reads_kafka(server: &str, topic: &str, count: usize) -> Vec<Value> {
    let mut arguments = Peer::Python.program();
    arguments.extend(["kafka", server, topic, &count.to_string()].map(Into::into));
    parse(&run(&arguments, "").await)
}

async fn curl(mode: Mode, url: &str, events: &[Value]) {
    let media = |name: &str| format!("content-type: {name}");
    if mode == Mode::Batched {
        let documents: Vec<_> = events.iter().map(document).collect();
        return curl_once(url, &[media(BATCHED)], &Value::from(documents).to_string()).await;
    }
    for event in events {
        if mode == Mode::Structured {
            curl_once(url, &[media(STRUCTURED)], &document(event).to_string()).await;
        } else {
            let (headers, body) = binary(event);
            curl_once(url, &headers, &body).await;
        }
    }
}

async fn curl_once(url: &str, headers: &[String], body: &str) {
    let mut arguments: Vec<PathBuf> = vec!["curl".into()];
    arguments.extend(["--silent", "--show-error", "--fail-with-body", "--data-binary", "@-"].map(Into::into));
    for header in headers {
        arguments.extend(["--header".into(), header.into()]);
    }
    arguments.push(url.into());
    run(&arguments, body).await;
}

/// The JSON document of a described event.
pub fn document(described: &Value) -> Value {
    let mut document = described["attributes"].as_object().cloned().unwrap_or_default();
    for (from, to) in [("json", "data"), ("text", "data"), ("base64", "data_base64")] {
        document.extend(described.get(from).map(|value| (to.to_owned(), value.clone())));
    }
    document.into()
}

/// The headers and the body of a described event in binary mode, as someone writes them by hand who has read the
/// binding; bodies that are not text cannot be written so.
fn binary(described: &Value) -> (Vec<String>, String) {
    let headers = strings(described).into_iter().map(|(name, value)| match name.as_str() {
        "datacontenttype" => format!("content-type: {value}"),
        _ => format!("ce-{name}: {}", percent_encoded(&value)),
    });
    let body = match (described.get("json"), described["text"].as_str()) {
        (Some(value), _) => value.to_string(),
        (None, text) => text.unwrap_or_default().to_owned(),
    };
    (headers.collect(), body)
}

/// `CloudEvents` HTTP binding 3.1.3.2: all but printable ASCII, and of that space, quote and percent.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'"' | b'%' => format!("%{byte:02X}"),
        0x21..=0x7E => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// A description in which all that may differ without meaning anything is alike: attributes as their canonical
/// strings, data as JSON or as bytes.
pub fn canonical(described: &Value) -> Value {
    let mut attributes = strings(described);
    attributes.entry("specversion".into()).or_insert_with(|| "1.0".into());
    let json = attributes.get("datacontenttype").is_none_or(|media| media.contains("json"));
    let bytes = described["base64"].as_str().map(|text| BASE64.decode(text).unwrap_or_default());
    let bytes = bytes.or_else(|| described["text"].as_str().map(|text| text.as_bytes().to_vec()));
    let data = match (described.get("json"), bytes) {
        (Some(value), _) => json!({ "json": value }),
        (None, Some(bytes)) => match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if json => json!({ "json": value }),
            _ => json!({ "base64": BASE64.encode(bytes) }),
        },
        (None, None) => Value::Null,
    };
    json!({ "attributes": attributes, "data": data })
}

/// Several at once, sorted by id: events of different keys may overtake each other.
pub fn all_canonical(described: &[Value]) -> Vec<Value> {
    let mut all: Vec<_> = described.iter().map(canonical).collect();
    all.sort_by_key(|event| event["attributes"]["id"].to_string());
    all
}

fn strings(described: &Value) -> BTreeMap<String, String> {
    let empty = Map::new();
    let attributes = described["attributes"].as_object().unwrap_or(&empty);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn lines(values: &[Value]) -> String {
    values.iter().flat_map(|value| [value.to_string(), "\n".into()]).collect()
}

fn parse(lines: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).expect("a peer describes events in JSON lines");
    lines.lines().map(parse).collect()
}

async fn run(arguments: &[PathBuf], input: &str) -> String {
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().expect("the peer can be started");
    let mut stdin = child.stdin.take().expect("its input is a pipe");
    let feed = async {
        // A peer that ends early shows why in its output.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
    };
    let ended = tokio::time::timeout(LIMIT, async { tokio::join!(feed, child.wait_with_output()).1 }).await;
    let output = ended.expect("the peer ends").expect("its output can be read");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} ended with {}: {err}{out}", output.status);
    out.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_encoded_as_the_binding_says() {
        assert_eq!(percent_encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("50% \"x\""), "50%25%20%22x%22");
        assert_eq!(percent_encoded("a/b?c=d"), "a/b?c=d");
    }

    #[test]
    fn descriptions_are_alike_whatever_the_mode() {
        let typed = json!({ "attributes": { "id": "1", "n": 7, "b": true }, "json": { "a": [1] } });
        let textual = json!({ "attributes": { "id": "1", "n": "7", "b": "true", "specversion": "1.0" },
            "base64": BASE64.encode(r#"{"a":[1]}"#) });
        assert_eq!(canonical(&typed), canonical(&textual));
    }
}
