use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::*;
use crate::event::OwnedValue;

#[derive(Deserialize)]
struct Suite {
    event: BTreeMap<String, Json>,
    cases: BTreeMap<String, Vec<Case>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Case {
    Value(String, Json),
    Error(String, Json, Json),
    OfEvent(String, Json, Json, BTreeMap<String, Json>),
}

fn suite() -> Suite {
    serde_saphyr::from_str(include_str!("cases.yaml")).unwrap()
}

fn event<'a>(attributes: impl IntoIterator<Item = (&'a String, &'a Json)>) -> Event {
    let mut draft = Event::builder("1", "s", "t");
    for (name, value) in attributes {
        let value = match value {
            Json::Null => None,
            Json::Bool(flag) => Some(OwnedValue::Boolean(*flag)),
            Json::Number(number) => Some(OwnedValue::Integer(number.as_i64().unwrap().try_into().unwrap())),
            other => Some(OwnedValue::String(other.as_str().unwrap().into())),
        };
        draft.set(name, value).unwrap();
    }
    draft.build().unwrap()
}

/// The event of `cases.yaml`.
fn usual() -> Event {
    static EVENT: LazyLock<Event> = LazyLock::new(|| event(&suite().event));
    EVENT.clone()
}

/// As `stagewire match --json` has it.
fn outcome(text: &str, event: &Event) -> (Json, Json) {
    match Expression::parse(text) {
        Err(_) => (json!(false), json!(Kind::Parse)),
        Ok(expression) => {
            let Outcome { value, error } = expression.evaluate(event);
            (json!(value), json!(error.map(|error| error.kind())))
        }
    }
}

