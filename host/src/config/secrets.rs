//! What nobody may see: which settings are secret, and how they are kept out of whatever is said.
//!
//! A setting that is secret is hidden where it stands, in `config show` and in the lines that a fault quotes. What others
//! say (a broker's client, a plugin, a library's log) passes [`hide`], which knows the values themselves.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use arc_swap::ArcSwapOption;
use percent_encoding::percent_decode_str;

/// What stands in place of a secret.
pub(crate) const HIDDEN: &str = "(hidden)";

/// A key, or a variable of the environment, with one of these in its name holds a secret.
const WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "api-key",
    "apikey",
    "bearer",
    "credential",
    "authorization",
    "private",
    "key.pem",
    "jaas",
];

/// Shorter secrets are hidden where they stand, and not looked for elsewhere: they are found in any text.
const LEAST: usize = 6;
/// The lines of a longer secret, as of a key in PEM, are looked for one by one from this length on.
const LEAST_LINE: usize = 16;
/// Secrets that are remembered. Those of earlier settings are among them: their connections may still be open.
const MOST: usize = 4_096;

/// Whether what is called so is secret. What names a file is not: the secret is in the file.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    // Whose `host.admin.tokens` there are is no secret.
    !name.ends_with("_file")
        && name != "tokens"
        && (name == "nkey" || WORDS.iter().any(|word| name.contains(word)))
}

/// Where a text that is no secret by its key holds some: passwords in URLs, and parameters with a secret's name.
pub(super) fn within(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let rest = &text[start..];
        let rest = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
        if let Some((userinfo, _)) = authority.rsplit_once('@') {
            // What stands there alone may be a token.
            let from = userinfo.find(':').map_or(0, |colon| colon + 1);
            found.push(start + from..start + userinfo.len());
        }
        let Some(query) = rest.find('?') else { continue };
        let mut from = start + query + 1;
        for pair in rest[query + 1..].split('&') {
            if let Some((name, value)) = pair.split_once('=').filter(|(name, _)| is_secret(name)) {
                let value_at = from + name.len() + 1;
                found.push(value_at..value_at + value.len());
            }
            from += pair.len() + 1;
        }
    }
    found.retain(|range| !range.is_empty());
    found
}

/// The text with [`HIDDEN`] in place of those stretches.
pub(super) fn without(text: &str, mut secret: Vec<Range<usize>>) -> String {
    secret.sort_by_key(|range| range.start);
    let (mut out, mut done) = (String::new(), 0);
    for range in secret {
        if range.start >= done {
            out.push_str(&text[done..range.start]);
            out.push_str(HIDDEN);
        }
        done = done.max(range.end);
    }
    out.push_str(&text[done..]);
    out
}

/// The text with stars in place of those stretches: places in it stay what they are.
pub(super) fn starred(text: &str, mut secret: Vec<Range<usize>>) -> String {
    secret.sort_by_key(|range| range.start);
    let (mut out, mut done) = (String::with_capacity(text.len()), 0);
    let star =
        |character: char| if character == '\n' { "\n".into() } else { "*".repeat(character.len_utf8()) };
    for range in secret {
        let start = range.start.max(done);
        // What overlaps is hidden once.
        if start < range.end {
            out.push_str(&text[done..start]);
            out.extend(text[start..range.end].chars().map(star));
            done = range.end;
        }
    }
    out.push_str(&text[done..]);
    out
}

/// What may be a secret in a text that is no YAML: what follows a key of such a name, on its line or indented below, and
/// passwords in URLs.
pub(super) fn suspected(text: &str) -> Vec<Range<usize>> {
    let mut found = within(text);
    let (mut start, mut below) = (0, None);
    for line in text.split_inclusive('\n') {
        let (end, indent) = (start + line.trim_end().len(), line.len() - line.trim_start().len());
        let is_item = line.trim_start().starts_with('-');
        if below.is_some_and(|outer| indent > outer || indent == outer && is_item || end == start) {
            found.push(start + indent..end);
        } else {
            let lower = line.to_ascii_lowercase();
            let named = WORDS.iter().chain(&["headers", "nkey"]).filter_map(|word| lower.find(word)).min();
            let colon = named.and_then(|at| Some(at + lower[at..].find(':')?));
            found.extend(colon.map(|colon| start + colon + 1..end));
            below = colon.filter(|colon| start + colon + 1 >= end).map(|_| indent);
        }
        start += line.len();
    }
    found.retain(|range| range.start < range.end);
    found
}

struct Known {
    values: Vec<String>,
    finder: AhoCorasick,
}

/// Of the process, as its log is.
static KNOWN: ArcSwapOption<Known> = ArcSwapOption::const_empty();

/// Remembers secrets, so that [`hide`] finds them.
pub(crate) fn learn(secrets: &[String]) {
    let forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    KNOWN.rcu(|known| {
        let mut values = known.as_ref().map(|known| known.values.clone()).unwrap_or_default();
        let before = values.len();
        for form in &forms {
            if !values.contains(form) {
                values.push(form.clone());
            }
        }
        if values.len() == before {
            return known.clone();
        }
        values.drain(..values.len().saturating_sub(MOST));
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&values);
        // Fails only for more than can be counted; what was known is known then.
        finder.map_or_else(|_| known.clone(), |finder| Some(Arc::new(Known { values, finder })))
    });
}

