//! Colour, where the reader is a person who wants it. Words always say the same.

use std::io::IsTerminal;

use owo_colors::{AnsiColors, OwoColorize};

use super::facts::Health;

/// Whether what is printed may have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Coloured,
    Plain,
}

impl Paint {
    /// To a terminal, unless `NO_COLOR` is set.
    pub(super) fn of(to: &impl IsTerminal) -> Self {
        if to.is_terminal() && is_wanted() { Self::Coloured } else { Self::Plain }
    }

    pub(super) fn health(self, health: Health, text: &str) -> String {
        self.in_colour(
            text,
            match health {
                Health::Well => AnsiColors::Green,
                Health::Doubtful => AnsiColors::Yellow,
                Health::Ill => AnsiColors::Red,
            },
        )
    }

    pub(super) fn in_colour(self, text: &str, colour: AnsiColors) -> String {
        if self == Self::Coloured { text.color(colour).to_string() } else { text.to_owned() }
    }

    pub(super) fn quiet(self, text: &str) -> String {
        if self == Self::Coloured { text.dimmed().to_string() } else { text.to_owned() }
    }

    /// The same word has the same colour each time.
    pub(super) fn by_word(self, word: &str) -> String {
        const COLOURS: [AnsiColors; 5] = [
            AnsiColors::Cyan,
            AnsiColors::Blue,
            AnsiColors::Magenta,
            AnsiColors::BrightCyan,
            AnsiColors::BrightBlue,
        ];
        let sum = word.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.in_colour(word, COLOURS[sum % COLOURS.len()])
    }
}

/// Whether the environment does not speak against colours (no-color.org).
pub(super) fn is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What somebody else wrote stays on its line and commands no terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
