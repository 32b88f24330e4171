//! One batch to one server, and what its answers mean.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{RedisError, RedisResult};

use super::super::{Failure, Item, Outcomes, Receipt};
use super::place::{self, Place, Way};
use super::{Redis, Server, words};

/// How soon replicas that were late are asked for again.
const LATE: Duration = Duration::from_secs(1);
/// Events in a transaction: for as long the server does nothing else.
const TRANSACTION: usize = 256;

/// The share of a batch that is sent transaction by transaction, each after the answer to the one before.
struct Side {
    left: VecDeque<usize>,
    /// An event failed: nothing more is sent.
    ended: bool,
}

impl Side {
    /// One side, or where that is allowed two of a larger batch, by key.
    fn of(batch: &[Item], several: bool) -> Vec<Self> {
        let count = if several && batch.len() > TRANSACTION { 2 } else { 1 };
        let mut sides: Vec<Self> = (0..count).map(|_| Self { left: VecDeque::new(), ended: false }).collect();
        for (index, item) in batch.iter().enumerate() {
            // Workers share keys by their lowest bits.
            let side = usize::from(item.key >> 63 == 1) % count;
            sides[side].left.push_back(index);
        }
        sides
    }

    fn next(&mut self) -> Option<Vec<usize>> {
        let count = if self.ended { 0 } else { TRANSACTION.min(self.left.len()) };
        (count > 0).then(|| self.left.drain(..count).collect())
    }
}

/// What came back for a transaction: an answer for each command, or why there is none; `None` is silence.
struct Answered {
    side: usize,
    part: Vec<usize>,
    streams: Vec<Result<Arc<str>, Failure>>,
    answers: Result<Vec<RedisResult<String>>, Option<RedisError>>,
}

impl Redis {
    /// What it means that a batch, or the event for that stream, was refused.
    fn refused(&mut self, place: &Place, stream: &str, error: &RedisError) -> Failure {
        if matches!(self.way, Way::Cluster { .. }) && words::code(error) == "ASK" {
            self.asked = other_node(&words::said(error), place);
        }
        words::refused(place, &self.way, stream, error)
    }

    /// One outcome for each event of a transaction. Where one was refused, those of its key behind it come again with it.
    fn outcomes(
        &mut self,
        items: &[&Item],
        streams: Vec<Result<Arc<str>, Failure>>,
        answers: Vec<RedisResult<String>>,
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
                Some(Ok(id)) => Ok(Receipt::Entry(id)),
                Some(Err(error)) => {
                    failed.insert(item.key);
                    Err(self.one_refused(place, &stream, &error))
                }
                None => Err(Failure::Reconnect(format!("redis at {} left out an answer", place.shown))),
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

    /// Publishes a batch to that server: one transaction, or of a larger batch two at a time, which have no key in common.
    pub(super) async fn publish_to(&mut self, server: &mut Server, batch: &[Item]) -> Outcomes {
        // A batch that would only be sent again is not sent as long as the replicas stay away.
        if self.late
            && let Err(failure) = self.replicated(server).await
        {
            return vec![Err(failure); batch.len()];
        }
        let mut outcomes: Outcomes = vec![Err(Failure::Held); batch.len()];
        let mut sides = Side::of(batch, !server.asking);
        let mut under_way = FuturesUnordered::new();
        for (number, side) in sides.iter_mut().enumerate() {
            under_way.extend(self.begin(server, batch, number, side));
        }
        while let Some(Answered { side: number, part, streams, answers }) = under_way.next().await {
            let side = &mut sides[number];
            let items: Vec<&Item> = part.iter().map(|index| &batch[*index]).collect();
            match answers {
                Ok(answers) => {
                    let answered = self.outcomes(&items, streams, answers, &server.place);
                    for (index, outcome) in part.into_iter().zip(answered) {
                        // What is behind it may be of its key.
                        side.ended |= outcome.as_ref().is_err_and(Failure::holds_up);
                        outcomes[index] = outcome;
                    }
                }
                Err(error) => {
                    let failure = self.all_refused(server, &streams, error);
                    part.into_iter().chain(side.left.drain(..)).for_each(|index| {
                        outcomes[index] = Err(failure.clone());
                    });
                }
            }
            under_way.extend(self.begin(server, batch, number, side));
        }
        drop(under_way);
        if self.settings.replicas > 0
            && outcomes.iter().any(Result::is_ok)
            && let Err(failure) = self.replicated(server).await
        {
            outcomes.fill(Err(failure));
        }
        outcomes
    }

    /// Sends the next transaction of a side, if there is one, and returns what waits for its answer.
    fn begin(
        &mut self,
        server: &Server,
        batch: &[Item],
        number: usize,
        side: &mut Side,
    ) -> Option<impl Future<Output = Answered> + use<>> {
        let part = side.next()?;
        let items: Vec<&Item> = part.iter().map(|index| &batch[*index]).collect();
        let streams = self.entries.streams(&items);
        let pipeline = self.entries.pipeline(&items, &streams);
        let (mut connection, asking) = (server.connection.clone(), server.asking);
        let limit = self.limit();
        let sending = async move {
            if pipeline.is_empty() {
                return Ok(Vec::new());
            }
            if asking {
                redis::cmd("ASKING").exec_async(&mut connection).await?;
            }
            pipeline.query_async::<Vec<RedisResult<String>>>(&mut connection).await
        };
        Some(async move {
            let answers = match tokio::time::timeout(limit, sending).await {
                Ok(answers) => answers.map_err(Some),
                Err(_) => Err(None),
            };
            Answered { side: number, part, streams, answers }
        })
    }

    /// How long the server may be silent.
    fn limit(&self) -> Duration {
        self.settings.timeout() * 2
    }

    /// What stands for all of a transaction: it was refused, or not answered in time.
    fn all_refused(
        &mut self,
        server: &Server,
        streams: &[Result<Arc<str>, Failure>],
        error: Option<RedisError>,
    ) -> Failure {
        let Some(error) = error else { return silent(&server.place, self.limit()) };
        let stream = streams.iter().flatten().next().map_or("", |stream| stream);
        self.refused(&server.place, stream, &error)
    }

    /// Waits until as many replicas as are set have what was written on this connection.
    async fn replicated(&mut self, Server { connection, place, .. }: &mut Server) -> Result<(), Failure> {
        let (wanted, limit) = (self.settings.replicas, self.settings.timeout());
        // It shall answer before the connection's own limit does.
        let patience = u64::try_from(limit.as_millis() / 2).unwrap_or(u64::MAX);
        let mut command = redis::cmd("WAIT");
        command.arg(wanted).arg(patience);
        let waiting = command.query_async::<u32>(connection);
        let have = match tokio::time::timeout(limit * 2, waiting).await {
            Ok(Ok(have)) => have,
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
