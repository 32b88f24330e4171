//! How long a backend takes for a batch, and how long events have waited for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The weight of the latest batch in the average.
const LATEST: f64 = 0.2;

/// Measured by the publishing task, once a batch.
#[derive(Debug, Default)]
pub(super) struct Pace {
    average: Option<f64>,
    /// Since when each batch is with the backend, and when its oldest event was accepted, Unix milliseconds.
    under_way: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// A batch goes to the backend.
    pub(super) fn begin(&mut self, oldest_at_ms: u64) {
        self.under_way.push_back((Instant::now(), oldest_at_ms));
    }

    /// The backend has answered for the batch that has been under way for longest.
    pub(super) fn end(&mut self) {
        let Some((began, _)) = self.under_way.pop_front() else { return };
        let took = began.elapsed().as_secs_f64();
        self.average = Some(self.average.map_or(took, |average| average + LATEST * (took - average)));
    }

    /// How long a batch takes: the average, or the one that is under way where that is longer already.
    pub(super) fn publish(&self) -> Option<Duration> {
        let average = self.average.map(Duration::from_secs_f64);
        let now = self.under_way.front().map(|(began, _)| began.elapsed());
        match average {
            Some(average) => Some(now.map_or(average, |now| now.max(average))),
            None => now,
        }
    }

    /// When the oldest event that is under way was accepted.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.under_way.front().map(|(_, oldest)| *oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_does_not_end_shows_before_it_ends() {
        let mut pace = Pace::default();
        assert_eq!(pace.publish(), None);
        pace.begin(7);
        pace.end();
        let quick = pace.publish().unwrap();
        assert!(quick < Duration::from_secs(1), "{quick:?}");
        pace.under_way =
            Instant::now().checked_sub(Duration::from_secs(5)).map(|began| (began, 9)).into_iter().collect();
        assert!(pace.publish().unwrap() >= Duration::from_secs(5));
        assert_eq!(pace.oldest(), Some(9));
        pace.end();
        let average = pace.publish().unwrap();
        assert!(average > quick && average < Duration::from_secs(5), "{average:?}");
    }
}
