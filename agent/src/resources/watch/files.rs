//! The kernel's signals about names in folders (inotify).
//!
//! A folder is named to the kernel by the descriptor it was opened by, so that what is watched is what the root has found
//! and nothing that was swapped since. Reading a file makes no signal: looking for drift does not cause the next look.
//! Not here: which names in which folders (see `paths`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};

use super::Touched;
use super::paths::{Interest, Name, Names};

/// Holds some fifty events; the others wait in the kernel.
const BUFFER_BYTES: usize = 4096;

/// Folders that are watched.
pub(super) struct FileWatch {
    events: EventStream<Vec<u8>>,
    /// By the number of their watch, which the kernel does not give twice.
    folders: BTreeMap<i32, Folder>,
}

struct Folder {
    watch: WatchDescriptor,
    mask: WatchMask,
    names: Names,
}

/// What is asked of the kernel for a name.
fn mask_of(interest: Interest) -> WatchMask {
    let existence = WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::MOVE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF;
    match interest {
        Interest::Existence => existence,
        Interest::Attributes => existence | WatchMask::ATTRIB,
        Interest::Content => {
            existence | WatchMask::ATTRIB | WatchMask::MODIFY | WatchMask::CLOSE_WRITE
        }
    }
}

impl FileWatch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the kernel gives out no more of these.
    pub(super) fn new() -> io::Result<Self> {
        let events = Inotify::init()?.into_event_stream(vec![0; BUFFER_BYTES])?;
        Ok(Self { events, folders: BTreeMap::new() })
    }

    /// Watches these and no others. Signals of those that were watched before are not lost.
    ///
    /// # Errors
    /// When one of them could not be watched; the others are.
    pub(super) fn follow(&mut self, folders: Vec<(OwnedFd, Names)>) -> io::Result<()> {
        let mut fresh = BTreeMap::new();
        let mut outcome = Ok(());
        for (folder, names) in folders {
            if let Err(error) = self.add(&mut fresh, &folder, names) {
                outcome = outcome.and(Err(error));
            }
        }
        for (number, folder) in std::mem::replace(&mut self.folders, fresh) {
            if !self.folders.contains_key(&number) {
                // A folder that was deleted has taken its watch with it.
                let _gone_already = self.events.watches().remove(folder.watch);
            }
        }
        outcome
    }

    /// Two paths may lead to one folder, over a link: it is watched for the names of both.
    fn add(
        &self,
        fresh: &mut BTreeMap<i32, Folder>,
        folder: &OwnedFd,
        names: Names,
    ) -> io::Result<()> {
        let masks = names.values().map(|name| mask_of(name.interest));
        let mask = masks.fold(WatchMask::ONLYDIR, WatchMask::union);
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let watch = self.events.watches().add(&path, mask)?;
        let number = watch.get_watch_descriptor_id();
        let Some(known) = fresh.get_mut(&number) else {
            fresh.insert(number, Folder { watch, mask, names });
            return Ok(());
        };
        known.mask |= mask;
        self.events.watches().add(&path, known.mask)?;
        for (name, Name { interest, resources }) in names {
            let none_yet = || Name { interest, resources: BTreeSet::new() };
            known.names.entry(name).or_insert_with(none_yet).resources.extend(resources);
        }
        Ok(())
    }

    /// Waits until some of them have changed. Stopped before it is done, it has lost nothing.
    ///
    /// # Errors
    /// When the kernel tells no more.
    pub(super) async fn changed(&mut self) -> io::Result<BTreeSet<Touched>> {
        loop {
            let Some(event) = self.events.next().await else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let event = event?;
            let touched = self.concerned(&event);
            if event.mask.contains(EventMask::IGNORED) {
                self.folders.remove(&event.wd.get_watch_descriptor_id());
            }
            if !touched.is_empty() {
                return Ok(touched);
            }
        }
    }

    fn concerned(&self, event: &EventOwned) -> BTreeSet<Touched> {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return BTreeSet::from([Touched::Everything]);
        }
        let Some(folder) = self.folders.get(&event.wd.get_watch_descriptor_id()) else {
            return BTreeSet::new();
        };
        let of = |name: &Name| name.resources.clone().into_iter().map(Touched::Resource);
        match &event.name {
            Some(name) => {
                let name = name.to_str().and_then(|name| folder.names.get(name));
                name.into_iter().flat_map(of).collect()
            }
            // The folder itself has gone, or is elsewhere now.
            None if event.mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF) => {
                folder.names.values().flat_map(of).collect()
            }
            None => BTreeSet::new(),
        }
    }
}
