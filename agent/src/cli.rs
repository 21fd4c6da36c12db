//! The entry of `wavegate-agent`, also for programs that embed it.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::client::install_crypto_provider;
use crate::config::{AgentArgs, AgentCommand, EnrollArgs, RunArgs, Settings};
use crate::exit::{Exit, Failure};
use crate::own_program::Supervised;
use crate::{daemon, enroll, inspect, local};

/// The variable that chooses what is logged, such as `debug` or `wavegate_agent=debug`.
const LOG_VARIABLE: &str = "WAVEGATE_LOG";

/// What is logged when it is not set. Migrations of the database are told when they fail.
const DEFAULT_LOG: &str = "info,refinery_core=warn";

const WORKER_THREADS: usize = 2;

/// Work that cannot be interrupted may take this long after the agent has stopped.
const LAST_WORK: Duration = Duration::from_secs(2);

/// Does what the command line says and returns the exit code. What goes wrong is said on stderr.
#[must_use]
pub fn run_cli(args: &AgentArgs) -> ExitCode {
    let done = match &args.command {
        AgentCommand::Run(args) => run(args),
        AgentCommand::Enroll(args) => enroll(args),
        AgentCommand::HostKey(args) => enroll::command::host_key(args),
        AgentCommand::Status(args) => inspect::status(args),
        AgentCommand::Resources(args) => inspect::resources(args),
        AgentCommand::Journal(args) => inspect::journal(args),
        AgentCommand::Explain(args) => inspect::explain(args),
        AgentCommand::Drift(args) => local::drift(args),
        AgentCommand::Reconcile(args) => local::reconcile(args),
        AgentCommand::Reset(args) => local::reset(args),
        AgentCommand::Forget(args) => local::forget(args),
    };
    match done {
        Ok(()) => Exit::Clean.into(),
        // It was said in the log, and nothing is wrong.
        Err(failure) if failure.exit == Exit::Replaced => failure.exit.into(),
        Err(failure) => {
            complain(&failure);
            failure.exit.into()
        }
    }
}

fn complain(failure: &Failure) {
    let mut stderr = io::stderr().lock();
    // Without a stderr there is nobody to tell.
    let _nobody = writeln!(stderr, "error: failed to {failure}");
    if let Some(hint) = &failure.hint {
        let _nobody = writeln!(stderr, "hint: {hint}");
    }
}

fn run(args: &RunArgs) -> Result<(), Failure> {
    let settings = Settings { supervised: Supervised::from_env(), ..Settings::resolve(args)? };
    start_log();
    install_crypto_provider();
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let done = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let asked = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
            asked.cancel();
        });
        daemon::run(&settings, stop).await
    });
    runtime.shutdown_timeout(LAST_WORK);
    done
}

fn enroll(args: &EnrollArgs) -> Result<(), Failure> {
    start_log();
    install_crypto_provider();
    runtime()?.block_on(enroll::command::enroll(args))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(failed)
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn failed(error: io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("start: {error}"))
}

fn start_log() {
    let filter =
        EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // A program that embeds the agent may log already.
    let _logs_already = subscriber.try_init();
}