#[test]
fn every_case_has_the_value_and_the_error_that_the_specification_gives_it() {
    let Suite { event: attributes, cases } = suite();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in cases.values().flatten() {
        let no = (Json::Null, BTreeMap::new());
        let (text, value, error, others) = match case {
            Case::Value(text, value) => (text, value, &no.0, &no.1),
            Case::Error(text, value, error) => (text, value, error, &no.1),
            Case::OfEvent(text, value, error, others) => (text, value, error, others),
        };
        let found = outcome(text, &event(attributes.iter().chain(others)));
        if found != (value.clone(), error.clone()) {
            wrong.push(format!("{text}: {} {}, and should be {value} {error}", found.0, found.1));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 300, "{count}");
}

#[test]
fn an_expression_is_written_with_the_parentheses_that_it_needs() {
    let written = [
        ("not(a=1)and b", "NOT (a = 1) AND b"),
        ("(a and b)or(c)", "a AND b OR c"),
        ("a and (b or c)", "a AND (b OR c)"),
        ("1-(2-3)-4", "1 - (2 - 3) - 4"),
        ("(1+2)*-3", "(1 + 2) * -3"),
        ("-(5)", "-(5)"),
        ("-(-5)", "--5"),
        ("a<>'it\\'s'", "a != 'it\\'s'"),
        ("not (x like \"a%\")", "x NOT LIKE 'a%'"),
        ("not (not (x in (1)))", "NOT (x NOT IN (1))"),
        ("(x + 1) in (1,(2),'a')", "(x + 1) IN (1, 2, 'a')"),
        ("exists Subject", "EXISTS subject"),
        ("concat( 'a',upper(b) )", "CONCAT('a', UPPER(b))"),
    ];
    for (text, wanted) in written {
        assert_eq!(Expression::parse(text).unwrap().to_string(), wanted);
    }
}

#[test]
fn what_is_no_expression_is_refused_with_its_place_and_what_to_write() {
    let faults: Vec<String> = [
        "type = = 'x'",
        "subject LIKE document",
        "subject LIKE 'document",
        "(a = 1 OR b = 2",
        "a = 1 b = 2",
        "attempt < 99999999999",
        "AND type",
        "data.metrics > 3",
        "some_name = 1",
        "type IN 'a'",
        "EXISTS (id)",
        "LENGHT(subject) > 3",
        "LEFT(subject) = 'a'",
        "attempt + 1",
    ]
    .map(|text| {
        let fault = Expression::condition(text).unwrap_err();
        format!("{}\n{fault}; {}\n", fault.pointed(text), fault.help())
    })
    .into();
    insta::assert_snapshot!(faults.join("\n"), @r#"
      type = = 'x'
             ^
    expected a value, an attribute or a function, found "="; text stands in quotes: type = 'com.example.x'

      subject LIKE document
                   ^^^^^^^^
    expected a pattern in quotes, found "document"; write it like subject LIKE 'document/%'

      subject LIKE 'document
                   ^
    the string that begins here has no end; close it with '; within it, write \'

      (a = 1 OR b = 2
                     ^
    expected an operator or a closing parenthesis, found the end; close every ( with a )

      a = 1 b = 2
            ^
    expected an operator or the end, found "b"; combine conditions with AND or OR

      attempt < 99999999999
                ^^^^^^^^^^^
    99999999999 is no 32-bit integer; write one from -2147483648 to 2147483647

      AND type
      ^^^
    expected a value, an attribute or a function, found "AND"; text stands in quotes: type = 'com.example.x'

      data.metrics > 3
          ^
    an attribute has no parts; conditions on the payload are written in cel

      some_name = 1
      ^^^^^^^^^
    "some_name" cannot be an attribute; its name has letters and digits only

      type IN 'a'
              ^
    expected values in parentheses, found "'"; write it like type IN ('a', 'b')

      EXISTS (id)
             ^
    expected the name of an attribute, found "("; write it like EXISTS subject

      LENGHT(subject) > 3
      ^^^^^^
    there is no function LENGHT; did you mean LENGTH? known: INT, BOOL, STRING, IS_INT, IS_BOOL, ABS, LENGTH, CONCAT, CONCAT_WS, LOWER, UPPER, TRIM, LEFT, RIGHT, SUBSTRING

      LEFT(subject) = 'a'
      ^^^^
    there is no LEFT of 1 argument; write LEFT(x: String, count: Integer) -> String

      attempt + 1
      ^^^^^^^^^^^
    the expression yields Integer, and a condition is a boolean; compare it with something
    "#);
}

#[test]
fn errors_say_what_to_do() {
    let event = usual();
    let messages: Vec<String> = [
        "INT(subject)",
        "BOOL('yes')",
        "1 / 0",
        "2147483647 + 1",
        "missing = 1",
        "LENGHT('a')",
        "LEFT('a')",
        "LEFT('abc', -1)",
        "SUBSTRING('abc', 9)",
    ]
    .map(|text| format!("{text}: {}", Expression::parse(text).unwrap().evaluate(&event).error.unwrap()))
    .into();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    INT(subject): cannot cast "document/7" to Integer; it takes digits, with a sign or without, up to 2147483647
    BOOL('yes'): cannot cast "yes" to Boolean; it takes "true" and "false"
    1 / 0: cannot divide by zero with /
    2147483647 + 1: the result of + is outside of -2147483648 to 2147483647
    missing = 1: the event has no attribute "missing"; ask EXISTS missing first
    LENGHT('a'): there is no function LENGHT; did you mean LENGTH? known: INT, BOOL, STRING, IS_INT, IS_BOOL, ABS, LENGTH, CONCAT, CONCAT_WS, LOWER, UPPER, TRIM, LEFT, RIGHT, SUBSTRING
    LEFT('a'): there is no LEFT of 1 argument; write LEFT(x: String, count: Integer) -> String
    LEFT('abc', -1): LEFT cannot take -1 as its count; write a number from 0 on
    SUBSTRING('abc', 9): SUBSTRING cannot take 9 as its position; write one within the string
    "#);
}

#[test]
fn the_page_lists_every_function() {
    let page = include_str!("../../../../docs/routing.md");
    for Function { signature, description, .. } in FUNCTIONS {
        let row = format!("| `{signature}` | {description} |");
        assert!(page.contains(&row), "docs/routing.md has no row {row}");
    }
}

#[test]
fn depth_is_bounded_and_length_is_not() {
    let deep = [
        "(".repeat(100_000) + "1",
        "NOT ".repeat(100_000) + "TRUE",
        "-".repeat(100_000) + "x",
        "ABS(".repeat(100_000),
        "1 IN (".repeat(100_000),
        "TRUE".to_owned() + &" IN (TRUE)".repeat(100_000),
        "TRUE".to_owned() + &" NOT LIKE 'a'".repeat(100_000),
    ];
    for text in deep {
        assert_eq!(Expression::parse(&text).unwrap_err().to_string(), "nested more than 100 deep");
    }
    let event = usual();
    let within = "(".repeat(100) + "1" + &")".repeat(100);
    assert_eq!(outcome(&within, &event), (json!(1), Json::Null));
    for (part, value) in [("1 + ", json!(100_001)), ("FALSE OR ", json!(true)), ("1 < ", json!(true))] {
        assert_eq!(outcome(&(part.repeat(100_000) + "1"), &event), (value, Json::Null));
    }
}

#[test]
fn the_deepest_tree_is_evaluated_and_written() {
    let mut text = "missing".to_owned();
    let mut deepest = Expression::parse(&text).unwrap();
    for part in 0.. {
        text = match part % 3 {
            0 => format!("({text} + 1 * 1 < 1)"),
            1 => format!("NOT ({text} IN (FALSE))"),
            _ => format!("ABS({text} AND TRUE)"),
        };
        let Ok(expression) = Expression::parse(&text) else { break };
        deepest = expression;
    }
    assert_eq!(Expression::parse(&deepest.to_string()).unwrap(), deepest);
    assert_eq!(deepest.evaluate(&usual()).error.unwrap().kind(), Kind::MissingAttribute);
}

#[test]
fn a_string_does_not_grow_without_end() {
    let event = event(&BTreeMap::from([("long".to_owned(), json!("x".repeat(100_000)))]));
    let text = format!("LENGTH(CONCAT({}long))", "long, ".repeat(100));
    assert_eq!(outcome(&text, &event), (json!(0), json!("generic")));
}

/// Any expression, with more parentheses than it needs.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[0-9]{1,9}",
        "[+-][0-9]{1,9}",
        "'[a-z%_é\" ]{0,4}'",
        r#""([a-z%_']|\\[a-z"'\\]){0,4}""#,
        "TRUE|false|subject|type|hop|attempt|missing|20th|urgent",
        "EXISTS (subject|missing)".prop_map(|text| text.replace(['(', ')'], "")),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let binary = "AND|OR|XOR|=|!=|<>|<=|>=|<|>|\\+|-|\\*|/|%";
        let list = proptest::collection::vec(inner.clone(), 1..4).prop_map(|list| list.join(", "));
        let function =
            "ABS|LENGTH|CONCAT|CONCAT_WS|LEFT|RIGHT|SUBSTRING|UPPER|TRIM|INT|BOOL|STRING|IS_INT|NONE";
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            ("NOT |-|- ", inner.clone()).prop_map(|(prefix, inner)| prefix + &inner),
            (inner.clone(), "( NOT)? LIKE '[a%_]{0,3}'")
                .prop_map(|(inner, test)| format!("({inner}) {}", test.replace(['(', ')', '?'], ""))),
            (inner, list.clone()).prop_map(|(inner, list)| format!("{inner} IN ({list})")),
            (function, list).prop_map(|(function, list)| format!("{function}({list})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_is_parsed_to_the_same(text in expressions()) {
        let expression = Expression::parse(&text).unwrap();
        let written = expression.to_string();
        prop_assert_eq!(Expression::parse(&written).unwrap(), expression.clone(), "{}", written);
        let event = usual();
        prop_assert_eq!(outcome(&text, &event), outcome(&written, &event));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[ -~é🦀\n]{0,40}") {
        let _ = outcome(&text, &usual());
    }

    #[test]
    fn no_row_of_words_makes_it_panic(
        words in proptest::collection::vec(
            "NOT|LIKE|IN|EXISTS|AND|OR|\\(|\\)|,|'|\"|\\\\|-|\\+|[0-9]|=|<|>|x|ABS\\(|'%_'|\\*|/", 0..30,
        ),
    ) {
        let text = words.join("");
        let spaced = words.join(" ");
        let event = usual();
        for text in [text, spaced] {
            if let Ok(expression) = Expression::parse(&text) {
                prop_assert_eq!(Expression::parse(&expression.to_string()).unwrap(), expression.clone());
                let _ = expression.evaluate(&event);
            }
        }
    }
}
