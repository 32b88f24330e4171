//! Keeps events whose type starts with a prefix and that have a subject.

use serde::Deserialize;
use stagewire_plugin::{Error, Event, Filter, Verdict};

/// What the step's `settings:` hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    prefix: String,
}

/// The filter.
pub struct ByPrefix(Settings);

impl Filter for ByPrefix {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = r#"{"type":"object","properties":{"prefix":{"type":"string","minLength":1}},"required":["prefix"],"additionalProperties":false}"#;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.prefix.is_empty() {
            return Err("`prefix` is empty; leave the step out to keep every type".into());
        }
        Ok(Self(settings))
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let (kind, prefix) = (event.kind(), &self.0.prefix);
        Ok(if !kind.starts_with(prefix) {
            Verdict::drop(format!("type {kind} does not start with {prefix}"))
        } else if event.subject().is_none() {
            Verdict::drop("no subject")
        } else {
            Verdict::Keep
        })
    }
}

stagewire_plugin::filter!(ByPrefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_with_the_prefix_and_a_subject_is_kept() {
        let mut filter = ByPrefix::configure(Settings { prefix: "com.example.".into() }).unwrap();
        let mut verdict = |event: Event| filter.keep(&event).unwrap();
        let made = || Event::test().of_kind("com.example.made");
        assert_eq!(verdict(made().with("subject", "1".into())), Verdict::Keep);
        assert_eq!(verdict(made()), Verdict::drop("no subject"));
        let reason = "type org.made does not start with com.example.";
        assert_eq!(verdict(Event::test().of_kind("org.made")), Verdict::drop(reason));
    }

    #[test]
    fn an_empty_prefix_is_refused() {
        assert!(ByPrefix::configure(Settings { prefix: String::new() }).is_err());
    }
}
