//! Lengths of time in settings.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A length of time, written as in the host's settings: `50ms`, `5s`, `10m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Each unit in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Span {
    /// Reads a length of time; the error says how to write one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of time; write it like 50ms or 24h");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(wrong)?;
        let count = count.parse::<u64>().ok().and_then(|count| count.checked_mul(*millis));
        count.map(|millis| Self(Duration::from_millis(millis))).ok_or_else(wrong)
    }

    /// In whole milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

/// In the largest unit that it is a whole number of.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis();
        let fits = UNITS.iter().rev().find(|(_, scale)| millis > 0 && millis.is_multiple_of(*scale));
        let (unit, scale) = fits.unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", millis / scale)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        for (text, millis) in [("50ms", 50), ("5s", 5000), ("10 m", 600_000), ("24h", 86_400_000), ("0s", 0)]
        {
            assert_eq!(Span::parse(text).map(Span::millis), Ok(millis), "{text}");
        }
        for text in ["", "5", "s", "5 parsecs", "-1s", "99999999999999999999d", "9999999999999999d", "1.5s"] {
            assert!(Span::parse(text).unwrap_err().ends_with("write it like 50ms or 24h"), "{text}");
        }
        assert_eq!(Span::parse("120s").unwrap().to_string(), "2m");
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_is_written(millis in 0..10_000_000_000_u64) {
            let span = Span(Duration::from_millis(millis));
            prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9]{0,24}[a-zé ]{0,3}") {
            let _ = Span::parse(&text);
        }
    }
}
