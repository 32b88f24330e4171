//! The JSON Schema of the settings: as the loader checks a tree by it, and as editors have it.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::settings::{Events, Settings};
use crate::backends::KINDS;

/// The definition of what is written in place of a value that comes from elsewhere.
const VARIABLE: &str = "Variable";
/// What says something about a value, and restricts none.
const NOTES: [&str; 5] = ["title", "description", "default", "examples", "writeOnly"];

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// The schema of the types, in which sections of backends are anything.
pub(super) fn of_settings() -> Value {
    generator().into_root_schema_for::<Settings>().to_value()
}

/// The sections of `events:` that the backends of this build know, each with its schema and what that refers to.
pub(super) fn of_backends() -> impl Iterator<Item = (&'static str, Value)> {
    KINDS.iter().map(|kind| {
        let mut generator = generator();
        let mut schema = (kind.schema)(&mut generator).to_value();
        schema["$defs"] = Value::Object(generator.take_definitions(true));
        (kind.name, schema)
    })
}

/// The schema of the types with the sections of backends in it.
pub(super) fn whole() -> Value {
    let mut generator = generator();
    let parts: Vec<_> =
        KINDS.iter().map(|kind| (kind.name, (kind.schema)(&mut generator).to_value())).collect();
    let mut root = generator.into_root_schema_for::<Settings>().to_value();
    for (name, part) in parts {
        let section = &mut root["$defs"]["Events"]["properties"][name];
        *section = json!({ "description": section["description"], "default": null, "allOf": [part] });
    }
    root
}

/// The JSON Schema of the settings file, and of files that it includes, for editors. A file that it refuses is refused by
/// the loader as well. It does not see what rests on other files, on the environment, or on what is on the disk.
pub fn schema() -> Value {
    let mut root = whole();
    by_type(&mut root);
    let definitions = root["$defs"].clone();
    open(&mut root, &definitions);
    several_files(&mut root);
    root["title"] = "Settings of Stagewire".into();
    root["description"] = "The settings file, or one that it includes.".into();
    root["$defs"][VARIABLE] = json!({
        "description": "A value from the environment, `${NAME}` or `${NAME:-default}`, or from a file, `${file:/run/secrets/name}`.",
        "type": "string",
        "pattern": "\\$\\{[^}]+\\}",
    });
    root
}

/// A backend's type is a word, and its `config` is the section of that type.
fn by_type(root: &mut Value) {
    let section = |name: &str| root["$defs"]["Events"]["properties"][name]["allOf"][0].clone();
    let config = |name: &str| {
        json!({
            "if": { "properties": { "type": { "const": name } }, "required": ["type"] },
            "then": { "properties": { "config": section(name) } },
        })
    };
    let configs: Value = KINDS.iter().map(|kind| config(kind.name)).collect();
    root["$defs"]["BackendEntry"]["allOf"] = configs;
    root["$defs"]["BackendEntry"]["properties"]["type"]["enum"] = json!(Events::KINDS);
    let backend = &mut root["$defs"]["Events"]["properties"]["backend"];
    *backend = json!({
        "description": backend["description"],
        "default": null,
        "anyOf": [{ "enum": Events::KINDS }, { "type": "null" }],
    });
    root["$defs"]["Events"]["not"] = json!({
        "properties": { "backend": { "type": "string" }, "backends": { "type": "array", "minItems": 1 } },
        "required": ["backend", "backends"],
    });
}

/// What may stand in files of its own.
fn several_files(root: &mut Value) {
    // Wildcards stand in the last part.
    let path = json!({ "type": "string", "minLength": 1, "pattern": r"^([^*?\[]*/)?[^/]*/?$" });
    root["properties"]["include"] = json!({
        "description": "Files that are put together with this one: paths, directories of `.yaml` files, or patterns such as `rules.d/*.yaml`. They count from the directory of this file.",
        "default": [],
        "examples": ["rules.d", ["plugins.yaml", "rules.d/*.yaml"]],
        "anyOf": [path, { "type": ["array", "null"], "items": path }],
    });
    let routes = root["properties"]["routes"].take();
    root["properties"]["routes"] = json!({
        "description": routes["description"],
        "default": [],
        "examples": [[{ "name": "all", "deliver": ["local"] }], "rules.d"],
        "anyOf": [{ "type": ["array", "null"], "items": routes["items"] }, path],
    });
}

