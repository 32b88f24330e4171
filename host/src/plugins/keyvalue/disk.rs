//! All buckets of a host, and the thread that writes to disk what changed in them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use flume::{RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use super::bucket::{Bucket, Entry};
use crate::clock::now_ns;
use crate::names::{PluginName, RouteName};

/// How often changes are written.
const BEAT: Duration = Duration::from_millis(200);

/// The state of all steps. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Buckets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By place; one that no step holds any more goes once it is written.
    open: Mutex<HashMap<Vec<u8>, Arc<Bucket>>>,
    disk: Option<Arc<Disk>>,
    writer: Mutex<Option<Writer>>,
}

struct Disk {
    database: Database,
    values: Keyspace,
}

#[derive(Debug)]
struct Writer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Buckets {
    /// State that is kept in a directory.
    ///
    /// # Errors
    /// Which directory, and what is wrong with it.
    pub fn open(directory: &Path) -> Result<Self, String> {
        let cannot = |error: &dyn std::fmt::Display| {
            format!("cannot open the plugins' state in {}: {error}", directory.display())
        };
        let database = Database::builder(directory).cache_size(1 << 20).worker_threads(1).open();
        let database = database.map_err(|error| cannot(&error))?;
        let values = database.keyspace("values", KeyspaceCreateOptions::default);
        let values = values.map_err(|error| cannot(&error))?;
        let inner = Arc::new(Inner {
            open: Mutex::default(),
            disk: Some(Arc::new(Disk { database, values })),
            writer: Mutex::default(),
        });
        let (stop, stopped) = bounded(0);
        let weak = Arc::downgrade(&inner);
        let thread = std::thread::Builder::new()
            .name("plugin-state".into())
            .spawn(move || {
                while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                    let Some(inner) = weak.upgrade() else { break };
                    inner.write(PersistMode::Buffer);
                }
            })
            .map_err(|error| cannot(&error))?;
        *inner.writer.lock() = Some(Writer { stop, thread });
        Ok(Self(inner))
    }

    /// State that ends with the process: for what only tries a plugin out.
    pub fn in_memory() -> Self {
        Self(Arc::new(Inner { open: Mutex::default(), disk: None, writer: Mutex::default() }))
    }

    /// The bucket of a step: of the `nth` use of a plugin in a route. The same one as long as anybody holds it.
    pub fn of(&self, route: &RouteName, plugin: &PluginName, nth: usize, most: u64) -> Arc<Bucket> {
        let place = place(route, plugin, nth);
        let mut open = self.0.open.lock();
        if let Some(bucket) = open.get(&place) {
            bucket.limit(most);
            return Arc::clone(bucket);
        }
        let bucket = match &self.0.disk {
            None => Bucket::new(most),
            Some(disk) => {
                let bucket = Bucket::recorded(most);
                disk.load(&place, &bucket);
                bucket
            }
        };
        let bucket = Arc::new(bucket);
        open.insert(place, Arc::clone(&bucket));
        bucket
    }

    /// Writes what is left; nothing is written afterwards. Blocks.
    pub fn close(&self) {
        if let Some(Writer { stop, thread }) = self.0.writer.lock().take() {
            drop(stop);
            // The thread reports what goes wrong itself.
            let _ = thread.join();
            self.0.write(PersistMode::SyncAll);
        }
    }
}

impl Inner {
    fn write(&self, mode: PersistMode) {
        let Some(disk) = &self.disk else { return };
        let open: Vec<_> =
            self.open.lock().iter().map(|(place, bucket)| (place.clone(), Arc::clone(bucket))).collect();
        for (place, bucket) in open {
            let changed = bucket.take_changed(now_ns());
            if !changed.is_empty()
                && let Err(error) = disk.write(&place, &changed, mode)
            {
                tracing::warn!(
                    "cannot write the plugins' state; it stays in memory, and is tried again: {error}"
                );
                bucket.put_off(changed.into_iter().map(|(key, _)| key));
                continue;
            }
            drop(bucket);
            let mut open = self.open.lock();
            if open.get(&place).is_some_and(|bucket| Arc::strong_count(bucket) == 1 && bucket.is_written()) {
                open.remove(&place);
            }
        }
    }
}

