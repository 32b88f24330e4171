//! Walks JSON text once and copies what stays, span by span.

use std::borrow::Cow;

use crate::Rules;
use crate::path::{Path, Step};

/// Deeper data is an error: the walk is recursive, a guest's stack is not large, and nothing may pass unseen.
const DEPTH: usize = 128;

/// The data is nested deeper than it can be looked through.
#[derive(Debug, PartialEq, Eq)]
pub struct TooDeep;

/// The data without what the rules name; none where nothing is to be done, or the data is not JSON.
pub fn redacted(data: &[u8], rules: &Rules) -> Result<Option<Vec<u8>>, TooDeep> {
    let Ok(text) = std::str::from_utf8(data) else { return Ok(None) };
    let mut scan = Scan::new(text, 0, rules, Vec::new());
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

struct Scan<'a> {
    text: &'a str,
    at: usize,
    copied: usize,
    out: Vec<u8>,
    changed: bool,
    too_deep: bool,
    trail: Vec<Step<'a>>,
    rules: &'a Rules,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str, at: usize, rules: &'a Rules, trail: Vec<Step<'a>>) -> Self {
        Self { text, at, copied: 0, out: Vec::new(), changed: false, too_deep: false, trail, rules }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
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
        if self.trail.len() > DEPTH {
            self.too_deep = true;
            return None;
        }
        self.space();
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string().map(|_| ()),
            _ => self.scalar(),
        }
    }

    fn object(&mut self) -> Option<()> {
        self.at += 1;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        // Whether a member was copied into this object already, and so whether the next needs a comma.
        let mut kept = false;
        loop {
            let before = self.at;
            self.space();
            let key = unescaped(self.string()?)?;
            self.eat(b':')?;
            self.trail.push(Step::Key(key));
            let stays = self.member()?;
            self.trail.pop();
            self.space();
            let more = match self.peek()? {
                b',' => true,
                b'}' => false,
                _ => return None,
            };
            if !stays {
                self.cut(before, kept, more);
            }
            kept |= stays;
            self.at += 1;
            if !more {
                return Some(());
            }
        }
    }

    /// Leaves out the member from `before` to here, with the comma that belongs to it.
    fn cut(&mut self, before: usize, kept: bool, more: bool) {
        self.changed = true;
        // The last member goes with the comma before it; any other with the comma after it.
        let start = if kept && !more { before - 1 } else { before };
        // A run of removed members at the end may have copied up to that comma already.
        if start < self.copied && self.out.last() == Some(&b',') {
            self.out.pop();
        } else {
            self.copy_to(start.max(self.copied));
        }
        self.copied = if more { self.at + 1 } else { self.at };
    }

    /// Whether the member whose value begins here stays, masked or not.
    fn member(&mut self) -> Option<bool> {
        self.space();
        let start = self.at;
        if self.named(&self.rules.remove) {
            self.skip()?;
            return Some(false);
        }
        if self.named(&self.rules.mask) {
            self.skip()?;
            self.copy_to(start);
            self.out.extend_from_slice(self.rules.mask_with.as_bytes());
            self.copied = self.at;
            self.changed = true;
            return Some(true);
        }
        self.value()?;
        Some(true)
    }

    fn named(&self, paths: &[Path]) -> bool {
        paths.iter().any(|path| path.matches(&self.trail))
    }

    /// Passes over a value in which nothing is to be copied.
    fn skip(&mut self) -> Option<()> {
        let none = Rules { remove: Vec::new(), mask: Vec::new(), mask_with: String::new() };
        let trail = vec![Step::Unnamed; self.trail.len()];
        let mut scan = Scan::new(self.text, self.at, &none, trail);
        let read = scan.value();
        (self.at, self.too_deep) = (scan.at, scan.too_deep);
        read
    }

    fn array(&mut self) -> Option<()> {
        self.at += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        for index in 0.. {
            self.trail.push(Step::Index(index));
            // An element is masked, never removed: the places of its neighbours would shift.
            if self.named(&self.rules.mask) || self.named(&self.rules.remove) {
                self.space();
                let start = self.at;
                self.skip()?;
                self.copy_to(start);
                let removed = self.named(&self.rules.remove);
                let mask = if removed { "null" } else { self.rules.mask_with.as_str() };
                self.out.extend_from_slice(mask.as_bytes());
                self.copied = self.at;
                self.changed = true;
            } else {
                self.value()?;
            }
            self.trail.pop();
            self.space();
            self.at += 1;
            match self.text.as_bytes().get(self.at - 1)? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
        None
    }

    /// The text between the quotes, as it stands.
    fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at.min(self.text.len())..]);
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                byte if byte < b' ' => return None,
                _ => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at)?;
        self.at += 1;
        Some(text)
    }

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

