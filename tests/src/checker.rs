//! Nothing lost, order kept: what was acknowledged is held against what arrived.

use std::collections::{HashMap, HashSet};
use std::fmt;

/// One event of a load: the `seq`-th of its ordering key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Which ordering key.
    pub key: u16,
    /// Its place among the events of that key.
    pub seq: u32,
}

impl Ticket {
    /// The length of every id.
    pub const WIDTH: usize = 14;

    /// Reads an id that [`fmt::Display`] wrote.
    pub fn parse(id: &str) -> Option<Self> {
        let (key, seq) = id.strip_prefix('k')?.split_once('-')?;
        Some(Self { key: key.parse().ok()?, seq: seq.parse().ok()? })
    }
}

impl fmt::Display for Ticket {
    /// Always of the same length, so that a load can patch it in place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{:04}-{:08}", self.key, self.seq)
    }
}

/// What a sender knows of the events it sent: acknowledged, or unsure because the answer never came.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acknowledged: HashSet<Ticket>,
    unsure: HashSet<Ticket>,
}

impl Ledger {
    /// The host answered 202: it owes this event.
    pub fn acknowledge(&mut self, ticket: Ticket) {
        self.acknowledged.insert(ticket);
    }

    /// No answer came: the event may arrive, and need not.
    pub fn doubt(&mut self, ticket: Ticket) {
        self.unsure.insert(ticket);
    }

    /// How many events are owed.
    pub fn owed(&self) -> usize {
        self.acknowledged.len()
    }

    /// Takes over another sender's notes.
    pub fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unsure.extend(other.unsure);
    }

    /// Holds the ids that arrived, in their order, against the notes.
    pub fn check<'a>(&self, arrived: impl IntoIterator<Item = &'a str>) -> Verdict {
        let mut verdict = Verdict { owed: self.owed(), ..Verdict::default() };
        let mut seen = HashSet::new();
        let mut last: HashMap<u16, Ticket> = HashMap::new();
        for id in arrived {
            verdict.arrivals += 1;
            let Some(ticket) = Ticket::parse(id).filter(|ticket| self.sent(*ticket)) else {
                verdict.strangers.push(id.to_owned());
                continue;
            };
            if !seen.insert(ticket) {
                verdict.duplicates += 1;
                continue;
            }
            let before = last.insert(ticket.key, ticket);
            verdict.reordered.extend(before.filter(|before| *before > ticket).map(|before| (before, ticket)));
        }
        verdict.lost = self.acknowledged.difference(&seen).copied().collect();
        verdict.lost.sort_unstable();
        verdict
    }

    fn sent(&self, ticket: Ticket) -> bool {
        self.acknowledged.contains(&ticket) || self.unsure.contains(&ticket)
    }
}

/// What the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Events that were acknowledged.
    pub owed: usize,
    /// Entries that arrived, repetitions included.
    pub arrivals: usize,
    /// Acknowledged and never arrived.
    pub lost: Vec<Ticket>,
    /// Pairs of one key whose first arrivals came the wrong way round.
    pub reordered: Vec<(Ticket, Ticket)>,
    /// Arrivals after the first; allowed, for delivery is at least once.
    pub duplicates: usize,
    /// Ids that nobody sent.
    pub strangers: Vec<String>,
    /// Acknowledged, never arrived, and kept among the dead letters.
    pub dead: usize,
}

