//! Long campaigns: `cargo xtask soak` runs them in full, the suites run a short version of each.

pub mod hostile;
pub mod kill;
pub mod swap;

use std::fmt;

/// How much of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Enough to see that it would fail.
    Short,
    /// What the promises are measured by.
    Full,
}

impl Length {
    fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// What a campaign found, in lines for people.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<(String, String)>);

impl Findings {
    fn add(&mut self, what: &str, value: impl fmt::Display) {
        self.0.push((what.into(), value.to_string()));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, value)| writeln!(f, "  {what:<28} {value}"))
    }
}
