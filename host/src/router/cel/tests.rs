use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Event;
use crate::event::{Draft, OwnedValue};

fn draft() -> Draft<'static> {
    Event::builder("e-1", "stage2", "com.example.done")
        .subject("document/7")
        .time("2025-12-14T12:00:00+02:00")
        .extension("attempt", OwnedValue::Integer(3))
        .extension("urgent", OwnedValue::Boolean(true))
}

fn event() -> Event {
    let data = r#"{"count": 5, "ratio": 0.5, "big": 18446744073709551615, "name": "a\nb", "tags": ["x", "y"], "none": null}"#;
    draft().json(data.as_bytes()).build().unwrap()
}

fn value(text: &str, event: &Event) -> Result<serde_json::Value, String> {
    let expression = Expression::condition(text).map_err(|error| error.to_string())?;
    expression.evaluate(&View::new(event)).map(|value| super::json(&value)).map_err(|error| error.to_string())
}

#[test]
fn attributes_and_the_payload_are_variables() {
    let cases = [
        ("type == 'com.example.done' && source == 'stage2' && id == 'e-1'", json!(true)),
        ("subject.startsWith('document/')", json!(true)),
        ("attempt + 1", json!(4)),
        ("urgent", json!(true)),
        ("specversion", json!("1.0")),
        ("missing == null", json!(true)),
        ("missing != null && missing.startsWith('x')", json!(false)),
        ("data.count > 2 && data.count % 2 == 1 && data.count - 1 == 4", json!(true)),
        ("data.ratio < data.count", json!(true)),
        ("data.big > 1u", json!(true)),
        ("data.name == 'a\\nb'", json!(true)),
        ("'x' in data.tags && data.tags.exists(tag, tag == 'y')", json!(true)),
        ("data.tags.map(int, int + '!')", json!(["x!", "y!"])),
        ("data.tags.all(Tag , Tag != '')", json!(true)),
        ("has(data.count) && !has(data.other)", json!(true)),
        ("data.none == null", json!(true)),
        ("type(data.count) == int && type(data.name) == string", json!(true)),
        ("timestamp(time) < timestamp('2025-12-14T11:00:00Z')", json!(true)),
        ("data.name.matches('^a')", json!(true)),
        ("size(data.tags)", json!(2)),
        ("data.tags", json!(["x", "y"])),
    ];
    for (text, wanted) in cases {
        assert_eq!(value(text, &event()), Ok(wanted), "{text}");
    }
}

#[test]
fn the_payload_is_what_its_kind_says() {
    let none = draft().build().unwrap();
    assert_eq!(value("data == null", &none), Ok(json!(true)));
    let json = draft().binary("application/x+json; charset=utf-8", &b"[1]"[..]).build().unwrap();
    assert_eq!(value("data[0] == 1", &json), Ok(json!(true)));
    let bytes = draft().binary("text/plain", &b"abc"[..]).build().unwrap();
    assert_eq!(value("data == b'abc'", &bytes), Ok(json!(true)));
    let broken = draft().binary("application/json", &b"{\"a\": "[..]).build().unwrap();
    let said = value("data.a == 1", &broken).unwrap_err();
    assert_eq!(said, "the payload is not JSON: EOF while parsing a value at line 1 column 6");
    assert_eq!(value("type == 'x' && data.a == 1", &broken), Ok(json!(false)));
}

#[test]
fn what_is_no_condition_does_not_hold_and_says_why() {
    let event = event();
    let view = View::new(&event);
    let holds = |text| Expression::condition(text).unwrap().holds(&view).map_err(|error| error.to_string());
    assert_eq!(holds("data.count == 5"), Ok(true));
    assert!(holds("data.count").unwrap_err().contains("a condition is a bool"));
    assert!(holds("data.other == 5").unwrap_err().contains("other"));
    assert!(holds("missing.startsWith('a')").is_err());
}

#[test]
fn a_broken_expression_is_refused_with_its_place() {
    let faults = [
        "data.count >",
        "type == = 'x'",
        "'abc",
        "a ? b",
        "foo(data)",
        "data.tagz.foo('x')",
        "has(type)",
        "Type == 'x'",
        "data.all(Item, Itm > 0)",
    ];
    let faults: Vec<String> = faults
        .map(|text| {
            let error = Expression::condition(text).unwrap_err();
            format!("{}\n{error}\n", error.pointed(text))
        })
        .into();
    insta::assert_snapshot!(faults.join("\n"), @r#"
  data.count >
              ^
the expression ends here, and is not whole

  type == = 'x'
          ^
"=" cannot stand here

  'abc
  ^
"'" cannot stand here

  a ? b
       ^
the expression ends here, and is not whole

  foo(data)
  ^^^
there is no function "foo"

  data.tagz.foo('x')
            ^^^
there is no function "foo"

  has(type)
      ^
invalid argument to has() macro

  Type == 'x'
  ^^^^
"Type" cannot be an attribute

  data.all(Item, Itm > 0)
                 ^^^
"Itm" cannot be an attribute
"#);
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = "(".repeat(1_000) + "1" + &")".repeat(1_000);
    assert_eq!(value(&deep, &event()).unwrap_err(), "nested too deeply");
    let long = "1+".repeat(LONGEST / 2) + "1";
    assert!(value(&long, &event()).unwrap_err().contains("2048 is the most"));
    let most = "1+".repeat(LONGEST / 2 - 1) + "1";
    assert_eq!(value(&most, &event()), Ok(json!(LONGEST / 2)));
    let most = "!".repeat(LONGEST - 4) + "true";
    let _ = value(&most, &event());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([a-z]|[0-9]|[-+*/%!=<>&|?:.,'\"()\\[\\]{} ]|é|data|type|has|in){0,20}") {
        let _ = value(&text, &event());
    }
}
