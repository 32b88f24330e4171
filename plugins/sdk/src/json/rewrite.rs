//! Walks JSON text once and copies what stays, span by span.
//!
//! In a guest each call looks at the stack and the clock, so there the walk is one function: that takes an eighth off it.

use std::borrow::Cow;

use super::path::Step;

/// Deeper data is an error: the walk is recursive, a guest's stack is not large, and nothing may pass unseen.
const DEPTH: usize = 128;

/// The data is nested deeper than it can be looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooDeep;

/// What is to be done with a member or an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'r> {
    /// It stays, and what is in it is asked about.
    Enter,
    /// It stays as it is.
    Keep,
    /// It goes, with its name and its comma.
    Remove,
    /// This JSON stands in its place.
    Replace(&'r str),
}

/// The data with what `decide` says done to each member and element, from the outside in; none where nothing is to be
/// done, or the data is not JSON.
pub fn rewrite<'r>(
    data: &[u8],
    decide: impl FnMut(&[Step<'_>]) -> Action<'r>,
) -> Result<Option<Vec<u8>>, TooDeep> {
    let Ok(text) = std::str::from_utf8(data) else { return Ok(None) };
    let mut scan = Scan {
        text,
        at: 0,
        copied: 0,
        out: Vec::new(),
        changed: false,
        deep: 0,
        too_deep: false,
        trail: Vec::new(),
        watching: true,
        decide,
    };
    let read = scan.value();
    scan.space();
    if scan.too_deep {
        return Err(TooDeep);
    }
    if read.is_none() || scan.at != text.len() || !scan.changed {
        return Ok(None);
    }
    scan.copy_to(text.len());
    Ok(Some(scan.out))
}

struct Scan<'a, D> {
    text: &'a str,
    at: usize,
    copied: usize,
    out: Vec<u8>,
    changed: bool,
    /// How many values are around this place.
    deep: usize,
    too_deep: bool,
    trail: Vec<Step<'a>>,
    /// Whether this value is asked about; the trail stands still where it is not.
    watching: bool,
    decide: D,
}

impl<'a, 'r, D: FnMut(&[Step<'_>]) -> Action<'r>> Scan<'a, D> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.spaces();
        }
    }

    #[cold]
    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(&self.text.as_bytes()[self.copied..end]);
        self.copied = end;
    }

    fn value(&mut self) -> Option<()> {
        if self.deep > DEPTH {
            self.too_deep = true;
            return None;
        }
        self.deep += 1;
        self.space();
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string().map(drop),
            _ => self.scalar(),
        }?;
        self.deep -= 1;
        Some(())
    }

    fn object(&mut self) -> Option<()> {
        let mut kept = false;
        self.enter(b'}', |scan, _| {
            let before = scan.at;
            let (key, escaped) = scan.string()?;
            scan.eat(b':')?;
            if scan.watching {
                let key = if escaped { unescaped(key)?.into() } else { Cow::Borrowed(key) };
                scan.trail.push(Step::Key(key));
            }
            scan.part(before, &mut kept, b'}')
        })
    }

    fn array(&mut self) -> Option<()> {
        let mut kept = false;
        self.enter(b']', |scan, index| {
            let before = scan.at;
            if scan.watching {
                scan.trail.push(Step::Index(index));
            }
            scan.part(before, &mut kept, b']')
        })
    }

    /// Reads from the opening bracket to the closing one, part by part.
    #[cfg_attr(target_family = "wasm", inline(always))]
    fn enter(&mut self, close: u8, mut part: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.space();
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        for index in 0.. {
            part(self, index)?;
            self.space();
            self.at += 1;
            match self.text.as_bytes().get(self.at - 1)? {
                b',' => {}
                byte if *byte == close => return Some(()),
                _ => return None,
            }
        }
        None
    }

    /// The value of a member or an element, and what is decided about it. `kept` is whether one before it was copied,
    /// and so whether the next needs a comma.
    #[cfg_attr(target_family = "wasm", inline(always))]
    fn part(&mut self, before: usize, kept: &mut bool, close: u8) -> Option<()> {
        if !self.watching {
            return self.value();
        }
        self.space();
        let start = self.at;
        let action = (self.decide)(&self.trail);
        if action == Action::Enter {
            self.value()?;
        } else {
            self.skip()?;
        }
        self.trail.pop();
        match action {
            Action::Enter | Action::Keep => {}
            Action::Replace(json) => {
                self.copy_to(start);
                self.out.extend_from_slice(json.as_bytes());
                self.copied = self.at;
                self.changed = true;
            }
            Action::Remove => {
                self.space();
                let more = self.peek()? != close;
                self.cut(before, *kept, more);
            }
        }
        *kept |= action != Action::Remove;
        Some(())
    }

    /// Leaves out the part from `before` to here, with the comma that belongs to it.
    fn cut(&mut self, before: usize, kept: bool, more: bool) {
        self.changed = true;
        // The last part goes with the comma before it; any other with the comma after it.
        let start = if kept && !more { before - 1 } else { before };
        // A run of removed parts at the end may have copied up to that comma already.
        if start < self.copied && self.out.last() == Some(&b',') {
            self.out.pop();
        } else {
            self.copy_to(start.max(self.copied));
        }
        self.copied = if more { self.at + 1 } else { self.at };
    }

    /// Passes over a value in which nothing is asked about.
    fn skip(&mut self) -> Option<()> {
        self.watching = false;
        let read = self.value();
        self.watching = true;
        read
    }

    /// The text between the quotes, as it stands, and whether it has escapes.
    #[cfg_attr(target_family = "wasm", inline(always))]
    fn string(&mut self) -> Option<(&'a str, bool)> {
        self.eat(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at += plain(&self.text.as_bytes()[self.at.min(self.text.len())..]);
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                byte if byte < b' ' => return None,
                _ => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at)?;
        self.at += 1;
        Some((text, escaped))
    }

    #[cfg_attr(target_family = "wasm", inline(always))]
    fn scalar(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        let number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        (number || matches!(text, "true" | "false" | "null")).then_some(())
    }
}

