//! What the providers of hosts say. It is kept and shown, beside the silence of a host above all; nothing
//! is decided by it.
//!
//! What has changed is a row of the log. That the same was told again is none: scripts tell it every
//! minute (D6, docs/decisions/0080). A lost database forgets it, and the next script tells it again.
//!
//! Not here: asking a provider (see the operator's scripts), the words beside a silence (see
//! `wavegate_reconciler::gates`).

use std::collections::BTreeMap;

use wavegate_proto::ids::{HostName, LogSeq, PersonName};
use wavegate_proto::time::{Now, Timestamp};
use wavegate_proto::wire::problem::Problem;
use wavegate_proto::wire::provider::{Provider, ProviderSync};

use super::log::{Actor, Fact};
use super::payload::{ProviderChanged, logged};
use super::rows::{ProviderRow, ProviderSyncedRow, Write};
use super::verbs::Changed;
use super::{Answer, Core, Token};

impl Core {
    pub(super) fn sync_provider(
        &mut self,
        now: Now,
        host: HostName,
        sync: ProviderSync,
        by: PersonName,
        reply: Token,
    ) {
        match self.take_sync(now, &host, sync, by) {
            Ok(()) => self.verbs_done.push((reply, Changed::Host(host))),
            Err(problem) => self.reply(reply, Answer::Problem(problem)),
        }
    }

    fn take_sync(
        &mut self,
        now: Now,
        host: &HostName,
        sync: ProviderSync,
        by: PersonName,
    ) -> Result<(), Box<Problem>> {
        let known = self.expect_host(host)?.provider.as_deref();
        let known_id = known.and_then(|known| known.provider_id.clone());
        let said = ProviderChanged {
            provider_id: sync.provider_id.or(known_id),
            provider_state: sync.provider_state,
        };
        let is_known = known.is_some_and(|known| {
            known.provider_id == said.provider_id && known.provider_state == said.provider_state
        });
        if !is_known {
            let actor = Actor::Operator(by);
            let told_by = actor.to_string();
            let fact = Fact::own(now, "provider_changed", logged(&said)).by(actor);
            let log_seq = self.note(fact.on(host));
            self.set_provider(host, said, told_by, now.wall, log_seq);
        }
        self.set_synced(host, now.wall);
        self.write(Write::ProviderSynced(ProviderSyncedRow {
            host: host.clone(),
            last_sync: now.wall,
        }));
        Ok(())
    }

    /// What `provider_changed` changes.
    pub(super) fn set_provider(
        &mut self,
        host: &HostName,
        said: ProviderChanged,
        actor: String,
        since: Timestamp,
        log_seq: LogSeq,
    ) {
        let ProviderChanged { provider_id, provider_state } = said;
        let row =
            ProviderRow { host: host.clone(), provider_id, provider_state, actor, since, log_seq };
        if let Some(known) = self.fleet.hosts.get_mut(host) {
            known.provider = Some(Box::new(provider(row.clone())));
        }
        self.write(Write::Provider(row));
    }

    fn set_synced(&mut self, host: &HostName, at: Timestamp) {
        let known = self.fleet.hosts.get_mut(host).and_then(|known| known.provider.as_mut());
        if let Some(provider) = known {
            provider.last_sync = at;
        }
    }

    /// What was stored. When it was told last is not in the log: after a rebuild it is when it changed.
    pub(super) fn restore_providers(
        &mut self,
        now: Now,
        rows: Vec<ProviderRow>,
        synced: Vec<ProviderSyncedRow>,
    ) {
        let synced: BTreeMap<HostName, Timestamp> =
            synced.into_iter().map(|row| (row.host, row.last_sync)).collect();
        for row in rows {
            let last_sync = synced.get(&row.host).copied().unwrap_or(row.since).max(row.since);
            let host = row.host.clone();
            let told = Provider { last_sync, ..provider(row) };
            self.fleet.host_entry(&host, now.mono).provider = Some(Box::new(told));
        }
    }
}

/// What a row says, told last when it changed.
fn provider(row: ProviderRow) -> Provider {
    Provider {
        provider_id: row.provider_id,
        provider_state: row.provider_state,
        actor: row.actor,
        since: row.since,
        last_sync: row.since,
    }
}
