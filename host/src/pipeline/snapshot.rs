//! The rules and loaded plugins that are in force together.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Event;
use crate::delivery::Lane;
use crate::journal::{Scope, key_hash};
use crate::names::RouteName;
use crate::plugins::Step;
use crate::router::{Attribute, Table};
use crate::telemetry::metrics::LeftOutMetrics;

use super::thinning::Thinning;

/// One immutable set of routes. Swapped as a whole.
pub struct Snapshot {
    /// Counts the swaps of this run, from 1.
    pub generation: u64,
    /// Which routes an event takes.
    pub table: Table,
    /// The routes, in the table's order.
    pub routes: Vec<Route>,
    /// Every lane that a route delivers to.
    pub lanes: Vec<Lane>,
    /// Tries after the first, of steps with `on_error: retry`.
    pub max_retries: u32,
    /// Whether failed events are kept.
    pub dead_letters: bool,
    /// Tells when the last event of this snapshot is through.
    pub retirement: Retirement,
}

/// A snapshot as the events of one batch hold it: with a count of references of its own. One count for all would be changed
/// by every worker for every event.
pub(super) type Shared = Arc<Arc<Snapshot>>;

/// Ends with the last holder of a snapshot.
pub struct Retirement {
    token: CancellationToken,
    _guard: DropGuard,
}

impl Default for Retirement {
    fn default() -> Self {
        let token = CancellationToken::new();
        Self { _guard: token.clone().drop_guard(), token }
    }
}

impl Retirement {
    /// Cancelled when no event of the snapshot is under way any more.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

impl Snapshot {
    /// The routes that an event takes, each with the step that it begins at.
    pub(super) fn ways<'a>(
        &'a self,
        event: &'a Event,
        at_ms: u64,
        scope: &'a Scope,
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        let (matching, named) = match scope {
            Scope::All | Scope::Lane(_) | Scope::Taker(_) => (Some(self.table.matches(event, at_ms)), None),
            Scope::Route(name, step) => {
                (None, self.routes.iter().position(|route| route.name == *name).map(|route| (route, *step)))
            }
        };
        let meant = move |route: &usize| match scope {
            Scope::Lane(lane) => {
                self.routes[*route].lanes.iter().any(|index| self.lanes[*index].name() == lane)
            }
            Scope::Taker(name) => self.routes[*route].name == *name,
            Scope::All | Scope::Route(..) => {
                self.routes[*route].matched.inc();
                true
            }
        };
        matching.into_iter().flatten().filter(meant).map(|route| (route, 0)).chain(named)
    }

    /// The snapshot before the first and after the last: no route, no lane.
    pub fn empty() -> Self {
        Self {
            generation: 0,
            table: Table::default(),
            routes: Vec::new(),
            lanes: Vec::new(),
            max_retries: 0,
            dead_letters: true,
            retirement: Retirement::default(),
        }
    }
}

/// One route, ready to run.
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// Its plugins, in order.
    pub steps: Vec<Arc<Step>>,
    /// Where it delivers: indices into [`Snapshot::lanes`].
    pub lanes: Vec<usize>,
    /// The attribute that orders its events, where it is not the ordering key.
    pub order_by: Option<Attribute>,
    /// What it leaves out of what it takes.
    pub thinning: Thinning,
    /// Events that took it.
    pub matched: Counter,
    /// Events that it left out.
    pub left_out: LeftOutMetrics,
}

impl Route {
    /// The hash by which the event keeps its order on this route; `key` is that of its ordering key.
    pub(super) fn key(&self, event: &Event, key: u64) -> u64 {
        key_by(self.order_by.as_ref(), event, key)
    }
}

/// The hash of the attribute's value; `key` where there is no attribute, or the event has it not.
pub(super) fn key_by(order: Option<&Attribute>, event: &Event, key: u64) -> u64 {
    order.and_then(|attribute| attribute.text(event)).map_or(key, |text| key_hash(&text))
}
