//! One batch to one server, and what its answers mean.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use redis::{RedisError, RedisResult};

use super::super::{Failure, Item, Outcomes, Receipt};
use super::place::{self, Place, Way};
use super::{Redis, Server, words};

/// How soon replicas that were late are asked for again.
const LATE: Duration = Duration::from_secs(1);

impl Redis {
    /// What it means that a batch, or the event for that stream, was refused.
    fn refused(&mut self, place: &Place, stream: &str, error: &RedisError) -> Failure {
        if matches!(self.way, Way::Cluster { .. }) && words::code(error) == "ASK" {
            self.asked = other_node(&words::said(error), place);
        }
        words::refused(place, &self.way, stream, error)
    }

    /// One outcome for each event. Where one was refused, those of its key behind it come again with it.
    fn outcomes(
        &mut self,
        batch: &[Item],
        streams: Vec<Result<Arc<str>, Failure>>,
        answers: Vec<RedisResult<String>>,
        place: &Place,
    ) -> Outcomes {
        let mut answers = answers.into_iter();
        let mut failed: HashSet<u64, FixedState> = HashSet::default();
        let mut outcome = |(item, stream): (&Item, Result<Arc<str>, Failure>)| {
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
        batch.iter().zip(streams).map(&mut outcome).collect()
    }

    fn one_refused(&mut self, place: &Place, stream: &str, error: &RedisError) -> Failure {
        match self.refused(place, stream, error) {
            Failure::BackOff(pause, text) if words::code(error) == "WRONGTYPE" => {
                self.entries.nowhere(pause, text)
            }
            failure => failure,
        }
    }

    /// Publishes to that server; one failure stands for all of the batch.
    pub(super) async fn publish_to(
        &mut self,
        server: &mut Server,
        batch: &[Item],
    ) -> Result<Outcomes, Failure> {
        let limit = self.settings.timeout() * 2;
        // A batch that would only be sent again is not sent as long as the replicas stay away.
        if self.late {
            self.replicated(server).await?;
        }
        let streams = self.entries.streams(batch);
        let pipeline = self.entries.pipeline(batch, &streams);
        if pipeline.is_empty() {
            return Ok(self.outcomes(batch, streams, Vec::new(), &server.place));
        }
        let Server { connection, place, asking } = server;
        let sending = async {
            if *asking {
                redis::cmd("ASKING").exec_async(connection).await?;
            }
            pipeline.query_async::<Vec<RedisResult<String>>>(connection).await
        };
        let answers = match tokio::time::timeout(limit, sending).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => {
                let stream = streams.iter().flatten().next().map_or("", |stream| stream);
                return Err(self.refused(place, stream, &error));
            }
            Err(_) => return Err(silent(place, limit)),
        };
        let outcomes = self.outcomes(batch, streams, answers, place);
        if self.settings.replicas > 0 && outcomes.iter().any(Result::is_ok) {
            self.replicated(server).await?;
        }
        Ok(outcomes)
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
