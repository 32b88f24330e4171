//! What a rule can take at all: whether nothing, whether all that another one takes, whether some of it.
//!
//! A condition is taken apart into alternatives, each a set of parts that all hold. What is said here is certain; where there
//! are too many alternatives, or parts that only an event decides, nothing is said.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::attribute::Attribute;
use super::bound::{Bound, Form, Need};
use super::condition::Condition;
use super::view::View;
use crate::Event;
use crate::event::{self, Draft};

/// More alternatives are not looked at.
const MOST: usize = 256;

/// The alternatives of a condition.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Nothing where there are too many.
    alternatives: Option<Vec<Alternative>>,
}

/// Parts that all hold, or do not hold, for the events of one alternative.
#[derive(Clone, Debug, Default)]
struct Alternative {
    parts: Vec<(Condition, bool)>,
    needs: Vec<Need>,
}

impl Reach {
    /// Of a condition.
    pub fn of(condition: &Condition) -> Self {
        Self { alternatives: apart(condition, true) }
    }

    /// Of one that holds where any of these does.
    pub fn together<'a>(reaches: impl IntoIterator<Item = &'a Self>) -> Self {
        // What is not known of one takes nothing away from what the others take.
        let known = reaches.into_iter().filter_map(|reach| reach.alternatives.clone());
        Self { alternatives: Some(known.flatten().collect()) }
    }

    /// Whether no event can fulfil it.
    pub fn is_empty(&self) -> bool {
        self.alternatives.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether it takes every event that the other takes.
    pub fn covers(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.alternatives, &other.alternatives) else {
            // Of one that asks nothing that is known all the same.
            return self.covers_all();
        };
        others.iter().all(|other| own.iter().any(|own| other.implies(own)))
    }

    fn covers_all(&self) -> bool {
        self.alternatives.iter().flatten().any(|alternative| alternative.parts.is_empty())
    }

    /// An event that both conditions take, where one is found easily.
    pub fn shared(&self, condition: &Condition, other: &Self, with: &Condition) -> Option<Event> {
        let (own, others) = (self.alternatives.as_ref()?, other.alternatives.as_ref()?);
        let pairs = own.iter().flat_map(|own| others.iter().map(move |other| (own, other)));
        pairs.filter_map(|(own, other)| own.and(other)?.event()).take(MOST).find(|event| {
            let view = View::new(event);
            condition.holds(&view) && with.holds(&view)
        })
    }

    /// The only types that it takes; nothing where it may take any other.
    pub fn types(&self) -> Option<BTreeSet<&str>> {
        let is_type = |need: &&Need| need.attribute == Attribute::Type && need.form == Form::Is;
        let of = |alternative: &'_ Alternative| alternative.needs.iter().position(|need| is_type(&need));
        let alternatives = self.alternatives.as_ref()?.iter();
        alternatives.map(|alternative| Some(&*alternative.needs[of(alternative)?].text)).collect()
    }
}

/// The alternatives in which a condition holds, or does not.
fn apart(condition: &Condition, holds: bool) -> Option<Vec<Alternative>> {
    match (condition, holds) {
        (Condition::Not(condition), holds) => apart(condition, !holds),
        (Condition::All(conditions), true) | (Condition::Any(conditions), false) => {
            conditions.iter().try_fold(vec![Alternative::default()], |alternatives, condition| {
                let more = apart(condition, holds)?;
                let pairs = alternatives.iter().flat_map(|one| more.iter().map(move |other| (one, other)));
                let both: Vec<_> = pairs.filter_map(|(one, other)| one.and(other)).take(MOST + 1).collect();
                (both.len() <= MOST).then_some(both)
            })
        }
        (Condition::Any(conditions), true) | (Condition::All(conditions), false) => {
            let all: Vec<_> =
                conditions.iter().map(|condition| apart(condition, holds)).collect::<Option<_>>()?;
            let all = all.concat();
            (all.len() <= MOST).then_some(all)
        }
        (part, true) => {
            let part = Alternative { parts: vec![(part.clone(), true)], needs: Vec::new() };
            let bounds = within(&condition.bound())?;
            Some(bounds.iter().filter_map(|needs| part.with(needs)).collect())
        }
        (part, false) => Some(vec![Alternative { parts: vec![(part.clone(), false)], needs: Vec::new() }]),
    }
}

