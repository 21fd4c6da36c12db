//! What operators read of each reason: a row a case, beside what kind of reason it is and what is known of
//! its times.
//!
//! Not here: when each of them holds (see the other files).

use wavegate_proto::artifact::rules::RuleCode;
use wavegate_proto::ids::{Serial, WaveIndex};
use wavegate_proto::wire::operator::{MarkBy, RolloutState};
use wavegate_proto::wire::provider::ProviderState;
use wavegate_reconciler::gates::{Gate, Hold};

use crate::scene::Scene;
use crate::spec::{START, channel, closure, id, name, wall};

fn by() -> MarkBy {
    MarkBy { actor: "operator/alice".to_owned(), reason: "disk".to_owned(), at: wall() }
}

fn boot(number: u8) -> wavegate_proto::ids::BootId {
    format!("00000000-0000-0000-0000-00000000000{number}").parse().unwrap()
}

fn by_operators() -> Vec<Hold> {
    let (since, until) = (wall(), Some(wall().plus_secs(60)));
    let held = |until| {
        let MarkBy { actor, reason, .. } = by();
        Hold::Held { actor, reason, since, until }
    };
    vec![
        Hold::Paused { by: by() },
        Hold::Aborted { by: by() },
        Hold::Skipped { by: Some(by()) },
        Hold::Skipped { by: None },
        held(until),
        held(None),
        Hold::NotApproved { wave: WaveIndex(1) },
    ]
}

fn of_releases() -> Vec<Hold> {
    let since = wall();
    vec![
        Hold::NotMember,
        Hold::Stale { since },
        Hold::Untrusted { version: 3, code: RuleCode::Stale, since },
        Hold::ReleaseBehind { serial: Serial(9), host: name("b"), since },
        Hold::Quarantined {
            channel: channel("stable"),
            closure: closure("x"),
            since,
            host: name("b"),
        },
        Hold::RolloutState(RolloutState::Superseded),
        Hold::RolloutState(RolloutState::Failed),
        Hold::Frozen,
        Hold::OutsideWindow { opens_at: Some(wall().plus_secs(60)) },
        Hold::OutsideWindow { opens_at: None },
    ]
}

fn of_hosts() -> Vec<Hold> {
    let since = wall();
    vec![
        Hold::Recovering { unreported: 2 },
        Hold::Unreported,
        Hold::Revoked,
        Hold::Cloned { since, boots: [boot(1), boot(2)] },
        Hold::NeverSeen { provider: None },
        Hold::NeverSeen { provider: Some(ProviderState::Off) },
        Hold::Silent { since: Some(since), provider: None },
        Hold::Silent { since: Some(since), provider: Some(ProviderState::Off) },
        Hold::Silent { since: None, provider: Some(ProviderState::Unknown) },
        Hold::SkippedOffline { provider: Some(ProviderState::Running) },
        Hold::Busy { rollout_id: id("stable@r1"), since },
        Hold::BackOff { until: wall().plus_secs(60) },
        Hold::RetriesUsedUp,
    ]
}

fn of_others() -> Vec<Hold> {
    let until = wall().plus_secs(60);
    vec![
        Hold::ChannelNotDone { channel: channel("early"), rollout_id: id("early@r1") },
        Hold::EarlierWave { current: WaveIndex(0), own: WaveIndex(1) },
        Hold::Predecessor { host: name("b") },
        Hold::BudgetUsedUp {
            budget: "db".parse().unwrap(),
            max_in_flight: 2,
            users: vec![name("b"), name("c")],
        },
        Hold::Unhealthy { wave: WaveIndex(0), hosts: 2, tolerated: 1 },
        Hold::RampUsedUp { limit: 5, until },
    ]
}

/// Code, kind, seconds since it holds and until it may open, and whether it holds a wave as a whole; then
/// the sentence, and what opens it.
const WORDS: &str = include_str!("words.txt");

#[test]
fn o2_every_reason_has_its_words_its_kind_and_its_times() {
    let mut scene = Scene::new();
    scene.fleet.recovering.deadline = Some(START.plus_secs(30));
    let all = [by_operators(), of_releases(), of_hosts(), of_others()].concat();
    let lines = all.iter().map(|hold| {
        let reason = hold.reason(Gate::Hold, None, &scene.fleet, scene.now);
        assert_eq!(reason.gate, "hold");
        let kind = format!("{:?}", reason.kind);
        let secs = |at: Option<wavegate_proto::time::Timestamp>| {
            at.map_or("-".to_owned(), |at| at.secs_since(wall()).to_string())
        };
        let (since, earliest) = (secs(reason.since), secs(reason.earliest_at));
        let whole = if hold.is_of_the_wave() { "wave" } else { "host" };
        let (code, detail, clears) = (reason.code, reason.detail, reason.clears_when);
        format!("{code} {kind} {since} {earliest} {whole}\n  {detail}\n  {clears}\n")
    });
    let told: String = lines.collect();
    assert_eq!(told, WORDS);
}

/// A note of when it began to hold goes before what the reason itself tells.
#[test]
fn a_note_of_since_when_it_holds_is_told() {
    let scene = Scene::new();
    let noted = Some(wall().plus_secs(7));
    let reason =
        Hold::Stale { since: wall() }.reason(Gate::Freshness, noted, &scene.fleet, scene.now);
    assert_eq!((reason.since, reason.gate.as_str()), (noted, "freshness"));
}
