//! Which field is meant: a name at any depth, or a path from the root.

use std::borrow::Cow;

/// One entry of `remove` or `mask`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A field of that name, wherever it is.
    Name(String),
    /// The field at this place.
    Place(Vec<Part>),
}

/// One step of a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A member of an object.
    Key(String),
    /// Any element of an array.
    Any,
    /// One element of an array.
    Index(usize),
}

/// One step of the way to where a walk is, in the text's own bytes: a key is copied only if it has escapes.
#[derive(Clone, Debug)]
pub(crate) enum Step<'a> {
    /// Into a member of an object.
    Key(Cow<'a, str>),
    /// Into an element of an array.
    Index(usize),
    /// Into what no rule names.
    Unnamed,
}

impl Path {
    /// Reads `name`, `a.b` or `$.a.b[*].c[0]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{text}` is not a field: {why}; write `name`, `a.b` or `$.a.b[*].c`");
        let (rooted, body) = match text.strip_prefix("$.") {
            Some(body) => (true, body),
            None => (false, text),
        };
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
                    number => {
                        Part::Index(number.parse().map_err(|_| wrong("an index is no number and no `*`"))?)
                    }
                });
                rest = after;
            }
        }
        match parts.as_slice() {
            [Part::Key(name)] if !rooted => Ok(Self::Name(name.clone())),
            _ => Ok(Self::Place(parts)),
        }
    }

    pub(crate) fn matches(&self, trail: &[Step<'_>]) -> bool {
        match self {
            Self::Name(name) => matches!(trail.last(), Some(Step::Key(key)) if key == name),
            Self::Place(parts) => {
                parts.len() == trail.len()
                    && parts.iter().zip(trail).all(|(part, step)| match (part, step) {
                        (Part::Any, Step::Index(_)) => true,
                        (Part::Key(name), Step::Key(key)) => key == name,
                        (Part::Index(index), Step::Index(at)) => index == at,
                        _ => false,
                    })
            }
        }
    }
}
