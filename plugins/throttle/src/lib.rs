//! Lets so many events through in a length of time, for each key.

mod bucket;

use std::time::Duration;

use serde::Deserialize;
use stagewire_plugin::{Error, Event, Filter, Key, Otherwise, Span, Verdict, now, state};

use bucket::{Answer, Bucket};

/// How often a bucket is asked again, if another worker took a token at the same time.
const TRIES: usize = 64;

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How many events of a key go on in each `per`.
    rate: u32,
    /// The length of time that `rate` is for.
    #[serde(default = "second")]
    per: Span,
    /// How many may go on at once after a pause; `rate` where absent.
    #[serde(default)]
    burst: Option<u32>,
    /// The key; where it is empty, all events share one bucket.
    #[serde(default)]
    by: Vec<String>,
    /// What becomes of an event for which there is no token.
    #[serde(default)]
    over: Over,
    /// What becomes of an event that lacks a part of the key.
    #[serde(default)]
    missing: Otherwise,
}

/// What becomes of an event for which there is no token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// It is dropped.
    #[default]
    Drop,
    /// It is a permanent error: the step's `on_error` decides.
    Error,
}

fn second() -> Span {
    Span(Duration::from_secs(1))
}

/// The filter.
#[derive(Debug)]
pub struct Throttle {
    bucket: Bucket,
    key: Key,
    over: Over,
    missing: Otherwise,
    /// Why an event is over the rate.
    reason: String,
}

impl Filter for Throttle {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { rate, per, burst, by, over, missing } = settings;
        let bucket = Bucket::new(rate, per.0, burst.unwrap_or(rate))?;
        let reason = format!("over the rate of {rate} in {per}");
        Ok(Self { bucket, key: Key::parse(&by)?, over, missing, reason })
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let key = match self.key.of(event) {
            Ok(key) => key,
            Err(lacking) => return self.missing.verdict(lacking),
        };
        if self.takes(&key)? {
            return Ok(Verdict::Keep);
        }
        match self.over {
            Over::Drop => Ok(Verdict::drop(self.reason.as_str())),
            Over::Error => Err(Error::permanent(self.reason.as_str())),
        }
    }
}

stagewire_plugin::filter!(Throttle);

impl Throttle {
    /// Whether there was a token for that key.
    fn takes(&self, key: &str) -> Result<bool, Error> {
        let now = now();
        for _ in 0..TRIES {
            let before = state::get(key);
            let time = before.as_deref().and_then(|time| time.try_into().ok()).map(u64::from_le_bytes);
            let Answer::Taken(time) = self.bucket.take(time, now) else { return Ok(false) };
            let full_after = Some(Bucket::full_after(time, now));
            if state::compare_and_swap(key, before.as_deref(), &time.to_le_bytes(), full_after)? {
                return Ok(true);
            }
        }
        Err(Error::transient("other workers took tokens at the same time, again and again"))
    }
}

#[cfg(test)]
mod tests {
    use stagewire_plugin::Value;
    use stagewire_plugin::state::test::wait;

    use super::*;

    fn throttle(json: &str) -> Result<Throttle, String> {
        Throttle::configure(serde_json::from_str(json).map_err(|error| error.to_string())?)
    }

    fn event(tenant: &str) -> Event<'static> {
        Event::test().with("tenant", Value::Text(tenant.into()))
    }

    #[test]
    fn each_key_has_its_own_bucket() {
        let mut throttle = throttle(r#"{"rate":2,"per":"1m","by":["tenant"]}"#).unwrap();
        let over = Verdict::drop("over the rate of 2 in 1m");
        let mut verdicts = |tenant, count| -> Vec<_> {
            (0..count).map(|_| throttle.keep(&event(tenant)).unwrap()).collect()
        };
        assert_eq!(verdicts("a", 3), [Verdict::Keep, Verdict::Keep, over.clone()]);
        assert_eq!(verdicts("b", 1), [Verdict::Keep]);
        wait(Duration::from_secs(29));
        assert_eq!(verdicts("a", 1), std::slice::from_ref(&over));
        wait(Duration::from_secs(1));
        assert_eq!(verdicts("a", 2), [Verdict::Keep, over.clone()]);
        wait(Duration::from_secs(3600));
        assert_eq!(verdicts("a", 3), [Verdict::Keep, Verdict::Keep, over], "no more than the burst");
    }

    #[test]
    fn without_a_key_all_share_one_bucket() {
        let mut throttle = throttle(r#"{"rate":5,"burst":1,"over":"error"}"#).unwrap();
        assert_eq!(throttle.keep(&event("a")), Ok(Verdict::Keep));
        assert_eq!(throttle.keep(&event("b")), Err(Error::permanent("over the rate of 5 in 1s")));
    }

    #[test]
    fn what_lacks_a_part_of_the_key_is_a_matter_of_settings() {
        for (what, missing) in
            [("error", Otherwise::Error), ("pass", Otherwise::Pass), ("drop", Otherwise::Drop)]
        {
            let settings = format!(r#"{{"rate":1,"by":["/id"],"missing":"{what}"}}"#);
            let verdict = throttle(&settings).unwrap().keep(&Event::test());
            assert_eq!(verdict, missing.verdict("data has no text, number or boolean at /id"));
        }
    }

    #[test]
    fn settings_are_refused_with_what_to_write() {
        let refused = |json| throttle(json).unwrap_err();
        assert!(refused(r#"{"rate":0}"#).contains("must be at least 1"));
        assert!(refused(r#"{"rate":1,"burst":0}"#).contains("must be at least 1"));
        assert!(refused(r#"{"rate":1,"per":"0s"}"#).contains("such as 1s"));
        assert!(refused(r#"{"rate":1,"per":"often"}"#).contains("like 50ms or 24h"));
        assert!(refused(r#"{"rate":1,"by":["Tenant"]}"#).contains("names no attribute"));
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Throttle::SETTINGS_SCHEMA).unwrap();
    }
}
