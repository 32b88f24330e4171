//! The bytes of one segment file: groups of records, each group whole or not there at all.
//!
//! ```text
//! group  := magic "SWG1" · u32 body length · u32 records · u64 offset of the first · u32 crc32c of all but magic and crc · body
//! body   := (u32 length · record)*
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;

pub(super) const HEAD: usize = 24;
const MAGIC: [u8; 4] = *b"SWG1";
/// A body that claims more than this is damage, not data.
const MOST_BODY: u32 = 1 << 30;
/// Nearly all bodies are smaller.
const USUAL_BODY: u32 = 1 << 20;

/// The path of the segment that begins at that offset.
pub(super) fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.seg"))
}

/// The base offsets of all segments in the directory, ascending.
pub(super) fn bases(dir: &Path) -> io::Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let base = name
            .to_str()
            .and_then(|name| name.strip_suffix(".seg"))
            .and_then(|base| base.parse::<u64>().ok());
        bases.extend(base);
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Appends one group to `buffer`; `records` are written by `fill`, which returns how many there were.
pub(super) fn encode(buffer: &mut Vec<u8>, first: u64, records: &[&[&[u8]]]) -> io::Result<()> {
    let start = buffer.len();
    let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "a group is larger than 1 GiB");
    buffer.extend_from_slice(&[0; HEAD]);
    for parts in records {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        buffer.extend_from_slice(&u32::try_from(length).map_err(|_| too_large())?.to_le_bytes());
        parts.iter().for_each(|part| buffer.extend_from_slice(part));
    }
    let body = u32::try_from(buffer.len() - start - HEAD)
        .ok()
        .filter(|body| *body <= MOST_BODY)
        .ok_or_else(too_large)?;
    let count = u32::try_from(records.len()).map_err(|_| too_large())?;
    let head = &mut buffer[start..start + HEAD];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&body.to_le_bytes());
    head[8..12].copy_from_slice(&count.to_le_bytes());
    head[12..20].copy_from_slice(&first.to_le_bytes());
    let crc = checksum(&buffer[start + 4..start + 20], &buffer[start + HEAD..]);
    buffer[start + 20..start + HEAD].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}

/// One group, read and checked.
pub(super) struct Group {
    pub(super) first: u64,
    pub(super) count: u32,
    body: Bytes,
}

impl Group {
    /// The records in order, as slices of one buffer.
    pub(super) fn records(self) -> impl Iterator<Item = (u64, Bytes)> {
        let mut rest = self.body;
        (self.first..self.first + u64::from(self.count)).map_while(move |offset| {
            let length = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?) as usize;
            let record = rest.get(4..4 + length).map(|_| rest.slice(4..4 + length))?;
            rest = rest.slice(4 + length..);
            Some((offset, record))
        })
    }

    /// Bytes on disk.
    pub(super) fn size(&self) -> u64 {
        (HEAD + self.body.len()) as u64
    }
}

