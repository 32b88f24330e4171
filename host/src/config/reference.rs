//! The settings as a page for people, made from the schema that checks them.

use std::fmt::Write as _;

use serde_json::Value;

use super::check::words;
use super::schema;

const HEAD: &str = "\
# Settings

Made by `stagewire config reference` from the types that read the file; a test keeps it so. `stagewire config schema` gives the
same as a JSON Schema for editors, `stagewire validate` checks a file.

`${VAR}` and `${VAR:-default}` inside a value are taken from the environment, `${file:/run/secrets/name}` from a file, which counts from
the directory of the settings file; `$${` writes `${`. `EVENTS_ENABLED`, `EVENTS_BACKEND` and `REDIS_EVENTS_URL` go before the file. An
unknown key is an error that names the nearest known one.

`include:` puts other files together with this one: `include: [plugins.yaml, rules.d]`. [Settings in several files](settings-files.md)
has that, and what is kept of secrets.

`# yaml-language-server: $schema=settings.schema.json` in the first line makes editors complete and check the file;
`config/settings.schema.json` is that schema, and `stagewire init` writes it.
";

/// Every key with its type, default and meaning, as Markdown.
pub fn reference() -> String {
    let root = schema::whole();
    let mut page = Page { definitions: &root["$defs"], text: HEAD.to_owned() };
    page.section("", &root, "");
    page.text
}

struct Page<'a> {
    definitions: &'a Value,
    text: String,
}

impl<'a> Page<'a> {
    /// A heading, what it is about, a row for each key, and then the sections that its keys hold.
    fn section(&mut self, path: &str, schema: &'a Value, about: &str) {
        let Some(properties) = schema["properties"].as_object() else { return };
        let mut inner = Vec::new();
        let mut rows = String::new();
        for (name, property) in properties {
            let resolved = self.resolve(property);
            let about = description(property, resolved);
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let items = self.resolve(&resolved["items"]);
            if resolved["properties"].is_object() {
                inner.push((path, resolved, about));
                continue;
            }
            if items["properties"].is_object() {
                inner.push((format!("{path}[]"), items, about));
                continue;
            }
            if is_choice(items) {
                inner.push((format!("{path}[]"), items, about.clone()));
            }
            let default = if required(schema, name) { "required".into() } else { default(property) };
            // Writing to a string cannot fail.
            let _ = writeln!(rows, "| `{name}` | {} | {default} | {about} |", self.kind(property));
        }
        if !path.is_empty() {
            let _ = write!(self.text, "\n## `{path}`\n\n{about}\n");
        }
        if !rows.is_empty() {
            let _ =
                write!(self.text, "\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n{rows}");
        }
        for (path, schema, about) in inner {
            if is_choice(schema) {
                self.choice(&path, schema, &about);
            } else {
                self.section(&path, schema, &about);
            }
        }
    }

    /// A list item that is one of several forms.
    fn choice(&mut self, path: &str, schema: &'a Value, about: &str) {
        let _ = write!(
            self.text,
            "\n## `{path}`\n\n{about} Each item has one of:\n\n| key | type | meaning |\n| --- | --- | --- |\n"
        );
        for variant in schema["oneOf"].as_array().into_iter().flatten() {
            for (name, property) in variant["properties"].as_object().into_iter().flatten() {
                let about = description(variant, property);
                let _ = writeln!(self.text, "| `{name}` | {} | {about} |", self.kind(property));
            }
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        schema::resolve(schema, self.definitions)
    }

    fn kind(&self, schema: &'a Value) -> String {
        let schema = self.resolve(schema);
        if let Some(words) = words(schema) {
            return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        }
        if is_choice(schema) {
            return "condition".into();
        }
        let pattern = schema["pattern"].as_str().unwrap_or_default();
        let named = match schema["type"]
            .as_array()
            .and_then(|types| types.first())
            .unwrap_or(&schema["type"])
            .as_str()
        {
            Some("boolean") => "true or false",
            Some("integer") => "whole number",
            Some("number") => "number",
            Some("array") => return format!("list of {}", self.kind(&schema["items"])),
            Some("object") if schema["additionalProperties"].is_object() => {
                return format!("map of {}", self.kind(&schema["additionalProperties"]));
            }
            Some("object") => "map",
            Some(_) if pattern.contains("ms|") => "duration (`50ms`, `24h`)",
            Some(_) if pattern.contains("KiB") => "size (`64KiB`, `32MiB`)",
            Some(_) => "text",
            None => "any",
        };
        named.into()
    }
}

fn is_choice(schema: &Value) -> bool {
    schema["oneOf"].as_array().is_some_and(|forms| forms.iter().any(|form| form["properties"].is_object()))
}

fn description(property: &Value, resolved: &Value) -> String {
    let text = property["description"].as_str().or(resolved["description"].as_str()).unwrap_or_default();
    text.split('\n').collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
}

fn default(property: &Value) -> String {
    match &property["default"] {
        Value::Null => "–".into(),
        Value::String(text) if text.is_empty() => "–".into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Object(map) if map.is_empty() => "none".into(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
