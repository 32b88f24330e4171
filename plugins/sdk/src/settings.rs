//! Reading settings so that a refusal names the wrong key.

use serde::de::DeserializeOwned;

pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let plain = message.split(" at line ").next().unwrap_or(&message).to_owned();
        if let Some(nearest) = nearest(&plain) {
            return format!("{plain}; did you mean `{nearest}`?");
        }
        match key_before(text, error.column()) {
            Some(key) if !plain.contains('`') || plain.starts_with("invalid") => format!("`{key}`: {plain}"),
            _ => plain,
        }
    })
}

/// Of serde's "unknown field `a`, expected one of `b`, `c`" the known name nearest to the unknown one.
fn nearest(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let wrong = names.next()?;
    let (distance, name) = names.map(|name| (distance(wrong, name), name)).min()?;
    (distance <= 2.max(wrong.len() / 3)).then_some(name)
}

/// The last object key that begins before `column`; settings come as one line.
fn key_before(text: &str, column: usize) -> Option<&str> {
    let head = text.get(..column.min(text.len()))?;
    let (head, _) = head.rsplit_once("\":")?;
    head.rsplit_once('"').map(|(_, key)| key)
}

fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (corner + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            corner = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Settings {
        remove: Vec<String>,
        #[serde(default)]
        mask: Vec<String>,
    }

    #[test]
    fn a_refusal_names_the_key() {
        let refusal = |text| parse::<Settings>(text).unwrap_err();
        assert_eq!(
            refusal(r#"{"remov":[]}"#),
            "unknown field `remov`, expected `remove` or `mask`; did you mean `remove`?"
        );
        assert_eq!(refusal(r#"{"mask":[]}"#), "missing field `remove`");
        assert_eq!(refusal(r#"{"remove":5}"#), "`remove`: invalid type: integer `5`, expected a sequence");
    }
}
