//! A batch in parts, for receivers that take less at a time than a lane has ready.

use super::{Failure, Item, Outcomes};

/// What is left of a batch.
pub(super) struct Parts<'a> {
    left: &'a [Item],
    size: usize,
    outcomes: Outcomes,
}

impl<'a> Parts<'a> {
    /// Parts of at most `size` events.
    pub(super) fn new(batch: &'a [Item], size: usize) -> Self {
        Self { left: batch, size: size.max(1), outcomes: Outcomes::with_capacity(batch.len()) }
    }

    /// The next part, if there is one.
    pub(super) fn next(&mut self) -> Option<&'a [Item]> {
        let (part, left) = self.left.split_at(self.size.min(self.left.len()));
        self.left = left;
        (!part.is_empty()).then_some(part)
    }

    /// Takes the outcomes of a part. With one that failed it is the last: what is behind it may be of its key.
    pub(super) fn settle(&mut self, outcomes: Outcomes) {
        let failed = outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(Failure::holds_up));
        self.outcomes.extend(outcomes);
        if failed {
            let held = std::mem::take(&mut self.left).iter().map(|_| Err(Failure::Held));
            self.outcomes.extend(held);
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
    use crate::backends::Receipt;
    use crate::backends::testing::items;

    #[test]
    fn nothing_is_sent_behind_a_part_with_a_failure() {
        let batch = items(0..10);
        for (failure, expected) in [(Failure::Reject("never".into()), 4), (Failure::Retry("no".into()), 2)] {
            let (mut parts, mut sent) = (Parts::new(&batch, 3), 0);
            while let Some(part) = parts.next() {
                sent += 1;
                let mut outcomes = vec![Ok(Receipt::default()); part.len()];
                if sent == 2 {
                    outcomes[1] = Err(failure.clone());
                }
                parts.settle(outcomes);
            }
            let outcomes = parts.outcomes();
            assert_eq!((sent, outcomes.len()), (expected, 10));
            assert_eq!(outcomes[4], Err(failure));
            assert_eq!(outcomes[6..].iter().all(|outcome| *outcome == Err(Failure::Held)), expected == 2);
        }
    }
}
