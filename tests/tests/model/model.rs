//! The runs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};
use wavegate_proto::record::HostState;
use wavegate_proto::wire::operator::RolloutState;

use crate::action::{Action, KINDS};
use crate::bounds::{LONG, Run, SHORT};
use crate::judge::Violation;
use crate::progress::circles;
use crate::setup::Setup;
use crate::state::State;

/// What a run has come across.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    kinds: BTreeSet<String>,
    hosts: BTreeSet<HostState>,
    rollouts: BTreeSet<RolloutState>,
    /// Steps without a fault, by digest.
    edges: Vec<(u64, u64)>,
    rests: u64,
}

/// One run.
pub(crate) struct Exploration {
    setup: Setup,
    run: Run,
    seen: Arc<Mutex<Seen>>,
    /// A state to find the way to.
    looked_for: Option<u64>,
}

impl Model for Exploration {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::begin(&self.setup, self.run.bounds)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // What follows from a broken rule is of no interest.
        if state.ghosts.violation.is_none() {
            state.actions(&self.setup, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let (mut next, entered) = last.after(&self.setup, &action)?;
        let rests = action == Action::Wait && next == *last && !last.is_waited_for();
        if rests && let Some(wrong) = last.wrong_at_rest() {
            next.ghosts.violation = Some(wrong);
            next.seal(None);
        }
        let mut seen = self.seen.lock().unwrap();
        if !action.is_fault() {
            seen.edges.push((last.digest(), next.digest()));
        }
        seen.rests += u64::from(rests);
        seen.kinds.insert(action.kind());
        seen.rollouts.extend(entered);
        seen.hosts.extend(next.control.disk.host_rollouts.values().map(|row| row.record.state));
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! never {
            ($($violation:ident),*) => {
                vec![$(Property::always(Violation::$violation.name(), |_, state: &State| {
                    state.ghosts.violation != Some(Violation::$violation)
                })),*]
            };
        }
        let mut rules = never![
            Budget,
            Wave,
            Unsigned,
            DispatchInHalted,
            DispatchAgainstMark,
            ConvergedUnproven,
            AcknowledgedLost,
            QuarantineLost,
            StuckInSilence,
            Unequal
        ];
        rules.push(Property::always(
            "the state that is looked for",
            |model: &Self, state: &State| model.looked_for != Some(state.digest()),
        ));
        rules
    }
}

impl State {
    /// Whether somebody who is down will start some day.
    fn is_waited_for(&self) -> bool {
        self.control.process.is_none() || self.hosts.iter().any(|host| host.agent.is_none())
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.kinds.extend(other.kinds);
        self.hosts.extend(other.hosts);
        self.rollouts.extend(other.rollouts);
        self.rests += other.rests;
    }
}

/// Explores a run to its end. Prints what it came to, and the way to what is wrong.
fn explore(run: Run) -> Seen {
    let mut seen = check(run, None);
    let circles = circles(&std::mem::take(&mut seen.edges));
    if let Some(circle) = circles.first() {
        println!("{}: {} circles without an end, such as this one", run.name, circles.len());
        check(run, Some(*circle));
    }
    assert!(circles.is_empty());
    assert!(seen.rests > 0, "{}: nothing came to rest", run.name);
    seen
}

fn check(run: Run, looked_for: Option<u64>) -> Seen {
    let begin = Instant::now();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let setup = Setup::new(run.silent_hosts);
    let model = Exploration { setup, run, seen: Arc::clone(&seen), looked_for };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let options = model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    let checker = options.spawn_dfs().join();
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    println!(
        "{}: {} unique states, {} steps, depth {}, {} at rest, {:.1?}",
        run.name,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        seen.rests,
        begin.elapsed()
    );
    if let Some((name, path)) = checker.discoveries().into_iter().next() {
        for (state, action) in path.into_vec() {
            println!("{state:?}\n--> {action:?}");
        }
        panic!("{}: broken: {name}", run.name);
    }
    seen
}

/// By hand: `cargo xtask model --long`, or one run by its name.
fn chosen() -> Vec<Run> {
    let all = SHORT.iter().chain(LONG).copied();
    match std::env::var("WAVEGATE_MODEL") {
        Err(_) => SHORT.to_vec(),
        Ok(which) if which == "long" => all.collect(),
        Ok(name) => {
            let named: Vec<Run> = all.filter(|run| run.name == name).collect();
            assert!(!named.is_empty(), "no run is named {name:?}: see bounds.rs");
            named
        }
    }
}

#[test]
fn every_reachable_state_keeps_every_rule() {
    let mut seen = Seen::default();
    let runs = chosen();
    for run in &runs {
        seen.add(explore(*run));
    }
    if runs.len() < SHORT.len() {
        return;
    }
    // A run of everything that reaches less than everything would say little.
    let long = runs.len() > SHORT.len();
    let backups = |kind: &&str| long || !kind.contains("Backup");
    let missing: Vec<&str> =
        KINDS.into_iter().filter(backups).filter(|kind| !seen.kinds.contains(*kind)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
    assert!(seen.kinds.iter().all(|kind| KINDS.contains(&kind.as_str())), "{:?}", seen.kinds);
    assert_eq!(seen.hosts, HostState::ALL.into());
    // Retention removes rollouts, and is not in these runs.
    let rollouts = RolloutState::ALL.into_iter().filter(|state| *state != RolloutState::Pruned);
    assert_eq!(seen.rollouts, rollouts.collect());
}
