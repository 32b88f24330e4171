//! Which routes an event takes: an immutable [`Table`], indexed by what its conditions ask of an event at least.
//!
//! A table is built once per snapshot and never changed. A route that says what `type`, `source` or `subject` are, or begin
//! or end with, in whatever dialect, costs nothing for other events, so a thousand routes cost what a few do.

mod attribute;
mod bound;
pub mod cel;
mod condition;
mod decision;
mod index;
mod reach;
pub mod sql;
mod times;
mod view;
mod written;

use prometheus_client::metrics::counter::Counter;

pub use attribute::Attribute;
pub use condition::Condition;
pub use decision::{Found, Part};
pub use reach::Reach;
pub use times::Times;
pub use view::View;
pub use written::{Dialect, ParseError, Written};

use crate::Event;
use crate::config::settings;
use index::Index;

/// Which events a route takes.
#[derive(Debug, Default)]
pub struct Rule {
    /// All of it must hold.
    pub condition: Condition,
    /// When it takes events.
    pub times: Times,
    /// What it takes is not offered to those after it.
    pub stop: bool,
    /// It takes only what no other takes.
    pub otherwise: bool,
    /// Counts events for which the condition could not be evaluated.
    pub errors: Counter,
}

impl From<&settings::Route> for Rule {
    fn from(route: &settings::Route) -> Self {
        Self {
            condition: Condition::all_of(&route.matches),
            times: Times::new(&route.times),
            stop: route.stop,
            otherwise: route.otherwise,
            errors: Counter::default(),
        }
    }
}

/// The rules of all routes.
#[derive(Debug, Default)]
pub struct Table {
    /// In the order in which they are asked, those with `otherwise` last; each with its place in the settings.
    rules: Vec<(usize, Rule)>,
    index: Index,
    parsed: Counter,
}

impl Table {
    /// Indexes the rules; `parsed` counts the payloads that a condition had parsed.
    pub fn new(rules: impl IntoIterator<Item = Rule>, parsed: Counter) -> Self {
        let (last, first): (Vec<_>, Vec<_>) =
            rules.into_iter().enumerate().partition(|(_, rule)| rule.otherwise);
        let rules: Vec<_> = first.into_iter().chain(last).collect();
        let bounds: Vec<_> = rules.iter().map(|(_, rule)| rule.condition.bound()).collect();
        Self { index: Index::new(&bounds), rules, parsed }
    }

    /// The indices of the routes that take the event, which was accepted then, Unix milliseconds: in the order of the
    /// settings, those with `otherwise` last. Its payload is parsed once at most.
    pub fn matches<'a>(&'a self, event: &'a Event, at_ms: u64) -> impl Iterator<Item = usize> + 'a {
        let candidates = self.index.candidates(event);
        let mut rules = (0..).map_while(move |number| Some(&self.rules[candidates.get(number)?]));
        let view = View::new(event);
        let (mut taken, mut stopped) = (false, false);
        std::iter::from_fn(move || {
            let (index, rule) = rules.find(|(_, rule)| {
                stopped |= rule.otherwise && taken;
                !stopped && self.takes(rule, &view, at_ms)
            })?;
            // Those with `otherwise` are among themselves.
            taken |= !rule.otherwise;
            stopped |= rule.stop;
            Some(*index)
        })
    }

    fn takes(&self, rule: &Rule, view: &View<'_>, at_ms: u64) -> bool {
        let Rule { condition, times, errors, .. } = rule;
        let was_parsed = view.is_parsed();
        let takes = times.contain(at_ms) && condition.holds(view);
        if view.has_failed() {
            errors.inc();
        }
        if view.is_parsed() && !was_parsed {
            self.parsed.inc();
        }
        takes
    }
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

    fn rule(rules: &[settings::Match]) -> Rule {
        Rule { condition: Condition::all_of(rules), ..Rule::default() }
    }

