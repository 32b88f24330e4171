//! The new text of a rule: `com.new.$1`.

/// Text with places for what stars stood for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replacement(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What that star stood for, counted from 0.
    Star(usize),
}

impl Replacement {
    /// Reads `com.new.$1` for a pattern with so many stars; `$$` stands for a dollar sign.
    pub(crate) fn parse(text: &str, stars: usize) -> Result<Self, String> {
        let mut pieces = text.split('$');
        let mut parts = vec![Part::Text(pieces.next().unwrap_or_default().into())];
        while let Some(piece) = pieces.next() {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = piece.split_at(digits);
            let plain = if piece.is_empty() {
                let Some(after) = pieces.next() else { return Err(lonely(text)) };
                format!("${after}")
            } else {
                let Ok(star) = number.parse::<usize>() else { return Err(lonely(text)) };
                if !(1..=stars).contains(&star) {
                    return Err(format!(
                        "`{text}` has ${star}, but `from` has {stars} `*`; they count from $1"
                    ));
                }
                parts.push(Part::Star(star - 1));
                after.into()
            };
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text with what the stars stood for.
    pub(crate) fn fill(&self, captures: &[&str]) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Star(star) => captures.get(*star).copied().unwrap_or_default().to_owned(),
        };
        self.0.iter().map(part).collect()
    }
}

fn lonely(text: &str) -> String {
    format!(
        "`{text}` has a lonely `$`; write `$1` for what the first `*` stood for, or `$$` for a dollar sign"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        Ok(Replacement::parse(text, 2)?.fill(&["x", "y"]))
    }

    #[test]
    fn stars_take_their_places() {
        for (text, expected) in [
            ("", ""),
            ("a", "a"),
            ("$1", "x"),
            ("$2-$1.$1", "y-x.x"),
            ("$$1", "$1"),
            ("$$$1a", "$xa"),
            ("$$", "$"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_wrong_place_is_refused_with_what_to_write() {
        for text in ["$", "a$b", "$1$", "$$$"] {
            assert!(filled(text).unwrap_err().contains("write `$1`"), "{text}");
        }
        for text in ["$0", "$3", "$12"] {
            assert!(filled(text).unwrap_err().contains("but `from` has 2 `*`"), "{text}");
        }
        assert!(filled("$99999999999999999999999").is_err());
    }
}
