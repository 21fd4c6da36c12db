//! `wavegate token`.
//!
//! Not here: what is in a token (`wavegate_proto::enroll`), who is let in (the control plane).

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use wavegate_proto::duration::parse_duration;
use wavegate_proto::enroll::claims::Confirmation;
use wavegate_proto::enroll::{Claims, HostPattern, MAX_TOKEN_LIFETIME_SECS, mint};
use wavegate_proto::ids::{EnrollNonce, HostName};

use super::reading::now;
use crate::exit::Failure;
use crate::keys::{file, host_key, release_key, token_id, trust};

/// The verbs of `wavegate token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Sign a token with which a host may join the fleet, and print it
    Mint(Box<MintArgs>),
}

/// Arguments of `wavegate token mint`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["host", "pattern"]))]
pub struct MintArgs {
    /// The host that may join
    #[arg(long, value_name = "NAME")]
    host: Option<HostName>,
    /// A further host: any one of them may join; may be repeated
    #[arg(long, value_name = "NAME", requires = "host")]
    any_of: Vec<HostName>,
    /// The hosts that may join, such as "web-*"; the fleet must allow it (`group_tokens = true` under `[enroll]`)
    #[arg(long, value_name = "PATTERN", requires = "count")]
    pattern: Option<HostPattern>,
    /// How many hosts may join with it
    #[arg(long, value_name = "N")]
    count: Option<u32>,
    /// For how long it counts, at most 7d
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    ttl: String,
    /// The public key that the host must have: PEM, or an OpenSSH line (ssh-ed25519 …)
    #[arg(long, value_name = "FILE")]
    bind: Option<PathBuf>,
    /// What the fleet asks for in mode strict (`nonce` under `[enroll]`)
    #[arg(long)]
    nonce: Option<EnrollNonce>,
    /// The enrollment key
    #[arg(long, value_name = "FILE", default_value = "keys/enroll.key")]
    key: PathBuf,
    /// The trust file that believes it
    #[arg(long, value_name = "FILE", default_value = "trust.json")]
    trust: PathBuf,
    /// Write the token to a new file that only its owner may read, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(command: &TokenCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        TokenCommand::Mint(args) => run_mint(args, out),
    }
}

fn run_mint(args: &MintArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (key, trust) = (release_key::read(&args.key)?, trust::read(&args.trust)?);
    if !trust.enroll_keys().iter().any(|known| known.key_id == key.key_id()) {
        let message = format!(
            "{} does not let hosts in with key {}: it is not under enroll.keys",
            args.trust.display(),
            key.key_id()
        );
        return Err(Failure::usage(message).with_hint(
            "give the enrollment key, not the release key, and the trust file of its fleet",
        ));
    }
    let ttl = parse_duration(&args.ttl).map_err(Failure::usage)?.as_secs();
    if ttl == 0 || ttl > MAX_TOKEN_LIFETIME_SECS {
        return Err(Failure::usage("--ttl must be 1s to 7d"));
    }
    let iat = now().unix_millis() / 1000;
    let cnf = match &args.bind {
        Some(path) => Some(Confirmation { jkt: host_key::read_public(path)?.thumbprint() }),
        None => None,
    };
    let (sub, any_of) = who(args);
    let claims = Claims {
        iss: trust.fleet.clone(),
        aud: trust.fleet,
        sub,
        any_of,
        pattern: args.pattern.clone(),
        count: args.count,
        iat,
        nbf: None,
        exp: iat.saturating_add_unsigned(ttl),
        jti: token_id::generate()?,
        nonce: args.nonce.clone(),
        cnf,
    };
    let token = mint(&claims, &key).map_err(Failure::usage)?;
    match &args.out {
        Some(path) => Ok(file::write_private(path, &format!("{token}\n"))?),
        None => Ok(writeln!(out, "{token}")?),
    }
}

/// One host, or one of several.
fn who(args: &MintArgs) -> (Option<HostName>, Option<Vec<HostName>>) {
    if args.any_of.is_empty() {
        return (args.host.clone(), None);
    }
    (None, Some(args.host.iter().chain(&args.any_of).cloned().collect()))
}
