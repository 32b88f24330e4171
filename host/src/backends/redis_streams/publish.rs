//! One batch to one server, and what its answers mean.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use redis::{RedisError, RedisResult};

use super::super::{Failure, Item, Outcomes, Receipt};
use super::entries::Sent;
use super::find::read;
use super::place::{self, Place, Way};
use super::wire::{Answer, EntryId};
use super::{Redis, Server, words};

/// How soon replicas that were late are asked for again.
const LATE: Duration = Duration::from_secs(1);
/// Events in a part: for as long the server does nothing else where that is a transaction.
const PART: usize = 256;

/// The share of a batch that is sent part by part, each after the answer to the one before.
struct Side {
    left: VecDeque<usize>,
    /// An event failed: nothing more is sent.
    ended: bool,
}

impl Side {
    /// One side, or where that is allowed two of a larger batch, by key.
    fn of(batch: &[Item], several: bool) -> Vec<Self> {
        let count = if several && batch.len() > PART { 2 } else { 1 };
        let mut sides: Vec<Self> = (0..count).map(|_| Self { left: VecDeque::new(), ended: false }).collect();
        for (index, item) in batch.iter().enumerate() {
            // Workers share keys by their lowest bits.
            let side = usize::from(item.key >> 63 == 1) % count;
            sides[side].left.push_back(index);
        }
        sides
    }

    fn next(&mut self) -> Option<Vec<usize>> {
        let count = if self.ended { 0 } else { PART.min(self.left.len()) };
        (count > 0).then(|| self.left.drain(..count).collect())
    }
}

/// A part that was sent, or is about to be.
struct UnderWay {
    side: usize,
    part: Vec<usize>,
    streams: Vec<Result<Arc<str>, Failure>>,
    sent: Sent,
}

/// Whether any two of them have one key: then none may be written behind one that is refused.
fn share_a_key(items: &[&Item]) -> bool {
    let mut keys: HashSet<u64, FixedState> =
        HashSet::with_capacity_and_hasher(items.len(), FixedState::default());
    !items.iter().all(|item| keys.insert(item.key))
}

impl Redis {
    /// What it means that a batch, or the event for that stream, was refused.
    fn refused(&mut self, place: &Place, stream: &str, error: &RedisError) -> Failure {
        if matches!(self.way, Way::Cluster { .. }) && words::code(error) == "ASK" {
            self.asked = other_node(&words::said(error), place);
        }
        words::refused(place, &self.way, stream, error)
    }

    /// One outcome for each event of a part. Where one was refused, those of its key behind it come again with it.
    fn outcomes(
        &mut self,
        items: &[&Item],
        streams: Vec<Result<Arc<str>, Failure>>,
        answers: Vec<Answer>,
        place: &Place,
    ) -> Outcomes {
        let mut answers = answers.into_iter();
        let mut failed: HashSet<u64, FixedState> = HashSet::default();
        let mut outcome = |(item, stream): (&&Item, Result<Arc<str>, Failure>)| {
            let stream = stream?;
            let answer = answers.next();
            if failed.contains(&item.key) {
                return Err(Failure::Held);
            }
            match answer {
                Some(Answer::Added(EntryId { millis, number })) => Ok(Receipt::Entry { millis, number }),
                Some(Answer::Refused(error)) => {
                    failed.insert(item.key);
                    Err(self.one_refused(place, &stream, &error))
                }
                Some(Answer::Other) | None => {
                    Err(Failure::Reconnect(format!("redis at {} left out an answer", place.shown)))
                }
            }
        };
        items.iter().zip(streams).map(&mut outcome).collect()
    }

    fn one_refused(&mut self, place: &Place, stream: &str, error: &RedisError) -> Failure {
        match self.refused(place, stream, error) {
            Failure::BackOff(pause, text) if words::code(error) == "WRONGTYPE" => {
                self.entries.nowhere(pause, text)
            }
            failure => failure,
        }
    }

    /// Publishes a batch to that server: one part, or of a larger batch two at a time, which have no key in common.
    pub(super) async fn publish_to(&mut self, server: &mut Server, batch: &[Item]) -> Outcomes {
        // A batch that would only be sent again is not sent as long as the replicas stay away.
        if self.late
            && let Err(failure) = self.replicated(server).await
        {
            return vec![Err(failure); batch.len()];
        }
        let mut outcomes: Outcomes = vec![Err(Failure::Held); batch.len()];
        let mut sides = Side::of(batch, !server.asking);
        let mut under_way: VecDeque<UnderWay> = (0..sides.len())
            .filter_map(|number| self.begin(server, batch, number, &mut sides[number]))
            .collect();
        while let Some(UnderWay { side: number, part, streams, sent }) = under_way.pop_front() {
            let failure = match self.answers(server, sent).await {
                Ok(answers) => {
                    let items: Vec<&Item> = part.iter().map(|index| &batch[*index]).collect();
                    let answered = self.outcomes(&items, streams, answers, &server.place);
                    for (index, outcome) in part.into_iter().zip(answered) {
                        // What is behind it may be of its key.
                        sides[number].ended |= outcome.as_ref().is_err_and(Failure::holds_up);
                        outcomes[index] = outcome;
                    }
                    under_way.extend(self.begin(server, batch, number, &mut sides[number]));
                    continue;
                }
                Err(error) => self.all_refused(server, &streams, error.as_ref()),
            };
            let mut refused = vec![(number, part)];
            if !server.answers {
                // Nor will there be an answer to what was sent behind it.
                refused.extend(under_way.drain(..).map(|UnderWay { side, part, .. }| (side, part)));
            }
            for (number, part) in refused {
                let rest = part.into_iter().chain(sides[number].left.drain(..));
                rest.for_each(|index| outcomes[index] = Err(failure.clone()));
            }
        }
        if self.settings.replicas > 0
            && outcomes.iter().any(Result::is_ok)
            && let Err(failure) = self.replicated(server).await
        {
            outcomes.fill(Err(failure));
        }
        outcomes
    }