/// Opens a schema, and all within, for what the loader takes beyond the types: sections without keys, and variables in
/// place of values. Each key says what it is, where it stands.
fn open(schema: &mut Value, definitions: &Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for parts in ["oneOf", "anyOf", "allOf"] {
        let parts = map.get_mut(parts).and_then(Value::as_array_mut).into_iter().flatten();
        parts.for_each(|part| open(part, definitions));
    }
    let about = map.get("description").cloned();
    for (parts, are_keys) in [("properties", true), ("$defs", false)] {
        let parts = map.get_mut(parts).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
        for part in parts {
            open(part, definitions);
            if are_keys {
                describe(part, about.as_ref(), definitions);
                take_variables(part, definitions);
            }
        }
    }
    for part in ["items", "additionalProperties", "then"] {
        if let Some(part) = map.get_mut(part) {
            open(part, definitions);
            take_variables(part, definitions);
        }
    }
    if map.get("type").is_some_and(|kind| kind == "object") {
        map.insert("type".into(), json!(["object", "null"]));
    }
}

/// A key without words of its own has those of its type, or, as the one key of a form, those of the form.
fn describe(key: &mut Value, form: Option<&Value>, definitions: &Value) {
    let (about, examples) = {
        let resolved = resolve(key, definitions);
        (resolved["description"].clone(), resolved["examples"].clone())
    };
    let Some(map) = key.as_object_mut() else { return };
    let about = if about.is_null() { form.cloned() } else { Some(about) };
    if let Some(about) = about.filter(|_| !map.contains_key("description")) {
        map.insert("description".into(), about);
    }
    let default = map.get("default").filter(|default| match default {
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
    });
    let examples = default.map(|default| json!([default])).or(Some(examples).filter(Value::is_array));
    if let Some(examples) = examples.filter(|_| !map.contains_key("examples")) {
        map.insert("examples".into(), examples);
    }
}

/// Where not any text will do, a variable does.
fn take_variables(schema: &mut Value, definitions: &Value) {
    let resolved = resolve(schema, definitions);
    let has = |key: &str| resolved.get(key).is_some();
    let kind = |name: &str| {
        let kind = &resolved["type"];
        kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
    };
    let words = super::check::words(resolved);
    let is_words = words.is_some();
    let is_section = kind("object") || kind("array") || has("oneOf") && !is_words;
    let takes_any = kind("string") && !is_words && !["pattern", "minLength", "format"].into_iter().any(has);
    let is_open = resolved.get("anyOf").is_some() || !is_words && !has("type");
    let Some(map) = schema.as_object_mut().filter(|_| !is_section && !takes_any && !is_open) else { return };
    let (notes, limits): (Map<_, _>, Map<_, _>) =
        std::mem::take(map).into_iter().partition(|(key, _)| NOTES.contains(&key.as_str()));
    let mut options = match limits.get("anyOf").and_then(Value::as_array) {
        Some(options) => options.clone(),
        None => vec![Value::Object(limits)],
    };
    // Words in capitals may be written small, and one has a second form.
    let mut small: Vec<_> =
        words.into_iter().flatten().filter(|word| word.bytes().any(|b| b.is_ascii_uppercase())).collect();
    if small.iter().any(|word| word == "WARN") {
        small.push("WARNING".into());
        options.push(json!({ "const": "WARNING" }));
    }
    if !small.is_empty() {
        let small: Vec<_> = small.iter().map(|word| word.to_lowercase()).collect();
        options.push(json!({ "enum": small }));
    }
    options.push(json!({ "$ref": format!("#/$defs/{VARIABLE}") }));
    *map = notes;
    map.insert("anyOf".into(), options.into());
}

/// Follows references, and looks through what only says "or nothing".
pub(super) fn resolve<'a>(schema: &'a Value, definitions: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return resolve(&definitions[name], definitions);
    }
    let only = |list: &'a Value| {
        let mut parts = list.as_array()?.iter().filter(|part| part["type"] != "null");
        parts.next().filter(|_| parts.next().is_none())
    };
    // Sections may have conditions beside their keys.
    let within = only(&schema["anyOf"]).or_else(|| only(&schema["allOf"]));
    match within.filter(|_| !schema["properties"].is_object()) {
        Some(part) => resolve(part, definitions),
        None => schema,
    }
}
