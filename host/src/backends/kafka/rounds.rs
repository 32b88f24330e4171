//! A batch in rounds, for brokers that do not keep the sequence themselves: a round holds one event of each key, and the
//! next event of a key waits for the outcome of the one before.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::backends::{Failure, Item, Outcomes, Receipt};

/// What is left of a batch.
pub(super) struct Rounds {
    /// The indices of each key's events that are still to go.
    waiting: Vec<VecDeque<usize>>,
    outcomes: Outcomes,
}

/// Events that may be under way together, and what is behind each of them.
pub(super) struct Round(Vec<VecDeque<usize>>);

impl Round {
    /// Their indices in the batch.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|key| key.front().copied())
    }
}

impl Rounds {
    /// The rounds of a batch.
    pub(super) fn new(batch: &[Item]) -> Self {
        let mut places: HashMap<u64, usize, FixedState> = HashMap::default();
        let mut waiting: Vec<VecDeque<usize>> = Vec::new();
        for (index, item) in batch.iter().enumerate() {
            let place = *places.entry(item.key).or_insert(waiting.len());
            if place == waiting.len() {
                waiting.push(VecDeque::new());
            }
            waiting[place].push_back(index);
        }
        Self { waiting, outcomes: vec![Err(Failure::Held); batch.len()] }
    }

    /// The next round, if there is one.
    pub(super) fn next(&mut self) -> Option<Round> {
        (!self.waiting.is_empty()).then(|| Round(std::mem::take(&mut self.waiting)))
    }

    /// Takes the outcomes of a round, in its order. A key that failed is left alone from here on, and once the
    /// connection is gone or the broker wants a pause nothing more is sent.
    pub(super) fn settle(
        &mut self,
        round: Round,
        outcomes: impl IntoIterator<Item = Result<Receipt, Failure>>,
    ) {
        let mut halt = None;
        for (mut key, outcome) in round.0.into_iter().zip(outcomes) {
            let Some(index) = key.pop_front() else { continue };
            match &outcome {
                Err(failure @ (Failure::Reconnect(_) | Failure::BackOff(..))) => {
                    halt.get_or_insert_with(|| failure.clone());
                    // What is behind it shares its fate, in its order.
                    self.waiting.push(key);
                }
                Err(Failure::Retry(_) | Failure::Unroutable(_) | Failure::Held) => {}
                // What is rejected is out of the way of the next.
                Ok(_) | Err(Failure::Reject(_)) if key.is_empty() => {}
                Ok(_) | Err(Failure::Reject(_)) => self.waiting.push(key),
            }
            self.outcomes[index] = outcome;
        }
        if let Some(failure) = halt {
            for index in self.waiting.drain(..).flatten() {
                self.outcomes[index] = Err(failure.clone());
            }
        }
    }

    /// One outcome for each event of the batch.
    pub(super) fn outcomes(self) -> Outcomes {
        self.outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::testing::items;

    /// Runs a batch whose events answer so; what was sent, round by round, and the outcomes.
    fn run(count: u64, answer: impl Fn(usize) -> Result<Receipt, Failure>) -> (Vec<Vec<usize>>, Outcomes) {
        let mut rounds = Rounds::new(&items(0..count));
        let mut sent = Vec::new();
        while let Some(round) = rounds.next() {
            let indices: Vec<usize> = round.indices().collect();
            rounds.settle(round, indices.iter().map(|index| answer(*index)));
            sent.push(indices);
        }
        (sent, rounds.outcomes())
    }

    #[test]
    fn a_round_has_one_event_of_each_key() {
        let (sent, outcomes) = run(16, |_| Ok(Receipt::default()));
        assert_eq!(sent, [vec![0, 1, 2, 3, 4, 5, 6], vec![7, 8, 9, 10, 11, 12, 13], vec![14, 15]]);
        assert!(outcomes.iter().all(Result::is_ok));
    }

    #[test]
    fn a_key_stops_at_its_first_failure_and_others_go_on() {
        let (sent, outcomes) = run(21, |index| match index {
            7 => Err(Failure::Retry("no".into())),
            8 => Err(Failure::Reject("never".into())),
            _ => Ok(Receipt::default()),
        });
        assert_eq!(sent[2], [15, 16, 17, 18, 19, 20]);
        assert!(matches!(outcomes[7], Err(Failure::Retry(_))) && outcomes[14] == Err(Failure::Held));
        assert!(matches!(outcomes[8], Err(Failure::Reject(_))) && outcomes[15].is_ok());
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 18);
    }

    #[test]
    fn nothing_is_sent_over_a_lost_connection_or_into_a_pause() {
        for failure in
            [Failure::Reconnect("gone".into()), Failure::BackOff(std::time::Duration::ZERO, "slowly".into())]
        {
            let (sent, outcomes) = run(21, |index| match index {
                9 => Err(failure.clone()),
                _ => Ok(Receipt::default()),
            });
            assert_eq!(sent.len(), 2);
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 13);
            assert!(outcomes[14..].iter().all(|outcome| *outcome == Err(failure.clone())));
        }
    }
}
