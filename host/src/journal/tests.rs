//! The journal on a real file system: what was acknowledged is there again, whatever happened between.

use std::process::Command;
use std::time::Instant;

use flume::{Receiver, bounded};
use proptest::prelude::*;

use super::*;

fn options() -> Options {
    Options { segment_bytes: 4_096, ..Options::from(&settings::Journal::default()) }
}

fn event(id: u64) -> Event {
    let subject = format!("k{}", id % 7);
    Event::builder(id.to_string(), "s", "t").subject(subject).json(vec![b'1'; 100]).build().unwrap()
}

fn ids(range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(event).collect()
}

async fn append(journal: &Journal, range: std::ops::Range<u64>) {
    journal.append(ids(range)).await.unwrap();
}

/// Waits for a condition, at most ten seconds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn take(inbox: &Receiver<Batch>, count: usize) -> Vec<Accepted> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(inbox.recv_timeout(Duration::from_secs(10)).expect("more events").events);
    }
    taken
}

fn id(accepted: &Accepted) -> u64 {
    accepted.event.id().parse().unwrap()
}

#[tokio::test]
async fn events_reach_their_shard_in_order_and_settle() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    let (outlet, inbox) = bounded(4);
    journal.start(vec![outlet]);
    append(&journal, 0..50).await;
    append(&journal, 50..60).await;
    let taken = take(&inbox, 60);
    assert!(taken.iter().map(id).eq(0..60));
    assert_eq!(journal.stats().unsettled, 60);
    taken.into_iter().for_each(|accepted| accepted.owed.settle());
    until("the cursor to pass", || journal.stats().cursor == 60);
    journal.close().await;
}

#[tokio::test]
async fn what_is_not_settled_is_handed_out_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    {
        let journal = Journal::open(dir.path(), options()).unwrap();
        let (outlet, inbox) = bounded(4);
        journal.start(vec![outlet]);
        append(&journal, 0..20).await;
        let mut taken = take(&inbox, 20);
        taken.drain(..5).for_each(|accepted| accepted.owed.settle());
        drop(taken);
        until("the cursor to pass", || journal.stats().cursor == 5);
        journal.close().await;
    }
    let journal = Journal::open(dir.path(), options()).unwrap();
    let (outlet, inbox) = bounded(4);
    journal.start(vec![outlet]);
    append(&journal, 20..25).await;
    assert!(take(&inbox, 20).iter().map(id).eq(5..25));
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_workers_get_everything_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), Options { fsync: Fsync::Never, ..options() }).unwrap();
    let (outlets, inboxes): (Vec<_>, Vec<_>) = (0..2).map(|_| bounded(1)).unzip();
    journal.start(outlets);
    let readers: Vec<_> = inboxes
        .into_iter()
        .map(|inbox: Receiver<Batch>| {
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                while let Ok(batch) = inbox.recv() {
                    for accepted in batch.events {
                        seen.push(id(&accepted));
                        if seen.len() % 50 == 0 {
                            std::thread::sleep(Duration::from_micros(300));
                        }
                        accepted.owed.settle();
                    }
                }
                seen
            })
        })
        .collect();
    for start in 0..2_000 {
        append(&journal, start * 5..start * 5 + 5).await;
    }
    until("all to settle", || journal.stats().cursor == 10_000);
    journal.close().await;
    let mut all = Vec::new();
    for reader in readers {
        let seen = reader.join().unwrap();
        assert!(seen.is_sorted(), "a shard saw its events out of order");
        all.extend(seen);
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..10_000), "each event exactly once");
}

#[tokio::test]
async fn a_worker_without_events_hears_how_far_it_has_got() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    let (outlets, inboxes): (Vec<_>, Vec<_>) = (0..2).map(|_| bounded(64)).unzip();
    journal.start(outlets);
    // All of one key, so that one of the two has none of them.
    let event = |id: u64| Event::builder(id.to_string(), "s", "t").build().unwrap();
    journal.append((0..5).map(event).collect()).await.unwrap();
    for (shard, inbox) in inboxes.iter().enumerate() {
        let mut end = 0;
        until("the worker to have got everything below 5", || {
            journal.nudge(shard);
            end = inbox.try_iter().map(|batch| batch.end).fold(end, u64::max);
            end == 5
        });
    }
    journal.close().await;
}

#[tokio::test]
async fn the_data_directory_belongs_to_one_host() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), options()).unwrap();
    let second = Journal::open(dir.path(), options()).err().unwrap().to_string();
    assert!(
        second.contains(&format!("in use by another stagewire (process {})", std::process::id())),
        "{second}"
    );
    journal.close().await;
    Journal::open(dir.path(), options()).unwrap().close().await;
}

