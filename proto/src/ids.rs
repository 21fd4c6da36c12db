//! Names and numbers that identify things. Each is checked where it enters; a value of one of
//! these types is always well formed.
//!
//! Not here: what a name refers to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: {text:?} ({rule})")]
pub struct NameError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

impl NameError {
    fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        Self { kind, text: text.chars().take(80).collect(), rule }
    }
}

/// Keeps a name that is known already once in memory; another name stays what it is.
pub fn share<T: Clone + PartialEq>(name: &mut T, known: &T) {
    if name == known {
        name.clone_from(known);
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks that `text` is a ", $kind, ": ", $rule, ".")]
            ///
            /// # Errors
            /// When it is not.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(NameError::new($kind, text, $rule)) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        text_serde!($name);
    };
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_dns_label(text: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let outer = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(inner)
        && bytes.first().is_some_and(outer)
        && bytes.last().is_some_and(outer)
}

fn starts_then(text: &str, max: usize, first: fn(u8) -> bool, rest: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    (1..=max).contains(&bytes.len()) && first(bytes[0]) && bytes[1..].iter().all(|b| rest(*b))
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

fn is_item_name(text: &str) -> bool {
    starts_then(text, 64, lower_alnum, |b| lower_alnum(b) || matches!(b, b'.' | b'_' | b'-'))
}

name!(
    /// The name of a host: a DNS label, bound to its certificate.
    HostName, "host name", "a DNS label: 1 to 63 of a-z, 0-9 and -, no - at either end", is_dns_label
);
name!(
    /// The name of a fleet; the SPIFFE trust domain of its certificates.
    FleetName, "fleet name", "a DNS label: 1 to 63 of a-z, 0-9 and -, no - at either end", is_dns_label
);
name!(
    /// The name of an operator or viewer, as in their certificate.
    PersonName, "operator name", "a DNS label: 1 to 63 of a-z, 0-9 and -, no - at either end", is_dns_label
);
name!(
    /// The name of a channel.
    ChannelName, "channel name", "1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit",
    |t| starts_then(t, 63, lower_alnum, |b| lower_alnum(b) || matches!(b, b'_' | b'-'))
);
name!(
    /// The name of an IANA time zone, such as `Europe/Berlin`. Whether there is one of that name is
    /// judged by who has the time zone database.
    ZoneName, "time zone", "the name of an IANA time zone such as Europe/Berlin",
    |t| starts_then(t, 64, |b| b.is_ascii_alphabetic(),
        |b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'+' | b'-'))
);
name!(
    /// A release's name on one channel.
    Ref, "ref", "1 to 128 of letters, digits and . _ + -, beginning with a letter or digit",
    |t| starts_then(t, 128, |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'))
);
name!(
    /// The name of a disruption budget.
    BudgetId, "budget id", "1 to 64 of a-z, 0-9 and . _ -, beginning with a letter or digit", is_item_name
);
name!(
    /// The name of a resource in a bundle.
    ResourceId, "resource id", "1 to 64 of a-z, 0-9 and . _ -, beginning with a letter or digit", is_item_name
);
name!(
    /// The name of a probe.
    ProbeName, "probe name", "1 to 64 of a-z, 0-9 and . _ -, beginning with a letter or digit", is_item_name
);
name!(
    /// The name of a wave.
    WaveName, "wave name", "1 to 64 of a-z, 0-9 and . _ -, beginning with a letter or digit", is_item_name
);
name!(
    /// The first 16 hex digits of the SHA-256 of a raw Ed25519 public key.
    KeyId, "key id", "16 lower-case hex digits",
    |t| t.len() == 16 && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
);
name!(
    /// What tells an enrollment token from every other.
    TokenId, "token id", "1 to 64 of letters, digits, _ and -",
    |t| starts_then(t, 64, is_base64url, is_base64url)
);
name!(
    /// What the signed fleet document may ask enrollment tokens to carry.
    EnrollNonce, "enrollment nonce", "1 to 64 of letters, digits, _ and -",
    |t| starts_then(t, 64, is_base64url, is_base64url)
);
name!(
    /// The thumbprint of a public key (RFC 7638, SHA-256), base64url without padding.
    KeyThumbprint, "key thumbprint", "43 of letters, digits, _ and -",
    |t| t.len() == 43 && t.bytes().all(is_base64url)
);

name!(
    /// A machine's name with its provider, such as `i-0abc` or `aws:///eu-central-1a/i-0abc`.
    ProviderId, "provider id", "1 to 256 printable ASCII characters without spaces",
    |t| starts_then(t, 256, |b| b.is_ascii_graphic(), |b| b.is_ascii_graphic())
);

/// A SHA-256 hash, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sha256Hash(pub [u8; 32]);

impl Sha256Hash {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash of `parts`, one after the other.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Hash {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("SHA-256 hash", text, "64 lower-case hex digits");
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(error());
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| error())?;
        Ok(Self(hash))
    }
}

text_serde!(Sha256Hash);

/// A blob by its hash, written `sha256:<64 hex digits>`; its file name is `sha256-<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub Sha256Hash);

impl BlobId {
    /// The id of a blob with this content.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256Hash::of(bytes))
    }

    /// The name of the file that holds it: `sha256-<hex>`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("sha256-{}", self.0)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("blob id", text, "sha256: and 64 lower-case hex digits");
        let hex = text.strip_prefix("sha256:").ok_or_else(error)?;
        hex.parse().map(Self).map_err(|_| error())
    }
}

