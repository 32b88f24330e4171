//! Holds a tree against the JSON Schema of the settings, and says everything that does not fit, in people's words.

use std::net::SocketAddr;

use serde_json::Value as Json;

use super::fault::Fault;
use super::tree::{Key, Node, Value};
use super::units::{Clock, Size, Span, Zone};
use crate::registry::Image;
use crate::router::{Attribute, Dialect, cel, sql};

/// The format of an address to listen at.
const ADDRESS: &str = "socket-address";

/// A schema with the definitions that it refers to.
pub(super) struct Schema<'a> {
    definitions: &'a Json,
}

impl<'a> Schema<'a> {
    /// `root` is what schemars gives for a type: the schema, and its `$defs`.
    pub(super) fn check(root: &'a Json, node: &Node, faults: &mut Vec<Fault>) {
        Self { definitions: &root["$defs"] }.value(root, node, faults);
    }

    fn resolve(&self, schema: &'a Json) -> (&'a str, &'a Json) {
        match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
            Some(name) => (name, &self.definitions[name]),
            None => ("", schema),
        }
    }

    fn value(&self, schema: &'a Json, node: &Node, faults: &mut Vec<Fault>) {
        let (name, schema) = self.resolve(schema);
        let json = node.outline();
        match name {
            "Span" => return unit(Span::parse, &json, node, faults),
            "Size" => return unit(Size::parse, &json, node, faults),
            "Clock" => return unit(Clock::parse, &json, node, faults),
            "Zone" => return unit(Zone::parse, &json, node, faults),
            "Attribute" => return unit(Attribute::parse, &json, node, faults),
            "Image" => return unit(Image::parse, &json, node, faults),
            sql::Expression::NAME => return expression::<sql::Expression>(&json, node, faults),
            cel::Expression::NAME => return expression::<cel::Expression>(&json, node, faults),
            _ => {}
        }
        if let Some(options) = schema["anyOf"].as_array() {
            // An `Option`: null, or the other.
            if !json.is_null() {
                options
                    .iter()
                    .filter(|option| option["type"] != "null")
                    .for_each(|option| self.value(option, node, faults));
            }
            return;
        }
        if let Some(words) = words(schema) {
            return word(&words, &json, node, faults);
        }
        if let Some(variants) = schema["oneOf"].as_array() {
            return self.variant(variants, node, faults);
        }
        if schema["format"] == ADDRESS {
            return unit(address, &json, node, faults);
        }
        let types = types(schema);
        if types.is_empty() || fits(&types, &json) {
            self.inside(schema, node, &json, faults);
        } else {
            faults.push(mismatch(&types, &json, node));
        }
    }

    fn inside(&self, schema: &'a Json, node: &Node, json: &Json, faults: &mut Vec<Fault>) {
        match &node.value {
            Value::Map(entries) => self.object(schema, node, entries, faults),
            Value::List(items) => items.iter().for_each(|item| self.value(&schema["items"], item, faults)),
            Value::Scalar { .. } => range(schema, json, node, faults),
        }
    }

    fn object(&self, schema: &'a Json, node: &Node, entries: &[(Key, Node)], faults: &mut Vec<Fault>) {
        let properties = schema["properties"].as_object();
        for (key, value) in entries {
            match properties.and_then(|properties| properties.get(&key.name)) {
                Some(schema) => self.value(schema, value, faults),
                None if schema["additionalProperties"] == false => {
                    let known: Vec<&str> = properties
                        .into_iter()
                        .flat_map(|properties| properties.keys().map(String::as_str))
                        .collect();
                    faults.push(unknown(key, &known));
                }
                None if schema["additionalProperties"].is_object() => {
                    self.value(&schema["additionalProperties"], value, faults);
                }
                None => {}
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if node.get(required).is_none() {
                faults.push(
                    Fault::new(node.place.clone(), format!("key {required:?} is missing here"))
                        .help(format!("add {required}: …")),
                );
            }
        }
    }

    /// An enum whose variants carry values: a map with the variant's name as its one key.
    fn variant(&self, variants: &'a [Json], node: &Node, faults: &mut Vec<Fault>) {
        let named: Vec<(&str, &Json)> = variants
            .iter()
            .filter_map(|variant| variant["properties"].as_object()?.iter().next())
            .map(|(name, schema)| (name.as_str(), schema))
            .collect();
        let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        let Value::Map(entries) = &node.value else {
            let message = format!("expected one of {} here", names.join(", "));
            return faults.push(
                Fault::new(node.place.clone(), message).help("write it like exact: { type: com.example.x }"),
            );
        };
        if entries.len() != 1 {
            let message =
                format!("expected exactly one of {} here, found {} keys", names.join(", "), entries.len());
            return faults
                .push(Fault::new(node.place.clone(), message).help("give each condition its own list item"));
        }
        let (key, value) = &entries[0];
        match named.iter().find(|(name, _)| *name == key.name) {
            Some((_, schema)) => self.value(schema, value, faults),
            None => faults.push(unknown(key, &names)),
        }
    }
}

