//! Following the trust file: when the control plane says that it has a newer version, the next versions are
//! fetched, verified one by one, and kept. What is not the next version, or not signed by enough keys, is
//! refused and said so; the version that holds stays.
//!
//! Not here: which version follows which (see `wavegate_proto::trust`).

use std::sync::Arc;

use wavegate_proto::trust::chain::{Followed, TrustChain};
use wavegate_proto::wire::trust::MAX_TRUST_STEPS;

use super::inbox::Stopped;
use super::shell::Shell;

/// Follows until the agent stops.
pub(super) async fn run(shell: &Shell) -> Result<(), Stopped> {
    let mut announced = shell.announced_trust.subscribe();
    let mut backoff = shell.backoff();
    loop {
        let holds = shell.trust().version();
        announced.wait_for(|version| *version > holds).await.map_err(|_| Stopped)?;
        match shell.control_plane.trust_after(holds).await {
            Ok(answer) => {
                backoff = shell.backoff();
                follow(shell, &answer.items).await?;
                if shell.trust().version() > holds {
                    continue;
                }
                if answer.items.is_empty() {
                    tracing::warn!(
                        holds,
                        announced = answer.current,
                        "the control plane does not have the next version of the trust file"
                    );
                }
                // Asked again when the next heartbeat announces it again.
                shell.announced_trust.send_replace(0);
            }
            Err(error) => {
                tracing::warn!(%error, "the trust file cannot be followed");
                shell.pause(backoff.after_error(&error)).await;
            }
        }
    }
}

/// Takes the versions one by one; a bounded number, whatever was sent.
async fn follow(
    shell: &Shell,
    items: &[wavegate_proto::trust::rotation::SignedTrust],
) -> Result<(), Stopped> {
    for offered in items.iter().take(MAX_TRUST_STEPS) {
        let mut chain = TrustChain::clone(&shell.trust());
        match chain.follow(offered) {
            Ok(Followed::Known) => {}
            Ok(Followed::New) => {
                // Durable before anything is believed by it.
                shell.inbox.keep_trust(chain.current().clone()).await?;
                let (version, threshold) = (chain.version(), chain.trust().release.threshold);
                tracing::info!(version, threshold, "the trust file has been rotated");
                shell.trust.send_replace(Arc::new(chain));
            }
            Err(error) => {
                let (holds, code) = (chain.version(), error.code());
                tracing::error!(holds, %code, %error, "a version of the trust file is refused");
                return Ok(());
            }
        }
    }
    Ok(())
}
