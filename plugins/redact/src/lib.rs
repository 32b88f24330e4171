//! Removes or masks fields of JSON data, at any depth by name, or at one place by path.
//!
//! Data is read as text spans, never as a tree: key order, the text of numbers and every untouched byte stay.

use serde::Deserialize;
use stagewire_plugin::json::{Action, Path, Step, TooDeep, rewrite};
use stagewire_plugin::{Emitter, Error, Event, Transform};

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Fields to remove: a name (at any depth), or a path as `a.b`, `$.a.b[*].c` or `/a/b/0/c`.
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
    remove: Vec<Path>,
    mask: Vec<Path>,
    mask_with: String,
}

impl Rules {
    /// Rules from names and paths.
    pub fn new(remove: &[String], mask: &[String], mask_with: &str) -> Result<Self, String> {
        let paths = |texts: &[String]| texts.iter().map(|text| Path::parse(text)).collect::<Result<_, _>>();
        Ok(Self { remove: paths(remove)?, mask: paths(mask)?, mask_with: quoted(mask_with) })
    }

    fn decide(&self, trail: &[Step<'_>]) -> Action<'_> {
        let named = |paths: &[Path]| paths.iter().any(|path| path.matches(trail));
        let element = matches!(trail.last(), Some(Step::Index(_)));
        match (named(&self.remove), named(&self.mask)) {
            (false, false) => Action::Enter,
            // An element is never cut out: the places of its neighbours would shift.
            (true, _) if element => Action::Replace("null"),
            (true, _) => Action::Remove,
            (false, true) => Action::Replace(&self.mask_with),
        }
    }
}

/// The data without what the rules name; none where nothing is to be done, or the data is not JSON.
pub fn redacted(data: &[u8], rules: &Rules) -> Result<Option<Vec<u8>>, TooDeep> {
    rewrite(data, |trail| rules.decide(trail))
}

/// The transform.
#[derive(Debug)]
pub struct Redact(Rules);

impl Transform for Redact {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

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

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(remove: &[&str], mask: &[&str], data: &str) -> Option<String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let rules = Rules::new(&owned(remove), &owned(mask), "***").unwrap();
        redacted(data.as_bytes(), &rules).unwrap().map(|data| String::from_utf8(data).unwrap())
    }

    #[test]
    fn a_name_means_it_everywhere() {
        let data = r#"[{"\u0078":1},{"b":[{"x":1.0e+5,"n":1.10}]}]"#;
        assert_eq!(redact(&["x"], &[], data).as_deref(), Some(r#"[{},{"b":[{"n":1.10}]}]"#));
    }

    #[test]
    fn a_path_means_one_place() {
        let data = r#"{"a":{"b":[{"c":1,"d":2},{"c":3}]},"c":4}"#;
        assert_eq!(redact(&["$.a.b[*].c"], &[], data).unwrap(), r#"{"a":{"b":[{"d":2},{}]},"c":4}"#);
        assert_eq!(redact(&["$.c"], &["a.b"], data).unwrap(), r#"{"a":{"b":"***"}}"#);
        assert_eq!(redact(&["/a/b/0/c"], &["/a/b/1"], data).unwrap(), r#"{"a":{"b":[{"d":2},"***"]},"c":4}"#);
    }

    #[test]
    fn an_element_leaves_a_gap() {
        assert_eq!(redact(&["a[0]"], &[], r#"{"a":["x","y"]}"#).unwrap(), r#"{"a":[null,"y"]}"#);
    }

    #[test]
    fn what_is_not_json_or_not_named_is_left_alone() {
        for data in ["", "text", r#"{"x":1"#, r#"{"x":1}}"#, r#"{"a":"x"}"#, "[", "{\"x\":\u{1}}"] {
            assert_eq!(redact(&["x"], &[], data), None, "{data}");
        }
    }

    #[test]
    fn untouched_bytes_stay() {
        let data = "{ \"n\" : 1.500e+03 ,\n \"z\":\"\\u00e4\", \"x\": \"s\" , \"a\":[ ] }";
        assert_eq!(redact(&[], &["x"], data).unwrap(), data.replace("\"s\"", "\"***\""));
    }

    #[test]
    fn data_that_cannot_be_seen_through_does_not_pass() {
        let settings = Settings { remove: vec!["x".into()], mask: vec![], mask_with: stars() };
        let mut redact = Redact::configure(settings).unwrap();
        let deep = format!("{}{{\"x\":1}}{}", "[".repeat(200), "]".repeat(200));
        let refused = redact.apply(&Event::test().data_json(&deep), &mut Emitter::test());
        assert_eq!(refused, Err(Error::permanent("data is nested too deeply to be redacted")));
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Redact::SETTINGS_SCHEMA).unwrap();
    }
}