text_serde!(BlobId);

/// The content-addressed whole of what a host should run.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClosureId {
    /// A bundle document by its hash, `sha256:<hex>`.
    Bundle(BlobId),
    /// A NixOS system by its store path, `/nix/store/<32>-<name>`.
    StorePath(Arc<str>),
}

impl ClosureId {
    /// The blob of a bundle; `None` for a store path.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        match self {
            Self::Bundle(blob) => Some(*blob),
            Self::StorePath(_) => None,
        }
    }
}

/// G28: nothing but one path segment below `/nix/store/`.
fn is_store_path(text: &str) -> bool {
    let Some((hash, name)) = text.strip_prefix("/nix/store/").and_then(|t| t.split_once('-'))
    else {
        return false;
    };
    let name_byte =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'_' | b'?' | b'=' | b'-');
    hash.len() == 32
        && hash.bytes().all(lower_alnum)
        && (1..=207).contains(&name.len())
        && name.bytes().all(name_byte)
}

impl fmt::Display for ClosureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(blob) => fmt::Display::fmt(blob, f),
            Self::StorePath(path) => f.write_str(path),
        }
    }
}

impl fmt::Debug for ClosureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClosureId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_store_path(text) {
            return Ok(Self::StorePath(text.into()));
        }
        text.parse().map(Self::Bundle).map_err(|_| {
            NameError::new(
                "closure",
                text,
                "sha256: and 64 lower-case hex digits, or a /nix/store path",
            )
        })
    }
}

text_serde!(ClosureId);

/// One ref going out on one channel, written `{channel}@{ref}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolloutId {
    /// The channel it goes out on.
    pub channel: ChannelName,
    /// What goes out.
    pub reference: Ref,
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.channel, self.reference)
    }
}

impl fmt::Debug for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RolloutId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError::new("rollout id", text, "a channel name, @ and a ref");
        let (channel, reference) = text.split_once('@').ok_or_else(error)?;
        Ok(Self {
            channel: channel.parse().map_err(|_| error())?,
            reference: reference.parse().map_err(|_| error())?,
        })
    }
}

text_serde!(RolloutId);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub uuid::Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let error = || NameError::new($kind, text, "a lower-case UUID");
                let id = uuid::Uuid::try_parse(text).map_err(|_| error())?;
                if id.hyphenated().to_string() == text { Ok(Self(id)) } else { Err(error()) }
            }
        }

        text_serde!($name);
    };
}

uuid_id!(
    /// Identifies one journal of one host for one rollout.
    JournalId, "journal id"
);
uuid_id!(
    /// Made with the control-plane database; a new one tells agents that the database is new.
    CpEpoch, "cp epoch"
);
uuid_id!(
    /// Identifies one boot of a host.
    BootId, "boot id"
);

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

number!(
    /// The position of an event in its journal, from 1 without gaps; 0 means none yet.
    Seq, u64
);
number!(
    /// The position of a row in the control plane's log, from 1 without gaps; 0 means none yet.
    LogSeq, u64
);
number!(
    /// A release's serial number; it only rises.
    Serial, u64
);
number!(
    /// Counts the dispatches of one host in one rollout, from 1; 0 means none yet.
    Attempt, u32
);
number!(
    /// The position of a wave in its rollout, from 0.
    WaveIndex, u32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["web-01", "a", "0", &"a".repeat(63)] {
            assert!(HostName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "../x", "a\n", &"a".repeat(64)] {
            assert!(HostName::new(bad).is_err(), "{bad}");
        }
        assert!("stable@r42".parse::<RolloutId>().is_ok());
        for bad in ["stable", "@r", "stable@", "stable@../r", "sta ble@r", "stable@r/../x"] {
            assert!(bad.parse::<RolloutId>().is_err(), "{bad}");
        }
    }

    /// E14: two channels that share a ref do not share a rollout id.
    #[test]
    fn e14_rollout_ids_name_their_channel() {
        let edge: RolloutId = "edge@r42".parse().unwrap();
        let stable: RolloutId = "stable@r42".parse().unwrap();
        assert_eq!(edge.reference, stable.reference);
        assert_ne!(edge, stable);
    }

    /// G28 and S8: a closure id is a hash or one store path, never a way to another file.
    #[test]
    fn g28_s8_closure_ids_name_no_other_path() {
        let hash = "0".repeat(64);
        let store = format!("/nix/store/{}-nixos-system-1.0", "a".repeat(32));
        for good in [format!("sha256:{hash}"), store.clone()] {
            assert_eq!(good.parse::<ClosureId>().unwrap().to_string(), good);
        }
        for bad in [
            hash.clone(),
            format!("sha256:{}", "0".repeat(63)),
            format!("sha256:{}", "A".repeat(64)),
            format!("sha256:../{hash}"),
            format!("{store}/etc/shadow"),
            format!("{store}/.."),
            format!("/nix/store/../{}", "a".repeat(40)),
            "/nix/store/".to_owned(),
            "/etc/passwd".to_owned(),
        ] {
            assert!(bad.parse::<ClosureId>().is_err(), "{bad}");
        }
    }
}
