//! The `wavegate` binary: arguments in, exit code out.
//!
//! Not here: the commands (see [`wavegate::cli`]).

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use wavegate::cli::Cli;
use wavegate::exit::ExitReason;

fn main() -> ExitCode {
    wavegate::demo::die_with_parent();
    let cli = Cli::parse();
    // Not locked: a service writes to it from threads of its own.
    let mut stdout = io::stdout();
    let result = cli.run(&mut stdout).and_then(|code| {
        stdout.flush()?;
        Ok(code)
    });
    match result {
        Ok(code) => code,
        Err(failure) if failure.reason == ExitReason::ClosedPipe => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing can be done about a stderr that is gone.
            let _written = writeln!(io::stderr(), "{failure}");
            failure.reason.exit_code()
        }
    }
}
