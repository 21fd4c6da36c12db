//! `wavegate ca`.
//!
//! Not here: what is in a certificate (see [`crate::keys::ca`]).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, Subcommand};
use wavegate_proto::ids::{FleetName, HostName, PersonName};

use crate::exit::Failure;
use crate::keys::ca::intermediate::{INTERMEDIATE_DAYS, INTERMEDIATE_STEM, MAX_INTERMEDIATE_DAYS};
use crate::keys::ca::{CertificateAuthority, Role};

/// The verbs of `wavegate ca`.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make the fleet's certificate authority: ca.pem and ca.key
    Init {
        /// The folder, made when missing
        dir: PathBuf,
        /// The fleet's name
        #[arg(long)]
        fleet: FleetName,
    },
    /// Make the authority that the control plane issues certificates of hosts with: issuer.pem and issuer.key
    Intermediate {
        /// For how many days
        #[arg(long, default_value_t = INTERMEDIATE_DAYS,
            value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_INTERMEDIATE_DAYS)))]
        days: u32,
        /// Where the root and the new files are
        #[command(flatten)]
        place: Place,
    },
    /// Issue a certificate for a year
    #[command(subcommand)]
    Issue(IssueCommand),
}

/// Whom a certificate is for.
#[derive(Debug, Subcommand)]
pub enum IssueCommand {
    /// An agent
    Host {
        /// The host's name
        name: HostName,
        /// Where the authority and the certificate are
        #[command(flatten)]
        place: Place,
    },
    /// A person who may change things
    Operator {
        /// The person's name
        name: PersonName,
        /// Where the authority and the certificate are
        #[command(flatten)]
        place: Place,
    },
    /// A person who may look
    Viewer {
        /// The person's name
        name: PersonName,
        /// Where the authority and the certificate are
        #[command(flatten)]
        place: Place,
    },
    /// The control plane; localhost, 127.0.0.1 and ::1 are always among its names
    ControlPlane {
        /// A name or address it is reached by
        name: String,
        /// A further name or address; may be repeated
        #[arg(long = "server-name", value_name = "NAME|IP")]
        server_names: Vec<String>,
        /// Where the authority and the certificate are
        #[command(flatten)]
        place: Place,
    },
}

/// Where the authority is and where the certificate goes.
#[derive(Debug, Args)]
pub struct Place {
    /// The authority's folder
    #[arg(long, default_value = "ca", value_name = "DIR")]
    ca: PathBuf,
    /// The folder for certificate and key, made when missing
    #[arg(long, default_value = "certs", value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(command: &CaCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        CaCommand::Init { dir, fleet } => {
            std::fs::create_dir_all(dir)?;
            let authority = CertificateAuthority::generate(fleet.clone(), SystemTime::now())?;
            print_files(&authority.write(dir)?, out)
        }
        CaCommand::Intermediate { days, place } => {
            let issued =
                CertificateAuthority::read(&place.ca)?.intermediate(SystemTime::now(), *days)?;
            std::fs::create_dir_all(&place.out)?;
            print_files(&issued.write(&place.out, INTERMEDIATE_STEM)?, out)
        }
        CaCommand::Issue(IssueCommand::Host { name, place }) => {
            issue(&Role::Host(name.clone()), place, out)
        }
        CaCommand::Issue(IssueCommand::Operator { name, place }) => {
            issue(&Role::Operator(name.clone()), place, out)
        }
        CaCommand::Issue(IssueCommand::Viewer { name, place }) => {
            issue(&Role::Viewer(name.clone()), place, out)
        }
        CaCommand::Issue(IssueCommand::ControlPlane { name, server_names, place }) => {
            let names = [std::slice::from_ref(name), server_names].concat();
            issue(&Role::ControlPlane(names), place, out)
        }
    }
}

fn issue(role: &Role, place: &Place, out: &mut dyn Write) -> Result<(), Failure> {
    let authority = CertificateAuthority::read(&place.ca)?;
    let issued = authority.issue(role, SystemTime::now())?;
    std::fs::create_dir_all(&place.out)?;
    print_files(&issued.write(&place.out, &role.file_stem())?, out)
}

fn print_files(files: &[impl AsRef<Path>], out: &mut dyn Write) -> Result<(), Failure> {
    for file in files {
        writeln!(out, "{}", file.as_ref().display())?;
    }
    Ok(())
}
