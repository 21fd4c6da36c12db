//! `wavegate import`.
//!
//! Not here: what is read and how the file is changed (see [`crate::import`]).

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use wavegate_proto::ids::ChannelName;

use super::reading::now;
use crate::exit::{ExitReason, Failure};
use crate::fleet_toml::source::FileError;
use crate::import::state::PrvngState;
use crate::import::{ImportError, Target, add_hosts};
use crate::init::quoted;
use crate::keys::file::replace;

/// What can be imported.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// The servers of an older JSON state file, as hosts of fleet.toml
    PrvngState(PrvngArgs),
}

/// Arguments of `wavegate import prvng-state`.
#[derive(Debug, Args)]
pub struct PrvngArgs {
    /// The state file
    file: PathBuf,
    /// The fleet file
    #[arg(long, value_name = "FILE", default_value = "fleet.toml")]
    fleet: PathBuf,
    /// The channel of the new hosts; by default the only one of the fleet
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
    /// Add them to the fleet file; without it they are only printed
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(command: &ImportCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        ImportCommand::PrvngState(args) => prvng_state(args, out),
    }
}

fn prvng_state(args: &PrvngArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let state = PrvngState::read(&args.file)?;
    let text = std::fs::read_to_string(&args.fleet)
        .map_err(|error| FileError::unreadable(&args.fleet, &error))?;
    let target = Target::read(&args.fleet, &text)?;
    let channel = target.channel(args.channel.as_ref())?;
    let changed = target.with_hosts(&channel, &state.servers, now())?;
    let fleet = quoted(&args.fleet.display().to_string());
    let hosts = match state.servers.len() {
        1 => "1 host".to_owned(),
        count => format!("{count} hosts"),
    };
    let added = add_hosts("", &channel, &state.servers)?;
    write!(out, "{added}{}", if added.is_empty() { "" } else { "\n" })?;
    writeln!(out, "from cluster {:?} as of {:?}", state.cluster, state.timestamp)?;
    if !state.other_sections.is_empty() {
        let sections: Vec<String> =
            state.other_sections.iter().map(|name| format!("{name:?}")).collect();
        writeln!(out, "not imported: the sections {} of its state", sections.join(", "))?;
    }
    if state.servers.is_empty() {
        return Ok(writeln!(out, "it has no servers: there is nothing to add to {fleet}")?);
    }
    if !args.write {
        writeln!(out, "{hosts} would be added to {fleet}; nothing has been written")?;
        let file = quoted(&args.file.display().to_string());
        let channel = args.channel.as_ref();
        let channel = channel.map_or_else(String::new, |name| format!(" --channel {name}"));
        return Ok(writeln!(
            out,
            "next: wavegate import prvng-state {file} --fleet {fleet}{channel} --write"
        )?);
    }
    replace(&args.fleet, changed.as_bytes())?;
    writeln!(out, "added {hosts} to {fleet}; each is unknown until its agent has spoken")?;
    Ok(writeln!(out, "next: wavegate release build {fleet} --out releases/imported")?)
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let nothing = || "nothing was written".to_owned();
        match error {
            ImportError::Files(errors) => errors.into(),
            ImportError::Build(error) => {
                let hint = "nothing was written; add them by hand, with what they lack";
                Self { hint: Some(hint.to_owned()), ..error.into() }
            }
            ImportError::NoChannel { ref hint, .. } => {
                Self { hint: hint.clone(), ..Self::usage(&error) }
            }
            ImportError::WhichChannel(_) => Self::usage(error).with_hint("say it with --channel"),
            ImportError::Existing(_) | ImportError::Unusual | ImportError::Toml(_) => {
                Self::new(ExitReason::Refused, error).with_hint(nothing())
            }
        }
    }
}
