//! Writing documents: one event, one on a line, or a batch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{is_json, is_well_formed};
use crate::Event;
use crate::event::{DataKind, Value};

/// How the member of each core attribute begins, in the order of [`Event::core_texts`].
const CORE: [&[u8]; 7] = [
    br#","id":"#,
    br#","source":"#,
    br#","type":"#,
    br#","subject":"#,
    br#","time":"#,
    br#","datacontenttype":"#,
    br#","dataschema":"#,
];

/// Writes one event as a structured document; JSON data goes in verbatim.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    write(event, out, |data, out| out.extend_from_slice(data));
}

/// Writes one event without a line break in it, for JSON lines.
pub fn encode_compact(event: &Event, out: &mut Vec<u8>) {
    write(event, out, compact);
}

/// Writes a batch: a JSON array.
pub fn encode_batch<'a>(events: impl IntoIterator<Item = &'a Event>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, event) in events.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        encode(event, out);
    }
    out.push(b']');
}

fn write(event: &Event, out: &mut Vec<u8>, json: fn(&[u8], &mut Vec<u8>)) {
    out.reserve(event.record().len() + 256);
    out.extend_from_slice(br#"{"specversion":"1.0""#);
    // They lie one behind the other: looked at once for all.
    let quoted = if is_plain(event.core_bytes()) { plain } else { string };
    for (begin, text) in CORE.into_iter().zip(event.core_texts()).filter(|(_, text)| !text.is_empty()) {
        out.extend_from_slice(begin);
        quoted(text, out);
    }
    for (name, value) in event.extensions() {
        member(name, out);
        match value {
            Value::String(text) => string(text, out),
            Value::Integer(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Value::Boolean(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        }
    }
    write_data(event, out, json);
    out.push(b'}');
}

fn write_data(event: &Event, out: &mut Vec<u8>, json: fn(&[u8], &mut Vec<u8>)) {
    let data = event.data();
    match event.data_kind() {
        DataKind::None => {}
        DataKind::Json => {
            member("data", out);
            json(data, out);
        }
        DataKind::Text => {
            member("data", out);
            string(std::str::from_utf8(data).unwrap_or_default(), out);
        }
        // From a binary binding: JSON by its media type, but nobody has looked yet.
        DataKind::Binary if is_json(event.data_content_type()) && is_well_formed(data) => {
            member("data", out);
            json(data, out);
        }
        DataKind::Binary => {
            member("data_base64", out);
            out.push(b'"');
            let start = out.len();
            out.resize(start + base64::encoded_len(data.len(), true).unwrap_or_default(), 0);
            // The room was made to measure.
            let _ = BASE64.encode_slice(data, &mut out[start..]);
            out.push(b'"');
        }
    }
}

fn member(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        plain(text, out);
    } else {
        // A vector takes all that is written.
        let _ = serde_json::to_writer(out, text);
    }
}

fn plain(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether text needs no escape, as nearly all does: many bytes at a time show it.
fn is_plain(text: &[u8]) -> bool {
    let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    text.iter().fold(true, |all, byte| all & plain(byte))
}

/// Leaves white space between tokens out; number text and order stay as they are.
fn compact(data: &[u8], out: &mut Vec<u8>) {
    let (mut quoted, mut escaped) = (false, false);
    for byte in data {
        let blank = !quoted && matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        if !blank {
            out.push(*byte);
        }
        match byte {
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && *byte == b'\\' && !escaped;
    }
}
