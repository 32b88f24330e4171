//! Keeps or drops events by `type`: `allow` and `deny` are patterns in which `*` stands for any text.

use serde::Deserialize;
use stagewire_plugin::{Error, Event, Filter, Verdict};

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
pub struct TypeFilter(Settings);

impl Filter for TypeFilter {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"properties":{"allow":{"type":"array","items":{"type":"string","minLength":1}},"deny":{"type":"array","items":{"type":"string","minLength":1}}}}"#;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.allow.is_empty() && settings.deny.is_empty() {
            return Err("neither `allow` nor `deny` names a type; give at least one pattern".into());
        }
        if settings.allow.iter().chain(&settings.deny).any(String::is_empty) {
            return Err("a pattern is empty; write `*` for every type".into());
        }
        Ok(Self(settings))
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let kind = event.kind();
        let named = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, &kind));
        Ok(if named(&self.0.deny) {
            Verdict::drop(format!("type {kind} is denied"))
        } else if !self.0.allow.is_empty() && !named(&self.0.allow) {
            Verdict::drop(format!("type {kind} is not allowed"))
        } else {
            Verdict::Keep
        })
    }
}

stagewire_plugin::filter!(TypeFilter);

/// Greedy from the left, which is enough where `*` is the only wildcard.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in
            [("a.*", "a.b"), ("*", ""), ("*.c", "a.b.c"), ("a*b*c", "a1b2c"), ("a**c", "ac")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a.*", "b.a."), ("a", "ab"), ("ab*ba", "aba"), ("*b*b", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

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
}
