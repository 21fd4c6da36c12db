//! The commands: who is asked, and how the answer is shown.
//!
//! Not here: doing it (see [`super::desk`]).

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use wavegate_proto::ids::ResourceId;

use super::{Answer, Request, SOCKET_FILE, desk, offline, show};
use crate::config::{HandArgs, HandSettings, ReconcileArgs, ResourceArgs};
use crate::exit::{Exit, Failure};

/// Shows how every resource differs from what it should be.
///
/// # Errors
/// Exit code 1 when something does, or when it cannot be found out.
pub fn drift(args: &HandArgs) -> Result<(), Failure> {
    let document = ask(args, &Request::Drift)?;
    print(args, &document, show::drift)?;
    if desk::has_drift(&document) {
        return Err(Failure::new(Exit::Failed, "find everything as it should be"));
    }
    Ok(())
}

/// Brings resources about, or shows what that would do.
///
/// # Errors
/// Exit code 1 when it failed, 2 for an unknown resource.
pub fn reconcile(args: &ReconcileArgs) -> Result<(), Failure> {
    let only = args.only.as_deref().map(id).transpose()?;
    let request = Request::Reconcile { only, dry_run: args.dry_run, identity: identity() };
    let document = ask(&args.hand, &request)?;
    if args.dry_run {
        return print(&args.hand, &document, show::plan);
    }
    print(&args.hand, &document, show::reconciled)?;
    match document["failure"]["detail"].as_str() {
        None => Ok(()),
        Some(detail) => Err(Failure::new(Exit::Failed, format!("reconcile: {detail}"))),
    }
}

/// Starts anew with a resource: its log, its failures, and the job it ran.
///
/// # Errors
/// Exit code 2 for an unknown resource.
pub fn reset(args: &ResourceArgs) -> Result<(), Failure> {
    let request = Request::Reset { id: id(&args.id)?, identity: identity() };
    let document = ask(&args.hand, &request)?;
    print(&args.hand, &document, show::reset)
}

/// Drops the record of a resource that is gone.
///
/// # Errors
/// Exit code 1 when it is not gone, 2 when it is unknown.
pub fn forget(args: &ResourceArgs) -> Result<(), Failure> {
    let document = ask(&args.hand, &Request::Forget { id: id(&args.id)? })?;
    print(&args.hand, &document, show::forgotten)
}

fn id(text: &str) -> Result<ResourceId, Failure> {
    ResourceId::new(text)
        .map_err(|error| Failure::new(Exit::Usage, format!("read the id: {error}")))
}

/// Who asks: the person behind `sudo`, the user, or nobody in particular.
fn identity() -> String {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let name = named("SUDO_USER").or_else(|| named("USER"));
    name.map_or_else(|| "system".to_owned(), |name| name.chars().take(64).collect())
}

fn ask(args: &HandArgs, request: &Request) -> Result<Value, Failure> {
    let settings = HandSettings::resolve(args)?;
    let failed = |e: io::Error| Failure::new(Exit::Failed, format!("ask the agent: {e}"));
    match connect(&settings.state_dir).map_err(failed)? {
        Some(stream) => converse(stream, request).map_err(failed)?.into_document(),
        None => offline::answer(&settings, request.clone())?.into_document(),
    }
}

/// A connection to the running agent; `None`: none runs.
fn connect(state_dir: &Path) -> io::Result<Option<UnixStream>> {
    let folder = match std::fs::File::open(state_dir) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // Through the open folder: the name of a socket has room for 107 bytes.
    let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", folder.as_raw_fd());
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused]
                .contains(&error.kind()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn converse(mut stream: UnixStream, request: &Request) -> io::Result<Answer> {
    stream.write_all(&serde_json::to_vec(request)?)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    if text.is_empty() {
        return Err(io::Error::other("it went away before it answered"));
    }
    Ok(serde_json::from_slice(&text)?)
}

fn print(args: &HandArgs, document: &Value, show: fn(&Value) -> String) -> Result<(), Failure> {
    let text = if args.json { format!("{document:#}\n") } else { show(document) };
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::new(Exit::Failed, error)),
    }
}
