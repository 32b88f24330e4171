//! Patterns of `LIKE` (3.4.3): `%` stands for any characters, `_` for one; `\%` and `\_` for themselves.

/// A pattern, taken apart at its `%`.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    source: Box<str>,
    first: Part,
    /// What must follow in this order, and what the text must end with; nothing where there is no `%`.
    others: Option<(Box<[Part]>, Part)>,
}

/// Characters one by one; `None` is any.
type Part = Box<[Option<char>]>;

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Pattern {
    pub(super) fn new(source: &str) -> Self {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut rest = source.chars();
        while let Some(c) = rest.next() {
            match c {
                '%' => parts.push(Part::from(std::mem::take(&mut part))),
                '_' => part.push(None),
                // Any other backslash is one: only the two can be escaped.
                '\\' if rest.as_str().starts_with(['%', '_']) => part.push(rest.next()),
                _ => part.push(Some(c)),
            }
        }
        let last = Part::from(part);
        let source = source.into();
        if parts.is_empty() {
            return Self { source, first: last, others: None };
        }
        let first = parts.remove(0);
        Self { source, first, others: Some((parts.into(), last)) }
    }

    /// As it was written, without quotes.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// What a text must begin and end with.
    pub(super) fn ends(&self) -> [String; 2] {
        let known = |part: &[Option<char>]| part.iter().copied().map_while(|c| c).collect();
        let last = self.others.as_ref().map_or(&self.first, |(_, last)| last);
        let end: String = last.iter().rev().copied().map_while(|c| c).collect();
        [known(&self.first), end.chars().rev().collect()]
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(rest) = after(&self.first, text) else { return false };
        let Some((middle, last)) = &self.others else { return rest.is_empty() };
        let Some(rest) = before(last, rest) else { return false };
        // The first place is the best one for each: it leaves the most to those behind it.
        middle.iter().try_fold(rest, |rest, part| find(part, rest)).is_some()
    }
}

/// What follows the part at the beginning of the text.
fn after<'a>(part: &Part, text: &'a str) -> Option<&'a str> {
    let mut rest = text.chars();
    let fits = part.iter().all(|wanted| rest.next().is_some_and(|c| wanted.is_none_or(|wanted| wanted == c)));
    fits.then_some(rest.as_str())
}

/// What precedes the part at the end of the text.
fn before<'a>(part: &Part, text: &'a str) -> Option<&'a str> {
    let mut rest = text.chars();
    let mut wanted = part.iter().rev();
    let fits = wanted.all(|wanted| rest.next_back().is_some_and(|c| wanted.is_none_or(|wanted| wanted == c)));
    fits.then_some(rest.as_str())
}

/// What follows the part at its first place in the text.
fn find<'a>(part: &Part, text: &'a str) -> Option<&'a str> {
    let places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.into_iter().find_map(|at| after(part, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|skip| defined(rest, &text[skip..])),
            ['_', rest @ ..] => !text.is_empty() && defined(rest, &text[1..]),
            ['\\', c @ ('%' | '_'), rest @ ..] | [c, rest @ ..] => {
                text.first() == Some(c) && defined(rest, &text[1..])
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_pattern_matches_what_its_definition_matches(pattern in r"[ab%_\\é]{0,8}", text in r"[ab%_\\é]{0,8}") {
            let wanted = defined(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), wanted);
        }
    }
}