#[tokio::test]
async fn a_full_journal_refuses_and_takes_again_when_drained() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), Options { max_unsettled_bytes: 1_000, ..options() }).unwrap();
    let (outlet, inbox) = bounded(64);
    journal.start(vec![outlet]);
    append(&journal, 0..20).await;
    assert!(matches!(journal.append(ids(20..21)).await, Err(AppendError::Full { .. })));
    take(&inbox, 20).into_iter().for_each(|accepted| accepted.owed.settle());
    until("room", || journal.stats().unsettled_bytes == 0);
    append(&journal, 20..21).await;
    journal.close().await;
}

#[tokio::test]
async fn retention_removes_settled_segments_only() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retention_bytes: 8_192, ..options() };
    let journal = Journal::open(dir.path(), options).unwrap();
    let (outlet, inbox) = bounded(64);
    journal.start(vec![outlet]);
    for start in 0..20 {
        append(&journal, start * 10..start * 10 + 10).await;
    }
    let before = journal.stats().segments;
    let mut taken = take(&inbox, 200);
    let rest = taken.split_off(150);
    taken.into_iter().for_each(|accepted| accepted.owed.settle());
    until("old segments to go", || journal.stats().segments < before);
    let first = read(dir.path(), 0).unwrap().next().unwrap().unwrap();
    assert!(first.offset > 0 && first.offset <= 150, "{}", first.offset);
    drop(rest);
    journal.close().await;
    let kept: Vec<_> =
        read(dir.path(), 150).unwrap().map(|record| record.unwrap().event.id().to_owned()).collect();
    assert_eq!(kept, (150..200).map(|id: u64| id.to_string()).collect::<Vec<_>>());
}

/// Runs the test of that name again in a process that dies at a step, or has little room.
fn again(name: &str, dir: &Path, variable: &str, value: &str) -> std::process::ExitStatus {
    let script = "trap '' XFSZ; test -z \"$ROOM\" || ulimit -S -f \"$ROOM\"; exec \"$0\" \"$@\"";
    Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("STAGEWIRE_TEST_DIR", dir)
        .env(variable, value)
        .output()
        .unwrap()
        .status
}

/// In a child: appends, settles, rotates and trims until it dies. Writes down what was acknowledged.
#[tokio::test]
async fn dying_child() {
    let Some(dir) = std::env::var_os("STAGEWIRE_TEST_DIR").map(PathBuf::from) else { return };
    if std::env::var_os("STAGEWIRE_TEST_DIE_AT").is_none() {
        return;
    }
    let options = Options { retention_bytes: 4_096, segment_bytes: 1_024, ..options() };
    let journal = Journal::open(&dir, options).unwrap();
    let (outlet, inbox) = bounded(64);
    journal.start(vec![outlet]);
    let first = journal.stats().next;
    for id in first..first + 10_000 {
        append(&journal, id..id + 1).await;
        // Renamed into place: the child may die at any instant.
        std::fs::write(dir.join("acknowledged.new"), (id + 1).to_string()).unwrap();
        std::fs::rename(dir.join("acknowledged.new"), dir.join("acknowledged")).unwrap();
        take(&inbox, 1).into_iter().for_each(|accepted| accepted.owed.settle());
    }
}

#[tokio::test]
async fn a_death_between_any_two_steps_is_harmless() {
    let steps = [
        "rotate: old segment synced",
        "rotate: new segment created",
        "cursor: new file synced",
        "cursor: renamed",
        "trim: cursor written",
        "trim: segment removed",
    ];
    for step in steps {
        let dir = tempfile::tempdir().unwrap();
        let status = again("journal::tests::dying_child", dir.path(), "STAGEWIRE_TEST_DIE_AT", step);
        assert!(!status.success(), "the child should have died at {step:?}");
        let acknowledged: u64 =
            std::fs::read_to_string(dir.path().join("acknowledged")).unwrap().parse().unwrap();
        let journal = Journal::open(dir.path(), options()).unwrap_or_else(|error| panic!("{step}: {error}"));
        let stats = journal.stats();
        assert!(stats.next >= acknowledged, "{step}: {acknowledged} acknowledged, {} there", stats.next);
        let first = read(dir.path(), 0).unwrap().next().map_or(stats.next, |record| record.unwrap().offset);
        assert!(first <= stats.cursor, "{step}: unsettled events were removed");
        append(&journal, stats.next..stats.next + 3).await;
        journal.close().await;
    }
}

