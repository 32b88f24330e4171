//! Trying dead letters again: at the backend, or in the route from the step, where they failed.

use serde::{Deserialize, Serialize};

use super::View;
use crate::delivery::Outgoing;
use crate::journal::{Accepted, DeadLetter, Filter, Place, Scope, key_hash};

/// Letters that one request acts on at most.
const MOST: usize = 1_000;

/// Which letters a request is about: those of higher numbers than `after`, up to `until`, in their order.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Selection {
    /// Go on behind this number.
    pub after: u64,
    /// The last number; letters that come while a command runs are not its business.
    pub until: Option<u64>,
    /// How many at most.
    pub limit: Option<usize>,
    /// Only count.
    pub dry_run: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Done {
    /// Letters that were meant.
    pub matched: usize,
    /// Letters that are on their way, or removed.
    pub done: usize,
    /// Letters that stay where they are, and why.
    pub refused: Vec<Stays>,
    /// Go on behind this number.
    pub last: u64,
    /// The last number that the command is about.
    pub until: u64,
    /// Whether there is nothing more to do.
    pub complete: bool,
}

/// A letter that stays.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Stays {
    /// Its number.
    pub id: u64,
    /// Why.
    pub reason: String,
}

impl View {
    /// Tries letters again. Each stays in the store until its retry is settled. Blocks.
    pub fn retry(&self, filter: &Filter, selection: &Selection) -> Done {
        self.each(filter, selection, |letter| self.retry_one(letter))
    }

    /// Removes letters for good. Blocks.
    pub fn drop_letters(&self, filter: &Filter, selection: &Selection) -> Done {
        self.each(filter, selection, |letter| self.dead_letters.remove(&[letter.id]).map(|_| ()))
    }

    fn each(
        &self,
        filter: &Filter,
        selection: &Selection,
        act: impl Fn(DeadLetter) -> Result<(), String>,
    ) -> Done {
        let most = selection.limit.unwrap_or(MOST).min(MOST);
        let until = selection.until.unwrap_or_else(|| self.dead_letters.last());
        let mut done = Done { until, last: selection.after, ..Done::default() };
        let letters = self.dead_letters.after(selection.after).take_while(|letter| letter.id <= until);
        for letter in letters.filter(|letter| filter.wants(letter)) {
            if done.matched == most && !selection.dry_run {
                return done;
            }
            (done.matched, done.last) = (done.matched + 1, letter.id);
            let id = letter.id;
            match if selection.dry_run { Ok(()) } else { act(letter) } {
                Ok(()) => done.done += 1,
                Err(reason) => done.refused.push(Stays { id, reason }),
            }
        }
        Done { complete: true, ..done }
    }

    fn retry_one(&self, letter: DeadLetter) -> Result<(), String> {
        let Some(owed) = self.dead_letters.retry(letter.id) else {
            return Err("it is being tried again already".into());
        };
        let DeadLetter { event, route, place, first_at_ms: at_ms, .. } = letter;
        match (place, route) {
            (Place::Backend(name), route) => {
                let lanes = self.swapper.lanes();
                let Some(lane) = lanes.iter().find(|lane| *lane.name() == name) else {
                    return Err(format!("backend {name} is not configured any more"));
                };
                let key = key_hash(event.ordering_key());
                let route = route.unwrap_or_else(|| "-".into());
                let full = |_| format!("backend {name} has no room; try again later");
                lane.push(vec![Outgoing { event, key, at_ms, route, identity: owed.identity(), owed }])
                    .map_err(full)
            }
            (Place::Step { index, .. }, Some(route)) => {
                if !self.swapper.status().routes.iter().any(|name| name == route.as_str()) {
                    return Err(format!("route {route} is not in force any more"));
                }
                let key = key_hash(event.ordering_key());
                let accepted = Accepted { event, key, at_ms, owed, scope: Scope::Route(route, index) };
                let busy = |_| "the workers have no room now; try again later".to_owned();
                self.journal.hand_out(accepted).map_err(busy)
            }
            (Place::Step { .. }, None) => Err("the letter names no route".into()),
        }
    }
}
