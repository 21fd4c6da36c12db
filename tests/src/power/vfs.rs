//! The disk as SQLite sees it: a virtual file system over [`machine`](mod@super::machine), made the default
//! of the process, so that the real stores use it without knowing.
//!
//! The only unsafe code of the tests: SQLite calls these functions through C pointers. What each may rely
//! on is SQLite's contract of `sqlite3_vfs` and `sqlite3_io_methods`.
//!
//! Not here: anything that decides; every function hands over to the machine.
#![allow(unsafe_code, reason = "SQLite's interface for file systems is one of C pointers")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Once;

use rusqlite::ffi;

use super::disk::Fault;
use super::machine::{self, Level};

/// What SQLite keeps for an open file: its number in the machine.
#[repr(C)]
struct OpenFile {
    base: ffi::sqlite3_file,
    handle: u64,
}

const REGION_WORDS: usize = 4096;
const REGION_BYTES: usize = REGION_WORDS * size_of::<u64>();

/// The memory that the connections to one database share; freed when the last one is gone.
#[derive(Default)]
struct SharedMemory {
    regions: Vec<*mut [u64; REGION_WORDS]>,
    users: Vec<u64>,
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        for region in self.regions.drain(..) {
            // SAFETY: it came from `Box::into_raw`, is freed only here, and no connection maps it any more.
            drop(unsafe { Box::from_raw(region) });
        }
    }
}

thread_local! {
    static MEMORY: RefCell<BTreeMap<String, SharedMemory>> = const { RefCell::new(BTreeMap::new()) };
}

const MAX_PATH: c_int = 512;

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// From now on every database of this process is on the machine of the thread that opens it.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<OpenFile>() as c_int,
            mxPathname: MAX_PATH,
            pNext: std::ptr::null_mut(),
            zName: c"power-cut".as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: None,
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        });
        // SAFETY: the structure lives as long as the process, as SQLite asks, and is not touched again here.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(vfs), 1) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the file system");
    });
}

fn code(fault: Fault) -> c_int {
    match fault {
        Fault::PowerCut => ffi::SQLITE_IOERR,
        Fault::ReadError => ffi::SQLITE_IOERR_READ,
        Fault::WriteError | Fault::ShortWrite => ffi::SQLITE_IOERR_WRITE,
        Fault::DiskFull => ffi::SQLITE_FULL,
        Fault::SyncError => ffi::SQLITE_IOERR_FSYNC,
    }
}

fn done(result: Result<(), Fault>) -> c_int {
    result.map_or_else(code, |()| ffi::SQLITE_OK)
}

fn taken(result: Result<(), machine::Busy>) -> c_int {
    result.map_or(ffi::SQLITE_BUSY, |()| ffi::SQLITE_OK)
}