impl Verdict {
    /// Nothing lost, nothing out of order, nothing made up.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.reordered.is_empty() && self.strangers.is_empty()
    }

    /// Takes these for accounted for: the host has given them up and kept them. One that arrives all the same may come
    /// behind others of its key.
    pub fn forgive(&mut self, dead: &HashSet<Ticket>) {
        let lost = self.lost.len();
        self.lost.retain(|ticket| !dead.contains(ticket));
        self.dead = lost - self.lost.len();
        self.reordered.retain(|(_, late)| !dead.contains(late));
    }

    /// # Panics
    /// Unless the verdict is clean.
    pub fn must_be_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owed, arrivals, lost, reordered, duplicates, strangers, dead } = self;
        write!(
            f,
            "{owed} acknowledged, {arrivals} arrived, {duplicates} of them again, {} lost",
            lost.len()
        )?;
        write!(f, ", {} out of order, {} unknown", reordered.len(), strangers.len())?;
        if *dead > 0 {
            write!(f, ", {dead} kept as dead letters")?;
        }
        if let Some(ticket) = lost.first() {
            write!(f, "; first lost: {ticket}")?;
        }
        if let Some((before, after)) = reordered.first() {
            write!(f, "; first out of order: {after} came after {before}")?;
        }
        strangers.first().map_or(Ok(()), |id| write!(f, "; first unknown: {id:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(acknowledged: &[(u16, u32)], unsure: &[(u16, u32)]) -> Ledger {
        let ticket = |&(key, seq): &(u16, u32)| Ticket { key, seq };
        Ledger {
            acknowledged: acknowledged.iter().map(ticket).collect(),
            unsure: unsure.iter().map(ticket).collect(),
        }
    }

    fn check(ledger: &Ledger, arrived: &[(u16, u32)]) -> Verdict {
        let ids: Vec<_> = arrived.iter().map(|&(key, seq)| Ticket { key, seq }.to_string()).collect();
        ledger.check(ids.iter().map(String::as_str))
    }

    #[test]
    fn ids_are_read_back_and_all_of_one_length() {
        for ticket in [Ticket { key: 0, seq: 0 }, Ticket { key: 9_999, seq: 99_999_999 }] {
            assert_eq!(Ticket::parse(&ticket.to_string()), Some(ticket));
            assert_eq!(ticket.to_string().len(), Ticket::WIDTH);
        }
        assert_eq!(Ticket::parse("evt_1"), None);
    }

    #[test]
    fn keys_may_overtake_each_other() {
        let verdict = check(&ledger(&[(1, 0), (1, 1), (2, 0)], &[]), &[(2, 0), (1, 0), (1, 1)]);
        verdict.must_be_clean();
        assert_eq!((verdict.owed, verdict.arrivals, verdict.duplicates), (3, 3, 0));
    }

    #[test]
    fn a_lost_event_is_found() {
        let verdict = check(&ledger(&[(1, 0), (1, 1)], &[]), &[(1, 0)]);
        assert_eq!(verdict.lost, [Ticket { key: 1, seq: 1 }]);
        assert!(verdict.to_string().contains("first lost: k0001-00000001"));
    }

    #[test]
    fn an_unsure_event_may_arrive_and_need_not() {
        let ledger = ledger(&[(1, 0), (1, 2)], &[(1, 1)]);
        check(&ledger, &[(1, 0), (1, 2)]).must_be_clean();
        check(&ledger, &[(1, 0), (1, 1), (1, 2)]).must_be_clean();
    }

    #[test]
    fn events_of_a_key_out_of_order_are_found_by_their_first_arrival() {
        let ledger = ledger(&[(1, 0), (1, 1), (1, 2)], &[]);
        let verdict = check(&ledger, &[(1, 0), (1, 2), (1, 1)]);
        assert_eq!(verdict.reordered, [(Ticket { key: 1, seq: 2 }, Ticket { key: 1, seq: 1 })]);
        let again = check(&ledger, &[(1, 0), (1, 1), (1, 0), (1, 1), (1, 2)]);
        again.must_be_clean();
        assert_eq!(again.duplicates, 2);
    }

    #[test]
    fn dead_letters_are_neither_lost_nor_late() {
        let ledger = ledger(&[(1, 0), (1, 1), (1, 2)], &[]);
        let mut verdict = check(&ledger, &[(1, 2), (1, 1)]);
        assert!(!verdict.is_clean());
        verdict.forgive(&HashSet::from([Ticket { key: 1, seq: 0 }, Ticket { key: 1, seq: 1 }]));
        verdict.must_be_clean();
        assert_eq!(verdict.dead, 1);
    }

    #[test]
    fn events_that_nobody_sent_are_found() {
        let verdict = check(&ledger(&[(1, 0)], &[]), &[(1, 0), (7, 7)]);
        assert_eq!(verdict.strangers, ["k0007-00000007"]);
        assert!(!verdict.is_clean());
    }
}
