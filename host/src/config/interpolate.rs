//! `${VAR}` and `${VAR:-default}` inside scalars, after parsing, so that no value can add YAML. `$${` writes `${`.

/// Replaces what is to be replaced; says what is wrong and the mend otherwise.
pub(super) fn interpolate(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, (String, String)> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &after[2..];
            continue;
        }
        out.push_str(before);
        let Some(end) = after.find('}') else {
            return Err(("a ${ has no }".into(), "close it, or write $${ for the characters ${".into()));
        };
        out.push_str(&variable(&after[2..end], env)?);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn variable(inside: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let (name, default) =
        inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(word) {
        return Err((
            format!("{name:?} is no name of an environment variable"),
            "write ${NAME} or ${NAME:-default}".into(),
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
    use super::*;

    #[test]
    fn variables_defaults_and_escapes() {
        let env = |name: &str| (name == "A").then(|| "x: [1".to_owned());
        let done = |text: &str| interpolate(text, &env).map(std::option::Option::unwrap_or_default);
        assert_eq!(done("<${A}>").unwrap(), "<x: [1>");
        assert_eq!(done("${B:-d}${A}").unwrap(), "dx: [1");
        assert_eq!(done("$${A} ${B:-}").unwrap(), "${A} ");
        assert!(done("${B}").unwrap_err().0.contains("B is not set"));
        assert!(done("${A").unwrap_err().0.contains("no }"));
        assert!(done("${}").is_err());
    }
}
