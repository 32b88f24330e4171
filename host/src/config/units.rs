//! Durations (`50ms`, `5s`, `24h`), sizes (`64KiB`, `32MiB`), times of the day (`08:30`) and time zones as people write them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SPANS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

fn parse(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, scale)| *scale);
    let number = number.parse::<u64>().ok();
    scale.zip(number).and_then(|(scale, number)| number.checked_mul(scale)).ok_or_else(|| {
        let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is not a number with a unit ({}); write it like {example}", names.join(", "))
    })
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $what:literal, $examples:expr, $parse:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                $parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $what, "examples": $examples })
            }
        }
    };
}

pub(super) use unit;

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

unit!(
    Span,
    "^[0-9]+ *(ms|s|m|h|d)$",
    "a length of time: 50ms, 5s, 10m, 24h, 7d",
    ["50ms", "5s", "24h"],
    Span::parse
);

impl Span {
    /// So many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// Reads `50ms`, `5s`, `10m`, `24h`, `7d`.
    ///
    /// # Errors
    /// What is wrong, with an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text, &SPANS, "50ms or 24h").map(Self::millis)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, scale) =
            SPANS.iter().rev().find(|(_, scale)| millis > 0 && millis % scale == 0).unwrap_or(&SPANS[0]);
        write!(f, "{}{unit}", millis / scale)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

unit!(
    Size,
    "^[0-9]+ *(B|kB|MB|GB|KiB|MiB|GiB|TiB)$",
    "a size in bytes: 512B, 64KiB, 32MiB, 1GiB",
    ["64KiB", "32MiB", "1GiB"],
    Size::parse
);

impl Size {
    /// So many mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// Reads `512B`, `64KiB`, `32MiB`, `1GiB`, and their decimal kin.
    ///
    /// # Errors
    /// What is wrong, with an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text, &SIZES, "64KiB or 32MiB").map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = &SIZES[..4];
        let unit = binary.iter().rev().find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale));
        let (unit, scale) = unit.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

/// A time of the day: minutes since midnight, 1440 being its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(pub u16);

unit!(
    Clock,
    "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$",
    "a time of the day: 08:30",
    ["08:30", "24:00"],
    Clock::parse
);

impl Clock {
    /// Reads `08:30`, and `24:00` for the end of a day.
    ///
    /// # Errors
    /// What is wrong, with an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| text.parse::<u16>().ok().filter(|_| digits(text));
        let parts = text.split_once(':').and_then(|(hour, minute)| number(hour).zip(number(minute)));
        let valid = parts.filter(|(hour, minute)| *hour < 24 && *minute < 60 || (*hour, *minute) == (24, 0));
        valid
            .map(|(hour, minute)| Self(hour * 60 + minute))
            .ok_or_else(|| format!("{text:?} is not a time of the day; write it like \"08:30\""))
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A time zone of the IANA database.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(pub jiff::tz::TimeZone);

unit!(Zone, "^[A-Za-z]", "a time zone: Europe/Berlin, UTC", ["Europe/Berlin", "UTC"], Zone::parse);

impl Zone {
    /// Reads `Europe/Berlin`.
    ///
    /// # Errors
    /// What is wrong, with an example.
    pub fn parse(text: &str) -> Result<Self, String> {
        let zone = jiff::tz::TimeZone::get(text);
        zone.map(Self).map_err(|_| format!("there is no time zone {text:?}; write it like Europe/Berlin"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written_alike() {
        for text in ["50ms", "5s", "10m", "24h", "7d", "90s", "0ms"] {
            let span = Span::parse(text).unwrap();
            assert_eq!(Span::parse(&span.to_string()).unwrap(), span, "{text}");
        }
        assert_eq!(Size::parse("32MiB").unwrap(), Size::mib(32));
        assert_eq!(Size::mib(32).to_string(), "32MiB");
        assert!(Span::parse("5 parsecs").unwrap_err().contains("50ms or 24h"));
        assert!(Size::parse("99999999999TiB").is_err());
        assert!(Size::parse("").is_err());
        assert_eq!(Clock::parse("08:05").unwrap().to_string(), "08:05");
        assert_eq!(Clock::parse("24:00").unwrap(), Clock(1440));
        for wrong in ["", "8:05", "24:01", "12:60", "12", "ab:cd", "+1:00"] {
            assert!(Clock::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Zone::parse("Europe/Berlin").unwrap().to_string(), "Europe/Berlin");
        assert_eq!(Zone::parse("UTC").unwrap().to_string(), "UTC");
        assert!(Zone::parse("Atlantis").unwrap_err().contains("Europe/Berlin"));
    }
}