    fn table(routes: &[Vec<settings::Match>]) -> Table {
        Table::new(routes.iter().map(|rules| rule(rules)), Counter::default())
    }

    fn taken(table: &Table, event: &Event) -> Vec<usize> {
        table.matches(event, 0).collect()
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
            let rules = routes.iter().map(|rules| Rule { errors: errors.clone(), ..rule(rules) });
            let taken = taken(&Table::new(rules, parsed.clone()), event);
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
        let taken = |kind: &str| taken(&table, &event(kind));
        assert_eq!(taken("a"), [0, 1, 2]);
        assert_eq!(taken("b"), [1, 2, 4]);
        assert_eq!(taken("c"), [1, 4]);
        assert_eq!(taken("d"), [1]);
    }

    fn routes(yaml: &str) -> Table {
        let routes: Vec<settings::Route> = serde_saphyr::from_str(yaml).unwrap();
        Table::new(routes.iter().map(Rule::from), Counter::default())
    }

    #[test]
    fn nothing_is_offered_to_others_after_a_route_that_stops() {
        let table = routes(
            "
            - {name: all, deliver: []}
            - {name: a, match: [{exact: {type: a}}], stop: true, deliver: []}
            - {name: after, deliver: []}
            - {name: rest, otherwise: true, deliver: []}
            ",
        );
        assert_eq!(taken(&table, &event("a")), [0, 1]);
        assert_eq!(taken(&table, &event("b")), [0, 2]);
    }

    #[test]
    fn otherwise_is_asked_last_wherever_it_stands() {
        let table = routes(
            "
            - {name: rest, otherwise: true, deliver: []}
            - {name: rest-of-b, otherwise: true, match: [{exact: {type: b}}], stop: true, deliver: []}
            - {name: a, match: [{exact: {type: a}}], deliver: []}
            - {name: never, otherwise: true, match: [{exact: {type: b}}], deliver: []}
            ",
        );
        assert_eq!(taken(&table, &event("a")), [2]);
        assert_eq!(taken(&table, &event("b")), [0, 1]);
        assert_eq!(taken(&table, &event("c")), [0]);
    }

    #[test]
    fn a_route_outside_of_its_times_takes_nothing_and_leaves_it_to_otherwise() {
        let table = routes(
            "
            - {name: morning, times: [{to: '12:00'}], stop: true, deliver: []}
            - {name: rest, otherwise: true, deliver: []}
            ",
        );
        let at = |hour: u64| table.matches(&event("a"), hour * 3_600_000).collect::<Vec<_>>();
        assert_eq!((at(11), at(12)), (vec![0], vec![1]));
    }

    fn any_match() -> impl Strategy<Value = settings::Match> {
        let leaf = ("type|subject|source|x", "[ab]{0,3}", 0..9_u8).prop_map(|(name, value, form)| {
            let sql = |text: String| settings::Match::Sql(Written::parse(&text).unwrap());
            let cel = |text: String| settings::Match::Cel(Written::parse(&text).unwrap());
            let map = [(name.clone(), value.clone())].into();
            match form {
                5 => sql(format!("{name} LIKE '{value}%b' OR {name} LIKE 'a_'")),
                6 => cel(format!("{name} == '{value}' || {name}.startsWith('{value}a')")),
                7 => cel(format!("{name}.endsWith('{value}') && {name} in ['a', 'ab', 'bb']")),
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
            routes in proptest::collection::vec(proptest::collection::vec(any_match(), 0..3), 0..12),
            (kind, source, subject) in ("[ab]{1,3}", "[ab]{1,3}", "[ab]{1,3}"),
        ) {
            let event = Event::builder("1", &*source, &*kind).subject(&*subject).build().unwrap();
            let table = table(&routes);
            let slow: Vec<_> = (0..routes.len())
                .filter(|index| Condition::all_of(&routes[*index]).holds(&View::new(&event)))
                .collect();
            prop_assert_eq!(taken(&table, &event), slow);
        }
    }
}
