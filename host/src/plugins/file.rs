//! Reading what lies in the directory of plugins: nothing that is no file, and nothing larger than it may be.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::config::units::Size;

/// A file of at most so many bytes.
///
/// # Errors
/// What the system says; that it is no file (a pipe would be waited for, a device never ends), or that it is larger.
pub(crate) fn read(path: &Path, most: Size) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(i32::from_ne_bytes(OFlags::NONBLOCK.bits().to_ne_bytes()));
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(most.0.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most.0 {
        return Err(io::Error::other(format!("it is larger than {most}")));
    }
    Ok(bytes)
}

/// [`read`] for text.
///
/// # Errors
/// As [`read`]; and that it is not UTF-8.
pub(crate) fn read_text(path: &Path, most: Size) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_has_no_end_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let (file, pipe, link) =
            (directory.path().join("file"), directory.path().join("pipe"), directory.path().join("link"));
        std::fs::write(&file, "1234").unwrap();
        assert_eq!(read(&file, Size(4)).unwrap(), b"1234");
        assert_eq!(read(&file, Size(3)).unwrap_err().to_string(), "it is larger than 3B");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [&pipe, &link, &directory.path().to_owned()] {
            assert_eq!(
                read(path, Size(4)).unwrap_err().to_string(),
                "it is not a file",
                "{}",
                path.display()
            );
        }
    }
}