    /// Writes the next part of a side, if there is one. It is sent when an answer is waited for.
    fn begin(
        &mut self,
        server: &mut Server,
        batch: &[Item],
        number: usize,
        side: &mut Side,
    ) -> Option<UnderWay> {
        let part = side.next()?;
        let items: Vec<&Item> = part.iter().map(|index| &batch[*index]).collect();
        let streams = self.entries.streams(&items);
        let out = server.wire.out();
        // A transaction costs the server half as much again.
        let sent = if server.asking || share_a_key(&items) {
            self.entries.transaction(&items, &streams, server.asking, out)
        } else {
            Sent { commands: self.entries.commands(&items, &streams, out), transaction: None }
        };
        Some(UnderWay { side: number, part, streams, sent })
    }

    /// Sends what was written, and waits for the answers to the first part under way; `None` is silence.
    async fn answers(&self, server: &mut Server, sent: Sent) -> Result<Vec<Answer>, Option<RedisError>> {
        if sent.commands == 0 {
            return Ok(Vec::new());
        }
        let wire = &mut server.wire;
        let asking = async {
            wire.send().await?;
            match sent.transaction {
                Some(before) => wire.transaction(before, sent.commands).await,
                None => wire.answers(sent.commands).await,
            }
        };
        let answered = tokio::time::timeout(self.limit(), asking).await;
        let answers: Result<RedisResult<_>, Option<RedisError>> = answered.map_err(|_| None);
        let answers = answers.and_then(|answers| answers.map_err(Some));
        // A refusal is an answer, too.
        let refused = |error: &Option<RedisError>| {
            error.as_ref().is_some_and(|error| error.clone().into_server_errors().is_some())
        };
        server.answers = answers.as_ref().err().is_none_or(refused);
        answers
    }

    /// How long the server may be silent.
    fn limit(&self) -> Duration {
        self.settings.timeout()
    }

    /// What stands for all of a part: it was refused as a whole, or not answered in time.
    fn all_refused(
        &mut self,
        server: &Server,
        streams: &[Result<Arc<str>, Failure>],
        error: Option<&RedisError>,
    ) -> Failure {
        let Some(error) = error else { return silent(&server.place, self.limit()) };
        let stream = streams.iter().flatten().next().map_or("", |stream| stream);
        self.refused(&server.place, stream, error)
    }

    /// Waits until as many replicas as are set have what was written on this connection.
    async fn replicated(&mut self, Server { wire, place, .. }: &mut Server) -> Result<(), Failure> {
        let (wanted, limit) = (self.settings.replicas, self.settings.timeout());
        // It shall answer before the connection's own limit does.
        let patience = u64::try_from(limit.as_millis() / 2).unwrap_or(u64::MAX);
        let command = redis::cmd("WAIT").arg(wanted).arg(patience).to_owned();
        let waiting = wire.ask(std::slice::from_ref(&command));
        let have: u32 = match tokio::time::timeout(limit * 2, waiting).await {
            Ok(Ok(mut answers)) => match read(answers.pop()) {
                Ok(have) => have,
                Err(error) => return Err(self.refused(place, "", &error)),
            },
            Ok(Err(error)) => return Err(self.refused(place, "", &error)),
            Err(_) => return Err(silent(place, limit * 2)),
        };
        self.late = have < wanted;
        if self.late {
            return Err(Failure::BackOff(
                LATE,
                format!(
                    "{have} of {wanted} replicas of redis at {} confirmed the events; start the others, or lower replicas",
                    place.shown
                ),
            ));
        }
        Ok(())
    }
}

fn silent(place: &Place, limit: Duration) -> Failure {
    Failure::Reconnect(format!("redis at {} did not answer within {} s", place.shown, limit.as_secs()))
}

/// The node that `ASK 3999 127.0.0.1:6381` names.
fn other_node(answer: &str, place: &Place) -> Option<Place> {
    place::parse(answer.rsplit(' ').next()?, &place.address, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_of_an_ask_is_understood() {
        let place =
            place::parse("redis-1:6379", &redis::ConnectionAddr::Tcp(String::new(), 0), true).unwrap();
        assert_eq!(other_node("ASK 3999 127.0.0.1:6381", &place).unwrap().shown, "redis://127.0.0.1:6381");
    }
}
