//! How far behind the consumer groups of a stream are (`XINFO GROUPS`).

use std::collections::HashMap;

use async_trait::async_trait;
use redis::{FromRedisValue, RedisResult, Value};

use super::super::template::Template;
use super::super::{Reading, Watch, Watched};
use super::connection::{self, Login};
use super::find;
use super::place::{Place, Way};
use super::settings::RedisStreams;
use super::wire::Wire;
use super::words::{self, Trouble};

struct Groups {
    settings: RedisStreams,
    way: Way,
    login: Login,
    /// The stream and the group of each name.
    named: Vec<(String, String, String)>,
    server: Option<(Wire, Place)>,
}

/// The look at the groups that the settings name.
pub(super) fn watched(settings: &RedisStreams, way: &Way, login: &Login) -> Option<Watched> {
    if settings.consumers.is_empty() {
        return None;
    }
    let fixed = Template::parse(&settings.stream_name).ok()?.fixed().map(str::to_owned);
    let split = |name: &String| match (&fixed, name.rsplit_once('/')) {
        (Some(stream), _) => (name.clone(), stream.clone(), name.clone()),
        (None, Some((stream, group))) => (name.clone(), stream.to_owned(), group.to_owned()),
        // Refused with the settings.
        (None, None) => (name.clone(), String::new(), name.clone()),
    };
    let named = settings.consumers.iter().map(split).collect();
    let watch =
        Groups { settings: settings.clone(), way: way.clone(), login: login.clone(), named, server: None };
    Some(Watched { interval: settings.consumers_interval.0, watch: Box::new(watch) })
}

impl Groups {
    async fn connect(&mut self) -> Result<(Wire, Place), Trouble> {
        if let Some(server) = self.server.take() {
            return Ok(server);
        }
        let stream = self.named.first().map(|(_, stream, _)| stream.as_str()).unwrap_or_default();
        let place = find::server(&self.way, 0, stream, &self.login, &self.settings).await?;
        Ok((connection::open(&place, &self.login, &self.settings).await?, place))
    }

    /// The groups of each stream that is asked for.
    async fn ask(&mut self) -> Result<HashMap<String, Result<Vec<Group>, String>>, String> {
        let text = |trouble: Trouble| match trouble {
            Trouble::Passing(text) | Trouble::Mend(text) => text,
        };
        let (mut wire, place) = self.connect().await.map_err(text)?;
        let mut found = HashMap::new();
        for (_, stream, _) in &self.named {
            if found.contains_key(stream) {
                continue;
            }
            let command = redis::cmd("XINFO").arg("GROUPS").arg(stream).to_owned();
            let asking = async { Ok(wire.ask(&[command]).await) };
            let answers = connection::within(self.settings.timeout(), &place, asking).await.map_err(text)?;
            // A connection that fails is not used again.
            let answer = answers.map_err(|error| words::said(&error))?.pop();
            let answer: RedisResult<Vec<Group>> = find::read(answer);
            let answer = answer.map_err(|error| match words::said(&error) {
                said if said.contains("no such key") => format!("there is no stream {stream:?} yet"),
                said => format!("XINFO GROUPS {stream:?}: {said}"),
            });
            found.insert(stream.clone(), answer);
        }
        self.server = Some((wire, place));
        Ok(found)
    }
}

/// One of the answer's maps.
#[derive(Clone, Debug, Default)]
struct Group {
    name: String,
    /// Absent before Redis 7, and where entries were deleted from within.
    lag: Option<u64>,
    pending: u64,
}

impl FromRedisValue for Group {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let fields: HashMap<String, Value> = redis::from_redis_value(value)?;
        let number = |name: &str| {
            let value = fields.get(name).cloned().unwrap_or(Value::Nil);
            redis::from_redis_value::<Option<u64>>(value)
        };
        let name = fields.get("name").cloned().unwrap_or(Value::Nil);
        Ok(Self {
            name: redis::from_redis_value(name)?,
            lag: number("lag")?,
            pending: number("pending")?.unwrap_or_default(),
        })
    }
}

#[async_trait]
impl Watch for Groups {
    async fn look(&mut self) -> Vec<(String, Result<Reading, String>)> {
        let found = self.ask().await;
        let reading = |(name, stream, group): &(String, String, String)| {
            let groups = match &found {
                Ok(found) => found.get(stream).cloned().unwrap_or_else(|| Ok(Vec::new())),
                Err(error) => Err(error.clone()),
            };
            let reading = groups.and_then(|groups| {
                let found = groups.into_iter().find(|one| one.name == *group);
                let found = found.ok_or_else(|| {
                    format!("stream {stream:?} has no group {group:?}; it is made by whoever reads by it (XGROUP CREATE)")
                })?;
                Ok(Reading { lag: found.lag, pending: Some(found.pending) })
            });
            (name.clone(), reading)
        };
        self.named.iter().map(reading).collect()
    }
}
