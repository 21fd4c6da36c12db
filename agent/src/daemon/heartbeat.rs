//! Heartbeats: at the pace the control plane sets, within bounds (G2), whatever else is going on.

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use wavegate_proto::wire::agent::{HeartbeatAnswer, ResourceCounts};
use wavegate_proto::wire::resource::{Drift, ResourceState};
use wavegate_state_machine::agent::{AgentInput, HostFacts};

use super::contact::ContactLog;
use super::inbox::{HandedIn, Stopped};
use super::shell::{MAX_HEARTBEAT, MIN_HEARTBEAT, Shell};
use crate::client::Pace;
use crate::clock;

/// While waiting for another host, its news should come soon.
const AWAITING_INTERVAL: Duration = Duration::from_secs(5);

/// A heartbeat that should go out at once still keeps this distance from the last one.
const MIN_DISTANCE: Duration = Duration::from_millis(500);

/// Sends heartbeats until the agent stops.
pub(super) async fn run(shell: &Shell) -> Result<(), Stopped> {
    let (mut backoff, mut pace) = (shell.backoff(), Pace::default());
    let mut contact = ContactLog::new(shell);
    let mut handed_in: Option<HandedIn> = None;
    loop {
        let sent_at = Instant::now();
        let facts = match facts(shell) {
            Ok(facts) => facts,
            Err(error) => {
                // Silence is safer than a heartbeat that says "nothing of ours runs".
                tracing::error!(%error, "degraded: what runs is not known, no heartbeat sent");
                tokio::time::sleep(backoff.after_failure()).await;
                continue;
            }
        };
        let heartbeat = shell.inbox.heartbeat(facts).await?;
        let wait = match shell.control_plane.heartbeat(&heartbeat).await {
            Ok(answer) => {
                contact.reached(shell, &answer).await?;
                if let Some(own) = &shell.own {
                    tokio::task::block_in_place(|| own.prove());
                }
                let interval = take_interval(shell, &answer);
                shell.announced_trust.send_replace(answer.trust_version.unwrap_or(0));
                // While the disk is full nothing is decided, and heartbeats go on: one answer waits.
                if handed_in.as_mut().is_none_or(HandedIn::is_decided) {
                    let input = AgentInput::HeartbeatAnswered(answer);
                    handed_in = Some(shell.inbox.hand_in(input).await?);
                }
                backoff = shell.backoff();
                pace.after_answer(interval, fastrand::f64())
            }
            Err(error) => {
                contact.missed(shell, &error).await?;
                pace.missed();
                backoff.after_error(&error)
            }
        };
        let mut awaiting = shell.activator.awaiting();
        let is_awaiting = !awaiting.borrow().is_empty();
        let wait = if is_awaiting { wait.min(AWAITING_INTERVAL) } else { wait };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shell.heartbeat_now.notified() => {}
            Ok(_) = awaiting.wait_for(|list| !list.is_empty()), if !is_awaiting => {}
        }
        tokio::time::sleep_until(sent_at + MIN_DISTANCE).await;
    }
}

fn take_interval(shell: &Shell, answer: &HeartbeatAnswer) -> Duration {
    let asked = Duration::from_secs(answer.next_heartbeat_secs);
    let interval = asked.clamp(MIN_HEARTBEAT, MAX_HEARTBEAT);
    shell.pace.send_replace(interval);
    interval
}

fn facts(shell: &Shell) -> io::Result<HostFacts> {
    let current_closure = shell.activator.current()?;
    Ok(HostFacts {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_secs: clock::mono().millis() / 1000,
        trust_version: shell.trust().version(),
        current_closure,
        resources: counts(shell),
        awaiting: shell.activator.awaiting().borrow().clone(),
    })
}

fn counts(shell: &Shell) -> ResourceCounts {
    let mut counts = ResourceCounts::default();
    for tracked in shell.activator.statuses().snapshot().values() {
        let count = match tracked.status.status {
            ResourceState::Pending => &mut counts.pending,
            ResourceState::Running => &mut counts.running,
            ResourceState::Completed => &mut counts.completed,
            ResourceState::Failed => &mut counts.failed,
            ResourceState::Blocked => &mut counts.blocked,
            ResourceState::Unknown => &mut counts.unknown,
        };
        *count += 1;
        if tracked.status.drift.is_some_and(|drift| drift != Drift::Ok) {
            counts.drifted += 1;
        }
    }
    counts
}
