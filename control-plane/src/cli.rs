//! The program: logs, signals, exit codes. stdout carries the listening lines and reports, nothing
//! else.
//!
//! Not here: the arguments (see [`crate::config`]), the parts (see [`crate::app`]).

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::app::{self, Running};
pub use crate::config::Args;
use crate::config::{CheckArgs, Command, RebuildArgs, ServeArgs, Settings};
use crate::exit::{Exit, Failure};
use crate::workers::release::check::check_state;
use crate::workers::release::rebuild::rebuild_state;

/// The variable that says what is logged, as `tracing` filters are written.
const LOG_VARIABLE: &str = "WAVEGATE_LOG";

/// What is logged when it is not set. Migrations of the database are told when they fail.
const DEFAULT_LOG: &str = "info,refinery_core=warn";

/// The longest a stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(25);

/// Runs the program.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    start_logging();
    let ended = match args.command {
        Command::Serve(args) => runtime().and_then(|runtime| {
            let ended = runtime.block_on(serve(&args));
            // Reads that run on other threads must not hold up the end.
            runtime.shutdown_timeout(Duration::from_secs(1));
            ended
        }),
        Command::Check(args) => runtime().and_then(|runtime| runtime.block_on(check(&args))),
        Command::Rebuild(args) => rebuild(&args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            report(&failure);
            failure.exit.into()
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("start: {error}")))
}

async fn serve(args: &ServeArgs) -> Result<Exit, Failure> {
    let settings = Settings::resolve(args)?;
    let mut signals = Signals::listen()?;
    let running = app::start(&settings).await?;
    announce(&running)?;
    let failure = loop {
        tokio::select! {
            failure = running.failed() => break Some(failure),
            received = signals.next() => match received {
                Received::Stop => break None,
                Received::Hangup => running.look_again(),
            },
        }
    };
    if let Some(failure) = failure {
        // Nothing in memory may be acknowledged any more: there is nothing to stop in order.
        return Err(failure);
    }
    tracing::info!("stopping");
    match tokio::time::timeout(STOP_PATIENCE, running.stop()).await {
        Ok(stopped) => stopped.map(|()| Exit::Clean),
        Err(_elapsed) => Err(Failure::new(Exit::Failed, "stop in time")),
    }
}

/// The signals that a service is sent (D8: not only Ctrl-C).
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

/// What a signal asks for.
enum Received {
    Stop,
    /// Look at the release source and the certificates now.
    Hangup,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|e| Failure::new(Exit::Failed, format!("listen for signals: {e}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received::Stop,
            _ = self.interrupt.recv() => Received::Stop,
            _ = self.hangup.recv() => Received::Hangup,
        }
    }
}

fn announce(running: &Running) -> Result<(), Failure> {
    let mut lines = format!("listening https://{}\n", running.https);
    if let Some(status) = running.status {
        lines.push_str(&format!("status http://{status}\n"));
    }
    print(&lines)
}

async fn check(args: &CheckArgs) -> Result<Exit, Failure> {
    let report = check_state(&args.state_dir, args.trust.as_deref()).await?;
    print(&report.text)?;
    Ok(if report.clean { Exit::Clean } else { Exit::Failed })
}

fn rebuild(args: &RebuildArgs) -> Result<Exit, Failure> {
    let report = rebuild_state(&args.state_dir, &args.into)?;
    print(&report.text)?;
    Ok(if report.clean { Exit::Clean } else { Exit::Failed })
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(Exit::Failed, format!("write to stdout: {error}")))
}

fn report(failure: &Failure) {
    let mut text = format!("error: failed to {failure}\n");
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // With stderr gone there is nobody to tell.
    let _nobody = std::io::stderr().write_all(text.as_bytes());
}

fn start_logging() {
    let filter =
        EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A program that embeds this one may log already.
    let _logs_already = subscriber.with_ansi(false).try_init();
}
