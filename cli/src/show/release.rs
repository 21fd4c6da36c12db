//! `wavegate release`.
//!
//! Not here: why a release is refused (the errors say it themselves).

use super::keys::key_names;
use super::table::closure;
use crate::release::publish::Published;
use crate::release::verify::{Signers, VerifyReport};
use crate::release::{BuildReport, RefOrigin};

/// What was built.
#[must_use]
pub fn built(report: &BuildReport, verbose: bool) -> String {
    let mut text = format!("release {} of fleet {}\n", report.serial, report.fleet);
    for channel in &report.channels {
        let origin = match channel.ref_origin {
            RefOrigin::Kept => "kept",
            RefOrigin::New => "new",
            RefOrigin::Named => "named",
        };
        let waves: Vec<_> =
            channel.waves.iter().map(|wave| format!("{} {}", wave.name, wave.hosts)).collect();
        let (name, reference) = (&channel.channel, &channel.reference);
        text.push_str(&format!("  {name}: {reference} ({origin}), waves: {}\n", waves.join(", ")));
    }
    if verbose {
        for host in &report.hosts {
            let runs = closure(Some(&host.closure));
            text.push_str(&format!("  host {}: {runs} from {}\n", host.host, host.from));
            if let Some(from) = &host.tags_from {
                let tags: Vec<&str> = host.tags.iter().map(String::as_str).collect();
                text.push_str(&format!("    tags {} from {from}\n", tags.join(", ")));
            }
            for (check, scope) in &host.checks {
                text.push_str(&format!("    check {check} from {scope}\n"));
            }
        }
    }
    for warning in &report.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

/// What was verified.
#[must_use]
pub fn verified(report: &VerifyReport) -> String {
    let rollouts: Vec<_> = report.rollouts.iter().map(ToString::to_string).collect();
    format!(
        "ok: release {} of fleet {}: {}; {} closures and assets\n{}",
        report.serial,
        report.fleet,
        rollouts.join(", "),
        report.blobs,
        signers(&report.signers)
    )
}

/// Who signed and who is missing.
#[must_use]
pub fn signers(signers: &Signers) -> String {
    format!(
        "signed by {}; missing {}; needed {}\n",
        key_names(&signers.signed),
        key_names(&signers.missing),
        signers.threshold
    )
}

/// What publishing did.
#[must_use]
pub fn published(published: &Published) -> String {
    let list =
        |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let answer = &published.answer;
    format!(
        "published release {}: opened {}; unchanged {}; {} files uploaded\n",
        answer.serial,
        list(answer.rollouts_opened.iter().map(ToString::to_string).collect()),
        list(answer.unchanged.iter().map(ToString::to_string).collect()),
        published.uploaded
    )
}
