//! `wavegate-cp`: the control plane as a program of its own.
//!
//! Not here: anything that `wavegate cp` does not do as well (see the library).

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    wavegate_control_plane::run(wavegate_control_plane::Args::parse())
}
