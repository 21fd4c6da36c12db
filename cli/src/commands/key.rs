//! `wavegate key`.
//!
//! Not here: making and reading keys (see [`crate::keys::release_key`]).

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use crate::exit::Failure;
use crate::keys::release_key;

/// The verbs of `wavegate key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a release key (mode 0600) and print its id
    New {
        /// The new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the id and the public key of a release key
    Id {
        /// The key's file
        file: PathBuf,
    },
}

pub(crate) fn run(command: &KeyCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        KeyCommand::New { out: path } => {
            let key = release_key::generate()?;
            release_key::write(&key, path)?;
            Ok(writeln!(out, "{}", key.key_id())?)
        }
        KeyCommand::Id { file } => {
            let key = release_key::read(file)?;
            Ok(writeln!(out, "{} {}", key.key_id(), key.public_key_base64())?)
        }
    }
}
