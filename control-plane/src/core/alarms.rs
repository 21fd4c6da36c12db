//! What a heartbeat says of the machine it comes from and is no business of rollouts: two machines with one
//! certificate, a clock that is off. Each is noted when it begins and when it ends.
//!
//! Not here: who is held for it (see `wavegate_reconciler::gates`).

use serde_json::json;
use wavegate_proto::ids::HostName;
use wavegate_proto::time::Now;
use wavegate_proto::time_floor::CLOCK_TOLERANCE_SECS;
use wavegate_proto::wire::agent::Heartbeat;
use wavegate_proto::wire::operator::Alarms;
use wavegate_proto::wire::problem::{Problem, ProblemCode};
use wavegate_reconciler::fleet::boots::BootNews;
use wavegate_reconciler::fleet::host::Host;

use super::Core;
use super::log::Fact;
use super::output::refuse;

/// A clock that comes and goes is noted at most once in so many seconds for each host.
const SKEW_NOTED_SECS: u64 = 3600;

impl Core {
    /// Which machine speaks (A12, G15). While two do, neither is dispatched and neither may change the
    /// record: what they say is not comparable.
    pub(super) fn hear_boot(&mut self, now: Now, name: &HostName, heartbeat: &Heartbeat) {
        let ordinary_secs = self.config.heartbeat_secs;
        let Some(host) = self.fleet.hosts.get_mut(name) else { return };
        let heartbeat_secs = host.liveness.told_heartbeat_secs.unwrap_or(ordinary_secs);
        let (boot, uptime_secs) = (heartbeat.boot_id, heartbeat.uptime_secs);
        match host.liveness.boots.hear((now.wall, now.mono), boot, uptime_secs, heartbeat_secs) {
            BootNews::Nothing => {}
            BootNews::Cloned(cloned) => {
                let payload = json!({ "boots": cloned.boots });
                self.note(Fact::own(now, "host_cloned", payload).on(name));
                self.withdraw_leases_of(now, name);
            }
            BootNews::Cleared => {
                self.note(Fact::own(now, "host_clone_cleared", json!({ "boot": boot })).on(name));
                self.touch_rollouts_of(name);
            }
        }
    }

    /// Whether two machines speak for the host.
    pub(super) fn is_cloned(&self, name: &HostName) -> bool {
        self.fleet.hosts.get(name).is_some_and(|host| host.liveness.boots.cloned().is_some())
    }

    /// Refuses what would change the record of a host for which two machines speak.
    pub(super) fn expect_one_machine(&self, name: &HostName) -> Result<(), Box<Problem>> {
        if self.is_cloned(name) {
            let detail = "stop one of them and give it a certificate of its own";
            return Err(refuse(ProblemCode::ClonedIdentity, detail));
        }
        Ok(())
    }

    /// How far the host's clock is from ours.
    pub(super) fn compare_clocks(&mut self, now: Now, name: &HostName, heartbeat: &Heartbeat) {
        let Some(host) = self.fleet.hosts.get_mut(name) else { return };
        let live = &mut host.liveness;
        let skew_secs = heartbeat.at.secs_since(now.wall);
        live.clock_skew_secs = Some(skew_secs);
        let noted_lately =
            live.skew_noted.is_some_and(|at| now.mono.secs_since(at) < SKEW_NOTED_SECS);
        if is_skewed(host) && !noted_lately {
            host.liveness.skew_noted = Some(now.mono);
            let payload = json!({ "skew_secs": skew_secs, "tolerated_secs": CLOCK_TOLERANCE_SECS });
            self.note(Fact::own(now, "clock_skewed", payload).on(name));
        }
    }

    pub(super) fn alarms(&self) -> Alarms {
        let members = || self.fleet.hosts.values().filter(|host| host.member.is_some());
        let count = |found: usize| u64::try_from(found).unwrap_or(u64::MAX);
        Alarms {
            clock_skewed: count(members().filter(|host| is_skewed(host)).count()),
            cloned: count(members().filter(|h| h.liveness.boots.cloned().is_some()).count()),
            release_untrusted: self.fleet.untrusted.as_ref().map(|known| known.code.to_string()),
        }
    }
}

fn is_skewed(host: &Host) -> bool {
    host.liveness
        .clock_skew_secs
        .is_some_and(|skew_secs| skew_secs.unsigned_abs() > CLOCK_TOLERANCE_SECS)
}
