//! Removes or masks fields of JSON data, at any depth by name, or at one place by path.
//!
//! Data is read as text spans, never as a tree: key order, the text of numbers and every untouched byte stay.

mod path;
mod scan;

use serde::Deserialize;
use stagewire_plugin::{Emitter, Error, Event, Transform};

use path::Path;
pub use scan::{TooDeep, redacted};

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Fields to remove: a name (at any depth), or a path as `a.b` or `$.a.b[*].c`.
    #[serde(default)]
    remove: Vec<String>,
    /// Fields whose value is replaced by `mask_with`.
    #[serde(default)]
    mask: Vec<String>,
    /// What stands in place of a masked value.
    #[serde(default = "stars")]
    mask_with: String,
}

fn stars() -> String {
    "***".into()
}

/// What is to be done with which fields.
#[derive(Debug)]
pub struct Rules {
    pub(crate) remove: Vec<Path>,
    pub(crate) mask: Vec<Path>,
    pub(crate) mask_with: String,
}

impl Rules {
    /// Rules from names and paths.
    pub fn new(remove: &[String], mask: &[String], mask_with: &str) -> Result<Self, String> {
        let paths = |texts: &[String]| texts.iter().map(|text| Path::parse(text)).collect::<Result<_, _>>();
        Ok(Self { remove: paths(remove)?, mask: paths(mask)?, mask_with: quoted(mask_with) })
    }
}

/// The transform.
#[derive(Debug)]
pub struct Redact(Rules);

impl Transform for Redact {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{"remove":{"type":"array","items":{"type":"string","minLength":1}},"mask":{"type":"array","items":{"type":"string","minLength":1}},"mask_with":{"type":"string"}}}"#;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.remove.is_empty() && settings.mask.is_empty() {
            return Err("neither `remove` nor `mask` names a field; give at least one".into());
        }
        Rules::new(&settings.remove, &settings.mask, &settings.mask_with).map(Self)
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        match redacted(&event.bytes(), &self.0) {
            Ok(Some(data)) => out.edit(event).set_bytes(&data),
            Ok(None) => out.pass(event),
            Err(TooDeep) => return Err(Error::permanent("data is nested too deeply to be redacted")),
        }
        Ok(())
    }
}

stagewire_plugin::transform!(Redact);

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
