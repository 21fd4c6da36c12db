//! `wavegate demo`: a whole fleet on this machine, told as a story. Real keys, real certificates,
//! separate processes over mTLS, files really changed, a control plane really killed.
//!
//! Reading order: [`story`] tells, [`scene`] has the folder and the releases, [`processes`] the
//! processes, [`view`] what is seen, [`picture`] what is compared.
//!
//! Not here: anything that only the demo can do; it uses what operators use.

mod picture;
mod processes;
mod scene;
mod story;
mod view;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::commands::reading::block_on;
use crate::exit::{ExitReason, Failure};
use scene::Scene;
use story::Story;
use view::View;

pub use processes::die_with_parent;

/// The most hosts the demo starts: each is a process.
const MAX_HOSTS: u32 = 200;

/// Arguments of `wavegate demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many hosts
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=i64::from(MAX_HOSTS)))]
    hosts: u32,
    /// Where everything is kept; a temporary folder when not given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave everything running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Which hosts are the canaries' successors, and in which order agents start
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Tells the story. The last line says whether all of it was observed.
///
/// # Errors
/// When something was not observed.
pub(crate) fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match told(args, out) {
        Ok(summary) => Ok(writeln!(out, "demo: ok ({summary})")?),
        Err(failure) => {
            writeln!(out, "demo: FAILED: {}", failure.message)?;
            let message = "the demo has not shown what it should";
            Err(Failure { message: message.to_owned(), reason: ExitReason::Refused, ..failure })
        }
    }
}

/// The summary of the story, when all of it was observed.
fn told(args: &DemoArgs, out: &mut dyn Write) -> Result<String, Failure> {
    let scene = Scene::prepare(args.dir.as_deref(), args.hosts, args.seed)?;
    block_on(async {
        let view = View::new(out);
        let mut story = Story::new(scene, view)?;
        let told = story.tell().await;
        if told.is_ok() && args.keep {
            story.keep().await?;
        }
        story.end(told.is_ok() && args.dir.is_none()).await;
        told
    })
}