/// The alternatives of a bound.
fn within(bound: &Bound) -> Option<Vec<Vec<Need>>> {
    let alternatives = match bound {
        Bound::Open => vec![Vec::new()],
        Bound::Need(need) => vec![vec![need.clone()]],
        Bound::One(bounds) => bounds.iter().map(within).collect::<Option<Vec<_>>>()?.concat(),
        Bound::All(bounds) => {
            bounds.iter().try_fold(vec![Vec::new()], |alternatives: Vec<Vec<Need>>, bound| {
                let more = within(bound)?;
                let pairs = alternatives
                    .iter()
                    .flat_map(|one| more.iter().map(move |other| [&one[..], &other[..]].concat()));
                let both: Vec<_> = pairs.take(MOST + 1).collect();
                (both.len() <= MOST).then_some(both)
            })?
        }
    };
    (alternatives.len() <= MOST).then_some(alternatives)
}

impl Alternative {
    /// Both; nothing where they contradict each other.
    fn and(&self, other: &Self) -> Option<Self> {
        let mut both = self.clone();
        both.parts.extend(other.parts.iter().filter(|part| !self.parts.contains(part)).cloned());
        both.with(&other.needs)
    }

    /// With these needs as well; nothing where that is a contradiction.
    fn with(&self, needs: &[Need]) -> Option<Self> {
        let mut both = self.clone();
        both.needs.extend(needs.iter().filter(|need| !self.needs.contains(need)).cloned());
        let apart = both
            .needs
            .iter()
            .any(|need| impossible(need) || both.needs.iter().any(|other| contradict(need, other)));
        let denied = both.parts.iter().any(|(part, holds)| {
            !holds
                && (both.parts.contains(&(part.clone(), true))
                    || need_of(part).is_some_and(|need| both.meets(&need)))
        });
        (!apart && !denied).then_some(both)
    }

    /// Whether every event of it has what is needed.
    fn meets(&self, wanted: &Need) -> bool {
        self.needs.iter().filter(|need| need.attribute == wanted.attribute).any(|need| {
            match (need.form, wanted.form) {
                (Form::Is, _) => wanted.takes(&need.text),
                (Form::Begins, Form::Begins) => need.text.starts_with(&*wanted.text),
                (Form::Ends, Form::Ends) => need.text.ends_with(&*wanted.text),
                _ => false,
            }
        })
    }

    /// Whether every event of it is one of the other's.
    fn implies(&self, other: &Self) -> bool {
        other.parts.iter().all(|(part, holds)| {
            if self.parts.contains(&(part.clone(), *holds)) {
                return true;
            }
            match need_of(part) {
                Some(need) if *holds => self.meets(&need),
                Some(need) => impossible(&need) || self.needs.iter().any(|own| contradict(own, &need)),
                None => false,
            }
        })
    }

    /// An event that has what is needed, and no more.
    fn event(&self) -> Option<Event> {
        let mut draft =
            Draft { id: "1".into(), source: "any".into(), kind: "any".into(), ..Draft::default() };
        for attribute in self.needs.iter().map(|need| &need.attribute) {
            let of = |form| {
                self.needs.iter().filter(move |need| need.attribute == *attribute && need.form == form)
            };
            let longest =
                |form| of(form).map(|need| &*need.text).max_by_key(|text| text.len()).unwrap_or_default();
            let is = of(Form::Is).map(|need| need.text.to_string()).next();
            let text = is.unwrap_or_else(|| format!("{}{}", longest(Form::Begins), longest(Form::Ends)));
            draft.set_text(attribute.name(), Cow::Owned(text)).ok()?;
        }
        draft.build().ok()
    }
}

/// What a part asks of one attribute, where that is all that it asks.
fn need_of(part: &Condition) -> Option<Need> {
    match part {
        Condition::Exact(attribute, text) => Some(Need::new(attribute, Form::Is, text)),
        Condition::Prefix(attribute, text) => Some(Need::new(attribute, Form::Begins, text)),
        Condition::Suffix(attribute, text) => Some(Need::new(attribute, Form::Ends, text)),
        _ => None,
    }
}

