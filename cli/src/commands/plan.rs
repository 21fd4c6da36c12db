//! `wavegate plan`.
//!
//! Not here: the plan itself (the control plane makes it), and its words (see [`crate::show::plan`]).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use wavegate_proto::wire::plan::PlanDocument;

use super::reading::{ReadArgs, block_on, unexpected};
use crate::exit::Failure;
use crate::release::publish;
use crate::show;

/// Arguments of `wavegate plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The release, signed
    dir: PathBuf,
    /// The connection and the output
    #[command(flatten)]
    read: ReadArgs,
}

pub(crate) fn run(args: &PlanArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let client = args.read.client()?;
    let posted = block_on(async { Ok(publish::plan(&args.dir, &client).await?) })?;
    if args.read.json {
        return Ok(writeln!(out, "{}", posted.answer)?);
    }
    let plan: PlanDocument = serde_json::from_value(posted.answer).map_err(unexpected)?;
    Ok(write!(out, "{}", show::plan::plan(&plan))?)
}
