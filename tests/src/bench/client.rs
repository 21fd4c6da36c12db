//! A keep-alive HTTP/1.1 connection over mTLS that costs as little as possible: what is measured is the
//! server.

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The most bytes of an answer that is kept.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// An open connection.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
    body_begins: usize,
}

/// An answer: its status, and where its body is.
#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    body_begins: usize,
    body_ends: usize,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, tls: Arc<ClientConfig>) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(tls).connect(name, stream).await?;
        Ok(Self { stream, received: Vec::with_capacity(4096), body_begins: 0 })
    }

    /// Whether the session is a new one.
    pub(super) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.stream.get_ref().1.handshake_kind()
    }

    /// Sends a whole request and returns the status of its answer.
    pub(super) async fn send(&mut self, request: &[u8]) -> Result<u16> {
        let head = self.exchange(request, true).await?;
        self.body_begins = head.body_begins;
        Ok(head.status)
    }

    /// Sends a whole request and lets the body of its answer pass: the status, and how many bytes it had.
    pub(super) async fn let_pass(&mut self, request: &[u8]) -> Result<(u16, usize)> {
        let head = self.exchange(request, false).await?;
        Ok((head.status, head.body_ends - head.body_begins))
    }

    async fn exchange(&mut self, request: &[u8], keeps_body: bool) -> Result<Head> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.received.clear();
        let (mut head, mut came) = (None, 0);
        loop {
            let read = self.stream.read_buf(&mut self.received).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            came += read;
            if head.is_none() {
                head = read_head(&self.received)?;
            }
            let Some(found) = head else { continue };
            let Head { body_begins, body_ends, .. } = found;
            if !keeps_body {
                self.received.clear();
            } else if body_ends - body_begins > MAX_ANSWER_BYTES {
                bail!("an answer of {} bytes", body_ends - body_begins);
            }
            match came.cmp(&body_ends) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(found),
                Ordering::Greater => bail!("more than one answer"),
            }
        }
    }

    /// The body of the last answer.
    pub(super) fn body(&self) -> &[u8] {
        &self.received[self.body_begins..]
    }
}

/// The head of an answer, once it is there as a whole.
fn read_head(received: &[u8]) -> Result<Option<Head>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)).context("a status line")?.parse()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.transpose()?.unwrap_or(0);
    Ok(Some(Head { status, body_begins: end + 4, body_ends: end + 4 + length }))
}

/// A whole request, ready to be sent.
pub(super) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nwavegate-protocol: 1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::read_head;

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        assert!(read_head(b"HTTP/1.1 200 OK\r\nContent-Len").unwrap().is_none());
        let whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}";
        let head = read_head(whole).unwrap().unwrap();
        assert_eq!((head.status, &whole[head.body_begins..head.body_ends]), (503, &b"{}"[..]));
        let empty = read_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!(empty.body_begins, empty.body_ends);
    }
}