/// Whether no event can have both.
fn contradict(a: &Need, b: &Need) -> bool {
    let disjoint = |a: &str, b: &str, within: fn(&str, &str) -> bool| !within(a, b) && !within(b, a);
    a.attribute == b.attribute
        && match (a.form, b.form) {
            (Form::Is, _) => !b.takes(&a.text),
            (_, Form::Is) => !a.takes(&b.text),
            (Form::Begins, Form::Begins) => disjoint(&a.text, &b.text, |a, b| a.starts_with(b)),
            (Form::Ends, Form::Ends) => disjoint(&a.text, &b.text, |a, b| a.ends_with(b)),
            _ => false,
        }
}

/// Whether no event can have it: a name that CloudEvents forbids, or a core attribute without a value.
fn impossible(need: &Need) -> bool {
    let name = need.attribute.name();
    let empty = need.form == Form::Is && need.text.is_empty() && event::is_core(name);
    !event::is_attribute(name)
        || empty
        || (name == "specversion" && need.form == Form::Is && &*need.text != "1.0")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::settings::Match;

    fn condition(yaml: &str) -> Condition {
        Condition::all_of(&serde_saphyr::from_str::<Vec<Match>>(yaml).unwrap())
    }

    fn reach(yaml: &str) -> Reach {
        Reach::of(&condition(yaml))
    }

    #[test]
    fn what_contradicts_itself_takes_nothing() {
        for dead in [
            "[{any: []}]",
            "[{exact: {type: a}}, {exact: {type: b}}]",
            "[{exact: {type: a}}, {prefix: {type: b}}]",
            "[{prefix: {subject: a/}}, {prefix: {subject: b/}}]",
            "[{suffix: {type: .done}}, {suffix: {type: .failed}}]",
            "[{exact: {type: a}}, {not: {exact: {type: a}}}]",
            "[{exact: {type: a.b}}, {not: {any: [{prefix: {type: a.}}, {exact: {source: x}}]}}]",
            "[{exact: {type: document.processed}}, {exact: {type: document.failed}}]",
            "[{sql: \"type = 'a'\"}, {exact: {type: b}}]",
            "[{sql: \"type IN ('a', 'b') AND type LIKE 'c%'\"}]",
            "[{cel: \"type == 'a' && type.startsWith('b')\"}]",
            "[{cel: data.n > 1}, {not: {cel: data.n > 1}}]",
            "[{exact: {Subject: x}}]",
            "[{prefix: {data: x}}]",
            "[{exact: {type: ''}}]",
            "[{exact: {specversion: '0.3'}}]",
        ] {
            assert!(reach(dead).is_empty(), "{dead}");
        }
        for live in [
            "[]",
            "[{any: [{exact: {type: a}}, {exact: {Subject: x}}]}]",
            "[{prefix: {subject: a}}, {prefix: {subject: a/b}}, {suffix: {subject: b}}]",
            "[{not: {exact: {Subject: x}}}]",
            "[{exact: {type: a}}, {not: {exact: {type: b}}}]",
            "[{sql: \"type = 'a' OR attempt = 1\"}, {exact: {type: b}}]",
            "[{not: {sql: missing = 1}}, {not: {sql: missing != 1}}]",
            "[{cel: \"subject == null || subject == 'x'\"}]",
            "[{exact: {comment: ''}}]",
        ] {
            assert!(!reach(live).is_empty(), "{live}");
        }
    }

    #[test]
    fn what_takes_less_is_covered() {
        let covers = |a, b| reach(a).covers(&reach(b));
        for (wide, narrow) in [
            ("[]", "[{cel: data.n > 1}]"),
            ("[{prefix: {type: com.}}]", "[{exact: {type: com.example.x}}, {cel: data.n > 1}]"),
            ("[{prefix: {type: com.}}]", "[{sql: \"type = 'com.x' AND attempt > 1\"}]"),
            ("[{any: [{exact: {type: a}}, {exact: {type: b}}]}]", "[{exact: {type: b}}]"),
            ("[{any: [{exact: {type: a}}, {exact: {type: b}}]}]", "[{cel: \"type in ['a', 'b']\"}]"),
            ("[{not: {exact: {type: a}}}]", "[{exact: {type: b}}]"),
            ("[{cel: data.n > 1}]", "[{exact: {type: b}}, {cel: data.n > 1}]"),
            ("[{exact: {type: document.failed}}]", "[{exact: {type: com.storytelling.nlp.document.failed}}]"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
            assert!(!covers(narrow, wide), "{narrow} {wide}");
        }
        assert!(!covers("[{exact: {type: a}}]", "[{prefix: {type: a}}]"));
        assert!(!covers("[{sql: \"type = 'a'\"}]", "[{exact: {type: a}}]"), "only an event decides that");
        let both = Reach::together([&reach("[{exact: {type: a}}]"), &reach("[{exact: {type: b}}]")]);
        assert!(both.covers(&reach("[{sql: \"type IN ('a', 'b')\"}]")));
    }

    #[test]
    fn an_event_that_both_take_is_found() {
        let shared = |a: &str, b: &str| {
            let (a, b) = (condition(a), condition(b));
            let event = Reach::of(&a).shared(&a, &Reach::of(&b), &b)?;
            Some(format!("{} {} {}", event.kind(), event.source(), event.subject().unwrap_or("-")))
        };
        assert_eq!(
            shared("[{prefix: {type: a.}}]", "[{suffix: {type: .z}}, {exact: {subject: s}}]").unwrap(),
            "a..z any s"
        );
        assert_eq!(shared("[]", "[]").unwrap(), "any any -");
        assert_eq!(shared("[{exact: {type: a}}]", "[{not: {exact: {type: a}}}]"), None);
        assert_eq!(shared("[{cel: data.n > 5}]", "[]"), None, "none is found, which says nothing");
    }

    #[test]
    fn its_types_are_known_where_they_are_named() {
        let types = |yaml| reach(yaml).types().map(|types| types.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(types("[{exact: {type: a}}, {cel: data.n > 1}]").unwrap(), "a");
        assert_eq!(types("[{any: [{exact: {type: a}}, {sql: \"type = 'b'\"}]}]").unwrap(), "a b");
        assert_eq!(types("[{prefix: {type: a}}]"), None);
    }

    fn any_match() -> impl Strategy<Value = Match> {
        let leaf = ("type|subject|source", "[ab]{1,2}", 0..5_u8).prop_map(|(name, value, form)| {
            let map = [(name.clone(), value.clone())].into();
            match form {
                0 => Match::Exact(map),
                1 => Match::Prefix(map),
                2 => Match::Suffix(map),
                3 => Match::Sql(
                    super::super::Written::parse(&format!("{name} = '{value}' OR {name} LIKE 'a%'")).unwrap(),
                ),
                _ => {
                    Match::Cel(super::super::Written::parse(&format!("{name}.endsWith('{value}')")).unwrap())
                }
            }
        });
        leaf.prop_recursive(3, 10, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Match::All),
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Match::Any),
                inner.prop_map(|one| Match::Not(Box::new(one))),
            ]
        })
    }

    proptest! {
        /// Whatever is said holds for every event.
        #[test]
        fn nothing_false_is_said(
            (a, b) in (proptest::collection::vec(any_match(), 0..3), proptest::collection::vec(any_match(), 0..3)),
            events in proptest::collection::vec(("[ab]{1,3}", "[ab]{1,3}", "[ab]{1,3}"), 40),
        ) {
            let (a, b) = (Condition::all_of(&a), Condition::all_of(&b));
            let (of_a, of_b) = (Reach::of(&a), Reach::of(&b));
            for (kind, source, subject) in events {
                let event = Event::builder("1", source, kind).subject(subject).build().unwrap();
                let (a, b) = (a.holds(&View::new(&event)), b.holds(&View::new(&event)));
                prop_assert!(!(a && of_a.is_empty()));
                prop_assert!(!(b && !a && of_a.covers(&of_b)));
                prop_assert!(!a || of_a.types().is_none_or(|types| types.contains(event.kind())));
            }
        }
    }
}
