//! How old the oldest unsettled event is, known without reading the journal: where its end was, a look every second.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

/// How often the journal's end is looked at, and so how exact ages are.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Looks that are kept; of more, every other one goes, and ages are half as exact.
const MOST: usize = 4_096;

/// The journal's end at some times.
#[derive(Debug, Default)]
pub(super) struct Ages(Mutex<VecDeque<Look>>);

#[derive(Clone, Copy, Debug)]
struct Look {
    at_ms: u64,
    /// The offset of the next event.
    next: u64,
}

impl Ages {
    /// Notes the journal's end and lets go of what is settled.
    pub(super) fn look(&self, at_ms: u64, next: u64, cursor: u64) {
        let mut looks = self.0.lock();
        // Of those that are settled the last stays: the event after it is younger.
        while looks.get(1).is_some_and(|look| look.next <= cursor) {
            looks.pop_front();
        }
        // While nothing comes in, the last look moves on.
        if looks.len() > 1 && looks.iter().rev().take(2).all(|look| look.next == next) {
            looks.pop_back();
        }
        looks.push_back(Look { at_ms, next });
        if looks.len() > MOST {
            let mut odd = false;
            looks.retain(|_| {
                odd = !odd;
                odd
            });
        }
    }

    /// When the event at that offset came in, or not long after; none where it was there before the first look.
    pub(super) fn came(&self, offset: u64) -> Option<u64> {
        let looks = self.0.lock();
        if looks.front().is_none_or(|first| offset < first.next) {
            return None;
        }
        // Later than the last look before it.
        let before = looks.partition_point(|look| look.next <= offset);
        looks.get(before - 1).map(|look| look.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_as_old_as_the_last_look_before_it() {
        let ages = Ages::default();
        assert_eq!(ages.came(0), None);
        ages.look(1_000, 10, 0);
        ages.look(2_000, 30, 0);
        ages.look(3_000, 30, 0);
        ages.look(4_000, 30, 0);
        ages.look(5_000, 31, 0);
        assert_eq!(ages.came(9), None, "there before the first look");
        assert_eq!((ages.came(10), ages.came(29)), (Some(1_000), Some(1_000)));
        assert_eq!(ages.came(30), Some(4_000));
        assert_eq!(ages.came(31), Some(5_000));
    }

    #[test]
    fn what_is_settled_is_let_go_of_and_a_backlog_is_bounded() {
        let ages = Ages::default();
        (0..1_000).for_each(|n| ages.look(n, n, n));
        assert!(ages.0.lock().len() <= 3);
        (1_000..20_000).for_each(|n| ages.look(n, n, 1_000));
        assert!(ages.0.lock().len() <= MOST);
        let came = ages.came(10_000).unwrap();
        assert!((9_000..=10_000).contains(&came), "{came}");
    }
}