/// In a child that may not write files over 64 KiB, until it raises its own limit.
#[tokio::test]
async fn child_with_little_room() {
    let Some(dir) = std::env::var_os("STAGEWIRE_TEST_DIR").map(PathBuf::from) else { return };
    if std::env::var_os("ROOM").is_none() {
        return;
    }
    let options = Options { segment_bytes: 1 << 30, ..options() };
    let journal = Journal::open(&dir, options).unwrap();
    let mut next = 0;
    let error = loop {
        match journal.append(ids(next..next + 10)).await {
            Ok(_) => next += 10,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Disk(_)), "{error}");
    assert!(journal.stats().writable.is_err());
    let raised = rustix::process::Rlimit { current: None, maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, raised).unwrap();
    until("the journal to notice by itself", || journal.stats().writable.is_ok());
    append(&journal, next..next + 10).await;
    journal.close().await;
    let read: Vec<_> = read(&dir, 0).unwrap().map(|record| record.unwrap().event.id().to_owned()).collect();
    assert_eq!(read, (0..next + 10).map(|id| id.to_string()).collect::<Vec<_>>());
    std::fs::write(dir.join("survived"), "").unwrap();
}

#[test]
fn a_full_disk_is_said_and_recovered_from() {
    let dir = tempfile::tempdir().unwrap();
    // `ulimit -f` counts blocks of 512 bytes.
    again("journal::tests::child_with_little_room", dir.path(), "ROOM", "256");
    assert!(dir.path().join("survived").exists(), "the child did not come through");
}

fn segment_file(data: &Path) -> PathBuf {
    segment::path(&data.join("journal"), 0)
}

async fn filled(data: &Path, groups: u64) {
    let journal = Journal::open(data, Options { segment_bytes: 1 << 20, ..options() }).unwrap();
    for group in 0..groups {
        append(&journal, group * 3..group * 3 + 3).await;
    }
    journal.close().await;
}

#[tokio::test]
async fn a_flipped_byte_in_the_middle_is_refused_with_its_place_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10).await;
    let file = segment_file(dir.path());
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let error = Journal::open(dir.path(), options()).err().unwrap().to_string();
    assert!(error.contains("is damaged at byte") && error.contains("journal repair"), "{error}");
    assert!(check(dir.path()).unwrap().is_damaged());
    repair(dir.path()).unwrap();
    assert!(!check(dir.path()).unwrap().is_damaged());
    let kept = check(dir.path()).unwrap().segments[0].events;
    assert_eq!(kept, 27, "all but the damaged group of three");
    assert!(file.with_extension("damaged").exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A log cut anywhere is the log up to the last whole group before the cut.
    #[test]
    fn a_torn_tail_goes_as_whole_groups(cut in 0_usize..5_000, groups in 1_u64..8) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(filled(dir.path(), groups));
        let file = segment_file(dir.path());
        let bytes = std::fs::read(&file).unwrap();
        let group = bytes.len() / usize::try_from(groups).unwrap();
        let cut = cut % (bytes.len() + 1);
        std::fs::write(&file, &bytes[..cut]).unwrap();
        let log = SegmentLog::open(&dir.path().join("journal"), LogOptions::default()).unwrap();
        // Ids have one or two digits, so that groups differ by a few bytes.
        let whole = (cut / group) as u64;
        prop_assert!(log.next_offset().is_multiple_of(3), "half a group was kept");
        prop_assert!(log.next_offset().abs_diff(whole * 3) <= 3);
        let read = SegmentReader::open(&dir.path().join("journal"), 0).unwrap().map(Result::unwrap).count() as u64;
        prop_assert_eq!(read, log.next_offset());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(segment::path(dir.path(), 0), &bytes).unwrap();
        let _ = SegmentLog::open(dir.path(), LogOptions::default()).map(|log| log.next_offset());
    }
}

#[test]
fn a_reader_follows_a_writer_over_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = SegmentLog::open(dir.path(), LogOptions { segment_bytes: 200, max_bytes: None }).unwrap();
    let mut reader = SegmentReader::open(dir.path(), 0).unwrap();
    for round in 0_u64..50 {
        log.append(&[&[&round.to_le_bytes()], &[b"x"]]).unwrap();
        let (offset, record) = reader.next().unwrap().unwrap();
        assert_eq!((offset, &record[..]), (round * 2, &round.to_le_bytes()[..]));
        assert_eq!(reader.next().unwrap().unwrap().0, round * 2 + 1);
        assert!(reader.next().is_none());
    }
    assert!(log.segments() > 3);
}
