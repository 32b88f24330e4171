//! Checking a journal on disk, and keeping what can be read of a damaged one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::log::{LogError, io_at, sync_dir};
use super::segment::{self, Found, GroupReader};
use super::{OpenError, decode, keeper, lock};

/// What is on disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Each segment file, oldest first.
    pub segments: Vec<SegmentReport>,
    /// The lowest offset that was not settled, as last written down.
    pub cursor: Option<u64>,
}

/// One segment file.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentReport {
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its first offset.
    pub first: u64,
    /// The offset after its last readable one.
    pub end: u64,
    /// Events that can be read.
    pub events: u64,
    /// What cannot be read.
    pub damage: Vec<Damage>,
}

/// A stretch of a file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The first byte of it.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong.
    pub problem: String,
    /// At the very end of the last file: a write that was cut off and never acknowledged.
    pub torn_tail: bool,
}

impl Report {
    /// Whether anything other than a torn tail cannot be read.
    pub fn is_damaged(&self) -> bool {
        self.segments.iter().flat_map(|segment| &segment.damage).any(|damage| !damage.torn_tail)
    }
}

/// Reads the whole journal under the data directory. Changes nothing; a host may be running.
///
/// # Errors
/// Where a file cannot be read at all.
pub fn check(data: &Path) -> Result<Report, LogError> {
    let dir = data.join("journal");
    let bases = segment::bases(&dir).map_err(io_at(&dir))?;
    let last = bases.last().copied();
    let mut report = Report { segments: Vec::new(), cursor: keeper::read_cursor(&dir) };
    for base in bases {
        let path = segment::path(&dir, base);
        let found = check_segment(&path, base, Some(base) == last, |_| Ok(())).map_err(io_at(&path))?;
        report.segments.push(found);
    }
    Ok(report)
}

/// Keeps every group that can be read; a damaged file is kept beside it as `*.damaged`.
///
/// # Errors
/// [`OpenError::Locked`] while a host runs, or what the disk says.
pub fn repair(data: &Path) -> Result<Report, OpenError> {
    let _lock = lock(data)?;
    let dir = data.join("journal");
    let report = check(data)?;
    for segment in report.segments.iter().filter(|segment| !segment.damage.is_empty()) {
        rewrite(&dir, segment).map_err(io_at(&segment.file))?;
    }
    Ok(report)
}

fn rewrite(dir: &Path, segment: &SegmentReport) -> io::Result<()> {
    let fresh = segment.file.with_extension("new");
    let mut source = File::open(&segment.file)?;
    let mut target = File::create(&fresh)?;
    check_segment(&segment.file, segment.first, false, |(at, bytes)| {
        source.seek(SeekFrom::Start(at))?;
        io::copy(&mut Read::by_ref(&mut source).take(bytes), &mut target).map(|_| ())
    })?;
    target.flush()?;
    target.sync_all()?;
    // The damaged file keeps its name until the mended one stands beside it.
    std::fs::copy(&segment.file, segment.file.with_extension("damaged"))?;
    std::fs::rename(&fresh, &segment.file)?;
    sync_dir(dir)
}

/// Reads one file; `keep` gets the place and size of each readable group.
fn check_segment(
    path: &Path,
    base: u64,
    last: bool,
    mut keep: impl FnMut((u64, u64)) -> io::Result<()>,
) -> io::Result<SegmentReport> {
    let mut reader = GroupReader::open(path)?;
    let bytes = std::fs::metadata(path)?.len();
    let mut report =
        SegmentReport { file: path.to_owned(), bytes, first: base, end: base, events: 0, damage: Vec::new() };
    loop {
        let at = reader.position;
        let problem = match reader.read()? {
            Found::Group(group) if group.first >= report.end => {
                keep((at, group.size()))?;
                report.end = group.first + u64::from(group.count);
                report.events += group.records().filter(|(_, record)| decode(record.clone()).is_some()).count() as u64;
                continue;
            }
            Found::End => return Ok(report),
            Found::Group(_) => "offsets run backwards",
            Found::Broken(problem) => problem,
        };
        let next = reader.resynchronise(at + 1)?;
        let torn_tail = last && next.is_none();
        let end = next.unwrap_or(bytes);
        report.damage.push(Damage { at, bytes: end - at, problem: problem.into(), torn_tail });
        if next.is_none() {
            return Ok(report);
        }
    }
}
