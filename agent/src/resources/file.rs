//! `kind = "file"`: content, mode, owner and group of a regular file.
//!
//! A file with other content is replaced whole, by rename; one that differs only in its attributes
//! keeps its inode. A symbolic link in its place is replaced, not followed. Folders and devices in
//! its place are left alone.
//! Not here: where paths lead (see `root`), what is kept of what was there (see `original`).

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use rustix::fs::Stat;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use wavegate_proto::artifact::bundle::{
    FileContent, FileSpec, MAX_INLINE_CONTENT_BYTES, parse_mode,
};
use wavegate_proto::ids::{BlobId, ResourceId, Sha256Hash};
use wavegate_proto::wire::resource::{Operation, ResourceKind};

use super::difference::Difference;
use super::directory::MakeParents;
use super::error::{Doing as _, ResourceError};
use super::host::Host;
use super::kind::{Kind, Observed, Removal, on_thread, put_back};
use super::original::digest;
use super::owned::OwnedEntry;
use super::ownership;
use super::place::{Found, Place};
use super::root::Attributes;
use super::steps::Step;

/// The kind.
#[derive(Debug)]
pub struct RegularFile;

impl Kind for RegularFile {
    type Spec = FileSpec;

    async fn observe(host: Arc<Host>, spec: FileSpec) -> Result<Observed, ResourceError> {
        on_thread(move || observe(&host, &spec)).await
    }

    async fn reconcile(
        host: Arc<Host>,
        id: ResourceId,
        spec: FileSpec,
    ) -> Result<Operation, ResourceError> {
        on_thread(move || reconcile(&host, &id, &spec)).await
    }

    async fn delete(host: Arc<Host>, entry: OwnedEntry) -> Result<Removal, ResourceError> {
        put_back(host, entry).await
    }
}

/// The attributes a bundle asks for.
pub(crate) fn wanted_attributes(
    host: &Host,
    mode: &str,
    owner: Option<&str>,
    group: Option<&str>,
) -> Result<Attributes, ResourceError> {
    let mode =
        parse_mode(mode).map_err(|what| ResourceError::BadBundle { reason: "bad-mode", what })?;
    let uid = owner.map(|name| host.accounts().user(name)).transpose()?.map(|user| user.uid);
    let gid = group.map(|name| host.accounts().group(name)).transpose()?;
    Ok(Attributes { mode, uid, gid })
}

fn attributes_of(host: &Host, spec: &FileSpec) -> Result<Attributes, ResourceError> {
    wanted_attributes(host, &spec.mode, spec.owner.as_deref(), spec.group.as_deref())
}

fn wanted_digest(host: &Host, spec: &FileSpec) -> Result<Sha256Hash, ResourceError> {
    match &spec.content {
        FileContent::Inline(text) => Ok(Sha256Hash::of(text.as_bytes())),
        FileContent::Asset { asset, .. } => Ok(asset.0),
        FileContent::HostFile(from) => digest_at(&secret(host, from)?),
    }
}

/// Where a secret of the host is.
fn secret(host: &Host, from: &str) -> Result<Place, ResourceError> {
    let missing = || ResourceError::SecretMissing { path: from.to_owned() };
    let place = match host.root().place(from) {
        Err(ResourceError::ParentMissing { .. }) => return Err(missing()),
        other => other?,
    };
    match place.look()? {
        Found::File(_) => Ok(place),
        Found::Absent | Found::Folder(_) | Found::Link(_) | Found::Other => Err(missing()),
    }
}

/// The digest as it may be told: that of a secret says nothing to whoever guesses at it.
fn told_digest(
    host: &Host,
    content: &FileContent,
    digest: Sha256Hash,
) -> Result<String, ResourceError> {
    match content {
        FileContent::Inline(_) | FileContent::Asset { .. } => Ok(BlobId(digest).to_string()),
        FileContent::HostFile(_) => {
            let salted = Sha256Hash::of_parts(&[host.salt()?.as_bytes(), digest.0.as_slice()]);
            Ok(format!("salted:{salted}"))
        }
    }
}

