//! Keeps a share of the events: of those with the same key all or none, on every worker, host and day.

use serde::Deserialize;
use stagewire_plugin::{Error, Event, Filter, Otherwise, Verdict};
use xxhash_rust::xxh64::xxh64;

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The share of the keys that is kept, from 0 to 1.
    rate: f64,
    /// What the key is.
    #[serde(default)]
    by: By,
    /// The attribute that `by: attribute` means.
    #[serde(default)]
    attribute: Option<String>,
    /// What becomes of an event that lacks the attribute.
    #[serde(default = "pass")]
    missing: Otherwise,
    /// Another seed keeps other keys.
    #[serde(default)]
    seed: u64,
}

/// What events are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The ordering key: `partitionkey`, else `subject`, else `source`.
    #[default]
    Key,
    /// `id`
    Id,
    /// `subject`
    Subject,
    /// The attribute that `attribute` names.
    Attribute,
}

fn pass() -> Otherwise {
    Otherwise::Pass
}

/// The filter.
#[derive(Debug)]
pub struct Sample {
    rate: f64,
    by: By,
    attribute: String,
    missing: Otherwise,
    seed: u64,
}

impl Filter for Sample {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { rate, by, attribute, missing, seed } = settings;
        if !(0.0..=1.0).contains(&rate) {
            return Err(format!("`rate` is {rate}; write a share from 0 to 1, as 0.1 for a tenth"));
        }
        let attribute = match (by, attribute) {
            (By::Attribute, None) => {
                return Err("`by: attribute` needs `attribute: NAME`, such as `attribute: tenant`".into());
            }
            (By::Attribute, Some(name)) => name,
            (_, Some(_)) => {
                return Err("`attribute` means nothing here; write `by: attribute` with it".into());
            }
            (By::Id, None) => "id".into(),
            (By::Subject, None) => "subject".into(),
            (By::Key, None) => String::new(),
        };
        Ok(Self { rate, by, attribute, missing, seed })
    }

    fn keep(&mut self, event: &Event) -> Result<Verdict, Error> {
        let key = match self.by {
            By::Key => Some(event.ordering_key()),
            _ => event.attribute(&self.attribute).map(|value| value.to_string()),
        };
        let Some(key) = key else {
            return self
                .missing
                .verdict(format!("the event has no attribute {:?} to sample by", self.attribute));
        };
        Ok(if place(&key, self.seed) < self.rate {
            Verdict::Keep
        } else {
            Verdict::drop(format!("not in the sample of {}", self.rate))
        })
    }
}

stagewire_plugin::filter!(Sample);

/// Where a key lies between 0 and 1: the upper 53 bits of its XXH64, as many as a double holds. The readme promises this.
fn place(key: &str, seed: u64) -> f64 {
    (xxh64(key.as_bytes(), seed) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stagewire_plugin::Value;

    use super::*;

    fn settings(rate: f64, by: By) -> Settings {
        Settings { rate, by, attribute: None, missing: Otherwise::Pass, seed: 0 }
    }

    fn keeps(rate: f64, subject: &str) -> bool {
        let mut sample = Sample::configure(settings(rate, By::Key)).unwrap();
        let event = Event::test().with("subject", Value::Text(subject.into()));
        sample.keep(&event).unwrap() == Verdict::Keep
    }

    #[test]
    fn the_place_of_a_key_never_changes() {
        // From another implementation: python3 -c 'import xxhash; print((xxhash.xxh64(b"order/7").intdigest() >> 11) / 2**53)'
        assert_eq!(place("", 0), (0xef46_db37_51d8_e999_u64 >> 11) as f64 / 9_007_199_254_740_992.0);
        assert_eq!(place("order/7", 0).to_string(), "0.620854294213143");
        assert_ne!(place("order/7", 1), place("order/7", 0));
    }

    #[test]
    fn about_the_share_is_kept() {
        for rate in [0.0, 0.1, 0.5, 1.0] {
            let kept = (0..10_000).filter(|n| keeps(rate, &format!("order/{n}"))).count() as f64;
            assert!((kept / 10_000.0 - rate).abs() < 0.015, "{rate}: {kept}");
        }
    }

    #[test]
    fn what_is_sampled_by_is_a_setting() {
        let event = |id: &str| {
            let event = Event::test().with("id", Value::Text(id.into()));
            event.with("tenant", Value::Text("acme".into())).with("subject", Value::Text("s".into()))
        };
        let verdicts = |settings: Settings| {
            let mut sample = Sample::configure(settings).unwrap();
            (0..50).filter(|n| sample.keep(&event(&n.to_string())).unwrap() == Verdict::Keep).count()
        };
        assert!((1..50).contains(&verdicts(settings(0.5, By::Id))), "some of the ids");
        for by in [By::Key, By::Subject] {
            assert!([0, 50].contains(&verdicts(settings(0.5, by))), "{by:?}: all or none");
        }
        let by_tenant = Settings { attribute: Some("tenant".into()), ..settings(0.5, By::Attribute) };
        assert!([0, 50].contains(&verdicts(by_tenant)));
    }

    #[test]
    fn what_lacks_the_attribute_is_a_setting() {
        let verdict = |missing| {
            let settings = Settings { missing, ..settings(0.0, By::Subject) };
            Sample::configure(settings).unwrap().keep(&Event::test())
        };
        let reason = "the event has no attribute \"subject\" to sample by";
        assert_eq!(verdict(Otherwise::Pass), Ok(Verdict::Keep));
        assert_eq!(verdict(Otherwise::Drop), Ok(Verdict::drop(reason)));
        assert_eq!(verdict(Otherwise::Error), Err(Error::permanent(reason)));
    }

    #[test]
    fn settings_are_refused_with_what_to_write() {
        let refused = |settings| Sample::configure(settings).unwrap_err();
        assert!(refused(settings(10.0, By::Key)).contains("from 0 to 1"));
        assert!(refused(settings(f64::NAN, By::Key)).contains("from 0 to 1"));
        assert!(refused(settings(0.1, By::Attribute)).contains("`attribute: tenant`"));
        let stray = Settings { attribute: Some("x".into()), ..settings(0.1, By::Id) };
        assert!(refused(stray).contains("`by: attribute`"));
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Sample::SETTINGS_SCHEMA).unwrap();
    }

    proptest! {
        #[test]
        fn a_higher_rate_keeps_what_a_lower_one_kept(key in ".{0,12}", low in 0.0..=1.0, more in 0.0..=1.0) {
            let high = f64::min(1.0, low + more);
            prop_assert!(!keeps(low, &key) || keeps(high, &key));
        }
    }
}
