//! HTTP/1.1 as bytes: a client that sends exactly what it is told, for tests that need malformed requests and for
//! load that costs next to nothing.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

/// Writes a request with a body of that length, to `localhost` unless the headers name a host.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    if !names_host(headers) {
        bytes.extend_from_slice(b"host: localhost\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn names_host(headers: &[(&str, &str)]) -> bool {
    headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"))
}

/// One request on a connection of its own. The host is the address unless the headers name another.
pub async fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response> {
    let address = to.to_string();
    let own = [("host", address.as_str())];
    let headers = if names_host(headers) { headers.to_vec() } else { [&own, headers].concat() };
    Connection::open(to).await?.exchange(&request(method, path, &headers, body)).await
}

/// A connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(1024) })
    }

    /// Writes bytes and no more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a request and reads its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Response> {
        self.write(request).await?;
        self.read().await
    }

    /// Sends a request and gives the status of its answer; the rest of it is skipped.
    pub async fn status(&mut self, request: &[u8]) -> Result<u16> {
        self.write(request).await?;
        let (head, body) = self.message().await?;
        let status = status(&self.buffer)?;
        self.buffer.drain(..head + body);
        Ok(status)
    }

    /// Reads the next answer.
    pub async fn read(&mut self) -> Result<Response> {
        let (head, body) = self.message().await?;
        let text = String::from_utf8_lossy(&self.buffer[..head]).into_owned();
        let headers = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let response = Response {
            status: status(&self.buffer)?,
            headers,
            body: self.buffer[head..head + body].to_vec(),
        };
        self.buffer.drain(..head + body);
        Ok(response)
    }

    /// Reads until a whole message is in the buffer: the lengths of its head and of its body.
    async fn message(&mut self) -> Result<(usize, usize)> {
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                if status(&self.buffer)? >= 200 {
                    break end + 4;
                }
                self.buffer.drain(..end + 4);
            } else {
                self.more().await?;
            }
        };
        let body = content_length(&self.buffer[..head])?;
        while self.buffer.len() < head + body {
            self.more().await?;
        }
        Ok((head, body))
    }

    async fn more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the peer closed the connection")),
            _ => Ok(()),
        }
    }
}

fn status(head: &[u8]) -> Result<u16> {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| strange("no status line"))
}

/// A head without `content-length` has no body here: everything that is tested answers with a length.
fn content_length(head: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)));
    let Some(line) = line else { return Ok(0) };
    let value = std::str::from_utf8(&line[NAME.len()..]).map_err(|_| strange("content-length"))?;
    value.trim().parse().map_err(|_| strange("content-length"))
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the answer has a strange {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answered(bytes: &'static [u8]) -> Result<Response> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await?;
            stream.write_all(bytes).await
        });
        let response = send(address, "GET", "/", &[], b"").await;
        server.await??;
        response
    }

    #[tokio::test]
    async fn an_answer_is_read_with_its_headers_and_body() {
        let response = answered(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok").await;
        let response = response.expect("it answers");
        assert_eq!(
            (response.status, response.text().as_str(), response.header("x-a")),
            (202, "ok", Some("b"))
        );
    }

    #[tokio::test]
    async fn interim_answers_are_passed_over() {
        let response = answered(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 No\r\n\r\n").await;
        assert_eq!(response.expect("it answers").status, 413);
    }

    #[tokio::test]
    async fn a_closed_connection_is_an_error() {
        assert!(answered(b"HTTP/1.1 20").await.is_err());
    }
}
