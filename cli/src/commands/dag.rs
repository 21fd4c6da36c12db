//! `wavegate dag`.
//!
//! Not here: what waits for what (see [`crate::dag`]).

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use wavegate_proto::ids::HostName;

use super::reading::now;
use crate::bundle_toml::SecretsPolicy;
use crate::dag::{Dag, DagError, draw};
use crate::exit::{ExitReason, Failure};
use crate::fleet_toml::FleetFile;
use crate::release::{self, BuildOptions};

/// The verbs of `wavegate dag`.
#[derive(Debug, Subcommand)]
pub enum DagCommand {
    /// Print what waits for what, in the order in which it starts
    Show {
        /// What to look at
        #[command(flatten)]
        of: OfArgs,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Check that all waiting can end: unknown names, cycles, also across hosts
    Validate {
        /// What to look at
        #[command(flatten)]
        of: OfArgs,
        /// Print the counts as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print it for another program
    Export {
        /// What to look at
        #[command(flatten)]
        of: OfArgs,
        /// In which language
        #[arg(long, value_enum, default_value_t = Format::Json)]
        format: Format,
    },
}

/// What to look at.
#[derive(Debug, Args)]
pub struct OfArgs {
    /// The fleet file
    #[arg(default_value = "fleet.toml")]
    fleet_toml: PathBuf,
    /// Only this host
    #[arg(long, value_name = "NAME")]
    host: Option<HostName>,
}

/// A language for graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As `dag show` prints it
    Text,
    /// Hosts with their resources
    Json,
    /// For Graphviz
    Dot,
    /// For pages that draw Mermaid
    Mermaid,
}

pub(crate) fn run(command: &DagCommand, out: &mut dyn Write) -> Result<(), Failure> {
    let (of, format) = match command {
        DagCommand::Show { of, json } => (of, if *json { Format::Json } else { Format::Text }),
        DagCommand::Export { of, format } => (of, *format),
        DagCommand::Validate { of, json } => return validate(of, *json, out),
    };
    let dag = read(of)?;
    Ok(match format {
        Format::Text => write!(out, "{}", draw::text(&dag)),
        Format::Json => writeln!(out, "{}", serde_json::to_string(&dag)?),
        Format::Dot => write!(out, "{}", draw::dot(&dag)),
        Format::Mermaid => write!(out, "{}", draw::mermaid(&dag)),
    }?)
}

fn validate(of: &OfArgs, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let counts = read(of)?.counts();
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&counts)?)?);
    }
    Ok(writeln!(
        out,
        "all waiting can end: {} hosts, {} resources, {} dependencies, {} across hosts, {} host edges",
        counts.hosts, counts.resources, counts.dependencies, counts.across_hosts, counts.host_edges
    )?)
}

/// A release is built in memory: its checks are those of `release build`. Secrets stay where they are.
fn read(of: &OfArgs) -> Result<Dag, Failure> {
    let file = FleetFile::load(&of.fleet_toml, SecretsPolicy::Allow)?;
    let options = BuildOptions { signed_at: now(), ..BuildOptions::default() };
    let dag = Dag::of(&release::build(&file, &options)?)?;
    Ok(match &of.host {
        None => dag,
        Some(host) => dag.only(host)?,
    })
}

impl From<DagError> for Failure {
    fn from(error: DagError) -> Self {
        Self::new(ExitReason::Usage, error)
    }
}