fn digest_at(place: &Place) -> Result<Sha256Hash, ResourceError> {
    digest(&mut place.open_file()?).doing(ResourceError::io("read", place.path()))
}

pub(crate) fn observe(host: &Host, spec: &FileSpec) -> Result<Observed, ResourceError> {
    let attributes = ownership::wanted(host, &spec.path, attributes_of(host, spec)?);
    let place = match host.root().place(&spec.path) {
        Ok(place) => place,
        Err(ResourceError::ParentMissing { .. }) => return Ok(Observed::missing()),
        Err(error) => return Err(error),
    };
    let stat = match place.look()? {
        Found::Absent => return Ok(Observed::missing()),
        Found::File(stat) => stat,
        other @ (Found::Folder(_) | Found::Link(_) | Found::Other) => {
            return Ok(Observed::unlike(other.describe(), "a file"));
        }
    };
    let digest = digest_at(&place)?;
    let mut differs = differing_attributes(host, &stat, attributes);
    let told = |digest| told_digest(host, &spec.content, digest);
    let (is, wanted) = (told(digest)?, told(wanted_digest(host, spec)?)?);
    if is != wanted {
        differs.insert(0, content_difference(&place, &spec.content, is.clone(), wanted));
    }
    let detail = json!({
        "digest": is,
        "mode": format!("{:04o}", stat.st_mode & 0o7777),
        "owner": host.accounts().user_name(stat.st_uid),
        "group": host.accounts().group_name(stat.st_gid),
    });
    Ok(Observed::compared(differs, detail))
}

/// In which attributes something differs.
pub(crate) fn differing_attributes(
    host: &Host,
    stat: &Stat,
    wanted: Attributes,
) -> Vec<Difference> {
    let mode = |bits: u32| format!("{bits:04o}");
    let (user, group) = (|id| host.accounts().user_name(id), |id| host.accounts().group_name(id));
    let owner = wanted.uid.filter(|uid| *uid != stat.st_uid);
    let owner = owner.map(|uid| Difference::new("owner", Some(user(stat.st_uid)), Some(user(uid))));
    let of_group = wanted.gid.filter(|gid| *gid != stat.st_gid);
    let of_group =
        of_group.map(|gid| Difference::new("group", Some(group(stat.st_gid)), Some(group(gid))));
    let bits = Difference::between("mode", &mode(stat.st_mode & 0o7777), &mode(wanted.mode));
    [bits, owner, of_group].into_iter().flatten().collect()
}

fn content_difference(
    place: &Place,
    content: &FileContent,
    is: String,
    wanted: String,
) -> Difference {
    let difference = Difference::new("content", Some(is), Some(wanted));
    let FileContent::Inline(text) = content else { return difference };
    let mut found = Vec::new();
    let read = place
        .open_file()
        .map(|file| file.take(MAX_INLINE_CONTENT_BYTES as u64 + 1).read_to_end(&mut found));
    match read {
        Ok(Ok(_)) => difference.with_lines(&found, text.as_bytes()),
        Ok(Err(_)) | Err(_) => difference,
    }
}