/// Remembers the value of a variable of the environment, if it is secret by its name.
pub(crate) fn learn_variable(name: &str, value: &str) {
    if is_secret(name) {
        learn(&[value.to_owned()]);
    }
}

/// A secret as it may be written: as it is, within JSON, out of a URL, line by line, without the word before it in a header.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    forms.extend(percent_decode_str(secret).decode_utf8().map(Cow::into_owned));
    let credentials =
        secret.split_once(' ').filter(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphabetic()));
    forms.extend(credentials.map(|(_, credentials)| credentials.trim().to_owned()));
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= LEAST_LINE);
    forms.extend(lines.map(str::to_owned));
    let quoted = |form: &String| {
        let json = serde_json::Value::from(form.as_str()).to_string();
        json[1..json.len() - 1].to_owned()
    };
    let escaped: Vec<_> = forms.iter().map(quoted).collect();
    forms.extend(escaped);
    forms.retain(|form| form.len() >= LEAST && !WORDS.contains(&form.as_str()));
    forms.sort();
    forms.dedup();
    forms
}

/// The text with [`HIDDEN`] in place of every secret that the settings have, or had.
pub fn hide(text: &str) -> Cow<'_, str> {
    let known = KNOWN.load();
    let Some(finder) = known.as_ref().map(|known| &known.finder).filter(|finder| finder.is_match(text))
    else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    finder.replace_all_with(text, &mut out, |_, _, out| {
        out.push_str(HIDDEN);
        true
    });
    Cow::Owned(out)
}

/// [`hide`] for a text that is thrown away otherwise: it is copied only where it holds a secret.
pub fn hidden(text: String) -> String {
    match hide(&text) {
        Cow::Owned(hidden) => hidden,
        Cow::Borrowed(_) => text,
    }
}

/// [`hide`] for what is written to a file.
pub fn hide_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    let known = KNOWN.load();
    let Some(finder) = known.as_ref().map(|known| &known.finder).filter(|finder| finder.is_match(bytes))
    else {
        return Cow::Borrowed(bytes);
    };
    let mut out = Vec::with_capacity(bytes.len());
    finder.replace_all_with_bytes(bytes, &mut out, |_, _, out| {
        out.extend_from_slice(HIDDEN.as_bytes());
        true
    });
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_known_by_the_name_of_their_key() {
        for name in
            ["password", "sasl_password", "bearer_tokens", "API_KEYS", "ssl.key.password", "signing_secrets"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["key", "ca_file", "credentials_file", "stream_name", "privacy", "partitionkey"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn passwords_in_urls_are_found() {
        let shown = |text: &str| without(text, within(text));
        assert_eq!(shown("redis://u:p@h:1/0"), "redis://u:(hidden)@h:1/0");
        assert_eq!(shown("redis://:p@h/0"), "redis://:(hidden)@h/0");
        assert_eq!(shown("nats://t@h, nats://u:p@g"), "nats://(hidden)@h, nats://u:(hidden)@g");
        assert_eq!(shown("https://h/a?x=1&token=t&y=2"), "https://h/a?x=1&token=(hidden)&y=2");
        assert_eq!(shown("https://h/a@b"), "https://h/a@b");
    }

    #[test]
    fn a_secret_is_found_in_any_form_that_it_may_have() {
        learn(&["Bearer q\"uo-ted\\7".into(), "per%2Fcent-8".into(), "short".into()]);
        assert_eq!(hide("a q\"uo-ted\\7 b"), "a (hidden) b");
        assert_eq!(hide(r#"{"a":"Bearer q\"uo-ted\\7"}"#), r#"{"a":"(hidden)"}"#);
        assert_eq!(hide("per/cent-8 per%2Fcent-8 short"), "(hidden) (hidden) short");
        assert_eq!(&*hide_bytes(b"\xff per/cent-8"), b"\xff (hidden)");
        assert!(matches!(hide("nothing in here"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_yaml_is_looked_through_by_lines() {
        let text = "a: 1\n  password: \"pw\nb: [redis://u:pw@h\n";
        assert_eq!(starred(text, suspected(text)), "a: 1\n  password:****\nb: [redis://u:**@h\n");
        let below = "headers:\n  X: hush\n\n  Y: [\ntokens:\n- hush\nc: d\n";
        let shown = starred(below, suspected(below));
        assert_eq!(shown, "headers:\n  *******\n\n  ****\ntokens:\n******\nc: d\n");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_hiding(text in "\\PC{0,60}|([a-z:/@?&=ä ]|://|token=){0,30}") {
            let found = within(&text);
            prop_assert_eq!(starred(&text, found.clone()).len(), text.len());
            prop_assert_eq!(starred(&text, suspected(&text)).len(), text.len());
            let _ = (without(&text, found), hide(&text));
        }
    }
}
