//! `wavegate plan`.
//!
//! Not here: the sentences of the gates; they come with the plan.

use wavegate_proto::time::Timestamp;
use wavegate_proto::wire::forecast::Expected;
use wavegate_proto::wire::plan::{PlanDocument, PlannedRollout, PlannedWave};

use super::eta;
use super::table::{pairs, span, table};

/// How many hosts of those that are left behind are shown.
const SHOWN_LEFT_BEHIND: usize = 10;

/// What publishing a release would do.
#[must_use]
pub fn plan(plan: &PlanDocument) -> String {
    let now = plan.planned_at;
    let opens = list(plan.rollouts.iter().map(|rollout| &rollout.rollout_id));
    let mut lines = vec![
        ("release", format!("{} of fleet {}", plan.serial, plan.fleet)),
        ("opens", opens),
        ("unchanged", list(&plan.unchanged)),
    ];
    if !plan.rollouts.is_empty() {
        lines.push(("ends", end(now, plan.ends)));
    }
    let mut text = pairs(&lines);
    for rollout in &plan.rollouts {
        text.push_str(&format!("\n{}", one(now, rollout)));
    }
    text.push_str(&budgets(plan));
    text.push_str(&left_behind(plan));
    for warning in &plan.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

fn one(now: Timestamp, rollout: &PlannedRollout) -> String {
    let patience = match rollout.skip_offline_after_secs {
        Some(secs) => format!("left out after {}", span(secs)),
        None => "waited for, however long".to_owned(),
    };
    let mut lines = vec![("rollout", rollout.rollout_id.to_string())];
    lines.extend(rollout.supersedes.iter().map(|id| ("replaces", id.to_string())));
    if !rollout.after.is_empty() {
        lines.push(("after", list(&rollout.after)));
    }
    if rollout.hosts_with_edges > 0 {
        lines.push(("edges", format!("{} hosts go after others", rollout.hosts_with_edges)));
    }
    lines.push(("silent", format!("hosts are {patience}")));
    lines.push((
        "first",
        if rollout.first.is_empty() {
            "nobody".to_owned()
        } else {
            list(rollout.first.iter().take(3))
        },
    ));
    lines.push(("ends", format!("{}, judged by {}", end(now, rollout.ends), basis(rollout))));
    let rows = rollout.waves.iter().map(|wave| row(now, wave));
    let header = ["WAVE", "NAME", "SOAK", "HOSTS", "CHANGE", "UNCHANGED", "STARTS", "DONE"];
    let mut text = format!("{}\n{}", pairs(&lines), table(header, rows, "no waves"));
    for hold in &rollout.held {
        let (reason, example) = (&hold.reason, &hold.example);
        let others = match hold.hosts {
            0 | 1 => String::new(),
            more => format!(" and {} more", more - 1),
        };
        text.push_str(&format!("holds {example}{others}: {} ({})\n", reason.detail, reason.gate));
        text.push_str(&format!("  clears when {}\n", reason.clears_when));
    }
    text
}

fn row(now: Timestamp, wave: &PlannedWave) -> [String; 8] {
    let approval = if wave.requires_approval { " (needs approval)" } else { "" };
    [
        wave.index.to_string(),
        format!("{}{approval}", wave.name),
        span(wave.soak_secs),
        wave.hosts.to_string(),
        wave.changing.to_string(),
        wave.no_change.to_string(),
        start(now, wave.starts),
        eta::cell(now, wave.ends),
    ]
}

fn basis(rollout: &PlannedRollout) -> &'static str {
    use wavegate_proto::wire::forecast::Basis;
    match rollout.basis {
        Basis::Rollout => "its hosts so far",
        Basis::Channel => "the hosts of the channel so far",
        Basis::Policy => "the policy alone: nobody has converged on the channel yet",
    }
}

fn budgets(plan: &PlanDocument) -> String {
    if plan.budgets.is_empty() {
        return String::new();
    }
    let rows = plan.budgets.iter().map(|budget| {
        let binds =
            if budget.held == 0 { "no".to_owned() } else { format!("{} hosts", budget.held) };
        [budget.id.to_string(), budget.max_in_flight.to_string(), budget.hosts.to_string(), binds]
    });
    format!("\n{}", table(["BUDGET", "AT ONCE", "HOSTS", "HOLDS"], rows, ""))
}

fn left_behind(plan: &PlanDocument) -> String {
    if plan.left_behind == 0 {
        return String::new();
    }
    let shown = plan.left_behind_hosts.iter().take(SHOWN_LEFT_BEHIND);
    let rows = shown.map(|left| {
        [left.host.to_string(), left.rollout_id.to_string(), left.reason.detail.clone()]
    });
    let header = ["LEFT BEHIND", "ROLLOUT", "BECAUSE"];
    let mut text = format!("\n{}", table(header, rows, ""));
    let shown = u64::try_from(SHOWN_LEFT_BEHIND).unwrap_or(u64::MAX);
    if plan.left_behind > shown {
        text.push_str(&format!("… and {} more\n", plan.left_behind - shown));
    }
    text
}

fn end(now: Timestamp, expected: Option<Expected>) -> String {
    match expected {
        None => "not by itself".to_owned(),
        Some(_) => eta::cell(now, expected),
    }
}

fn start(now: Timestamp, expected: Option<Expected>) -> String {
    match expected {
        Some(expected) if expected.p90 <= now => "at once".to_owned(),
        Some(_) | None => eta::cell(now, expected),
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
