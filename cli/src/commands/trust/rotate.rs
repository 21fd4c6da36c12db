//! The verbs that make the next version of a trust file.
//!
//! Not here: what a version must hold (see [`crate::keys::rotation`]).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use wavegate_proto::ids::KeyId;
use wavegate_proto::signing::PublicKey;
use wavegate_proto::time::Timestamp;
use wavegate_proto::trust::TrustedKey;

use super::super::reading::now;
use crate::exit::{ExitReason, Failure};
use crate::keys::file::read_text;
use crate::keys::release_key;
use crate::keys::rotation::{self, Change, RotateError, trusted_key};
use crate::show;

/// What all of them share: the current version, and where the next one goes.
#[derive(Debug, Args)]
struct NextArgs {
    /// The current version
    #[arg(default_value = "trust.json")]
    file: PathBuf,
    /// The next version; by default `trust-<version>.json` beside the current one
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Sign it with this key; may be repeated. Others sign with `wavegate trust sign`
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// The time of signing, RFC 3339 in UTC; by default now
    #[arg(long, value_name = "TIME")]
    signed_at: Option<Timestamp>,
}

/// Arguments of `wavegate trust rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    next: NextArgs,
    /// A public key that comes in, as `wavegate key id` prints it; may be repeated
    #[arg(long, value_name = "PUBLIC KEY")]
    add: Vec<PublicKey>,
    /// The id of a key that goes; may be repeated
    #[arg(long, value_name = "KEY ID")]
    remove: Vec<KeyId>,
    /// How many keys must sign
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// The kill switch: nothing that was signed before this counts any more. It never moves back
    #[arg(long, value_name = "TIME")]
    reject_signed_before: Option<Timestamp>,
    /// The fleet's authorities from now on (PEM); may be repeated
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// A public key whose tokens let hosts in from now on; may be repeated
    #[arg(long, value_name = "PUBLIC KEY")]
    add_enroll: Vec<PublicKey>,
    /// The id of a key whose tokens let nobody in any more; may be repeated
    #[arg(long, value_name = "KEY ID")]
    remove_enroll: Vec<KeyId>,
}

/// Arguments of `wavegate trust add-key`.
#[derive(Debug, Args)]
pub struct AddKeyArgs {
    /// The public key, as `wavegate key id` prints it
    public_key: PublicKey,
    #[command(flatten)]
    next: NextArgs,
    /// Its signatures count from then on
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    /// Its signatures count until then
    #[arg(long, value_name = "TIME")]
    not_after: Option<Timestamp>,
}

/// Arguments of `wavegate trust remove-key`.
#[derive(Debug, Args)]
pub struct RemoveKeyArgs {
    /// The key's id
    key_id: KeyId,
    #[command(flatten)]
    next: NextArgs,
}

/// Arguments of `wavegate trust set-threshold`.
#[derive(Debug, Args)]
pub struct SetThresholdArgs {
    /// How many keys must sign
    threshold: u32,
    #[command(flatten)]
    next: NextArgs,
}

impl RotateArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let authorities: Result<Vec<String>, _> =
            self.ca.iter().map(|path| read_text(path)).collect();
        let authorities = authorities?;
        let change = Change {
            add: self.add.iter().cloned().map(TrustedKey::new).collect(),
            remove: self.remove.clone(),
            threshold: self.threshold,
            reject_signed_before: self.reject_signed_before,
            ca_pem: Some(authorities).filter(|authorities| !authorities.is_empty()),
            add_enroll: self.add_enroll.iter().cloned().map(TrustedKey::new).collect(),
            remove_enroll: self.remove_enroll.clone(),
        };
        self.next.make(change, out)
    }
}

impl AddKeyArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let key = trusted_key(self.public_key.clone(), self.not_before, self.not_after);
        self.next.make(Change { add: vec![key], ..Change::default() }, out)
    }
}

impl RemoveKeyArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        self.next.make(Change { remove: vec![self.key_id.clone()], ..Change::default() }, out)
    }
}

impl SetThresholdArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        self.next.make(Change { threshold: Some(self.threshold), ..Change::default() }, out)
    }
}

impl NextArgs {
    /// Writes the next version, signs it, and says who else must.
    fn make(&self, change: Change, out: &mut dyn Write) -> Result<(), Failure> {
        let current = rotation::read(&self.file)?.read()?;
        let next = rotation::next(&current, change, self.signed_at.unwrap_or_else(now))
            .map_err(refused)?;
        let path = self.out.clone().unwrap_or_else(|| beside(&self.file, next.version));
        // Read before anything is written.
        let keys: Result<Vec<_>, _> = self.key.iter().map(|key| release_key::read(key)).collect();
        let keys = keys?;
        rotation::write(&next, &path)?;
        for key in &keys {
            rotation::sign(&path, key)?;
        }
        let signed = rotation::read(&path)?;
        let (before, own) =
            (rotation::standing(&signed, &current)?, rotation::standing(&signed, &next)?);
        writeln!(out, "wrote {}: trust version {}", path.display(), next.version)?;
        Ok(write!(out, "{}{}", show::keys::standing(&before), show::keys::standing(&own))?)
    }
}

fn beside(file: &Path, version: u64) -> PathBuf {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("trust");
    // `trust-2.json` is followed by `trust-3.json`.
    let stem = match stem.rsplit_once('-') {
        Some((stem, number)) if number.parse::<u64>().is_ok() => stem,
        Some(_) | None => stem,
    };
    file.with_file_name(format!("{stem}-{version}.json"))
}

fn refused(error: RotateError) -> Failure {
    let hint = match &error {
        RotateError::NoKey(_) => Some("`wavegate trust show` prints the keys"),
        RotateError::Next(_) => Some("a threshold needs as many keys; change both in one `rotate`"),
        RotateError::File(_)
        | RotateError::Trust { .. }
        | RotateError::Signatures { .. }
        | RotateError::CutOff { .. }
        | RotateError::Json(_) => None,
    };
    let failure = Failure::new(ExitReason::Refused, error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
