//! JSON text as most senders write it, read in one pass with nothing but comparisons: on one line, with attributes that
//! need no escapes. Where text is of another kind, or not well formed, there is no answer: `serde_json` then reads it, and
//! says what is wrong.

/// How deep values may be nested: one bit each. `serde_json` goes deeper, so that nothing is taken here that it would refuse.
const DEEPEST: u32 = 64;

/// A place in text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a text; none for one with control characters, which strings may not hold and few write between
    /// them.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        // Looked at many bytes at a time.
        let plain = |byte: u8| byte >= b' ';
        let all_plain = text.bytes().fold(true, |all, byte| all & plain(byte));
        all_plain.then_some(Self { text, at: 0 })
    }

    /// The next byte that is no space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while *bytes.get(self.at)? == b' ' {
            self.at += 1;
        }
        Some(bytes[self.at])
    }

    /// Passes over that byte, which must be the next.
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.text.len() - self.at
    }

    /// Whether nothing but spaces is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// A string without escapes.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let begin = self.at;
        let end = begin + quote_or_backslash(self.text.as_bytes().get(begin..)?)?;
        self.at = end + 1;
        // What is found is ASCII, so no character is cut in two.
        if self.text.as_bytes()[end] == b'"' { self.text.get(begin..end) } else { None }
    }

    /// Any value, as it is written.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let begin = self.at;
        self.skip()?;
        self.text.get(begin..self.at)
    }

    fn skip(&mut self) -> Option<()> {
        // For each value that is open, whether it is an object.
        let (mut objects, mut depth) = (0_u64, 0);
        loop {
            let opened = match self.peek()? {
                b'"' => self.skip_string().map(|()| None)?,
                b'{' => self.open(b'}')?.then_some(1),
                b'[' => self.open(b']')?.then_some(0),
                b't' => self.literal("true").map(|()| None)?,
                b'f' => self.literal("false").map(|()| None)?,
                b'n' => self.literal("null").map(|()| None)?,
                _ => self.number().map(|()| None)?,
            };
            if let Some(object) = opened {
                if depth == DEEPEST {
                    return None;
                }
                (objects, depth) = (objects << 1 | object, depth + 1);
                if object == 1 {
                    self.name()?;
                }
                continue;
            }
            // A value has ended, and with it perhaps those that it was the last of.
            loop {
                if depth == 0 {
                    return Some(());
                }
                let object = objects & 1 == 1;
                let next = self.peek()?;
                self.at += 1;
                match next {
                    b',' if object => break self.name()?,
                    b',' => break,
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return None,
                }
                (objects, depth) = (objects >> 1, depth - 1);
            }
        }
    }

    /// Goes into an object or list; false where it is empty, and passed.
    fn open(&mut self, end: u8) -> Option<bool> {
        self.at += 1;
        let empty = self.peek()? == end;
        self.at += usize::from(empty);
        Some(!empty)
    }

    fn name(&mut self) -> Option<()> {
        (self.peek()? == b'"').then_some(())?;
        self.skip_string()?;
        self.take(b':')
    }

    /// Passes over a string, at whose quote it is.
    fn skip_string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            let found = self.at + quote_or_backslash(bytes.get(self.at..)?)?;
            if bytes[found] == b'"' {
                self.at = found + 1;
                return Some(());
            }
            self.at = found + 2;
            match bytes.get(found + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    let digits = bytes.get(self.at..self.at + 4)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then(|| self.at += 4)?;
                }
                _ => return None,
            }
        }
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(text.as_bytes()).then(|| self.at += text.len())
    }

    /// RFC 8259, section 6.
    fn number(&mut self) -> Option<()> {
        self.next_if(|byte| byte == b'-');
        if !self.next_if(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.next_if(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.next_if(|byte| matches!(byte, b'e' | b'E')) {
            self.next_if(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let begin = self.at;
        while self.next_if(|byte| byte.is_ascii_digit()) {}
        (self.at > begin).then_some(())
    }

    fn next_if(&mut self, is: impl Fn(u8) -> bool) -> bool {
        let next = self.text.as_bytes().get(self.at).is_some_and(|byte| is(*byte));
        self.at += usize::from(next);
        next
    }
}

/// What is looked at eight bytes at a time, before a search that is made for long texts: most strings are shorter.
const SHORT: usize = 32;

/// Where the first of them is.
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes[..bytes.len().min(SHORT)].as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = bytes_equal_to(b'"', word) | bytes_equal_to(b'\\', word);
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let passed = words.len() * 8;
    memchr::memchr2(b'"', b'\\', &bytes[passed..]).map(|at| passed + at)
}

/// The highest bit of each byte that is that one. A byte behind the first such one may have it as well.
fn bytes_equal_to(byte: u8, word: u64) -> u64 {
    let rest = word ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    rest.wrapping_sub(0x0101_0101_0101_0101) & !rest & 0x8080_8080_8080_8080
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn value(text: &str) -> Option<&str> {
        let mut scanner = Scanner::new(text)?;
        let value = scanner.value()?;
        scanner.is_at_end().then_some(value)
    }

    /// What `serde_json` takes for one value.
    fn reference(text: &str) -> Option<&str> {
        serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
    }

    #[test]
    fn values_are_taken_as_serde_takes_them() {
        let taken = [
            "0",
            "-0",
            "10.50e+3",
            "1E5",
            "true",
            "null",
            "\"\"",
            "\"a\\u00e4\\\\\\\"\"",
            "[]",
            "{}",
            "[ 1 , [ ] , {} ]",
            "{\"a\" : { \"b\":[1,2,{\"c\":null}]} , \"\":false}",
            "\"ä🦀\"",
        ];
        for text in taken {
            assert_eq!((value(text), reference(text)), (Some(text), Some(text)));
        }
        let refused = [
            "",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "tru",
            "truex",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "[",
            "{\"a\":1",
            "1 2",
            "\"\\u12",
        ];
        for text in refused {
            assert_eq!((value(text), reference(text)), (None, None), "{text}");
        }
        assert_eq!(value("[\n1]"), None, "it is left to serde");
        let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(value(&nested(64)).is_some() && value(&nested(65)).is_none());
    }

    proptest! {
        #[test]
        fn the_first_quote_or_backslash_is_found(bytes in proptest::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\')], 0..60), plain in 0..50_usize) {
            let bytes = [vec![b'#'; plain], bytes].concat();
            let first = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(quote_or_backslash(&bytes), first);
        }

        #[test]
        fn nothing_is_taken_that_serde_refuses(text in "[\\[\\]{}\",:\\\\ue0-2.+tnrlsfa -]{0,24}") {
            if let Some(taken) = value(&text) {
                prop_assert_eq!(Some(taken), reference(&text));
            }
        }

        #[test]
        fn any_value_on_one_line_is_taken(text in any_json()) {
            prop_assert_eq!(value(&text), Some(text.as_str()));
            prop_assert_eq!(reference(&text), Some(text.as_str()));
        }
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f64>()
                .prop_filter("JSON has no other", |number| number.is_finite())
                .prop_map(|number| format!("{number:e}")),
            "\\PC{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            Just("true".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let member = ("\\PC{0,6}", inner.clone())
                .prop_map(|(name, value)| format!("{} :{value}", serde_json::to_string(&name).unwrap()));
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
                proptest::collection::vec(member, 0..4)
                    .prop_map(|members| format!("{{{}}}", members.join(" ,"))),
            ]
        })
    }
}
