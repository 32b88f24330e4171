//! `${VAR}`, `${VAR:-default}` and `${file:PATH}` inside scalars, after parsing, so that no value can add YAML. `$${`
//! writes `${`.

use std::ops::Range;

use super::secrets::is_secret;

/// What is wrong, and the mend.
pub(super) type Wrong = (String, String);

/// Where values come from.
pub(super) struct Lookup<'a> {
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file; nothing where there is none.
    pub(super) file: &'a mut dyn FnMut(&str) -> Result<Option<String>, Wrong>,
}

/// A text in which everything is replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) text: String,
    /// What in it is secret: what came from files, or from variables of such a name.
    pub(super) secret: Vec<Range<usize>>,
    /// It holds text of a file, which is text whatever it looks like.
    pub(super) from_file: bool,
}

/// Replaces what is to be replaced; nothing where there is nothing.
pub(super) fn interpolate(text: &str, lookup: &mut Lookup<'_>) -> Result<Option<Done>, Wrong> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut done = Done::default();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            done.text.push_str(before);
            done.text.push_str("${");
            rest = &after[2..];
            continue;
        }
        done.text.push_str(before);
        let Some(end) = after.find('}') else {
            return Err(("a ${ has no }".into(), "close it, or write $${ for the characters ${".into()));
        };
        done.put(&after[2..end], lookup)?;
        rest = &after[end + 1..];
    }
    done.text.push_str(rest);
    Ok(Some(done))
}

impl Done {
    fn put(&mut self, inside: &str, lookup: &mut Lookup<'_>) -> Result<(), Wrong> {
        let (name, default) =
            inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        let start = self.text.len();
        let secret = if let Some(path) = name.strip_prefix("file:") {
            self.text.push_str(&file(path.trim(), default, lookup)?);
            self.from_file = true;
            true
        } else {
            self.text.push_str(&variable(name, default, lookup.env)?);
            is_secret(name)
        };
        if secret && self.text.len() > start {
            self.secret.push(start..self.text.len());
        }
        Ok(())
    }
}

fn file(path: &str, default: Option<&str>, lookup: &mut Lookup<'_>) -> Result<String, Wrong> {
    if path.is_empty() {
        return Err((
            "a ${file:} names no file".into(),
            "write it like ${file:/run/secrets/password}".into(),
        ));
    }
    let found = (lookup.file)(path)?.or_else(|| default.map(str::to_owned));
    found.ok_or_else(|| {
        (
            format!("there is no file {path}, which a secret is to come from"),
            "put it there; a relative path counts from the directory of this file".into(),
        )
    })
}

fn variable(
    name: &str,
    default: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Wrong> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        return Err((
            format!("{name:?} is no name of an environment variable"),
            "write ${NAME}, ${NAME:-default} or ${file:/path}".into(),
        ));
    }
    let value = env(name).filter(|value| !value.is_empty() || default.is_none());
    value.or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        (
            format!("environment variable {name} is not set"),
            format!("set it, or give a default: ${{{name}:-…}}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(text: &str) -> Result<Done, Wrong> {
        let env = |name: &str| match name {
            "A" => Some("x: [1".to_owned()),
            "A_TOKEN" => Some("t".to_owned()),
            _ => None,
        };
        let mut file = |path: &str| Ok((path == "/s").then(|| "hush".to_owned()));
        let mut lookup = Lookup { env: &env, file: &mut file };
        interpolate(text, &mut lookup).map(Option::unwrap_or_default)
    }

    #[test]
    fn variables_defaults_and_escapes() {
        let text = |text: &str| done(text).map(|done| done.text);
        assert_eq!(text("<${A}>").unwrap(), "<x: [1>");
        assert_eq!(text("${B:-d}${A}").unwrap(), "dx: [1");
        assert_eq!(text("$${A} ${B:-}").unwrap(), "${A} ");
        assert!(text("${B}").unwrap_err().0.contains("B is not set"));
        assert!(text("${A").unwrap_err().0.contains("no }"));
        assert!(text("${}").is_err());
    }

    #[test]
    fn files_and_what_in_the_text_is_secret() {
        let both = done("${A}-${file:/s}-${A_TOKEN}").unwrap();
        assert_eq!((both.text.as_str(), both.from_file), ("x: [1-hush-t", true));
        assert_eq!(both.secret, [6..10, 11..12]);
        assert_eq!(done("${file:/none:-d}").unwrap().text, "d");
        assert_eq!(done("$${file:/s}").unwrap().text, "${file:/s}");
        assert!(done("${file:/none}").unwrap_err().0.contains("there is no file /none"));
        assert!(done("${file: }").unwrap_err().0.contains("names no file"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-zA-Z:/\\-}ä]|\\$|\\$\\{|file:|:-){0,40}") {
            if let Ok(done) = done(&text) {
                let inside = |range: &Range<usize>| done.text.get(range.clone()).is_some();
                prop_assert!(done.secret.iter().all(inside));
            }
        }
    }
}