pub(crate) fn reconcile(
    host: &Host,
    id: &ResourceId,
    spec: &FileSpec,
) -> Result<Operation, ResourceError> {
    let asked = attributes_of(host, spec)?;
    let wanted = ownership::wanted(host, &spec.path, asked);
    let mut source = Source::open(host, &spec.content)?;
    let place = if spec.create_parents {
        host.root().place_making(&spec.path, &mut MakeParents { host, id })?
    } else {
        host.root().place(&spec.path)?
    };
    let found = place.look()?;
    let (operation, attributes) = match &found {
        Found::Absent => (Operation::Create, wanted),
        Found::Link(_) => (Operation::Update, wanted),
        Found::File(stat) => {
            if digest_at(&place)? == wanted_digest(host, spec)? {
                if wanted.match_stat(stat) {
                    return already_there(host, &place, asked);
                }
                // Another name of the same inode may be somebody's trap: then the file is replaced.
                if stat.st_nlink == 1 {
                    return set_attributes(host, id, &place, (&found, stat), (asked, wanted));
                }
            }
            let uid = wanted.uid.or(Some(stat.st_uid));
            let gid = wanted.gid.or(Some(stat.st_gid));
            (Operation::Update, Attributes { mode: wanted.mode, uid, gid })
        }
        Found::Folder(_) | Found::Other => return Err(place.unexpected(found.describe())),
    };
    claim(host, id, &place, &found)?;
    let was = if let Found::File(stat) = &found { Some(&**stat) } else { None };
    ownership::keep(host, place.path(), (ResourceKind::File, was), asked)?;
    host.change(|| place.replace(host.steps(), &mut source, attributes))?;
    ownership::settle(host, place.path(), asked)?;
    Ok(operation)
}

/// Nothing to do, but a crash may have left a temporary file beside it.
fn already_there(
    host: &Host,
    place: &Place,
    asked: Attributes,
) -> Result<Operation, ResourceError> {
    if host.owned().owns(place.path()) {
        ownership::settle(host, place.path(), asked)?;
        place.clear_temporary(host.steps())?;
    }
    Ok(Operation::None)
}

fn set_attributes(
    host: &Host,
    id: &ResourceId,
    place: &Place,
    (found, stat): (&Found, &Stat),
    (asked, attributes): (Attributes, Attributes),
) -> Result<Operation, ResourceError> {
    let act = ResourceError::io("set owner and mode of", place.path());
    claim(host, id, place, found)?;
    ownership::keep(host, place.path(), (ResourceKind::File, Some(stat)), asked)?;
    let file = place.open_file()?;
    host.change(|| {
        host.steps().before(Step::SetAttributes).doing(act)?;
        attributes.apply_to_file(&file).doing(act)?;
        file.sync_all().doing(act)
    })?;
    already_there(host, place, asked)?;
    Ok(Operation::Update)
}

fn claim(host: &Host, id: &ResourceId, place: &Place, found: &Found) -> Result<(), ResourceError> {
    let save = |order| host.owned().saved().keep(place, found, order);
    host.owned().claim(id, ResourceKind::File, place.path(), save)
}

/// Where the content comes from. An asset is hashed once more on its way, and one that does not
/// match ends the copy with an error, so it never takes the target's place.
enum Source<'a> {
    Inline(&'a [u8]),
    Asset { file: File, hasher: Box<Sha256>, asset: BlobId },
    Secret(File),
}

impl<'a> Source<'a> {
    fn open(host: &Host, content: &'a FileContent) -> Result<Self, ResourceError> {
        match content {
            FileContent::Inline(text) => Ok(Self::Inline(text.as_bytes())),
            FileContent::Asset { asset, .. } => {
                let opened = host
                    .cache()
                    .open_asset(asset)
                    .doing(ResourceError::io("open the asset", &asset.to_string()))?;
                let file = opened.ok_or(ResourceError::AssetMissing { asset: *asset })?;
                Ok(Self::Asset { file, hasher: Box::default(), asset: *asset })
            }
            FileContent::HostFile(from) => Ok(Self::Secret(secret(host, from)?.open_file()?)),
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Inline(bytes) => bytes.read(buffer),
            Self::Secret(file) => file.read(buffer),
            Self::Asset { file, hasher, asset } => {
                let read = file.read(buffer)?;
                hasher.update(&buffer[..read]);
                if read == 0 && BlobId(Sha256Hash(hasher.finalize_reset().into())) != *asset {
                    return Err(std::io::Error::other(ResourceError::AssetCorrupt {
                        asset: *asset,
                    }));
                }
                Ok(read)
            }
        }
    }
}
