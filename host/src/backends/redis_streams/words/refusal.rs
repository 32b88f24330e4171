//! What a server that refuses to write means, and what the lane shall do.

use std::time::Duration;

use redis::RedisError;

use super::{MENDED_BY_HAND, code, no_redis, not_permitted, said};
use crate::backends::Failure;
use crate::backends::redis_streams::place::{Place, Way};

/// Memory is not freed, and a disk not mended, within milliseconds.
const SHORT_OF: Duration = Duration::from_secs(1);

/// What it means that a batch, or one event for that stream, was refused.
pub(in super::super) fn refused(place: &Place, way: &Way, stream: &str, error: &RedisError) -> Failure {
    let (shown, answer) = (&place.shown, said(error));
    let clustered = matches!(way, Way::Cluster { .. });
    let mend = |text| Failure::BackOff(MENDED_BY_HAND, text);
    let short = |text| Failure::BackOff(SHORT_OF, text);
    match code(error).as_str() {
        "OOM" => short(format!(
            "redis at {shown} is out of memory: {answer}; raise its maxmemory, or lower max_len or ttl_seconds"
        )),
        "MISCONF" => {
            short(format!("redis at {shown} cannot save to its disk: {answer}; see to its disk and log"))
        }
        "NOREPLICAS" => short(format!(
            "redis at {shown} has too few replicas: {answer}; start them, or lower its min-replicas-to-write"
        )),
        "BUSY" => short(format!("redis at {shown} is busy with a script: {answer}")),
        "WRONGTYPE" => {
            mend(format!("key {stream:?} at {shown} is no stream; delete it or set another stream_name"))
        }
        "NOPERM" => mend(not_permitted(shown, &answer)),
        "NOAUTH" | "WRONGPASS" => {
            mend(format!("redis at {shown} asks for a password: {answer}; set username and password"))
        }
        "READONLY" => Failure::Reconnect(read_only(shown, way)),
        "MOVED" | "ASK" if !clustered => {
            mend(format!("redis at {shown} is a node of a cluster: {answer}; name its nodes in cluster"))
        }
        "MOVED" | "ASK" => Failure::Reconnect(format!("the stream has left redis at {shown}: {answer}")),
        "LOADING" => Failure::Reconnect(format!("redis at {shown} is still loading its data: {answer}")),
        "CLUSTERDOWN" => Failure::Reconnect(format!(
            "the cluster of redis at {shown} is down: {answer}; are all its slots served?"
        )),
        "MASTERDOWN" | "TRYAGAIN" | "UNBLOCKED" => {
            Failure::Reconnect(format!("redis at {shown} cannot write now: {answer}"))
        }
        "" => Failure::Reconnect(format!("the connection to redis at {shown} broke: {answer}")),
        _ if answer.contains("unknown command") => mend(no_redis(shown, &answer)),
        _ => mend(format!("redis at {shown} refused to add to stream {stream:?}: {answer}")),
    }
}

fn read_only(shown: &str, way: &Way) -> String {
    let mend = match way {
        Way::Direct(_) => "give the master's address, or name the sentinels in sentinel",
        Way::Sentinel { .. } | Way::Cluster { .. } => "the master is looked for again",
    };
    format!("redis at {shown} is a replica and cannot write; {mend}")
}
