//! What events may not carry: fields by name or path, and long strings, looked for on the way in.

use stagewire_plugin::json::{Action, Path, TooDeep, rewrite};

use crate::config::settings::{self, PrivacyAction};
use crate::event::{DataKind, Event};
use crate::ingress::Refusal;
use crate::protocol::json::is_well_formed;
use crate::telemetry::Metrics;

/// All rules. Data is read as text, never as a tree, and only where the type of an event asks for it.
#[derive(Debug, Default)]
pub(super) struct Privacy(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    types: Vec<String>,
    /// As they are written, and as they are looked for.
    fields: Vec<(String, Path)>,
    max_string: Option<u64>,
    action: PrivacyAction,
}

impl Privacy {
    /// Compiles the rules.
    ///
    /// # Errors
    /// A field that is neither a name nor a path.
    pub(super) fn new(rules: &[settings::Privacy]) -> Result<Self, String> {
        let rule = |rule: &settings::Privacy| {
            let fields = rule.fields.iter().map(|field| Ok((field.clone(), Path::parse(field)?)));
            Ok(Rule {
                types: rule.types.clone(),
                fields: fields.collect::<Result<_, String>>()?,
                max_string: rule.max_string.map(|size| size.0),
                action: rule.action,
            })
        };
        rules.iter().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Changes events as the rules say.
    ///
    /// # Errors
    /// The first event that is refused; nothing of the batch is taken then.
    pub(super) fn apply(&self, events: &mut [Event], metrics: &Metrics) -> Result<(), Refusal> {
        for (index, event) in events.iter_mut().enumerate() {
            for rule in &self.0 {
                if !rule.is_about(event) {
                    continue;
                }
                let refuse = |message| Refusal::Rule { index, rule: "privacy".into(), message };
                match rule.look(event) {
                    Ok(None) => {}
                    Ok(Some(changed)) => {
                        metrics.privacy(rule.action.word());
                        *event = changed;
                    }
                    Err(message) => {
                        metrics.privacy(PrivacyAction::Reject.word());
                        return Err(refuse(message));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Rule {
    /// A type is named whole, or by its beginning and a star.
    fn is_about(&self, event: &Event) -> bool {
        let names = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => event.kind().starts_with(beginning),
            None => event.kind() == pattern,
        };
        event.data_kind() != DataKind::None && self.types.iter().any(names)
    }

    /// The event without what the rule forbids; none where there is nothing of it.
    fn look(&self, event: &Event) -> Result<Option<Event>, String> {
        let data = event.data();
        if event.data_kind() != DataKind::Json && !is_well_formed(data) {
            return Err(
                "its data is not JSON, so nobody can say what is in it; send JSON, or name other `types`"
                    .into(),
            );
        }
        if let Some(most) = self.max_string
            && longest_string(data) > most
        {
            return Err(format!("its data has a string of more than {most} bytes; send a reference instead"));
        }
        let mut found = None;
        let without = rewrite(data, |trail| {
            let named = self.fields.iter().find(|(_, path)| path.matches(trail));
            let Some((field, _)) = named else { return Action::Enter };
            found.get_or_insert(field);
            match self.action {
                PrivacyAction::Mask => Action::Replace("\"***\""),
                PrivacyAction::Remove | PrivacyAction::Reject => Action::Remove,
            }
        });
        let without =
            without.map_err(|TooDeep| "its data is nested too deeply to be looked through".to_owned())?;
        match (without, found) {
            (None, _) => Ok(None),
            (Some(_), Some(field)) if self.action == PrivacyAction::Reject => {
                Err(format!("its data has the field {field:?}, which may not be sent; leave it out"))
            }
            (Some(data), _) => {
                let mut draft = event.edit();
                draft.data_kind = DataKind::Json;
                draft.data = data.into();
                draft.build().map(Some).map_err(|error| error.to_string())
            }
        }
    }
}

/// Bytes of the longest string in JSON text, as it stands there; names count too.
fn longest_string(json: &[u8]) -> u64 {
    let (mut longest, mut at) = (0, 0);
    while let Some(begin) = memchr::memchr(b'"', &json[at..]).map(|quote| at + quote + 1) {
        let mut end = begin;
        // A quote or a backslash: what follows a backslash is no end.
        while let Some(next) = memchr::memchr2(b'"', b'\\', json.get(end..).unwrap_or_default()) {
            end += next;
            if json[end] == b'"' {
                break;
            }
            end += 2;
        }
        longest = longest.max(end.min(json.len()) - begin);
        at = (end + 1).min(json.len());
    }
    longest as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::units::Size;

    fn event(data: &str) -> Event {
        Event::builder("1", "/s", "com.storytelling.nlp.document.processed")
            .json(data.to_owned())
            .build()
            .unwrap()
    }

    fn apply(action: PrivacyAction, data: &str) -> Result<String, String> {
        let rule = settings::Privacy { action, max_string: Some(Size(100)), ..Default::default() };
        let mut events = [event(data)];
        let privacy = Privacy::new(&[rule]).unwrap();
        match privacy.apply(&mut events, &Metrics::new()) {
            Ok(()) => Ok(String::from_utf8(events[0].data().to_vec()).unwrap()),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    #[test]
    fn the_documents_payloads_lose_their_text() {
        let data = r#"{"document_id":"d","nested":[{"raw_text":"a","n":1.0}],"te\u0078t":"b"}"#;
        assert_eq!(
            apply(PrivacyAction::Remove, data).unwrap(),
            r#"{"document_id":"d","nested":[{"n":1.0}]}"#
        );
        assert_eq!(
            apply(PrivacyAction::Mask, data).unwrap(),
            r#"{"document_id":"d","nested":[{"raw_text":"***","n":1.0}],"te\u0078t":"***"}"#
        );
        insta::assert_snapshot!(
            apply(PrivacyAction::Reject, data).unwrap_err(),
            @r#"event 0 is against rule privacy: its data has the field "raw_text", which may not be sent; leave it out"#
        );
        assert_eq!(apply(PrivacyAction::Reject, r#"{"n":1}"#).unwrap(), r#"{"n":1}"#);
    }

    #[test]
    fn what_cannot_be_looked_through_is_refused() {
        let deep = format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000));
        assert!(apply(PrivacyAction::Remove, &deep).unwrap_err().contains("too deeply"));
        let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(101));
        assert!(apply(PrivacyAction::Remove, &long).unwrap_err().contains("more than 100 bytes"));
        let mut text = [Event::builder("1", "/s", "com.storytelling.nlp.x")
            .binary("text/plain", "once upon a time")
            .build()
            .unwrap()];
        let privacy = Privacy::new(&[settings::Privacy::default()]).unwrap();
        let refusal = privacy.apply(&mut text, &Metrics::new()).unwrap_err().to_string();
        assert!(refusal.contains("not JSON"), "{refusal}");
    }

    #[test]
    fn other_types_are_not_looked_at() {
        let other = Event::builder("1", "/s", "com.example.x").json(r#"{"text":"a"}"#).build().unwrap();
        let mut events = [other.clone()];
        Privacy::new(&[settings::Privacy::default()]).unwrap().apply(&mut events, &Metrics::new()).unwrap();
        assert_eq!(events[0], other);
    }

    /// JSON in which forbidden names stand at any place, with a value that must not be seen.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![Just("1".to_owned()), Just(r#""fine""#.to_owned()), Just("null".to_owned())];
        leaf.prop_recursive(5, 40, 4, |inner| {
            let key =
                prop_oneof![Just("text"), Just("te\\u0078t"), Just("raw_text"), Just("n"), Just("content")];
            let member = (key, inner.clone()).prop_map(|(key, value)| match key {
                "n" => format!(r#""n":{value}"#),
                forbidden => format!(r#""{forbidden}":["forbidden",{value}]"#),
            });
            prop_oneof![
                proptest::collection::vec(member, 0..4)
                    .prop_map(|members| format!("{{{}}}", members.join(","))),
                proptest::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_forbidden_value_gets_through(data in json()) {
            for action in [PrivacyAction::Remove, PrivacyAction::Mask, PrivacyAction::Reject] {
                if let Ok(out) = apply(action, &data) {
                    prop_assert!(!out.contains("forbidden"), "{action:?}: {data} → {out}");
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
                }
            }
        }

        #[test]
        fn strings_are_measured_without_a_panic(data in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = longest_string(&data);
        }
    }
}
