//! Replaces JSON data by what a JMESPath expression makes of it.

use language::{ErrorReason, Expression, Variable};
use serde::Deserialize;
use stagewire_plugin::{Emitter, Error, Event, Otherwise, Transform};

/// The longest expression, in bytes, and the most brackets and negations in it: reading and running one is recursive.
const LONGEST: usize = 4096;
const NESTED: usize = 256;

/// What the step's `settings:` hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The expression.
    expression: String,
    /// What becomes of an event for which the expression yields `null`.
    #[serde(default)]
    if_null: Otherwise,
    /// What becomes of an event whose data is not JSON.
    #[serde(default)]
    not_json: Otherwise,
}

/// The transform.
#[derive(Debug)]
pub struct JmesPath {
    expression: Expression<'static>,
    if_null: Otherwise,
    not_json: Otherwise,
}

impl Transform for JmesPath {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { expression, if_null, not_json } = settings;
        if expression.trim().is_empty() {
            return Err(
                "`expression` is empty; write one, as `{ id: order.id, total: sum(lines[].price) }`".into()
            );
        }
        let nested = expression.bytes().filter(|byte| b"([{!&".contains(byte)).count();
        if expression.len() > LONGEST || nested > NESTED {
            return Err(format!(
                "`expression` has more than {LONGEST} bytes or {NESTED} brackets; use several steps"
            ));
        }
        let expression = language::compile(&expression).map_err(|error| {
            format!(
                "`expression` is no JMESPath, at character {}: {}",
                error.offset + 1,
                plain(&error.reason)
            )
        })?;
        Ok(Self { expression, if_null, not_json })
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let data = event.text().and_then(|text| Variable::from_json(&text).ok());
        let Some(data) = data else { return self.not_json.hand("data is not JSON", event, out) };
        let result = self.expression.search(data).map_err(|error| {
            let place = error.offset + 1;
            Error::permanent(format!("the expression fails at character {place}: {}", plain(&error.reason)))
        })?;
        if !result.is_null() {
            let data = serde_json::to_string(&*result);
            out.edit(event)
                .set_text(&data.map_err(|_| Error::permanent("the result cannot be written as JSON"))?);
            return Ok(());
        }
        // A mistyped name yields null, too: the default is an error, so that nothing is lost by one.
        self.if_null.hand("the expression yields null", event, out)
    }
}

stagewire_plugin::transform!(JmesPath);

/// In lower case and without the crate's heading; it names types and functions, never data.
fn plain(reason: &ErrorReason) -> String {
    let said = match reason {
        ErrorReason::Parse(said) => said.clone(),
        ErrorReason::Runtime(error) => error.to_string(),
    };
    let mut letters = said.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stagewire_plugin::Handed;

    use super::*;

    fn settings(expression: &str) -> Settings {
        Settings { expression: expression.into(), if_null: Otherwise::Error, not_json: Otherwise::Error }
    }

    fn handed(settings: Settings, event: &Event) -> Result<Vec<Handed>, Error> {
        let mut out = Emitter::test();
        JmesPath::configure(settings).unwrap().apply(event, &mut out)?;
        Ok(out.handed())
    }

    fn result(expression: &str, data: &str) -> String {
        match handed(settings(expression), &Event::test().data_json(data)).unwrap().pop() {
            Some(Handed::Edit(event)) => event.text().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_result_replaces_the_data() {
        let data = r#"{"order":{"id":7,"lines":[{"price":2,"name":"a"},{"price":3,"name":"b"}]}}"#;
        assert_eq!(result("order.lines[?price > `2`].name", data), r#"["b"]"#);
        assert_eq!(
            result("{ id: order.id, total: sum(order.lines[].price) }", data),
            r#"{"id":7,"total":5.0}"#
        );
        assert_eq!(result("order.id", data), "7");
        assert_eq!(result("[0]", "[false]"), "false");
    }

    #[test]
    fn a_null_result_is_a_matter_of_settings() {
        let event = Event::test().data_json(r#"{"a":null}"#);
        for expression in ["a", "b.c"] {
            let with = |if_null| handed(Settings { if_null, ..settings(expression) }, &event);
            assert_eq!(with(Otherwise::Error).unwrap_err(), Error::permanent("the expression yields null"));
            assert!(matches!(with(Otherwise::Pass).unwrap()[..], [Handed::Pass]));
            assert!(with(Otherwise::Drop).unwrap().is_empty());
        }
    }

    #[test]
    fn data_that_is_not_json_is_a_matter_of_settings() {
        let deep = "[".repeat(100_000);
        for event in [
            Event::test(),
            Event::test().data("{\"a\":"),
            Event::test().data([0xff]),
            Event::test().data(deep),
        ] {
            let with = |not_json| handed(Settings { not_json, ..settings("a") }, &event);
            assert_eq!(with(Otherwise::Error).unwrap_err(), Error::permanent("data is not JSON"));
            assert!(matches!(with(Otherwise::Pass).unwrap()[..], [Handed::Pass]));
            assert!(with(Otherwise::Drop).unwrap().is_empty());
        }
    }

    #[test]
    fn an_error_names_types_and_never_data() {
        let event = Event::test().data_json(r#"{"a":"secret"}"#);
        let Err(Error::Permanent(said)) = handed(settings("abs(a)"), &event) else {
            panic!("it did not fail")
        };
        assert_eq!(said, "the expression fails at character 4: argument 0 expects type number, given string");
    }

    #[test]
    fn settings_are_refused_with_what_to_write() {
        let refused = |expression: &str| JmesPath::configure(settings(expression)).unwrap_err();
        assert!(refused(" ").contains("`expression` is empty; write one"));
        assert!(
            refused("a.[").starts_with("`expression` is no JMESPath, at character "),
            "{}",
            refused("a.[")
        );
        assert!(refused(&"!".repeat(1000)).contains("use several steps"));
        assert!(refused(&"a".repeat(10_000)).contains("use several steps"));
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(JmesPath::SETTINGS_SCHEMA).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_expression_makes_it_panic(
            words in prop::collection::vec(prop::sample::select(&[
                "a", "b", ".", "[", "]", "*", "[]", "[*]", "[0]", "[-1]", "[::2]", "[::-1]", "[1:]", "[2147483647]",
                "[-2147483648]", "[:-2147483648:-2147483648]", "99999999999", "?", "`1`", "`\"", "`", "'x'", "'", "\"", "(", ")",
                "{", "}", ":", ",", "|", "||", "&&", "!", "&", "==", "<", "@", " ", "abs(", "length(", "sort_by(a,&b)",
                "max_by(a,&@)", "join('',a)", "to_number(b)", "avg(a)", "sum(a)", "ceil(", "reverse(a)", "é", "\\",
            ][..]), 0..8),
        ) {
            let event = Event::test().data_json(r#"{"a":[{"b":-9223372036854775808},2e300,[],"é"],"b":"1e999"}"#);
            if let Ok(mut transform) = JmesPath::configure(settings(&words.concat())) {
                let _ = transform.apply(&event, &mut Emitter::test());
            }
        }
    }
}