/// How many bytes at the front are known to be plain text of a string: up to the first that is not, or to the last whole word of
/// eight. A guest pays for each turn of a loop.
#[cfg_attr(target_family = "wasm", inline(always))]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Has the high bit of the first byte below `least` (at most 0x80), perhaps those of later ones, and none where there is no such
    // byte: Mycroft's test for a zero byte.
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word & HIGH;
    let special = |word: u64| {
        below(word, 0x20)
            | below(word ^ (ONES * u64::from(b'"')), 1)
            | below(word ^ (ONES * u64::from(b'\\')), 1)
    };
    let (words, _) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return number * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8
}

/// A key that is spelt with escapes, and is meant all the same.
fn unescaped(key: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{key}\"")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::json::Path;

    fn removed(path: &str, data: &str) -> Option<String> {
        let path = Path::parse(path).unwrap();
        let decide = |trail: &[Step<'_>]| if path.matches(trail) { Action::Remove } else { Action::Enter };
        rewrite(data.as_bytes(), decide).unwrap().map(|data| String::from_utf8(data).unwrap())
    }

    #[test]
    fn members_and_elements_go_with_their_commas() {
        for (path, data, left) in [
            ("x", r#"{"x":1}"#, "{}"),
            ("x", r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
            ("x", r#"{"a":2,"x":1}"#, r#"{"a":2}"#),
            ("x", r#"{"a":2,"x":1,"x":[{"x":3}]}"#, r#"{"a":2}"#),
            ("x", r#"{"x":1,"x":2}"#, "{}"),
            ("x", r#"{"a":1,"x":2,"b":3,"x":4}"#, r#"{"a":1,"b":3}"#),
            ("x", r#"[{"\u0078":1},{"b":[{"x":1.0e+5,"n":1.10}]}]"#, r#"[{},{"b":[{"n":1.10}]}]"#),
            ("a[0]", r#"{"a":[1,2]}"#, r#"{"a":[2]}"#),
            ("a[1]", r#"{"a":[ 1 , 2 ]}"#, r#"{"a":[ 1 ]}"#),
            ("a[*]", r#"{"a":[1,{"a":[2]}]}"#, r#"{"a":[]}"#),
        ] {
            assert_eq!(removed(path, data).as_deref(), Some(left), "{path} {data}");
        }
    }

    #[test]
    fn what_is_kept_is_not_looked_into() {
        let decide = |trail: &[Step<'_>]| if trail.len() == 1 { Action::Keep } else { Action::Remove };
        assert_eq!(rewrite(br#"{"a":{"b":[1,{"c":2}]}}"#, decide), Ok(None));
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        for data in
            ["", "text", r#"{"x":1"#, r#"{"x":1}}"#, "[", "{\"x\":\u{1}}", r#"{"x":1,}"#, r#"{"a":"\"#]
        {
            assert_eq!(removed("x", data), None, "{data}");
        }
    }

    #[test]
    fn nothing_passes_unseen_because_it_is_deep() {
        let deep = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(rewrite(deep(DEPTH).as_bytes(), |_| Action::Enter), Ok(None));
        assert_eq!(rewrite(deep(DEPTH + 1).as_bytes(), |_| Action::Enter), Err(TooDeep));
        assert_eq!(rewrite(deep(DEPTH + 1).as_bytes(), |_| Action::Keep), Err(TooDeep));
    }

    #[test]
    fn plain_text_ends_before_what_means_something() {
        for (text, expected) in
            [("", 0), ("1234567", 0), ("12345678\"", 8), ("1234567\"\n", 7), ("\u{7f}äöü\u{80}", 8)]
        {
            assert_eq!(plain(text.as_bytes()), expected, "{text:?}");
        }
        for byte in 0..=u8::MAX {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for place in 0..8 {
                let mut word = [b'a'; 8];
                word[place] = byte;
                let expected = if special { place } else { 8 };
                assert_eq!(plain(&word), expected, "{byte:#x} at {place}");
            }
        }
    }

    /// JSON of every kind, with the names `x` and `y`.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\é,\\]}\n]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[xy]", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// What `removed("x", …)` is held against.
    fn without_x(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("x");
                members.values_mut().for_each(without_x);
            }
            Value::Array(elements) => elements.iter_mut().for_each(without_x),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_a_tree_would_leave(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let mut expected = value.clone();
            without_x(&mut expected);
            let left = removed("x", &text).unwrap_or(text);
            prop_assert_eq!(serde_json::from_str::<Value>(&left).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(any::<u8>(), 0..64), text in "[{}\\[\\]\",:x1 \\\\]{0,40}") {
            let decide = |trail: &[Step<'_>]| match trail.len() % 4 {
                0 => Action::Remove,
                1 => Action::Enter,
                2 => Action::Replace("0"),
                _ => Action::Keep,
            };
            let _ = rewrite(&data, decide);
            let _ = rewrite(text.as_bytes(), decide);
        }
    }
}
