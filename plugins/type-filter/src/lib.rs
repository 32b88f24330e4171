//! Keeps or drops events by `type`: `allow` and `deny` are patterns in which `*` stands for any text.

use serde::Deserialize;
use stagewire_plugin::{Error, Event, Filter, Pattern, Verdict};

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Only these types are kept; every type where absent.
    #[serde(default)]
    allow: Vec<String>,
    /// These are dropped, also where `allow` names them.
    #[serde(default)]
    deny: Vec<String>,
}

/// The filter.
#[derive(Debug)]
pub struct TypeFilter {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
}

impl Filter for TypeFilter {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.allow.is_empty() && settings.deny.is_empty() {
            return Err("neither `allow` nor `deny` names a type; give at least one pattern".into());
        }
        let patterns =
            |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>();
        Ok(Self { allow: patterns(&settings.allow)?, deny: patterns(&settings.deny)? })
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let kind = event.kind();
        let named = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&kind));
        Ok(if named(&self.deny) {
            Verdict::drop(format!("type {kind} is denied"))
        } else if !self.allow.is_empty() && !named(&self.allow) {
            Verdict::drop(format!("type {kind} is not allowed"))
        } else {
            Verdict::Keep
        })
    }
}

stagewire_plugin::filter!(TypeFilter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_wins_and_the_reason_names_the_type() {
        let settings = Settings { allow: vec!["com.*".into()], deny: vec!["*.debug".into()] };
        let mut filter = TypeFilter::configure(settings).unwrap();
        let mut verdict = |kind| filter.keep(&Event::test().of_kind(kind)).unwrap();
        assert_eq!(verdict("com.made"), Verdict::Keep);
        assert_eq!(verdict("com.debug"), Verdict::drop("type com.debug is denied"));
        assert_eq!(verdict("org.made"), Verdict::drop("type org.made is not allowed"));
    }

    #[test]
    fn settings_that_do_nothing_are_refused() {
        assert!(TypeFilter::configure(Settings { allow: vec![], deny: vec![] }).is_err());
    }

    #[test]
    fn an_empty_pattern_is_refused_with_what_to_write() {
        let refused = TypeFilter::configure(Settings { allow: vec!["".into()], deny: vec![] }).unwrap_err();
        assert_eq!(refused, "a pattern is empty; write `*` for any text");
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(TypeFilter::SETTINGS_SCHEMA).unwrap();
    }
}
