//! The protocol of Redis (RESP2) on one connection: commands are written into one buffer, and the answers to them are read
//! where they lie. The crate's own connection copies each event three times more, and makes a tree of every answer:
//! together 0.9 µs an event, as much as the rest of this backend.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;

/// Room for what is read at once.
const CHUNK: usize = 16 << 10;
/// No answer that is asked for here comes near that.
const LARGEST: usize = 64 << 20;

/// The id of an entry: milliseconds, and a number among those of the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryId {
    pub(super) millis: u64,
    pub(super) number: u64,
}

/// What a command got for an answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// An entry was added.
    Added(EntryId),
    /// It was refused.
    Refused(RedisError),
    /// Something else, of which nothing is expected.
    Other,
}

impl Answer {
    fn read(answer: &[u8]) -> RedisResult<Self> {
        Ok(match answer.first() {
            Some(b'$') => line(answer).and_then(|(_, text)| id(text)).map_or(Self::Other, Self::Added),
            Some(b'-') => Self::Refused(refusal(answer)?),
            _ => Self::Other,
        })
    }
}

/// One connection. After an error of it nothing more can be said or asked.
pub(super) struct Wire {
    stream: Stream,
    /// What is to be sent, and how much of it is.
    out: Vec<u8>,
    sent: usize,
    /// What came and was not looked at yet.
    answers: BytesMut,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, out: Vec::new(), sent: 0, answers: BytesMut::new() }
    }

    /// Where commands are written to; [`Self::send`] sends them.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Sends what was written.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx)).await?;
        self.out.clear();
        // One batch of large events shall not hold memory for good.
        self.out.shrink_to(4 << 20);
        self.sent = 0;
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.sent == self.out.len() {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.out[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(sent) => self.sent += sent?,
                // Whoever stands between may take no more before its answers are taken.
                Poll::Pending => ready!(self.poll_read(cx))?,
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.answers.len() > LARGEST {
            return Poll::Ready(Err(strange("an answer without end")));
        }
        let begin = self.answers.len();
        self.answers.resize(begin + CHUNK, 0);
        let mut room = ReadBuf::new(&mut self.answers[begin..]);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let filled = room.filled().len();
        self.answers.truncate(begin + filled);
        ready!(read)?;
        Poll::Ready(if filled == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) })
    }

    /// Waits for the next answer: the length of it.
    async fn next(&mut self) -> io::Result<usize> {
        loop {
            if let Some(length) = length(&self.answers)? {
                return Ok(length);
            }
            poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }

    /// Sends commands and waits for their answers.
    pub(super) async fn ask(&mut self, commands: &[Cmd]) -> RedisResult<Vec<RedisResult<Value>>> {
        commands.iter().for_each(|command| self.out.extend_from_slice(&command.get_packed_command()));
        self.send().await?;
        let mut answers = Vec::with_capacity(commands.len());
        for _ in commands {
            let length = self.next().await?;
            let answer = redis::parse_redis_value(&self.answers[..length]);
            self.answers.advance(length);
            answers.push(answer?.extract_error());
        }
        Ok(answers)
    }

    /// Waits for the answers to so many commands, each of which stands for itself.
    pub(super) async fn answers(&mut self, commands: usize) -> RedisResult<Vec<Answer>> {
        let mut answers = Vec::with_capacity(commands);
        for _ in 0..commands {
            let length = self.next().await?;
            answers.push(Answer::read(&self.answers[..length])?);
            self.answers.advance(length);
        }
        Ok(answers)
    }

    /// Waits for the answers to a transaction of so many commands, and so many commands before it.
    ///
    /// # Errors
    /// Why nothing of it was done, as the server said of the first command that it did not take; or a broken connection.
    pub(super) async fn transaction(&mut self, before: usize, commands: usize) -> RedisResult<Vec<Answer>> {
        let mut refused = None;
        // That it begins, and that each command is queued.
        for _ in 0..before + 1 + commands {
            let length = self.next().await?;
            if self.answers[0] == b'-' {
                refused.get_or_insert(refusal(&self.answers[..length])?);
            }
            self.answers.advance(length);
        }
        let length = self.next().await?;
        let answers = match self.answers[0] {
            b'*' => each(&self.answers[..length]),
            b'-' => Err(refused.unwrap_or(refusal(&self.answers[..length])?)),
            _ => Err(strange("no end of the transaction").into()),
        };
        self.answers.advance(length);
        answers
    }
}

/// The answers in a list of them.
fn each(list: &[u8]) -> RedisResult<Vec<Answer>> {
    let (head, mut rest) = line(list).ok_or_else(|| strange("a list that is cut off"))?;
    let count = size(head)?.ok_or_else(|| strange("no list"))?;
    // Not on the word of the other side alone: each has three bytes at least.
    let mut answers = Vec::with_capacity(count.min(list.len()));
    for _ in 0..count {
        let length = length(rest)?.ok_or_else(|| strange("a list that is cut off"))?;
        let (answer, behind) = rest.split_at(length);
        rest = behind;
        answers.push(Answer::read(answer)?);
    }
    Ok(answers)
}

fn refusal(answer: &[u8]) -> RedisResult<RedisError> {
    match redis::parse_redis_value(answer)?.extract_error() {
        Err(error) => Ok(error),
        Ok(_) => Err(strange("no refusal").into()),
    }
}

/// `1526919030474-55`
fn id(text: &[u8]) -> Option<EntryId> {
    let text = text.strip_suffix(b"\r\n")?;
    let dash = memchr::memchr(b'-', text)?;
    Some(EntryId { millis: natural(&text[..dash])?, number: natural(&text[dash + 1..])? })
}

fn natural(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        number.checked_mul(10)?.checked_add(u64::from(digit)).filter(|_| digit < 10)
    })
}

