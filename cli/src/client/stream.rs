//! Server-sent events as a control plane sends them: one line of data each, with the id to resume from.
//!
//! Not here: what is done when a stream ends (see [`crate::commands::events`]).

use std::time::Duration;

use reqwest::Response;

use super::ClientError;

/// A stream is quiet for 15 s at most; after this long nobody is there any more.
const SILENCE: Duration = Duration::from_secs(45);

/// The longest line, in bytes: a row of the log with a header in it stays far below.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// A stream that is being read.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    lines: Lines,
}

impl EventStream {
    pub(super) fn new(response: Response) -> Self {
        Self { response, lines: Lines::default() }
    }

    /// The data of the next event; `None`: the stream has ended.
    ///
    /// # Errors
    /// When the connection breaks off, or what comes is no stream.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            while let Some(line) = self.lines.pop() {
                if let Some(data) = line.strip_prefix("data:") {
                    return Ok(Some(data.strip_prefix(' ').unwrap_or(data).to_owned()));
                }
            }
            let url = self.response.url().to_string();
            if self.lines.unfinished.len() > MAX_LINE_BYTES {
                return Err(ClientError::Answer {
                    url,
                    reason: "a line without an end".to_owned(),
                });
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.lines.push(&chunk),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(ClientError::transport(&url, &error)),
                Err(_elapsed) => {
                    let reason = "the stream has fallen silent".to_owned();
                    return Err(ClientError::Unreachable { url, reason });
                }
            }
        }
    }
}

/// Bytes as they come, cut into lines.
#[derive(Debug, Default)]
struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.unfinished.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    fn pop(&mut self) -> Option<String> {
        let end = self.unfinished.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.unfinished.drain(..=end).collect();
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_were_cut_on_the_way() {
        let mut lines = Lines::default();
        // In the middle of a letter.
        let (first, second) = "data: fünf\r\n:\n\nid".as_bytes().split_at(8);
        lines.push(first);
        assert_eq!(lines.pop(), None);
        lines.push(second);
        let popped: Vec<String> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(popped, ["data: fünf", ":", ""]);
        assert_eq!(lines.unfinished, b"id");
    }
}
