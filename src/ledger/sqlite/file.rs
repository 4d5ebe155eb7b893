//! The ledger's files: where they are, who holds them, who may read them.
//!
//! `LEDGER` is the database, `LEDGER-wal` and `LEDGER-shm` belong to SQLite, `LEDGER.lock` is held by the one process
//! that writes, `LEDGER.new` is a ledger in the making. All are for their owner alone.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::super::{Fault, LedgerError};
use super::fault::{cannot_open, on_io};
use super::schema::APPLICATION_ID;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Length of a database's header.
const HEADER_BYTES: usize = 100;
/// Where in it the application's id is.
const APPLICATION_ID_AT: usize = 68;
/// Longest text that is read from a lock file: a process id.
const PID_BYTES_MAX: u64 = 20;

/// `path` with `ending` after its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// The one true path of the ledger at `path`: absolute and without symbolic links, so that whoever comes by another
/// way finds the same lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, LedgerError> {
    let fail = |error: io::Error| on_io(path, "looking for it", &error);
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                return Err(cannot_open(
                    path,
                    Fault::Missing,
                    "it is a symbolic link to nothing: remove it, or make what it points to",
                ));
            }
            let path = std::path::absolute(path).map_err(fail)?;
            match (path.parent().map(Path::canonicalize), path.file_name()) {
                (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
                _ => Ok(path),
            }
        }
        Err(error) => Err(fail(error)),
    }
}

/// Makes the directory of `path` and those above it that are missing.
pub(super) fn make_directory(path: &Path) -> Result<(), LedgerError> {
    let Some(parent) = path.parent() else {
        return Err(cannot_open(path, Fault::NotALedger, IS_A_DIRECTORY));
    };
    let mut missing: Vec<&Path> = parent
        .ancestors()
        .take_while(|directory| directory.symlink_metadata().is_err())
        .collect();
    while let Some(directory) = missing.pop() {
        let made = DirBuilder::new().mode(DIRECTORY_MODE).create(directory);
        match made {
            // The umask may have taken something away.
            Ok(()) => fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| {
            on_io(
                path,
                &format!("making the directory {}", directory.display()),
                &error,
            )
        })?;
    }
    Ok(())
}

/// What stands at the ledger's path.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// A ledger. Its file is not to be closed before SQLite has closed it: locks of POSIX belong to a process, and
    /// closing any of its files lets go of those that SQLite holds through others. Somebody else could then take the
    /// write-ahead log from under us.
    Ledger(File),
}

const IS_A_DIRECTORY: &str =
    "it is a directory; name a file in it, as in sqlite:///var/lib/pipecron/ledger.db";
const NOT_SQLITE: &str =
    "it is not a SQLite database: choose another place with --ledger, or restore a backup";
pub(super) const ANOTHER_DATABASE: &str =
    "it is a SQLite database, but not a ledger of pipecron: choose another place with --ledger";

/// Looks at what stands at `path` without SQLite, which might repair or complete it: what is not ours stays as it is.
pub(super) fn look(path: &Path) -> Result<Found, LedgerError> {
    if !is_there(path)? {
        return Ok(Found::Nothing);
    }
    let not_ours = |why: &str| Err(cannot_open(path, Fault::NotALedger, why));
    let mut header = [0; HEADER_BYTES];
    let mut file = File::open(path).map_err(|error| on_io(path, "opening it", &error))?;
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return not_ours(NOT_SQLITE),
        Err(error) => return Err(on_io(path, "reading it", &error)),
    }
    if !header.starts_with(MAGIC) {
        return not_ours(NOT_SQLITE);
    }
    if header[APPLICATION_ID_AT..APPLICATION_ID_AT + 4] != APPLICATION_ID.to_be_bytes() {
        return not_ours(ANOTHER_DATABASE);
    }
    Ok(Found::Ledger(file))
}

/// Whether something is at `path` that may be a ledger, told without opening it.
pub(super) fn is_there(path: &Path) -> Result<bool, LedgerError> {
    let not_ours = |why: &str| Err(cannot_open(path, Fault::NotALedger, why));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(on_io(path, "looking at it", &error)),
    };
    if metadata.is_dir() {
        return not_ours(IS_A_DIRECTORY);
    }
    if !metadata.is_file() {
        return not_ours("it is not a regular file; choose another place with --ledger");
    }
    if metadata.len() == 0 {
        // A new ledger appears complete or not at all. So this one lost its content, and starting over would forget
        // in silence what was sent.
        return not_ours(
            "it is empty, which no ledger ever is: restore a backup, or remove it to begin a new one",
        );
    }
    Ok(true)
}

/// Makes an empty file for a ledger to be.
pub(super) fn make_new(path: &Path) -> io::Result<()> {
    for ending in ["", "-journal", "-wal", "-shm"] {
        // Left behind when we died while making it. Nobody has seen it yet.
        match fs::remove_file(beside(path, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let options = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .to_owned();
    own(&options.open(path)?, path)
}

/// Puts a finished ledger into its place, for good.
pub(super) fn move_into_place(new: &Path, path: &Path) -> io::Result<()> {
    fs::rename(new, path)?;
    // Without this a power cut may bring back a directory without the ledger, and a start without the ledger begins a
    // new one.
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes a file that we created its owner's alone. When root made it in somebody's directory (a command run by hand
/// while the service was down) it is that somebody's, as with the files that SQLite makes: else the service could not
/// start again.
fn own(file: &File, path: &Path) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    if rustix::process::geteuid().is_root()
        && let Some(directory) = path.parent()
    {
        let directory = fs::metadata(directory)?;
        fchown(file, Some(directory.uid()), Some(directory.gid()))?;
    }
    Ok(())
}

/// Whether somebody ever held the lock of the ledger at `path`, and may hold it now.
pub(super) fn has_lock_file(path: &Path) -> bool {
    lock_path(path).symlink_metadata().is_ok()
}

fn lock_path(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// That this process is the one that writes, until it is dropped.
///
/// The file stays when it is let go: whoever removes it lets two processes hold two files of one name.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the ledger at `path`.
    ///
    /// # Errors
    /// When another process, or this one, has it; names the process.
    pub(super) fn take(path: &Path) -> Result<Self, LedgerError> {
        let lock_path = lock_path(path);
        let fail = |error| on_io(path, &format!("opening {}", lock_path.display()), &error);
        let mut file = open_lock(&lock_path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Held {
                    path: path.to_owned(),
                    pid: pid_in(&file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        // On a full disk this fails, but the lock holds: whoever comes second is told `?`, and no more is lost.
        let _ = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE);
    // A link laid here must not make us write a process id over some other file.
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Ok(file) => own(&file, path).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

fn pid_in(file: &File) -> String {
    let mut text = String::new();
    let read = file.take(PID_BYTES_MAX).read_to_string(&mut text);
    match (read, text.trim()) {
        (Err(_), _) | (Ok(_), "") => "?".to_owned(),
        (Ok(_), pid) => pid.to_owned(),
    }
}
