//! Renames `type`, `source` or `subject` by patterns: the first rule that matches says the new name.

mod replacement;

use serde::Deserialize;
use stagewire_plugin::{Draft, Emitter, Error, Event, Pattern, Transform};

use replacement::Replacement;

/// What the step's `settings:` hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Rules for `type`.
    #[serde(default, rename = "type")]
    kind: Vec<Texts>,
    /// Rules for `source`.
    #[serde(default)]
    source: Vec<Texts>,
    /// Rules for `subject`; an event without one is left as it is.
    #[serde(default)]
    subject: Vec<Texts>,
}

/// One rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    /// A pattern for the whole text, in which `*` stands for any text.
    from: String,
    /// The new text, with what the stars stood for as `$1`, `$2` …
    to: String,
}

/// The transform.
#[derive(Debug)]
pub struct Rename([Rules; 3]);

/// The rules for one attribute.
#[derive(Debug)]
struct Rules {
    attribute: &'static str,
    rules: Vec<(Pattern, Replacement)>,
}

impl Transform for Rename {
    type Settings = Settings;
    const SETTINGS_SCHEMA: &str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.kind.is_empty() && settings.source.is_empty() && settings.subject.is_empty() {
            return Err(
                "there is no rule; give one, as `type: [{ from: \"com.old.*\", to: \"com.new.$1\" }]`".into(),
            );
        }
        Ok(Self([
            Rules::new("type", &settings.kind)?,
            Rules::new("source", &settings.source)?,
            Rules::new("subject", &settings.subject)?,
        ]))
    }

    fn apply(&mut self, event: &Event, out: &mut Emitter) -> Result<(), Error> {
        let mut draft: Option<Draft> = None;
        for rules in &self.0 {
            if let Some(name) = rules.renamed(event)? {
                draft.get_or_insert_with(|| out.edit(event)).set(rules.attribute, name)?;
            }
        }
        if draft.is_none() {
            out.pass(event);
        }
        Ok(())
    }
}

stagewire_plugin::transform!(Rename);

impl Rules {
    fn new(attribute: &'static str, texts: &[Texts]) -> Result<Self, String> {
        let read = |(at, texts): (usize, &Texts)| {
            let wrong = |why: String| format!("`{attribute}`, rule {}: {why}", at + 1);
            let pattern = Pattern::parse(&texts.from).map_err(wrong)?;
            let replacement = Replacement::parse(&texts.to, pattern.stars()).map_err(wrong)?;
            Ok((pattern, replacement))
        };
        let rules = texts.iter().enumerate().map(read).collect::<Result<_, String>>()?;
        Ok(Self { attribute, rules })
    }

    /// The new text; none where no rule matches, or the text stays the same.
    fn renamed(&self, event: &Event) -> Result<Option<String>, Error> {
        if self.rules.is_empty() {
            return Ok(None);
        }
        let Some(text) = event.attribute(self.attribute).map(|value| value.to_string()) else {
            return Ok(None);
        };
        let matched = self.rules.iter().find_map(|(pattern, to)| Some(to.fill(&pattern.captures(&text)?)));
        match matched {
            Some(name) if name.is_empty() => {
                Err(Error::permanent(format!("a rule makes `{}` empty", self.attribute)))
            }
            Some(name) if name != text => Ok(Some(name)),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stagewire_plugin::{Handed, Value};

    use super::*;

    fn rules(rules: &[(&str, &str)]) -> Vec<Texts> {
        rules.iter().map(|(from, to)| Texts { from: (*from).into(), to: (*to).into() }).collect()
    }

    fn renamed(settings: Settings, event: &Event) -> Handed {
        let mut rename = Rename::configure(settings).unwrap();
        let mut out = Emitter::test();
        rename.apply(event, &mut out).unwrap();
        out.handed().pop().unwrap()
    }

    fn kind(rules_: &[(&str, &str)], kind: &str) -> Option<String> {
        match renamed(Settings { kind: rules(rules_), ..Settings::default() }, &Event::test().of_kind(kind)) {
            Handed::Edit(event) => Some(event.kind()),
            _ => None,
        }
    }

    #[test]
    fn the_first_rule_that_matches_says_the_name() {
        let rules =
            [("com.old.*.v*", "com.new.$1.version$2"), ("com.old.*", "com.new.$1"), ("com.*", "never")];
        assert_eq!(kind(&rules, "com.old.made.v2").as_deref(), Some("com.new.made.version2"));
        assert_eq!(kind(&rules, "com.old.made").as_deref(), Some("com.new.made"));
        assert_eq!(kind(&rules, "org.made"), None);
    }

    #[test]
    fn what_stays_the_same_is_passed_as_it_is() {
        assert_eq!(kind(&[("com.*", "com.$1")], "com.made"), None);
    }

    #[test]
    fn each_attribute_has_its_own_rules() {
        let settings = Settings {
            kind: rules(&[("test", "tried")]),
            source: rules(&[("/*", "urn:$1")]),
            subject: rules(&[("*/*", "$2:$1")]),
        };
        let event = Event::test().with("subject", Value::Text("order/7".into()));
        let Handed::Edit(event) = renamed(settings, &event) else { panic!("it was not changed") };
        assert_eq!(
            (event.kind(), event.source(), event.subject()),
            ("tried".into(), "urn:test".into(), Some("7:order".into()))
        );
    }

    #[test]
    fn an_event_without_a_subject_is_left_alone() {
        let settings = Settings { subject: rules(&[("*", "x")]), ..Settings::default() };
        assert!(matches!(renamed(settings, &Event::test()), Handed::Pass));
    }

    #[test]
    fn an_empty_name_is_an_error() {
        let settings = Settings { kind: rules(&[("te*", "$1"), ("*", "$1")]), ..Settings::default() };
        let mut rename = Rename::configure(settings).unwrap();
        let refused = rename.apply(&Event::test().of_kind("te"), &mut Emitter::test());
        assert_eq!(refused, Err(Error::permanent("a rule makes `type` empty")));
    }

    #[test]
    fn settings_are_refused_with_what_to_write() {
        let refused = |from, to| {
            Rename::configure(Settings { source: rules(&[("*", "x"), (from, to)]), ..Settings::default() })
                .unwrap_err()
        };
        assert!(Rename::configure(Settings::default()).unwrap_err().contains("from: \"com.old.*\""));
        assert_eq!(refused("", "x"), "`source`, rule 2: a pattern is empty; write `*` for any text");
        assert!(refused("a.*", "$2").starts_with("`source`, rule 2: "));
    }

    #[test]
    fn the_schema_says_what_the_settings_are() {
        stagewire_plugin::check_schema::<Settings>(Rename::SETTINGS_SCHEMA).unwrap();
    }

    proptest! {
        #[test]
        fn no_rule_and_no_text_makes_it_panic(from in "[a*é]{0,5}", to in "[a$1-3é]{0,6}", text in "[aé.]{0,8}") {
            let settings = Settings { kind: rules(&[(&from, &to)]), ..Settings::default() };
            if let Ok(mut rename) = Rename::configure(settings) {
                let _ = rename.apply(&Event::test().of_kind(&text), &mut Emitter::test());
            }
        }
    }
}
