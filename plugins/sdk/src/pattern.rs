//! Patterns in which `*` stands for any text.

/// A pattern, such as `com.example.*.done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Reads a pattern; an empty one is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern is empty; write `*` for any text".into());
        }
        Ok(Self(text.split('*').map(str::to_owned).collect()))
    }

    /// How many stars are in it.
    pub fn stars(&self) -> usize {
        self.0.len() - 1
    }

    /// Whether the text is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        self.walk(text, |_| ()).is_some()
    }

    /// What each star stands for; none where the text is not as the pattern says. Each star but the last takes as
    /// little as it can.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Vec<&'t str>> {
        let mut captures = Vec::with_capacity(self.stars());
        self.walk(text, |capture| captures.push(capture))?;
        Some(captures)
    }

    /// From the left, which is enough where `*` is the only wildcard: if a later place fits, so does the first.
    fn walk<'t>(&self, text: &'t str, mut star: impl FnMut(&'t str)) -> Option<()> {
        let (head, rest) = self.0.split_first()?;
        let mut text = text.strip_prefix(head.as_str())?;
        let Some((tail, middle)) = rest.split_last() else {
            return text.is_empty().then_some(());
        };
        for part in middle {
            let (before, after) = text.split_once(part.as_str())?;
            star(before);
            text = after;
        }
        star(text.strip_suffix(tail.as_str())?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captures<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
        Pattern::parse(pattern).unwrap().captures(text)
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("a.*", "a.b"),
            ("*", ""),
            ("*.c", "a.b.c"),
            ("a*b*c", "a1b2c"),
            ("a**c", "ac"),
            ("a", "a"),
            ("*ab", "aab"),
        ] {
            assert!(captures(pattern, text).is_some(), "{pattern} {text}");
        }
        for (pattern, text) in [("a.*", "b.a."), ("a", "ab"), ("ab*ba", "aba"), ("*b*b", "ab")] {
            assert!(captures(pattern, text).is_none(), "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_gives_what_it_stands_for() {
        assert_eq!(captures("com.old.*", "com.old.made"), Some(vec!["made"]));
        assert_eq!(captures("*.*", "a.b.c"), Some(vec!["a", "b.c"]));
        assert_eq!(captures("*/*-*", "a/b-c-d"), Some(vec!["a", "b", "c-d"]));
        assert_eq!(captures("**", "ab"), Some(vec!["", "ab"]));
        assert_eq!(captures("é*", "éü"), Some(vec!["ü"]));
        assert_eq!(captures("a", "a"), Some(vec![]));
    }

    /// The definition, word for word and slow.
    fn means(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|taken| means(rest, &text[taken..])),
            [c, rest @ ..] => text.first() == Some(c) && means(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_is_as_the_definition_says(pattern in "[abé*]{1,6}", text in "[abé]{0,9}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            let captured = captures(&pattern, &text);
            prop_assert_eq!(captured.is_some(), means(&letters(&pattern), &letters(&text)));
            if let Some(captured) = captured {
                let mut rebuilt = pattern.clone();
                for capture in captured {
                    rebuilt = rebuilt.replacen('*', capture, 1);
                }
                prop_assert_eq!(rebuilt, text);
            }
        }
    }
}