/// What stands at a place of a segment file.
pub(super) enum Found {
    Group(Group),
    /// Nothing more.
    End,
    /// Something that is no whole, intact group.
    Broken(&'static str),
}

/// Reads groups one after the other. Does not move past what is broken.
pub(super) struct GroupReader {
    file: io::BufReader<File>,
    /// Where the next group begins.
    pub(super) position: u64,
    /// The file has at least so many bytes.
    length: u64,
}

impl GroupReader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::with_buffer(path, 256 << 10)
    }

    /// One that reads so many bytes at once.
    pub(super) fn with_buffer(path: &Path, bytes: usize) -> io::Result<Self> {
        Ok(Self { file: io::BufReader::with_capacity(bytes, File::open(path)?), position: 0, length: 0 })
    }

    /// Reads the group at the current place.
    pub(super) fn read(&mut self) -> io::Result<Found> {
        let found = self.read_here();
        match &found {
            Ok(Found::Group(group)) => self.position += group.size(),
            // What was half read is read again next time; `seek` also forgets what was buffered.
            _ => self.file.seek(SeekFrom::Start(self.position)).map(|_| ())?,
        }
        found
    }

    /// Reads the group at that byte.
    pub(super) fn read_at(&mut self, at: u64) -> io::Result<Found> {
        self.position = at;
        self.file.seek(SeekFrom::Start(at))?;
        self.read()
    }

    fn read_here(&mut self) -> io::Result<Found> {
        let mut head = [0_u8; HEAD];
        match fill(&mut self.file, &mut head)? {
            0 => return Ok(Found::End),
            HEAD => {}
            _ => return Ok(Found::Broken("a group's head is cut off")),
        }
        let Some(Head { length, count, first, crc }) = Head::of(&head) else {
            return Ok(Found::Broken("no group begins here"));
        };
        // Not all of it on the word of a damaged length: grows with what is there.
        let mut body = Vec::with_capacity(length.min(USUAL_BODY) as usize);
        self.file.by_ref().take(u64::from(length)).read_to_end(&mut body)?;
        if body.len() < length as usize {
            return Ok(Found::Broken("a group is cut off"));
        }
        if checksum(&head[4..20], &body) != crc {
            return Ok(Found::Broken("a group's checksum is wrong"));
        }
        Ok(Found::Group(Group { first, count, body: body.into() }))
    }

    /// Moves to the next place at or after `from` where an intact group begins; `None` where there is none.
    pub(super) fn resynchronise(&mut self, from: u64) -> io::Result<Option<u64>> {
        self.file.seek(SeekFrom::Start(from))?;
        let mut rest = Vec::new();
        self.file.read_to_end(&mut rest)?;
        for at in memchr::memmem::find_iter(&rest, &MAGIC) {
            self.position = from + at as u64;
            self.file.seek(SeekFrom::Start(self.position))?;
            if matches!(self.read_here()?, Found::Group(_)) {
                self.file.seek(SeekFrom::Start(self.position))?;
                return Ok(Some(self.position));
            }
        }
        Ok(None)
    }

    /// Skips groups that end before that offset, by their heads alone. Stays before what is no whole group.
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        while let Some(head) = self.head()? {
            if head.end() > offset {
                break;
            }
            self.pass(&head)?;
        }
        self.file.seek(SeekFrom::Start(self.position)).map(|_| ())
    }

    /// Reads the beginning of the first record of the group at the current place, and moves to the next group. Nothing of it is
    /// checked but that it is there.
    pub(super) fn beginning(&mut self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let mut length = [0; 4];
        let read = fill(&mut self.file, &mut length)?;
        let length = u32::from_le_bytes(length).min(head.length.saturating_sub(4));
        let mut record = vec![0; most.min(length as usize)];
        let read = read + fill(&mut self.file, &mut record)?;
        // Back to where the group's body begins: what was read lies in the buffer.
        self.file.seek_relative(-i64::try_from(read).unwrap_or_default())?;
        self.pass(&head)?;
        Ok(Some(record))
    }

    /// The head at the current place, if a whole group seems to follow it; the file is then behind the head.
    fn head(&mut self) -> io::Result<Option<Head>> {
        let mut bytes = [0_u8; HEAD];
        if fill(&mut self.file, &mut bytes)? < HEAD {
            return Ok(None);
        }
        let Some(head) = Head::of(&bytes) else { return Ok(None) };
        let end = self.position + head.size();
        if end > self.length {
            self.length = self.file.get_ref().metadata()?.len();
        }
        Ok((end <= self.length).then_some(head))
    }

    fn pass(&mut self, head: &Head) -> io::Result<()> {
        self.position += head.size();
        self.file.seek_relative(i64::from(head.length))
    }
}

/// What stands before a group.
struct Head {
    length: u32,
    count: u32,
    first: u64,
    crc: u32,
}

impl Head {
    /// None where no group begins so.
    fn of(bytes: &[u8; HEAD]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let first = u64::from(word(12)) | u64::from(word(16)) << 32;
        let head = Self { length: word(4), count: word(8), first, crc: word(20) };
        let possible = bytes[..4] == MAGIC
            && head.length <= MOST_BODY
            && u64::from(head.count) * 4 <= u64::from(head.length);
        possible.then_some(head)
    }

    /// The offset after its last record.
    fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// Bytes on disk.
    fn size(&self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
