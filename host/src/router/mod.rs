//! Which routes an event takes: an immutable [`Table`], indexed by event type.
//!
//! A table is built once per snapshot and never changed. A route that names its types (`exact: {type: …}`) costs
//! nothing for events of other types, so a thousand routes of different types cost what one does.

mod condition;

use std::collections::HashMap;

use foldhash::fast::FixedState;

pub use condition::Condition;

use crate::Event;
use crate::config::settings;

/// The conditions of all routes, in the order of the settings.
#[derive(Debug, Default)]
pub struct Table {
    conditions: Vec<Condition>,
    by_type: HashMap<Box<str>, Box<[usize]>, FixedState>,
    any_type: Box<[usize]>,
}

impl Table {
    /// Compiles the `match` lists of the routes.
    pub fn new<'a>(routes: impl IntoIterator<Item = &'a [settings::Match]>) -> Self {
        let conditions: Vec<_> = routes.into_iter().map(Condition::all_of).collect();
        let types: Vec<_> = conditions.iter().map(Condition::types).collect();
        let mut by_type = HashMap::with_hasher(FixedState::default());
        for kind in types.iter().flatten().flatten() {
            by_type.entry(Box::from(*kind)).or_insert_with(|| candidates(&types, Some(kind)));
        }
        let any_type = candidates(&types, None);
        Self { by_type, any_type, conditions }
    }

    /// The indices of the routes that the event takes, in the order of the settings.
    pub fn matches<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = usize> + 'a {
        let candidates = self.by_type.get(event.kind()).unwrap_or(&self.any_type);
        candidates.iter().copied().filter(move |index| self.conditions[*index].holds(event))
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

    #[test]
    fn routes_match_in_the_order_of_the_settings() {
        let routes = [
            conditions("[{exact: {type: a}}]"),
            conditions("[]"),
            conditions("[{any: [{exact: {type: b}}, {exact: {type: a}}]}]"),
            conditions("[{prefix: {subject: batch/}}]"),
        ];
        let table = Table::new(routes.iter().map(Vec::as_slice));
        let taken = |kind: &str| table.matches(&event(kind)).collect::<Vec<_>>();
        assert_eq!(taken("a"), [0, 1, 2]);
        assert_eq!(taken("b"), [1, 2]);
        assert_eq!(taken("c"), [1]);
    }

    fn any_match() -> impl Strategy<Value = settings::Match> {
        let leaf = ("type|subject|source", "[abs]{0,2}", 0..3_u8).prop_map(|(name, value, form)| {
            let map = [(name, value)].into();
            match form {
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
            let table = Table::new(routes.iter().map(Vec::as_slice));
            let slow: Vec<_> = (0..routes.len())
                .filter(|index| Condition::all_of(&routes[*index]).holds(&event))
                .collect();
            prop_assert_eq!(table.matches(&event).collect::<Vec<_>>(), slow);
        }
    }
}
