//! `kind = "shell-job"`: a program that runs once per content on this host.
//!
//! It runs only where the host's own configuration allows it. One that failed is tried again by the next
//! activation; one that was cut off is not (see `jobs`). Nothing undoes a job: taking it out of the
//! bundle leaves what it did, and its record.
//! Not here: how a program is run and bounded (see [`crate::process`]).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wavegate_proto::artifact::bundle::ShellJobSpec;
use wavegate_proto::ids::ResourceId;
use wavegate_proto::wire::resource::{Drift, Operation};

use super::difference::Difference;
use super::error::ResourceError;
use super::host::Host;
use super::jobs::{JobEnd, JobRecord};
use super::kind::{Kind, Observed, Removal, on_thread};
use super::owned::OwnedEntry;
use crate::process::{self, Ended, Program};

/// The most bytes of each output that go into the status, which is reported.
const REPORTED_BYTES: usize = 2048;

/// Whether the host's own configuration lets bundles run shell jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShellJobs {
    /// They may.
    Allowed,
    /// They may not.
    #[default]
    Refused,
}

impl ShellJobs {
    /// As a flag says it.
    #[must_use]
    pub fn allowed_if(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Refused }
    }
}

/// The kind.
#[derive(Debug)]
pub struct ShellJob;

impl Kind for ShellJob {
    type Spec = ShellJobSpec;

    async fn observe(host: Arc<Host>, spec: ShellJobSpec) -> Result<Observed, ResourceError> {
        let record = on_thread(move || host.jobs().get(&spec.content())).await?;
        Ok(observed(record.as_ref()))
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: ShellJobSpec,
    ) -> Result<Operation, ResourceError> {
        if host.shell_jobs() == ShellJobs::Refused {
            return Err(ResourceError::ShellJobsRefused { id });
        }
        let content = spec.content();
        let (on_host, begun) = (Arc::clone(&host), id.clone());
        let begun = on_thread(move || begin(&on_host, begun, &spec).map(|begun| (begun, spec)));
        let (Some((record, operation)), spec) = begun.await? else { return Ok(Operation::None) };
        tracing::warn!(resource = %id, argv = ?spec.argv, "shell job starts");
        let ended = run(&host, &spec).await;
        let result = ended.as_ref().map_or_else(Clone::clone, outcome);
        let on_host = Arc::clone(&host);
        on_thread(move || match ended {
            // It did not start, so it has not run.
            Err(_) => on_host.jobs().remove(&content),
            Ok(ended) => {
                on_host.note_change();
                on_host.jobs().put(&content, &finished(&on_host, record, ended))
            }
        })
        .await?;
        tracing::warn!(resource = %id, ?result, "shell job ended");
        match result {
            Outcome::Done => Ok(operation),
            Outcome::NotStarted { why } => Err(ResourceError::JobNotStarted { why }),
            Outcome::Failed { why } => Err(ResourceError::JobFailed { why }),
            Outcome::TimedOut => Err(ResourceError::JobTimedOut),
        }
    }

    async fn delete(_: Arc<Host>, _: OwnedEntry) -> Result<Removal, ResourceError> {
        Ok(Removal::LeftInPlace { why: "what a job did is not undone" })
    }
}

#[derive(Debug, Clone)]
enum Outcome {
    Done,
    NotStarted { why: String },
    Failed { why: String },
    TimedOut,
}

/// Writes down that the job starts; nothing when it has run well before.
fn begin(
    host: &Host,
    id: ResourceId,
    spec: &ShellJobSpec,
) -> Result<Option<(JobRecord, Operation)>, ResourceError> {
    let content = spec.content();
    let operation = match host.jobs().get(&content)? {
        None => Operation::Create,
        Some(JobRecord { end: Some(end), .. }) if end.exit_code == Some(0) => return Ok(None),
        Some(JobRecord { end: Some(_), .. }) => Operation::Update,
        Some(JobRecord { end: None, started_at, .. }) => {
            return Err(ResourceError::JobInterrupted { id, started_at });
        }
    };
    host.intend_change()?;
    let record = JobRecord::begun(id, host.now());
    host.jobs().put(&content, &record)?;
    Ok(Some((record, operation)))
}

async fn run(host: &Host, spec: &ShellJobSpec) -> Result<Ended, Outcome> {
    let program = Program {
        argv: &spec.argv,
        env: &spec.env,
        root: host.root().path(),
        user: None,
        timeout: Duration::from_secs(spec.timeout_secs),
        keep_bytes: usize::try_from(spec.output_bytes).unwrap_or(usize::MAX),
    };
    process::run(program).await.map_err(|error| Outcome::NotStarted { why: error.to_string() })
}

fn outcome(ended: &Ended) -> Outcome {
    match ended.status {
        Some(status) if status.success() => Outcome::Done,
        Some(status) => Outcome::Failed { why: format!("{status}: {}", ended.last_words()) },
        None => Outcome::TimedOut,
    }
}

fn finished(host: &Host, mut record: JobRecord, ended: Ended) -> JobRecord {
    let end = JobEnd {
        at: host.now(),
        exit_code: ended.status.and_then(|status| status.code()),
        timed_out: ended.status.is_none(),
        stdout_tail: ended.stdout,
        stderr_tail: ended.stderr,
    };
    record.end = Some(end);
    record
}

fn observed(record: Option<&JobRecord>) -> Observed {
    let Some(record) = record else { return Observed::missing() };
    let Some(end) = &record.end else {
        let is = "started, and nobody knows how it ended".to_owned();
        let differs = vec![Difference::new("run", Some(is), Some("ended with 0".to_owned()))];
        let detail = json!({ "started_at": record.started_at, "ended_at": Value::Null });
        return Observed { drift: Drift::Changed, detail, differs };
    };
    let detail = json!({
        "exit_code": end.exit_code,
        "stdout_tail": tail(&end.stdout_tail),
        "stderr_tail": tail(&end.stderr_tail),
        "started_at": record.started_at,
        "ended_at": end.at,
    });
    let ended = match (end.timed_out, end.exit_code) {
        (true, _) => "killed: its time was over".to_owned(),
        (false, Some(code)) => format!("ended with {code}"),
        (false, None) => "killed by a signal".to_owned(),
    };
    let differs = Difference::between("run", &ended, "ended with 0");
    Observed::compared(differs.into_iter().collect(), detail)
}

/// The end of a text.
fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(REPORTED_BYTES);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}