/// How many bytes at the front are plain text of a string, in whole words of eight: a guest pays for each turn of a loop.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Has high bits where a byte is below `least` (at most 0x80), and zero where none is: Mycroft's test for a zero byte.
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word & HIGH;
    let words = bytes.chunks_exact(8).map(|word| {
        u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]])
    });
    let special = |word: u64| {
        below(word, 0x20)
            | below(word ^ (ONES * u64::from(b'"')), 1)
            | below(word ^ (ONES * u64::from(b'\\')), 1)
    };
    words.take_while(|word| special(*word) == 0).count() * 8
}

/// A key may be spelt with escapes, and is meant all the same.
fn unescaped(key: &str) -> Option<Cow<'_, str>> {
    if !key.contains('\\') {
        return Some(Cow::Borrowed(key));
    }
    serde_json::from_str(&format!("\"{key}\"")).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(remove: &[&str], mask: &[&str], data: &str) -> Option<String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let rules = Rules::new(&owned(remove), &owned(mask), "***").unwrap();
        redacted(data.as_bytes(), &rules).unwrap().map(|data| String::from_utf8(data).unwrap())
    }

    #[test]
    fn members_go_wherever_they_stand() {
        for (data, left) in [
            (r#"{"x":1}"#, "{}"),
            (r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":2,"x":1}"#, r#"{"a":2}"#),
            (r#"{"a":2,"x":1,"x":[{"x":3}]}"#, r#"{"a":2}"#),
            (r#"{"x":1,"x":2}"#, "{}"),
            (r#"{"a":1,"x":2,"b":3,"x":4}"#, r#"{"a":1,"b":3}"#),
            (r#"[{"\u0078":1},{"b":[{"x":1.0e+5,"n":1.10}]}]"#, r#"[{},{"b":[{"n":1.10}]}]"#),
        ] {
            assert_eq!(redact(&["x"], &[], data).as_deref(), Some(left), "{data}");
        }
    }

    #[test]
    fn a_path_means_one_place() {
        let data = r#"{"a":{"b":[{"c":1,"d":2},{"c":3}]},"c":4}"#;
        assert_eq!(redact(&["$.a.b[*].c"], &[], data).unwrap(), r#"{"a":{"b":[{"d":2},{}]},"c":4}"#);
        assert_eq!(redact(&["$.c"], &["a.b"], data).unwrap(), r#"{"a":{"b":"***"}}"#);
    }

    #[test]
    fn what_is_not_json_or_not_named_is_left_alone() {
        for data in ["", "text", r#"{"x":1"#, r#"{"x":1}}"#, r#"{"a":"x"}"#, "[", "{\"x\":\u{1}}"] {
            assert_eq!(redact(&["x"], &[], data), None, "{data}");
        }
    }

    #[test]
    fn nothing_passes_unseen_because_it_is_deep() {
        let rules = Rules::new(&["x".to_owned()], &[], "").unwrap();
        let deep = format!("{}{{\"x\":1}}{}", "[".repeat(DEPTH + 1), "]".repeat(DEPTH + 1));
        assert_eq!(redacted(deep.as_bytes(), &rules), Err(TooDeep));
    }

    #[test]
    fn plain_text_ends_before_what_means_something() {
        for (text, expected) in
            [("", 0), ("1234567", 0), ("12345678\"", 8), ("1234567\"", 0), ("\u{7f}äöü\u{80}", 8)]
        {
            assert_eq!(plain(text.as_bytes()), expected, "{text:?}");
        }
        for byte in 0..=u8::MAX {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for place in 0..8 {
                let mut word = [b'a'; 8];
                word[place] = byte;
                assert_eq!(plain(&word) == 0, special, "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn untouched_bytes_stay() {
        let data = "{ \"n\" : 1.500e+03 ,\n \"z\":\"\\u00e4\", \"x\": \"s\" , \"a\":[ ] }";
        assert_eq!(redact(&[], &["x"], data).unwrap(), data.replace("\"s\"", "\"***\""));
    }
}