impl Disk {
    fn load(&self, place: &[u8], bucket: &Bucket) {
        let now = now_ns();
        for entry in self.values.prefix(place) {
            let Ok((key, value)) = entry.into_inner() else { continue };
            let key = std::str::from_utf8(&key[place.len()..]).ok();
            let found = key.zip(decode(&value));
            if let Some((key, entry)) = found.filter(|(_, entry)| entry.is_live(now)) {
                bucket.restore(key, entry);
            }
        }
    }

    fn write(
        &self,
        place: &[u8],
        changed: &[(Box<str>, Option<Entry>)],
        mode: PersistMode,
    ) -> Result<(), fjall::Error> {
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, entry) in changed {
            let key = [place, key.as_bytes()].concat();
            match entry {
                Some(entry) => batch.insert(&self.values, key, encode(entry)),
                None => batch.remove(&self.values, key),
            }
        }
        batch.commit()
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// Names with their lengths before them, so that none is the beginning of another.
fn place(route: &RouteName, plugin: &PluginName, nth: usize) -> Vec<u8> {
    let mut place = Vec::new();
    for name in [route.as_str(), plugin.as_str()] {
        place.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
        place.extend_from_slice(name.as_bytes());
    }
    place.extend_from_slice(&u32::try_from(nth).unwrap_or(u32::MAX).to_be_bytes());
    place
}

/// `u64 expires · u8 claimed · u64 by whom · the value`
fn encode(entry: &Entry) -> Vec<u8> {
    let claimed = u8::from(entry.claimed_by.is_some());
    let by = entry.claimed_by.unwrap_or_default();
    [&entry.expires.to_be_bytes()[..], &[claimed], &by.to_be_bytes(), &entry.value].concat()
}

fn decode(bytes: &[u8]) -> Option<Entry> {
    let (expires, rest) = bytes.split_first_chunk()?;
    let (&claimed, rest) = rest.split_first()?;
    let (by, value) = rest.split_first_chunk()?;
    let claimed_by = (claimed != 0).then(|| u64::from_be_bytes(*by));
    Some(Entry::new(value, u64::from_be_bytes(*expires), claimed_by))
}

#[cfg(test)]
mod tests {
    use super::super::call::Call;
    use super::*;

    #[test]
    fn state_is_there_after_a_restart_and_each_step_has_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let (route, plugin) = ("r".into(), "dedupe".into());
        let buckets = Buckets::open(directory.path()).unwrap();
        let mut call = Call::new(Some(buckets.of(&route, &plugin, 0, 1 << 20)));
        call.begin(Some(7));
        call.set("kept", b"value", None).unwrap();
        call.set("gone", b"value", Some(0)).unwrap();
        call.set("removed", b"value", None).unwrap();
        call.delete("removed");
        assert_eq!(call.claim("id", Some(3_600_000)), Ok(true));
        buckets.close();
        drop((call, buckets));
        let buckets = Buckets::open(directory.path()).unwrap();
        let mut other = Call::new(Some(buckets.of(&route, &plugin, 1, 1 << 20)));
        assert_eq!(other.get("kept"), None);
        let bucket = buckets.of(&route, &plugin, 0, 1 << 20);
        let mut call = Call::new(Some(Arc::clone(&bucket)));
        call.begin(Some(7));
        assert_eq!(call.get("kept").as_deref(), Some(&b"value"[..]));
        assert_eq!((call.get("gone"), call.get("removed")), (None, None));
        assert_eq!(call.claim("id", None), Ok(true));
        call.begin(Some(8));
        assert_eq!(call.claim("id", None), Ok(false));
        assert!(Arc::ptr_eq(&bucket, &buckets.of(&route, &plugin, 0, 1 << 20)));
        buckets.close();
    }
}
