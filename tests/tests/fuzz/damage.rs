//! Damage done to inputs that were right: bits, pieces, numbers, and parts of other inputs. The same seed does
//! the same damage.
//!
//! Not here: the inputs (see `decoders`).

use fastrand::Rng;

/// What breaks parsers of text: ends of ranges, escapes, brackets, what two readers understand differently.
const TOKENS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"1.0",
    b"1e309",
    b"9007199254740993",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"null",
    b"true",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[",
    b"}}",
    b",",
    b":",
    b"\\u0000",
    b"\\ud800",
    b"\\",
    b"\"",
    b"\n",
    b"\r\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"../",
    b"/",
    b"@",
    b"sha256:",
    b"spiffe://",
    b"9999-12-31T23:59:60Z",
    b"-0001-01-01T00:00:00Z",
    b"P1D",
    b"999999999999d",
    b"%00",
    b"__proto__",
    b"= ",
    b"'''",
    b"\"\"\"",
    b"[[hosts]]",
    b"#",
];

/// The most bytes of a damaged input.
const MAX_BYTES: usize = 64 * 1024;

/// A source of damage.
pub(crate) struct Damage(Rng);

impl Damage {
    /// The same damage for the same name.
    pub(crate) fn with_seed(name: &str) -> Self {
        let seed = name.bytes().fold(14_695_981_039_346_656_037_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
        });
        Self(Rng::with_seed(seed))
    }

    /// One of the seeds, damaged one to eight times.
    pub(crate) fn of(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.0.usize(..seeds.len())].clone();
        for _ in 0..self.0.usize(1..=8) {
            self.damage(&mut bytes, seeds);
        }
        bytes.truncate(MAX_BYTES);
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let (start, end) = self.piece(bytes);
        match self.0.u8(..10) {
            0 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte ^= 1 << self.0.u8(..8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte = self.0.u8(..);
                }
            }
            2 => drop(bytes.drain(start..end)),
            3 => bytes.truncate(start),
            4 => {
                let piece = bytes[start..end].to_vec();
                for _ in 0..self.0.usize(1..4) {
                    bytes.splice(start..start, piece.iter().copied());
                }
            }
            5 => {
                let piece = bytes[start..end].to_vec();
                let at = self.0.usize(..=bytes.len());
                bytes.splice(at..at, piece);
            }
            6 => {
                let other = &seeds[self.0.usize(..seeds.len())];
                let (from, to) = self.piece(other);
                bytes.splice(start..end, other[from..to].iter().copied());
            }
            7 => self.other_number(bytes, start),
            _ => {
                let token = TOKENS[self.0.usize(..TOKENS.len())];
                let end = if self.0.bool() { start } else { end };
                bytes.splice(start..end, token.iter().copied());
            }
        }
        bytes.truncate(MAX_BYTES);
    }

    /// A short range, most of the time.
    fn piece(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.0.usize(..=bytes.len());
        let longest = if self.0.u8(..4) == 0 { bytes.len() } else { 16 };
        let end = (start + self.0.usize(..=longest)).min(bytes.len());
        (start, end)
    }

    /// The next number becomes another one.
    fn other_number(&mut self, bytes: &mut Vec<u8>, from: usize) {
        let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|n| n + from)
        else {
            return;
        };
        let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = match self.0.u8(..3) {
            0 => self.0.u64(..).to_string(),
            1 => self.0.u8(..).to_string(),
            _ => "9".repeat(self.0.usize(1..40)),
        };
        bytes.splice(start..start + length, number.into_bytes());
    }
}
