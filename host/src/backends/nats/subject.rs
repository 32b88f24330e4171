//! The subject of an event: a template in which values cannot do harm.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::Event;
use crate::backends::template::Template;

/// White space and control characters end a subject on the wire, `*` and `>` are wildcards, `%` begins an escape.
const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'*').add(b'>').add(b'%');

/// Reads a template whose own text is a subject's.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    if text.is_empty() {
        return Err("it is empty; name a subject, like nlp.document.processed".into());
    }
    let wild = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>');
    if let Some(bad) = template.texts().flat_map(str::chars).find(|c| wild(*c)) {
        return Err(format!("{text:?} contains {bad:?}, which no event can be published to; leave it out"));
    }
    match parts(text) {
        Some(()) => Ok(template),
        None => Err(format!("{text:?} has an empty part; put something before, between and after the dots")),
    }
}

/// The subject for an event.
///
/// # Errors
/// Why there is none: an attribute is missing, or a value has dots where no part may be empty.
pub(super) fn fill(template: &Template, event: &Event) -> Result<String, String> {
    let subject = template.fill(event, escape)?;
    match parts(&subject) {
        Some(()) => Ok(subject),
        None => Err(format!(
            "the event's subject would be {subject:?}, which has an empty part; change the attribute or `subject`"
        )),
    }
}

/// The subjects that a stream must have to take every event of a template.
pub(super) fn pattern(text: &str) -> String {
    // Whatever follows the first value may have any number of parts.
    match text.split_once('{') {
        None => text.to_owned(),
        Some((before, _)) => match before.rsplit_once('.') {
            Some((fixed, _)) => format!("{fixed}.>"),
            None => ">".into(),
        },
    }
}

fn parts(subject: &str) -> Option<()> {
    subject.split('.').all(|part| !part.is_empty()).then_some(())
}

fn escape(value: &str) -> Cow<'_, str> {
    // Escapes what is not ASCII as well: servers take it, but monitoring and command lines do not always.
    utf8_percent_encode(value, UNSAFE).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(template: &str, value: &str) -> Result<String, String> {
        let event = Event::builder("1", "s", "com.example.x").subject(value).build().unwrap();
        fill(&parse(template)?, &event)
    }

    #[test]
    fn values_cannot_be_wildcards_or_end_the_subject() {
        assert_eq!(subject("nlp.{type}", "x").unwrap(), "nlp.com.example.x");
        assert_eq!(subject("nlp.{subject}", "document/doc 1").unwrap(), "nlp.document/doc%201");
        assert_eq!(subject("nlp.{subject}", "a.*.>").unwrap(), "nlp.a.%2A.%3E");
        assert_eq!(subject("nlp.{subject}", "50% ä").unwrap(), "nlp.50%25%20%C3%A4");
        assert!(
            subject("nlp.{subject}", "a..b").unwrap_err().contains("\"nlp.a..b\", which has an empty part")
        );
        assert!(subject("nlp.{subject}", ".").is_err());
    }

    #[test]
    fn a_template_is_a_subject_itself() {
        assert!(parse("nlp.*").unwrap_err().contains("contains '*'"));
        assert!(parse("nlp processed").unwrap_err().contains("contains ' '"));
        assert!(parse("nlp..x").unwrap_err().contains("empty part"));
        assert!(parse("").unwrap_err().contains("it is empty"));
    }

    #[test]
    fn a_stream_for_a_template_takes_all_it_can_become() {
        assert_eq!(pattern("nlp.document.processed"), "nlp.document.processed");
        assert_eq!(pattern("nlp.{type}"), "nlp.>");
        assert_eq!(pattern("nlp.a-{type}.x"), "nlp.>");
        assert_eq!(pattern("{type}"), ">");
    }
}
