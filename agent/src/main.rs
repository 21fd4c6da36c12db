//! The binary `wavegate-agent`. Not here: everything it does (see the library).

use std::process::ExitCode;

use clap::Parser as _;
use wavegate_agent::cli::run_cli;
use wavegate_agent::config::AgentArgs;

fn main() -> ExitCode {
    run_cli(&AgentArgs::parse())
}
