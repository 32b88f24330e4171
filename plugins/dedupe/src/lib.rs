//! Drops events that were seen before, within a window of time.

use serde::Deserialize;
use stagewire_plugin::{Error, Event, Filter, Key, Otherwise, Span, Verdict, state};

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What makes events the same.
    #[serde(default = "source_and_id")]
    by: Vec<String>,
    /// How long an event is remembered, from when it was first seen.
    #[serde(default = "hour")]
    window: Span,
    /// What becomes of an event that lacks a part of the key.
    #[serde(default)]
    missing: Otherwise,
}

fn source_and_id() -> Vec<String> {
    vec!["source".into(), "id".into()]
}

fn hour() -> Span {
    Span(std::time::Duration::from_secs(3600))
}

/// The filter.
#[derive(Debug)]
pub struct Dedupe {
    key: Key,
    window: Span,
    missing: Otherwise,
}

impl Filter for Dedupe {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { by, window, missing } = settings;
        if by.is_empty() {
            return Err("`by` is empty, which makes all events the same; write `by: [source, id]`".into());
        }
        if window.0.is_zero() {
            return Err(
                "`window` is 0, in which nothing is remembered; write a longer one, such as 1h".into()
            );
        }
        Ok(Self { key: Key::parse(&by)?, window, missing })
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let key = match self.key.of(event) {
            Ok(key) => key,
            Err(lacking) => return self.missing.verdict(lacking),
        };
        // A claim, and not a look-up: an event that passes the step again is not its own duplicate.
        Ok(match state::claim(&key, Some(self.window.0))? {
            true => Verdict::Keep,
            false => Verdict::drop(format!("it was seen within {}", self.window)),
        })
    }
}

stagewire_plugin::filter!(Dedupe);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use stagewire_plugin::Value;
    use stagewire_plugin::state::test::{next_event, wait};

    use super::*;

    fn dedupe(by: &[&str]) -> Dedupe {
        let by = by.iter().map(|name| (*name).to_owned()).collect();
        Dedupe::configure(Settings { by, window: hour(), missing: Otherwise::Error }).unwrap()
    }

    fn event(id: &str) -> Event<'static> {
        next_event();
        Event::test().with("id", Value::Text(id.into()))
    }

    #[test]
    fn what_was_seen_is_dropped() {
        let mut dedupe = dedupe(&["source", "id"]);
        let seen = Verdict::drop("it was seen within 1h");
        assert_eq!(dedupe.keep(&event("a")), Ok(Verdict::Keep));
        assert_eq!(dedupe.keep(&event("b")), Ok(Verdict::Keep));
        assert_eq!(dedupe.keep(&event("a")), Ok(seen.clone()));
        assert_eq!(dedupe.keep(&event("a").with("source", Value::Text("/other".into()))), Ok(Verdict::Keep));
        wait(Duration::from_secs(3599));
        assert_eq!(dedupe.keep(&event("a")), Ok(seen), "the window is not over");
        wait(Duration::from_secs(1));
        assert_eq!(
            dedupe.keep(&event("a")),
            Ok(Verdict::Keep),
            "it counts from the first, not from the last"
        );
    }

    #[test]
    fn an_event_that_passes_again_is_not_its_own_duplicate() {
        let mut dedupe = dedupe(&["source", "id"]);
        let event = event("again");
        assert_eq!(dedupe.keep(&event), Ok(Verdict::Keep));
        assert_eq!(dedupe.keep(&event), Ok(Verdict::Keep));
    }

    #[test]
    fn a_value_of_the_data_may_be_the_key() {
        let mut dedupe = dedupe(&["/order/id"]);
        let event = |id, data: &str| event(id).data_json(data);
        assert_eq!(dedupe.keep(&event("1", r#"{"order":{"id":7}}"#)), Ok(Verdict::Keep));
        assert_ne!(dedupe.keep(&event("2", r#"{"order":{"id":7},"x":1}"#)), Ok(Verdict::Keep));
        assert_eq!(dedupe.keep(&event("3", r#"{"order":{"id":8}}"#)), Ok(Verdict::Keep));
    }

    #[test]
    fn what_lacks_a_part_of_the_key_is_a_matter_of_settings() {
        for missing in [Otherwise::Error, Otherwise::Pass, Otherwise::Drop] {
            let settings = Settings { by: vec!["/id".into()], window: hour(), missing };
            let verdict = Dedupe::configure(settings).unwrap().keep(&event("1").data("text"));
            assert_eq!(verdict, missing.verdict("data has no text, number or boolean at /id"));
        }
    }

    #[test]
    fn settings_are_refused_with_what_to_write() {
        let refused = |json: &str| match serde_json::from_str(json) {
            Ok(settings) => Dedupe::configure(settings).unwrap_err(),
            Err(error) => error.to_string(),
        };
        assert!(refused(r#"{"by":[]}"#).contains("write `by: [source, id]`"));
        assert!(refused(r#"{"by":["{id}"]}"#).contains("without braces"));
        assert!(refused(r#"{"window":"0s"}"#).contains("such as 1h"));
        assert!(refused(r#"{"window":"soon"}"#).contains("like 50ms or 24h"));
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Dedupe::SETTINGS_SCHEMA).unwrap();
    }

    proptest! {
        #[test]
        fn each_id_is_kept_once(ids in prop::collection::vec("[abc]{1,2}", 0..20), salt: u64) {
            let mut dedupe = dedupe(&["source", "id"]);
            let ids: Vec<_> = ids.into_iter().map(|id| format!("{salt}/{id}")).collect();
            let kept: Vec<_> = ids.iter().filter(|id| dedupe.keep(&event(id)) == Ok(Verdict::Keep)).collect();
            let mut first = Vec::new();
            ids.iter().for_each(|id| if !first.contains(&id) { first.push(id) });
            prop_assert_eq!(kept, first);
        }
    }
}
