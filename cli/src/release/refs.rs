//! The serial of a release and the ref of each channel.
//!
//! Not here: what a ref is bound to (`wavegate_proto::artifact::release::content_id`).

use std::collections::BTreeMap;

use wavegate_proto::ids::{ChannelName, FleetName, Ref, Serial};

use super::documents::{Draft, Stamp};
use super::{BuildError, BuildOptions, RefOrigin};

/// The serial: the one asked for, or one above the previous, or 1.
pub(super) fn serial(fleet: &FleetName, options: &BuildOptions) -> Result<Serial, BuildError> {
    let Some(previous) = &options.previous else {
        return Ok(options.serial.unwrap_or(Serial(1)));
    };
    if previous.fleet != *fleet {
        let (fleet, previous) = (fleet.clone(), previous.fleet.clone());
        return Err(BuildError::OtherFleet { fleet, previous });
    }
    let serial = options.serial.unwrap_or(previous.serial.next());
    if serial <= previous.serial {
        return Err(BuildError::SerialNotAbove { serial, previous: previous.serial });
    }
    Ok(serial)
}

/// The refs: a channel keeps its ref while its content is the same.
pub(super) fn choose(
    stamp: &Stamp,
    drafts: &BTreeMap<ChannelName, Option<Draft>>,
    options: &BuildOptions,
) -> Result<BTreeMap<ChannelName, (Ref, RefOrigin)>, BuildError> {
    if let Some(channel) = options.refs.keys().find(|channel| !drafts.contains_key(*channel)) {
        return Err(BuildError::UnknownChannel(channel.clone()));
    }
    let mut chosen = BTreeMap::new();
    for (channel, draft) in drafts {
        let before = options.previous.as_ref().and_then(|previous| previous.refs.get(channel));
        let kept = before.filter(|(_, bound)| bound.is_some() || draft.is_none());
        let kept = match (kept, draft) {
            (Some((name, bound)), Some(draft)) => {
                let same = Some(draft.content_id(stamp, channel, name)?) == *bound;
                same.then(|| name.clone())
            }
            (Some((name, _)), None) => Some(name.clone()),
            (None, _) => None,
        };
        let wanted = options.refs.get(channel);
        let (reference, origin) = match (wanted, kept) {
            (Some(wanted), Some(kept)) if *wanted == kept => (kept, RefOrigin::Kept),
            (Some(wanted), _) => (wanted.clone(), RefOrigin::Named),
            (None, Some(kept)) => (kept, RefOrigin::Kept),
            (None, None) => (Ref::new(&format!("r{}", stamp.serial))?, RefOrigin::New),
        };
        if origin != RefOrigin::Kept && before.is_some_and(|(name, _)| *name == reference) {
            return Err(BuildError::RefConflict { channel: channel.clone(), reference });
        }
        chosen.insert(channel.clone(), (reference, origin));
    }
    Ok(chosen)
}
