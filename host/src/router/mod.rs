//! Which routes an event takes: an immutable [`Table`], indexed by event type.
//!
//! A table is built once per snapshot and never changed. A route that names its types (`exact: {type: …}`) costs
//! nothing for events of other types, so a thousand routes of different types cost what one does.

mod attribute;
pub mod cel;
mod condition;
pub mod sql;
mod view;
mod written;

use std::collections::HashMap;

use foldhash::fast::FixedState;
use prometheus_client::metrics::counter::Counter;

pub use condition::Condition;
pub use view::View;
pub use written::{Dialect, ParseError, Written};

use crate::Event;
use crate::config::settings;

/// The conditions of all routes, in the order of the settings.
#[derive(Debug, Default)]
pub struct Table {
    routes: Vec<Rule>,
    by_type: HashMap<Box<str>, Box<[usize]>, FixedState>,
    any_type: Box<[usize]>,
    parsed: Counter,
}

/// The conditions of one route.
#[derive(Debug)]
struct Rule {
    condition: Condition,
    errors: Counter,
}

impl Table {
    /// Compiles the `match` lists of the routes, each with the counter of events for which it could not be evaluated;
    /// `parsed` counts the payloads that a condition had parsed.
    pub fn new<'a>(
        routes: impl IntoIterator<Item = (&'a [settings::Match], Counter)>,
        parsed: Counter,
    ) -> Self {
        let rule = |(rules, errors)| Rule { condition: Condition::all_of(rules), errors };
        let routes: Vec<_> = routes.into_iter().map(rule).collect();
        let types: Vec<_> = routes.iter().map(|rule| rule.condition.types()).collect();
        let mut by_type = HashMap::with_hasher(FixedState::default());
        for kind in types.iter().flatten().flatten() {
            by_type.entry(Box::from(*kind)).or_insert_with(|| candidates(&types, Some(kind)));
        }
        let any_type = candidates(&types, None);
        Self { by_type, any_type, routes, parsed }
    }

    /// The indices of the routes that the event takes, in the order of the settings. Its payload is parsed once at most.
    pub fn matches<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = usize> + 'a {
        let candidates = self.by_type.get(event.kind()).unwrap_or(&self.any_type);
        let view = View::new(event);
        candidates.iter().copied().filter(move |index| self.holds(*index, &view))
    }

    fn holds(&self, index: usize, view: &View<'_>) -> bool {
        let Rule { condition, errors } = &self.routes[index];
        let was_parsed = view.is_parsed();
        let holds = condition.holds(view);
        if view.has_failed() {
            errors.inc();
        }
        if view.is_parsed() && !was_parsed {
            self.parsed.inc();
        }
        holds
    }
}

/// The routes that can match an event of that type; `None` stands for a type that no route names.
fn candidates(types: &[Option<Vec<&str>>], kind: Option<&str>) -> Box<[usize]> {
    let possible = |named: &Option<Vec<&str>>| match (named, kind) {
        (None, _) => true,
        (Some(named), Some(kind)) => named.contains(&kind),
        (Some(_), None) => false,
    };
    types.iter().enumerate().filter(|(_, named)| possible(named)).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(kind: &str) -> Event {
        Event::builder("1", "s", kind).subject("document/1").build().unwrap()
    }

    fn conditions(yaml: &str) -> Vec<settings::Match> {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn table(routes: &[Vec<settings::Match>]) -> Table {
        Table::new(routes.iter().map(|rules| (rules.as_slice(), Counter::default())), Counter::default())
    }

    #[test]
    fn the_payload_is_parsed_once_however_many_ask_and_never_where_none_does() {
        let event = |kind: &str| {
            let event = Event::builder("1", "s", kind).subject("document/1");
            event.json(&br#"{"count": 3, "tags": ["a", "b"]}"#[..]).build().unwrap()
        };
        let count = |rules: &[&str], event: &Event| {
            let routes: Vec<_> = rules.iter().map(|rules| conditions(rules)).collect();
            let (errors, parsed) = (Counter::default(), Counter::default());
            let rules = routes.iter().map(|rules| (rules.as_slice(), errors.clone()));
            let taken = Table::new(rules, parsed.clone()).matches(event).collect::<Vec<_>>();
            (taken, parsed.get(), errors.get())
        };
        let asking = [
            "[{cel: data.count > 2}]",
            "[{cel: \"'a' in data.tags\"}, {cel: data.count == 4}]",
            "[{cel: data.count == 3}]",
        ];
        assert_eq!(count(&asking, &event("a")), (vec![0, 2], 1, 0));
        let silent = ["[{cel: type == 'a'}]", "[{sql: \"type = 'a'\"}]", "[{sql: missing = 1}]"];
        assert_eq!(count(&silent, &event("a")), (vec![0, 1], 0, 1));
        // Neither one that another condition, or the type, decides before.
        let decided =
            ["[{sql: \"type = 'b'\"}, {cel: data.count > 2}]", "[{cel: type == 'b' && data.count > 2}]"];
        assert_eq!(count(&decided, &event("a")), (vec![], 0, 0));
        let broken = Event::builder("1", "s", "a").binary("application/json", &b"{"[..]).build().unwrap();
        assert_eq!(count(&asking, &broken), (vec![], 1, 3));
    }

    #[test]
    fn routes_match_in_the_order_of_the_settings() {
        let routes = [
            conditions("[{exact: {type: a}}]"),
            conditions("[]"),
            conditions("[{any: [{exact: {type: b}}, {exact: {type: a}}]}]"),
            conditions("[{prefix: {subject: batch/}}]"),
            conditions("[{sql: \"type IN ('b', 'c') AND subject LIKE 'document/%'\"}]"),
        ];
        let table = table(&routes);
        let taken = |kind: &str| table.matches(&event(kind)).collect::<Vec<_>>();
        assert_eq!(taken("a"), [0, 1, 2]);
        assert_eq!(taken("b"), [1, 2, 4]);
        assert_eq!(taken("c"), [1, 4]);
        assert_eq!(taken("d"), [1]);
    }

    fn any_match() -> impl Strategy<Value = settings::Match> {
        let leaf = ("type|subject|source", "[abs]{0,2}", 0..5_u8).prop_map(|(name, value, form)| {
            let sql = |text: String| settings::Match::Sql(Written::parse(&text).unwrap());
            let map = [(name.clone(), value.clone())].into();
            match form {
                3 => sql(format!("{name} = '{value}' AND TRUE")),
                4 => sql(format!("{name} IN ('{value}', 'a')")),
                0 => settings::Match::Exact(map),
                1 => settings::Match::Prefix(map),
                _ => settings::Match::Suffix(map),
            }
        });
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(settings::Match::All),
                proptest::collection::vec(inner.clone(), 0..3).prop_map(settings::Match::Any),
                inner.prop_map(|one| settings::Match::Not(Box::new(one))),
            ]
        })
    }

    proptest! {
        /// The index may only leave out what would not have matched.
        #[test]
        fn the_index_changes_no_verdict(
            routes in proptest::collection::vec(proptest::collection::vec(any_match(), 0..3), 0..8),
            kind in "[abs]{1,2}",
        ) {
            let event = event(&kind);
            let table = table(&routes);
            let slow: Vec<_> = (0..routes.len())
                .filter(|index| Condition::all_of(&routes[*index]).holds(&View::new(&event)))
                .collect();
            prop_assert_eq!(table.matches(&event).collect::<Vec<_>>(), slow);
        }
    }
}