fn unknown(key: &Key, known: &[&str]) -> Fault {
    let fault = Fault::new(key.place.clone(), format!("unknown key {:?}", key.name));
    match nearest(&key.name, known) {
        Some(near) => fault.help(format!("did you mean {near:?}?")),
        None if known.is_empty() => fault.help("nothing can be set here"),
        None => fault.help(format!("known here: {}", known.join(", "))),
    }
}

/// The known word that is most like it, if any is.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |name: &&str| strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase());
    let best = known.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) >= 0.8).then_some(best)
}

/// The words of an enum without values; numbers may be among them (`acks: 1`).
pub(super) fn words(schema: &Json) -> Option<Vec<String>> {
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().map(as_word).collect());
    }
    let variants = schema["oneOf"].as_array()?.iter();
    variants.map(|variant| variant.get("const").map(as_word)).collect()
}

fn as_word(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

fn word(words: &[String], json: &Json, node: &Node, faults: &mut Vec<Fault>) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let given = as_word(json);
    // Aliases in another case are the type's business.
    if words.iter().any(|word| word.eq_ignore_ascii_case(&given))
        || given.eq_ignore_ascii_case("warning") && words.contains(&"WARN")
    {
        return;
    }
    let help = match nearest(&given, &words) {
        Some(near) => format!("did you mean {near:?}? known: {}", words.join(", ")),
        None => format!("write one of {}", words.join(", ")),
    };
    faults.push(Fault::new(node.place.clone(), format!("{given:?} is not known here")).help(help));
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address to listen at; write an IP address and a port, like 127.0.0.1:8080")
    })
}

/// What is text to the schema, and has a form of its own.
fn unit<T>(parse: fn(&str) -> Result<T, String>, json: &Json, node: &Node, faults: &mut Vec<Fault>) {
    let given = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    if let Err(message) = parse(&given) {
        let (message, help) = message
            .split_once("; ")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap_or((message, String::new()));
        faults.push(Fault::new(node.place.clone(), message).help(help));
    }
}

/// An expression, whose fault stands within the value.
fn expression<T: Dialect>(json: &Json, node: &Node, faults: &mut Vec<Fault>) {
    let Some(text) = json.as_str() else { return faults.push(mismatch(&["string"], json, node)) };
    let Err(error) = T::condition(text) else { return };
    let place = node.within(error.place());
    let message = if place.is_some() {
        error.to_string()
    } else {
        // The characters of the file are not those of the text.
        let before = text.get(..error.place().start).unwrap_or(text);
        format!("{error} (at character {} of the expression)", before.chars().count() + 1)
    };
    let place = place.unwrap_or_else(|| node.place.clone());
    faults.push(Fault::new(place, message).help(error.help()));
}

fn types(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(one) => vec![one],
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn fits(types: &[&str], json: &Json) -> bool {
    let kind = kind(json);
    // A section that is left empty (`redis_streams:`) is one of defaults.
    types.contains(&kind)
        || (kind == "integer" && types.contains(&"number"))
        || (kind == "null" && types.contains(&"object"))
}

fn spoken(kind: &str) -> &'static str {
    match kind {
        "null" => "nothing",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "text",
        "array" => "a list",
        _ => "a section of keys",
    }
}

fn mismatch(types: &[&str], json: &Json, node: &Node) -> Fault {
    let wanted: Vec<_> = types.iter().filter(|kind| **kind != "null").map(|kind| spoken(kind)).collect();
    let wanted = wanted.join(" or ");
    let shown = match json {
        Json::Array(_) | Json::Object(_) => String::new(),
        other => format!(" ({other})"),
    };
    let fault = Fault::new(
        node.place.clone(),
        format!("expected {wanted} here, found {}{shown}", spoken(kind(json))),
    );
    match (types, json) {
        (types, Json::Number(_) | Json::Bool(_)) if types.contains(&"string") => {
            fault.help(format!("put it in quotes: \"{json}\""))
        }
        (types, Json::String(text)) if types.contains(&"array") => {
            fault.help(format!("make it a list: [{text:?}]"))
        }
        (types, Json::String(text)) if typed_inside(types, text) => {
            fault.help(format!("leave the quotes out: {text}"))
        }
        _ => fault.help(format!("write {wanted}")),
    }
}

fn typed_inside(types: &[&str], text: &str) -> bool {
    let number =
        types.iter().any(|kind| matches!(*kind, "integer" | "number")) && text.parse::<f64>().is_ok();
    number || types.contains(&"boolean") && matches!(text, "true" | "false")
}

fn range(schema: &Json, json: &Json, node: &Node, faults: &mut Vec<Fault>) {
    let Some(number) = json.as_f64() else { return };
    let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        let help = match (least, most) {
            (Some(least), Some(most)) => format!("write a number from {least} to {most}"),
            (Some(least), None) => format!("write a number from {least} on"),
            _ => "write a smaller number".into(),
        };
        faults.push(Fault::new(node.place.clone(), format!("{json} is out of range")).help(help));
    }
}
