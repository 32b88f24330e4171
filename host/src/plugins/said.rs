//! What a plugin says, made fit to be shown: one line, bounded, and nothing in it that moves a cursor, colours a terminal or turns
//! text around. A plugin's words reach logs, terminals, the dashboard and dead letters, and may have been written by an event's
//! sender: a reason quotes what was wrong.

/// The longest reason: of a drop, a failure, a refusal.
pub(super) const REASON: usize = 1 << 10;
/// The longest name or version.
pub(super) const NAME: usize = 100;
/// The longest description.
pub(super) const DESCRIPTION: usize = 500;
/// The largest schema of settings.
pub(super) const SCHEMA: usize = 64 << 10;

/// The text as one line of at most so many bytes.
pub(crate) fn line(text: &str, most: usize) -> String {
    let cut = &text[..text.floor_char_boundary(most)];
    // What nearly every reason is.
    if cut.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return cut.to_owned();
    }
    cut.chars().map(shown).collect()
}

/// [`line`] for a text that is thrown away otherwise: it is copied only where it has to be.
pub(super) fn lined(text: String, most: usize) -> String {
    let plain = text.len() <= most && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if plain { text } else { line(&text, most) }
}

fn shown(character: char) -> char {
    match character {
        '\n' => '\u{23ce}',
        '\t' => ' ',
        // Marks, embeddings and isolates that turn text around; what separates lines; what is not seen at all.
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => char::REPLACEMENT_CHARACTER,
        other if other.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_a_mark() {
        assert_eq!(line("plain, größer 🎈", 100), "plain, größer 🎈");
        assert_eq!(line("\u{1b}[2J\u{1b}]0;title\u{7}\r\n", 100), "�[2J�]0;title��⏎");
        assert_eq!(line("\u{9b}31m a\tb", 100), "�31m a b");
        assert_eq!(line("gpj.\u{202e}exe\u{2066}x\u{200f}", 100), "gpj.�exe�x�");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(line("ääää", 5), "ää");
        assert_eq!(lined("x".repeat(2_000), REASON).len(), REASON);
        assert!(line(&"\u{1b}".repeat(REASON), REASON).len() <= 3 * REASON);
    }

    proptest::proptest! {
        #[test]
        fn a_line_is_a_line(text in ".{0,200}") {
            let line = line(&text, 100);
            proptest::prop_assert!(!line.chars().any(char::is_control));
            proptest::prop_assert_eq!(lined(text.clone(), 100), line);
        }
    }
}
