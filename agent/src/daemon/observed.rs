//! Reporting how resources change while they are worked on.

use tokio::sync::mpsc::UnboundedReceiver;
use wavegate_proto::event::Event;
use wavegate_proto::wire::resource::ResourceState;
use wavegate_state_machine::agent::AgentInput;

use super::inbox::Stopped;
use super::shell::Shell;
use crate::resources::status::StatusChange;

/// Reports until the agent stops. What only passes through (pending, running) is not journaled.
pub(super) async fn run(
    shell: &Shell,
    mut changes: UnboundedReceiver<StatusChange>,
) -> Result<(), Stopped> {
    while let Some(StatusChange { id, kind, status }) = changes.recv().await {
        match status.status {
            ResourceState::Pending | ResourceState::Running => continue,
            ResourceState::Completed
            | ResourceState::Failed
            | ResourceState::Blocked
            | ResourceState::Unknown => {}
        }
        let event = Event::ResourceChanged { id, resource_kind: kind, status: Box::new(status) };
        shell.inbox.tell(AgentInput::ResourceObserved { event }).await?;
    }
    Ok(())
}
