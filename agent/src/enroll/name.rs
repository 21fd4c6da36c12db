//! Which name to ask for, when a token lets in any of several hosts.

use wavegate_proto::enroll::EnrollToken;
use wavegate_proto::ids::HostName;

const KERNEL_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// What was chosen, else the machine's own name if the token does not name one.
#[must_use]
pub fn asked_for(chosen: Option<&HostName>, token: &str) -> Option<HostName> {
    if chosen.is_some() || EnrollToken::names_one_host(token) {
        return chosen.cloned();
    }
    of_machine(&std::fs::read_to_string(KERNEL_NAME_FILE).unwrap_or_default())
}

/// The first label of the machine's name, in lower case.
fn of_machine(text: &str) -> Option<HostName> {
    let label = text.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    HostName::new(&label).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_name_is_its_first_label() {
        assert_eq!(of_machine("Web-07.example.org\n"), Some("web-07".parse().unwrap()));
        assert_eq!(of_machine("(none)\n"), None);
    }
}
