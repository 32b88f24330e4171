//! Journeys whose step runs apart: they wait here until it answers, and events of their keys wait behind them among the
//! held ones. The worker goes on with everything else.

use std::collections::HashMap;
use std::time::Duration;

use flume::{Receiver, Sender};

use super::Journey;
use crate::journal::Journal;
use crate::plugins::{Errand, Failed, Outcome, Passage, Returned, Underway};

/// What is under way for one worker. Given up with the worker: what has not come back then stays in the journal.
pub(super) struct Parked {
    worker: usize,
    journal: Journal,
    journeys: HashMap<u64, Waiting>,
    next: u64,
    /// Holds no more than what is parked.
    answers: Receiver<(u64, Returned)>,
    outlet: Sender<(u64, Returned)>,
}

struct Waiting {
    journey: Journey,
    /// When the step began, where the journey is traced.
    begun: Option<u64>,
    _call: Underway,
}

/// What came back.
pub(super) struct Answered {
    pub(super) journey: Journey,
    pub(super) begun: Option<u64>,
    pub(super) returned: Returned,
}

impl Parked {
    pub(super) fn new(worker: usize, journal: Journal) -> Self {
        let (outlet, answers) = flume::unbounded();
        Self { worker, journal, journeys: HashMap::new(), next: 0, answers, outlet }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.journeys.is_empty()
    }

    /// Sends a journey's event to its step.
    pub(super) fn park(&mut self, journey: Journey, begun: Option<u64>, errand: Errand<'_>) {
        let ticket = self.next;
        self.next += 1;
        let passage = Passage { identity: journey.owed.identity(), key: journey.key };
        let report = Report {
            ticket,
            returned: None,
            outlet: self.outlet.clone(),
            worker: self.worker,
            journal: self.journal.clone(),
        };
        let call = errand.begin(&journey.event, passage, move |returned| report.tell(returned));
        self.journeys.insert(ticket, Waiting { journey, begun, _call: call });
    }

    /// The next that has come back.
    pub(super) fn answered(&mut self) -> Option<Answered> {
        if self.journeys.is_empty() {
            return None;
        }
        self.answers.try_recv().ok().and_then(|answer| self.take(answer))
    }

    /// Waits until one has come back, so long at most.
    pub(super) fn wait(&mut self, most: Duration) -> Option<Answered> {
        self.answers.recv_timeout(most).ok().and_then(|answer| self.take(answer))
    }

    fn take(&mut self, (ticket, returned): (u64, Returned)) -> Option<Answered> {
        let Waiting { journey, begun, .. } = self.journeys.remove(&ticket)?;
        Some(Answered { journey, begun, returned })
    }
}

/// Brings an answer to its worker, and wakes it up. Where the call ended by a panic, that is the answer.
struct Report {
    ticket: u64,
    returned: Option<Returned>,
    outlet: Sender<(u64, Returned)>,
    worker: usize,
    journal: Journal,
}

impl Report {
    fn tell(mut self, returned: Returned) {
        self.returned = Some(returned);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let broke = || Outcome::Failed(Failed::by_host()).into();
        let returned = self.returned.take().unwrap_or_else(broke);
        // Nobody listens where the worker has ended.
        if self.outlet.send((self.ticket, returned)).is_ok() {
            self.journal.nudge(self.worker);
        }
    }
}