/// # Safety
/// `name` is null or a C string.
unsafe fn text(name: *const c_char) -> Option<String> {
    // SAFETY: as the caller says.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

/// # Safety
/// `file` was filled by [`open`].
unsafe fn handle(file: *mut ffi::sqlite3_file) -> u64 {
    // SAFETY: SQLite reserves `szOsFile` bytes for each file, which `open` fills with an `OpenFile`.
    unsafe { (*file.cast::<OpenFile>()).handle }
}

fn place(offset: i64) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

fn length(bytes: c_int) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes null or a C string, a block of `szOsFile` bytes, and null or a place for a number.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let name = text(name);
        let opened = machine::with(|machine| {
            let read_only = flags & ffi::SQLITE_OPEN_READONLY != 0;
            let Some(name) = &name else { return Ok(Some(machine.open(None, read_only))) };
            let disk = machine.disk_of(name);
            if !disk.exists(name) {
                if flags & ffi::SQLITE_OPEN_CREATE == 0 {
                    return Ok(None);
                }
                disk.create(name)?;
            }
            Ok(Some(machine.open(Some(name), read_only)))
        });
        let handle = match opened {
            Ok(Some(handle)) => handle,
            Ok(None) => return ffi::SQLITE_CANTOPEN,
            Err(fault) => return code(fault),
        };
        file.cast::<OpenFile>()
            .write(OpenFile { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, handle });
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: SQLite passes a C string.
    let name = unsafe { text(name) }.unwrap_or_default();
    machine::with(|machine| {
        let disk = machine.disk_of(&name);
        if !disk.exists(&name) {
            return ffi::SQLITE_IOERR_DELETE_NOENT;
        }
        done(disk.remove(&name, sync_dir != 0))
    })
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a C string and a place for a number.
    unsafe {
        let name = text(name).unwrap_or_default();
        *out = c_int::from(machine::with(|machine| machine.disk_of(&name).exists(&name)));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    capacity: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a C string and a buffer of `capacity` bytes; no more is written to it.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > length(capacity) {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.cast(), bytes.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(
    _vfs: *mut ffi::sqlite3_vfs,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a buffer of `bytes` bytes.
    let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<u8>(), length(bytes)) };
    machine::with(|machine| machine.fill_randomly(out));
    bytes
}

unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

/// Always the same moment: Julian days in milliseconds.
unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut i64) -> c_int {
    const NOON_OF_2027: i64 = 211_666_651_200_000;
    // SAFETY: SQLite passes a place for a number.
    unsafe { *out = NOON_OF_2027 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes what `open` filled, once.
    let handle = unsafe { handle(file) };
    machine::with(|machine| machine.close(handle));
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    out: *mut c_void,
    bytes: c_int,
    at: i64,
) -> c_int {
    // SAFETY: an open file, and a buffer of `bytes` bytes.
    let (handle, buffer) =
        unsafe { (handle(file), std::slice::from_raw_parts_mut(out.cast::<u8>(), length(bytes))) };
    match machine::with(|machine| machine.read(handle, place(at), buffer)) {
        Err(fault) => code(fault),
        Ok(read) if read == buffer.len() => ffi::SQLITE_OK,
        Ok(read) => {
            buffer[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    bytes: c_int,
    at: i64,
) -> c_int {
    // SAFETY: an open file, and a buffer of `bytes` bytes that nobody changes meanwhile.
    let (handle, bytes) =
        unsafe { (handle(file), std::slice::from_raw_parts(from.cast::<u8>(), length(bytes))) };
    done(machine::with(|machine| machine.write(handle, place(at), bytes)))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    done(machine::with(|machine| machine.truncate(handle, place(size))))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    done(machine::with(|machine| machine.sync(handle)))
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: an open file and a place for a number.
    unsafe {
        let handle = handle(file);
        *out = machine::with(|machine| machine.len(handle)) as i64;
    }
    ffi::SQLITE_OK
}

fn level(number: c_int) -> Level {
    match number {
        ffi::SQLITE_LOCK_NONE => Level::None,
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        _ => Level::Exclusive,
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, wanted: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    machine::with(|machine| {
        let level = level(wanted);
        if level > Level::Shared && machine.is_read_only(handle) {
            return ffi::SQLITE_IOERR_LOCK;
        }
        taken(machine.lock(handle, level))
    })
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, to: c_int) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    machine::with(|machine| machine.unlock(handle, level(to)));
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file and a place for a number.
    unsafe {
        let handle = handle(file);
        *out = c_int::from(machine::with(|machine| machine.is_reserved(handle)));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(
    _file: *mut ffi::sqlite3_file,
    _operation: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    super::disk::SECTOR as c_int
}

/// What SQLite assumes of every disk on Unix: a power cut does not damage what is beside a write.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    index: c_int,
    size: c_int,
    _extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    if length(size) != REGION_BYTES {
        return ffi::SQLITE_IOERR_SHMMAP;
    }
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    let name = machine::with(|machine| machine.name(handle));
    let region = MEMORY.with_borrow_mut(|memory| {
        let memory = memory.entry(name).or_default();
        if !memory.users.contains(&handle) {
            memory.users.push(handle);
        }
        while memory.regions.len() <= length(index) {
            memory.regions.push(Box::into_raw(Box::new([0; REGION_WORDS])));
        }
        memory.regions[length(index)]
    });
    // SAFETY: SQLite passes a place for a pointer; the region stays where it is until nobody maps it.
    unsafe { *out = region.cast() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    let handle = unsafe { handle(file) };
    // SQLite has eight of these locks.
    let bits = (offset..offset + count).fold(0_u8, |bits, bit| bits | (1 << bit));
    machine::with(|machine| {
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            machine.unlock_memory(handle, bits);
            return ffi::SQLITE_OK;
        }
        taken(machine.lock_memory(handle, bits, flags & ffi::SQLITE_SHM_EXCLUSIVE != 0))
    })
}

/// One thread uses a machine: it sees its own writes.
unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: an open file; SQLite does not use what it has mapped any more.
    let handle = unsafe { handle(file) };
    let name = machine::with(|machine| machine.name(handle));
    MEMORY.with_borrow_mut(|memory| {
        if let Some(shared) = memory.get_mut(&name) {
            shared.users.retain(|user| *user != handle);
            if shared.users.is_empty() {
                memory.remove(&name);
            }
        }
    });
    ffi::SQLITE_OK
}
