//! `[operators.NAME]`: operators who may act on some channels only.
//!
//! Not here: holding them to it (the control plane).

use std::collections::BTreeMap;

use wavegate_proto::artifact::fleet::OperatorScope;
use wavegate_proto::ids::PersonName;

use crate::fleet_toml::FleetFile;
use crate::fleet_toml::source::Complaints;

/// Reads every scope; the channels it names must be there.
pub(super) fn read(
    file: &FleetFile,
    complaints: &mut Complaints<'_>,
) -> BTreeMap<PersonName, OperatorScope> {
    let mut scopes = BTreeMap::new();
    for (name, section) in &file.keys.operators {
        for channel in section.channels.iter().filter(|c| !file.keys.channels.contains_key(*c)) {
            let message = format!("operator {name}: there is no channel {channel}");
            complaints.add(&["operators", name.as_str(), "channels"], message);
        }
        let channels = section.channels.iter().cloned().collect();
        scopes.insert(name.clone(), OperatorScope { channels });
    }
    scopes
}
