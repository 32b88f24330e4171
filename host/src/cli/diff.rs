//! Two JSON values side by side, line by line.

use std::fmt::Write;

use owo_colors::OwoColorize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Lines of what stays that are shown around a change.
const AROUND: usize = 3;

/// Each line of the values with `-`, `+` or nothing before it, behind an indent; far from changes they are left out.
pub(super) fn values(before: &Value, after: &Value, indent: &str, colour: bool) -> String {
    let [before, after] = [before, after].map(|value| format!("{value:#}\n"));
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = String::new();
    for (index, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if index > 0 {
            push(&mut lines, indent, "  ⋯");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value().trim_end_matches('\n');
            match change.tag() {
                ChangeTag::Equal => push(&mut lines, indent, format_args!("  {line}")),
                ChangeTag::Delete if colour => push(&mut lines, indent, format_args!("- {line}").red()),
                ChangeTag::Insert if colour => push(&mut lines, indent, format_args!("+ {line}").green()),
                ChangeTag::Delete => push(&mut lines, indent, format_args!("- {line}")),
                ChangeTag::Insert => push(&mut lines, indent, format_args!("+ {line}")),
            }
        }
    }
    lines.truncate(lines.trim_end().len());
    lines
}

fn push(lines: &mut String, indent: &str, line: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(lines, "{indent}{line}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_marked_and_what_is_far_from_it_left_out() {
        let many: serde_json::Map<_, _> = (0..12).map(|n| (format!("k{n:02}"), json!(n))).collect();
        let (before, mut after) = (Value::Object(many), json!(null));
        after.clone_from(&before);
        after["k00"] = json!("new");
        after["k11"] = json!([1]);
        insta::assert_snapshot!(values(&before, &after, "  ", false), @r#"
            {
          -   "k00": 0,
          +   "k00": "new",
              "k01": 1,
              "k02": 2,
              "k03": 3,
            ⋯
              "k08": 8,
              "k09": 9,
              "k10": 10,
          -   "k11": 11
          +   "k11": [
          +     1
          +   ]
            }
        "#);
        assert!(values(&before, &after, "", true).contains("\u{1b}[31m-   \"k00\": 0,"));
        assert_eq!(values(&before, &before, "", false), "");
    }
}
