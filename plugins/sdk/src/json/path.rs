//! Which field is meant: a name at any depth, or a path from the root.

use std::borrow::Cow;

/// A field, written as `name` (at any depth), `a.b`, `$.a.b[*].c`, or as the JSON Pointer `/a/b/0` (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Means);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Means {
    /// A field of that name, wherever it is.
    Name(String),
    /// The field at this place.
    Place(Vec<Part>),
}

/// One step of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A member of an object.
    Key(String),
    /// Any element of an array.
    Any,
    /// One element of an array.
    Index(usize),
    /// A number in a JSON Pointer: a member of an object or an element of an array, whichever is there.
    Either(String, usize),
}

/// One step of the way to where a walk is, in the text's own bytes: a key is copied only if it has escapes.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// Into a member of an object.
    Key(Cow<'a, str>),
    /// Into an element of an array.
    Index(usize),
}

/// How a path stands to where a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// What it names is neither here nor below.
    Elsewhere,
    /// What it names may be below.
    Below,
    /// This is what it names.
    Here,
}

impl Path {
    /// Reads a path; the error says how to write one.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return pointer(text).map(|parts| Self(Means::Place(parts)));
        }
        let (rooted, body) = match text.strip_prefix("$.") {
            Some(body) => (true, body),
            None => (false, text),
        };
        let parts = dotted(text, body)?;
        Ok(Self(match parts.as_slice() {
            [Part::Key(name)] if !rooted => Means::Name(name.clone()),
            _ => Means::Place(parts),
        }))
    }

    /// Whether this path names where the walk is.
    pub fn matches(&self, trail: &[Step<'_>]) -> bool {
        match &self.0 {
            Means::Name(name) => matches!(trail.last(), Some(Step::Key(key)) if key == name),
            Means::Place(parts) => parts.len() == trail.len() && along(parts, trail),
        }
    }

    /// How this path stands to where the walk is.
    pub fn reach(&self, trail: &[Step<'_>]) -> Reach {
        match &self.0 {
            _ if self.matches(trail) => Reach::Here,
            Means::Place(parts) if parts.len() <= trail.len() || !along(parts, trail) => Reach::Elsewhere,
            _ => Reach::Below,
        }
    }
}

/// Exactly one value: a path without `[*]`, from the root also where it is a plain name. `$` is the whole data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    parts: Vec<Part>,
    text: String,
}

impl Place {
    /// Reads a place; the error says how to write one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = match text {
            "$" => Vec::new(),
            _ => match Path::parse(text)?.0 {
                Means::Name(name) => vec![Part::Key(name)],
                Means::Place(parts) => parts,
            },
        };
        if parts.contains(&Part::Any) {
            return Err(format!("`{text}` may mean several values; give one place, as `a.b` or `a[0].b`"));
        }
        Ok(Self { parts, text: text.into() })
    }

    /// The member of that name.
    pub fn member(name: &str) -> Self {
        Self { parts: vec![Part::Key(name.into())], text: name.into() }
    }

    /// The names on the way, where all of them are members of objects.
    pub fn keys(&self) -> Option<Vec<&str>> {
        let key = |part| match part {
            &Part::Key(ref key) | &Part::Either(ref key, _) => Some(key.as_str()),
            Part::Any | Part::Index(_) => None,
        };
        self.parts.iter().map(key).collect()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

fn along(parts: &[Part], trail: &[Step<'_>]) -> bool {
    parts.iter().zip(trail).all(|(part, step)| match (part, step) {
        (Part::Any, Step::Index(_)) => true,
        (Part::Key(name) | Part::Either(name, _), Step::Key(key)) => key == name,
        (Part::Index(index) | Part::Either(_, index), Step::Index(at)) => index == at,
        _ => false,
    })
}

/// `/a/b~1c/0`: RFC 6901, section 3.
fn pointer(text: &str) -> Result<Vec<Part>, String> {
    let token = |raw: &str| {
        if raw.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) {
            return Err(format!(
                "`{text}` is no JSON Pointer: write `~0` for `~` and `~1` for `/` in a name"
            ));
        }
        let name = raw.replace("~1", "/").replace("~0", "~");
        let plain = raw == "0" || (raw.bytes().all(|b| b.is_ascii_digit()) && !raw.starts_with('0'));
        Ok(match raw.parse() {
            Ok(index) if plain => Part::Either(name, index),
            _ => Part::Key(name),
        })
    };
    text.split('/').skip(1).map(token).collect()
}

/// `a.b[*].c[0]`
fn dotted(text: &str, body: &str) -> Result<Vec<Part>, String> {
    let wrong = |why: &str| format!("`{text}` is not a field: {why}; write `name`, `a.b` or `$.a.b[*].c`");
    let mut parts = Vec::new();
    for piece in body.split('.') {
        let (key, mut rest) = piece.split_at(piece.find('[').unwrap_or(piece.len()));
        if key.is_empty() {
            return Err(wrong("a name is empty"));
        }
        parts.push(Part::Key(key.into()));
        while !rest.is_empty() {
            let inner = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let (index, after) = inner.ok_or_else(|| wrong("a bracket is not closed"))?;
            parts.push(match index {
                "*" => Part::Any,
                number => Part::Index(number.parse().map_err(|_| wrong("an index is no number and no `*`"))?),
            });
            rest = after;
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, trail: &[Step<'_>]) -> Reach {
        Path::parse(path).unwrap().reach(trail)
    }

    #[test]
    fn a_path_is_here_below_or_elsewhere() {
        let key = |name: &'static str| Step::Key(name.into());
        assert_eq!(at("a.b", &[key("a")]), Reach::Below);
        assert_eq!(at("/a/b", &[key("a"), key("b")]), Reach::Here);
        assert_eq!(at("a.b", &[key("a"), key("b"), key("c")]), Reach::Elsewhere);
        assert_eq!(at("a[*].b", &[key("a"), Step::Index(3)]), Reach::Below);
        assert_eq!(at("/a/0", &[key("a"), Step::Index(0)]), Reach::Here);
        assert_eq!(at("/a/0", &[key("a"), key("0")]), Reach::Here);
        assert_eq!(at("/a/00", &[key("a"), Step::Index(0)]), Reach::Elsewhere, "RFC 6901: no leading zeros");
        assert_eq!(at("b", &[key("a"), key("x")]), Reach::Below, "a name may be anywhere");
        assert_eq!(at("/x.y/~0~1", &[key("x.y"), key("~/")]), Reach::Here);
    }

    #[test]
    fn a_wrong_path_is_refused_with_how_to_write_it() {
        for (text, why) in [
            ("", "a name is empty"),
            ("a..b", "a name is empty"),
            ("a[0", "a bracket is not closed"),
            ("a[x]", "an index is no number"),
            ("/a~2", "write `~0`"),
            ("/a~", "write `~0`"),
        ] {
            let said = Path::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(Place::parse("a[*].b").unwrap_err().contains("several values"));
        assert_eq!(Place::parse("a").unwrap().keys(), Some(vec!["a"]));
        assert_eq!(Place::parse("$").unwrap().keys(), Some(vec![]));
        assert_eq!(Place::parse("a[1]").unwrap().keys(), None);
    }
}
