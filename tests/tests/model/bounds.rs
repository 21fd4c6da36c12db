//! How much may go wrong on one path, and the runs: each explores every order of everything within its
//! bounds, to the end.

/// How often each fault may still happen. A fault-free step changes nothing here, so that on every path
/// only finitely many faults happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Bounds {
    /// Requests or answers that are lost.
    pub(crate) losses: u8,
    /// Requests of which a copy arrives at any later time: repeated, or given up by the host and then
    /// arriving after all, so overtaken by others.
    pub(crate) late: u8,
    /// Times that a tick passes although somebody could still do something.
    pub(crate) delays: u8,
    /// Agents that die, at rest or between any two effects of one decision.
    pub(crate) agent_crashes: u8,
    /// Control planes that die, at rest or between a commit and its answer.
    pub(crate) control_crashes: u8,
    /// Of these deaths, those that take the database with them.
    pub(crate) wipes: u8,
    /// Of these deaths, those after which an older copy of the database is found.
    pub(crate) restores: u8,
    /// Newer releases.
    pub(crate) releases: u8,
    /// Activations that fail for reasons other than the closure.
    pub(crate) infra: u8,
    /// Activations that fail for the closure's own fault.
    pub(crate) broken: u8,
    /// Activations that end only with a reboot.
    pub(crate) deferred: u8,
    /// Hosts on which what runs begins to fail its probe.
    pub(crate) sick: u8,
    /// Things that an operator wants done.
    pub(crate) verbs: u8,
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) bounds: Bounds,
    pub(crate) silent_hosts: SilentHosts,
}

/// What the policy says of a host that is away for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SilentHosts {
    Wait,
    Skip,
}

const NONE: Bounds = Bounds {
    losses: 0,
    late: 0,
    delays: 0,
    agent_crashes: 0,
    control_crashes: 0,
    wipes: 0,
    restores: 0,
    releases: 0,
    infra: 0,
    broken: 0,
    deferred: 0,
    sick: 0,
    verbs: 0,
};

const fn run(name: &'static str, bounds: Bounds) -> Run {
    Run { name, bounds, silent_hosts: SilentHosts::Wait }
}

/// What CI explores.
pub(crate) const SHORT: &[Run] = &[
    run("nothing goes wrong", NONE),
    run("two messages are lost", Bounds { losses: 2, ..NONE }),
    run("a message is late", Bounds { late: 1, ..NONE }),
    run("two delays", Bounds { delays: 2, ..NONE }),
    run("an agent dies", Bounds { agent_crashes: 1, ..NONE }),
    Run {
        silent_hosts: SilentHosts::Skip,
        ..run("an agent dies, and the silent are left out", Bounds { agent_crashes: 1, ..NONE })
    },
    run("the control plane dies", Bounds { control_crashes: 1, ..NONE }),
    run("bad closures", Bounds { broken: 1, sick: 1, ..NONE }),
    run("bad luck with good ones", Bounds { infra: 1, deferred: 1, ..NONE }),
    run("a newer release", Bounds { releases: 1, ..NONE }),
    run("a newer release over a bad one", Bounds { releases: 1, broken: 1, ..NONE }),
    run("a wiped database", Bounds { wipes: 1, ..NONE }),
    run("an operator wants something", Bounds { verbs: 1, ..NONE }),
];

/// What takes longer: by hand, `cargo xtask model --long`.
pub(crate) const LONG: &[Run] = &[
    run("bad closures and bad luck", Bounds { broken: 1, sick: 1, infra: 1, deferred: 1, ..NONE }),
    run("an older database", Bounds { restores: 1, ..NONE }),
    run("two agents die", Bounds { agent_crashes: 2, ..NONE }),
    run("messages", Bounds { losses: 1, late: 1, delays: 1, ..NONE }),
    run(
        "an agent and the control plane die",
        Bounds { agent_crashes: 1, control_crashes: 1, ..NONE },
    ),
    run("a wiped database after a bad closure", Bounds { wipes: 1, broken: 1, ..NONE }),
    run("a wiped database and a newer release", Bounds { wipes: 1, releases: 1, ..NONE }),
    run("a wiped database and another start", Bounds { wipes: 1, control_crashes: 1, ..NONE }),
    run("a wiped database and a lost message", Bounds { wipes: 1, losses: 1, ..NONE }),
    run("a newer release while an agent dies", Bounds { releases: 1, agent_crashes: 1, ..NONE }),
    run("an older database and a newer release", Bounds { restores: 1, releases: 1, ..NONE }),
    run("an operator wants two things", Bounds { verbs: 2, ..NONE }),
    run("an operator and a bad closure", Bounds { verbs: 1, broken: 1, ..NONE }),
    run("an operator and a sick host", Bounds { verbs: 1, sick: 1, ..NONE }),
    run("an operator and an agent that dies", Bounds { verbs: 1, agent_crashes: 1, ..NONE }),
    run("an operator and a wiped database", Bounds { verbs: 1, wipes: 1, ..NONE }),
    run("an operator and a newer release", Bounds { verbs: 1, releases: 1, ..NONE }),
];
