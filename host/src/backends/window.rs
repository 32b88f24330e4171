//! A batch through a window, for brokers that confirm each message on its own: up to so many are under way, and what was
//! sent first is waited for first.
//!
//! Two events of one key never are under way together: the broker might refuse the first and keep the second, and nobody
//! could put them into order again.

use std::collections::{HashSet, VecDeque};

use foldhash::fast::FixedState;

use super::{Failure, Item, Outcomes, Receipt};

type Keys = HashSet<u64, FixedState>;

/// What is left of a batch. `S` is what a message that was sent is waited for by.
pub(super) struct Window<'a, S> {
    batch: &'a [Item],
    size: usize,
    next: usize,
    under_way: VecDeque<(usize, S)>,
    busy: Keys,
    failed: Keys,
    halt: Option<Failure>,
    outcomes: Outcomes,
}

/// What is to be done next, with the event's place in the batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<S> {
    /// Send it, and tell by [`Window::sent`].
    Send(usize),
    /// Wait for it, and tell by [`Window::settle`].
    Wait(usize, S),
}

impl<'a, S> Window<'a, S> {
    /// At most `size` messages are under way at once.
    pub(super) fn new(batch: &'a [Item], size: usize) -> Self {
        Self {
            batch,
            size: size.max(1),
            next: 0,
            under_way: VecDeque::new(),
            busy: Keys::default(),
            failed: Keys::default(),
            halt: None,
            outcomes: vec![Err(Failure::Held); batch.len()],
        }
    }

    /// What to do next; `None` once each event has its outcome.
    pub(super) fn next(&mut self) -> Option<Turn<S>> {
        while self.halt.is_none() && self.next < self.batch.len() {
            let (index, key) = (self.next, self.batch[self.next].key);
            if self.failed.contains(&key) {
                // It stays held.
                self.next += 1;
            } else if self.under_way.len() >= self.size || self.busy.contains(&key) {
                break;
            } else {
                self.next += 1;
                return Some(Turn::Send(index));
            }
        }
        self.under_way.pop_front().map(|(index, sent)| Turn::Wait(index, sent))
    }

    /// The event was sent, or could not be.
    pub(super) fn sent(&mut self, index: usize, sent: Result<S, Failure>) {
        match sent {
            Ok(sent) => {
                self.busy.insert(self.batch[index].key);
                self.under_way.push_back((index, sent));
            }
            Err(failure) => self.settle(index, Err(failure)),
        }
    }

    /// What became of an event. A key that failed is left alone from here on, and once the connection is gone or the broker
    /// wants a pause nothing more is sent.
    pub(super) fn settle(&mut self, index: usize, outcome: Result<Receipt, Failure>) {
        let key = self.batch[index].key;
        self.busy.remove(&key);
        match &outcome {
            Err(failure @ (Failure::Reconnect(_) | Failure::BackOff(..))) => {
                self.halt.get_or_insert_with(|| failure.clone());
            }
            Err(Failure::Retry(_) | Failure::Unroutable(_) | Failure::Held) => _ = self.failed.insert(key),
            // What is rejected is out of the way of the next.
            Ok(_) | Err(Failure::Reject(_)) => {}
        }
        self.outcomes[index] = outcome;
    }

    /// One outcome for each event of the batch. What was not sent any more shares the fate of what stopped it.
    pub(super) fn outcomes(mut self) -> Outcomes {
        if let Some(failure) = self.halt {
            self.outcomes[self.next..].fill(Err(failure));
        }
        self.outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::testing::items;

    /// Runs a batch whose events answer so; what was sent and waited for, in order, and the outcomes.
    fn run(
        count: u64,
        size: usize,
        answer: impl Fn(usize) -> Result<Receipt, Failure>,
    ) -> (Vec<Turn<()>>, Outcomes) {
        let batch = items(0..count);
        let (mut window, mut turns) = (Window::new(&batch, size), Vec::new());
        while let Some(turn) = window.next() {
            match turn {
                Turn::Send(index) => window.sent(index, Ok(())),
                Turn::Wait(index, ()) => window.settle(index, answer(index)),
            }
            turns.push(turn);
        }
        (turns, window.outcomes())
    }

    fn sent(turns: &[Turn<()>]) -> Vec<usize> {
        let send = |turn: &Turn<()>| match turn {
            Turn::Send(index) => Some(*index),
            Turn::Wait(..) => None,
        };
        turns.iter().filter_map(send).collect()
    }

    #[test]
    fn an_event_waits_for_the_one_before_it_of_its_key() {
        // Seven keys: the eighth event has the first one's.
        let (turns, outcomes) = run(9, 100, |_| Ok(Receipt::default()));
        let expected = [Turn::Send(6), Turn::Wait(0, ()), Turn::Send(7), Turn::Wait(1, ()), Turn::Send(8)];
        assert_eq!(turns[6..11], expected);
        assert_eq!(turns.len(), 18);
        assert!(outcomes.iter().all(Result::is_ok));
    }

    #[test]
    fn no_more_are_under_way_than_the_window_is_wide() {
        let (turns, outcomes) = run(6, 2, |_| Ok(Receipt::default()));
        let expected = [Turn::Send(0), Turn::Send(1), Turn::Wait(0, ()), Turn::Send(2), Turn::Wait(1, ())];
        assert_eq!(turns[..5], expected);
        assert!(outcomes.iter().all(Result::is_ok));
    }

    #[test]
    fn a_key_stops_at_its_first_failure_and_others_go_on() {
        let (turns, outcomes) = run(21, 100, |index| match index {
            7 => Err(Failure::Retry("no".into())),
            8 => Err(Failure::Reject("never".into())),
            _ => Ok(Receipt::default()),
        });
        assert!(!sent(&turns).contains(&14) && sent(&turns).contains(&15));
        assert!(matches!(outcomes[7], Err(Failure::Retry(_))) && outcomes[14] == Err(Failure::Held));
        assert!(matches!(outcomes[8], Err(Failure::Reject(_))) && outcomes[15].is_ok());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 18);
    }

    #[test]
    fn nothing_is_sent_over_a_lost_connection_or_into_a_pause() {
        for failure in
            [Failure::Reconnect("gone".into()), Failure::BackOff(std::time::Duration::ZERO, "slowly".into())]
        {
            let (turns, outcomes) = run(21, 100, |index| match index {
                2 => Err(failure.clone()),
                _ => Ok(Receipt::default()),
            });
            // The third answer comes after nine were sent; the others under way are waited for.
            assert_eq!(sent(&turns).len(), 9);
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 8);
            assert!(outcomes[9..].iter().all(|outcome| *outcome == Err(failure.clone())));
        }
    }
}