/// The first line without its sign and end, and what is behind it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((bytes.get(1..end.checked_sub(1)?)?, &bytes[end + 1..]))
}

/// A length; none, where there is nothing that could have one.
fn size(digits: &[u8]) -> io::Result<Option<usize>> {
    if digits == b"-1" {
        return Ok(None);
    }
    let size = natural(digits).and_then(|size| usize::try_from(size).ok());
    size.map(Some).ok_or_else(|| strange("no number where one is due"))
}

/// The length of the first answer, if all of it is there.
fn length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let (mut rest, mut open) = (bytes, 1_usize);
    while open > 0 {
        let Some((head, behind)) = line(rest) else { return Ok(None) };
        open -= 1;
        let text = match rest[0] {
            b'+' | b'-' | b':' => 0,
            b'$' => size(head)?.map_or(0, |length| length.saturating_add(2)),
            b'*' => {
                open = open.saturating_add(size(head)?.unwrap_or(0));
                0
            }
            _ => return Err(strange("nothing that Redis says")),
        };
        let Some(behind) = behind.get(text..) else { return Ok(None) };
        rest = behind;
    }
    Ok(Some(bytes.len() - rest.len()))
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("its answer is strange: {what}"))
}

/// Appends a command's head: how many arguments follow, its name being one.
pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    put_number(b'*', count, out);
}

/// Appends an argument.
pub(super) fn put(argument: &[u8], out: &mut Vec<u8>) {
    put_number(b'$', argument.len(), out);
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

fn put_number(sign: u8, number: usize, out: &mut Vec<u8>) {
    out.push(sign);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a connection makes of these bytes for a transaction of two commands; they come a few at a time.
    async fn answered(bytes: &[u8], at_once: usize) -> RedisResult<Vec<Answer>> {
        let (here, mut there) = tokio::io::duplex(8);
        let mut wire = Wire::new(Box::new(here));
        let saying = async {
            for part in bytes.chunks(at_once) {
                there.write_all(part).await.unwrap();
            }
            drop(there);
        };
        let (answers, ()) = tokio::join!(wire.transaction(0, 2), saying);
        answers
    }

    #[tokio::test]
    async fn each_command_has_its_answer_however_the_bytes_come() {
        let said = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$6\r\n12-345\r\n-WRONGTYPE no stream\r\n";
        for at_once in 1..=said.len() {
            let answers = answered(said, at_once).await.unwrap();
            let [Answer::Added(id), Answer::Refused(error)] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!(*id, EntryId { millis: 12, number: 345 });
            assert_eq!(error.code(), Some("WRONGTYPE"));
        }
    }

    #[tokio::test]
    async fn commands_that_stand_for_themselves_are_refused_by_themselves() {
        let said = b"-OOM out of memory\r\n$6\r\n12-345\r\n:3\r\n";
        let (here, mut there) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(here));
        there.write_all(said).await.unwrap();
        let answers = wire.answers(3).await.unwrap();
        let [Answer::Refused(error), Answer::Added(id), Answer::Other] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert_eq!(error.code(), Some("OOM"));
        assert_eq!(*id, EntryId { millis: 12, number: 345 });
    }

    #[tokio::test]
    async fn of_a_transaction_that_is_refused_the_reason_is_told() {
        let said = b"+OK\r\n-OOM out of memory\r\n+QUEUED\r\n-EXECABORT discarded\r\n";
        assert_eq!(answered(said, 64).await.unwrap_err().code(), Some("OOM"));
        let said = b"-NOAUTH sign in\r\n-NOAUTH sign in\r\n-NOAUTH sign in\r\n-NOAUTH sign in\r\n";
        assert_eq!(answered(said, 64).await.unwrap_err().code(), Some("NOAUTH"));
    }

    #[tokio::test]
    async fn a_connection_that_ends_or_speaks_another_language_is_an_error() {
        for said in [&b"+OK\r\n+QUEUED\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n", b"+OK\r\n*-1\r\n"] {
            assert!(answered(said, 64).await.unwrap_err().is_io_error());
        }
    }

    #[tokio::test]
    async fn answers_are_taken_while_there_is_something_to_send() {
        let (here, mut there) = tokio::io::duplex(64);
        let mut wire = Wire::new(Box::new(here));
        let command = redis::cmd("ECHO").arg(vec![b'x'; 1_000]).to_owned();
        let mut sent = vec![0; 2 * command.get_packed_command().len()];
        let asking = async { wire.ask(&[command.clone(), command.clone()]).await.unwrap().len() };
        // It takes nothing more before its answer is taken.
        let answering = async {
            there.read_exact(&mut sent[..100]).await.unwrap();
            there.write_all(&[&b"$200\r\n"[..], &[b'y'; 200], b"\r\n+OK\r\n"].concat()).await.unwrap();
            there.read_exact(&mut sent[100..]).await.unwrap();
        };
        let (answers, ()) = tokio::join!(asking, answering);
        assert_eq!(answers, 2);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'*'), Just(b'$'), Just(b'-'), Just(b'1'), any::<u8>()], 0..60)) {
            if let Ok(Some(length)) = length(&bytes) {
                prop_assert!(length <= bytes.len());
                let _ = each(&bytes[..length]);
                let _ = refusal(&bytes[..length]);
            }
        }

        #[test]
        fn what_is_put_is_what_the_crate_writes(arguments in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..5)) {
            let mut command = Cmd::new();
            arguments.iter().for_each(|argument| _ = command.arg(&argument[..]));
            let mut out = Vec::new();
            put_count(arguments.len(), &mut out);
            arguments.iter().for_each(|argument| put(argument, &mut out));
            prop_assert_eq!(out, command.get_packed_command());
        }
    }
}
