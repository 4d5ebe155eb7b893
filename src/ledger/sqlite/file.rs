//! The ledger's files: where they are, who holds them, who may read them.
//!
//! `LEDGER` is the database, `LEDGER-wal` and `LEDGER-shm` belong to SQLite, `LEDGER.lock` is held by the one process
//! that writes, `LEDGER.new` is a ledger in the making, `LEDGER-wal.old` is what a ledger that disappeared left behind.
//! All are for their owner alone.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{
    DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown,
};
use std::path::{Path, PathBuf};

use super::super::{Fault, LedgerError};
use super::fault::{advise, cannot_open, on_io};
use super::schema::{ANOTHER_DATABASE, APPLICATION_ID};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Length of a database's header.
const HEADER_BYTES: usize = 100;
/// Where in it the application's id is.
const APPLICATION_ID_AT: usize = 68;
/// Longest text that is read from a lock file: a process id and the ledger's id, a line each.
const LOCK_BYTES_MAX: u64 = 64;

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
        make_one_directory(directory).map_err(|error| {
            let what = format!("making the directory {}", directory.display());
            on_io(path, &what, &error)
        })?;
    }
    Ok(())
}

fn make_one_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    // The umask may have taken something away.
    fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))?;
    directory.parent().map_or(Ok(()), sync_directory)
}

/// Makes sure that what was made or renamed in a directory is there after a power cut. Without it a start may find no
/// ledger, begin a new one and forget what was sent.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
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
    path.parent().map_or(Ok(()), sync_directory)
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

/// Whether the ledger at `path` has a log beside it: it is open, or was not closed.
pub(super) fn has_log(path: &Path) -> bool {
    beside(path, LOG).symlink_metadata().is_ok()
}

fn lock_path(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// That this process is the one that writes, until it is dropped.
///
/// The file stays when it is let go: whoever removes it lets two processes hold two files of one name. It holds the id
/// of the process that has it, or had it last, and that of the ledger which it opened: so a later start can say that a
/// ledger has disappeared.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    ledger: Option<String>,
}

impl Drop for Lock {
    /// Lets go by name: to close the file is not enough while a process that was just forked still has a copy of it.
    fn drop(&mut self) {
        // Then it ends when that copy is closed.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of the ledger at `path`.
    ///
    /// # Errors
    /// When another process, or this one, has it; names the process.
    pub(super) fn take(path: &Path) -> Result<Self, LedgerError> {
        let lock_path = lock_path(path);
        let fail = |error| on_io(path, &format!("opening {}", lock_path.display()), &error);
        let file = open_lock(&lock_path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Held {
                    path: path.to_owned(),
                    pid: said_in(&file).0,
                });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let (_, ledger) = said_in(&file);
        let lock = Self { file, ledger };
        lock.say();
        Ok(lock)
    }

    /// The id of the ledger that was opened here last, if one was.
    pub(super) fn last_ledger(&self) -> Option<&str> {
        self.ledger.as_deref()
    }

    /// Says which ledger is open now.
    pub(super) fn name(&mut self, ledger: &str) {
        if self.last_ledger() != Some(ledger) {
            self.ledger = Some(ledger.to_owned());
            self.say();
        }
    }

    fn say(&self) {
        let ledger = self.ledger.as_deref().unwrap_or_default();
        let text = format!("{}\n{ledger}\n", std::process::id());
        // On a full disk this fails, but the lock holds: whoever comes second is told `?`, and no more is lost.
        let _ = self
            .file
            .set_len(0)
            .and_then(|()| self.file.write_all_at(text.as_bytes(), 0));
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

/// The process and the ledger that a lock file names; the process is `?` if it does not say.
fn said_in(file: &File) -> (String, Option<String>) {
    let mut text = String::new();
    // What cannot be read says nothing.
    let _ = file.take(LOCK_BYTES_MAX).read_to_string(&mut text);
    let mut lines = text.lines().map(str::trim);
    let mut next = || lines.next().filter(|line| !line.is_empty());
    let pid = next().unwrap_or("?").to_owned();
    (pid, next().map(str::to_owned))
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Of the file that stands at `path` now; not of what a link there points to, for SQLite makes no links.
    fn at(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// That the files which are open are those that stand at the ledger's path.
///
/// To write goes well also after somebody has deleted the file, put another in its place or moved it: the system keeps
/// it for us under no name. The next process would know nothing of what was written then, and do it again. So it is
/// looked at around each commit, and nothing is done on the strength of one that the next process cannot find.
///
/// As long as they are open no other file gets their inodes.
#[derive(Debug)]
pub(super) struct Standing {
    path: PathBuf,
    ledger: Identity,
    lock: Identity,
    log: Identity,
    index: Identity,
}

/// How the ledger's files are called in a message.
const LOG: &str = "-wal";
const INDEX: &str = "-shm";

impl Standing {
    /// Remembers the files of the ledger at `path`, which `header` and `lock` are open on and SQLite has opened since.
    pub(super) fn of(path: &Path, header: &File, lock: &Lock) -> Result<Self, LedgerError> {
        let fail = |error: io::Error| on_io(path, "looking at its files", &error);
        let open = |file: &File| file.metadata().map(|metadata| Identity::of(&metadata));
        let standing = Self {
            path: path.to_owned(),
            ledger: open(header).map_err(fail)?,
            lock: open(&lock.file).map_err(fail)?,
            log: Identity::at(&beside(path, LOG)).map_err(fail)?,
            index: Identity::at(&beside(path, INDEX)).map_err(fail)?,
        };
        // Whoever replaced one while we opened them one after another is noticed here.
        let check = standing.check();
        check.map_err(|(fault, why)| cannot_open(path, fault, why))?;
        Ok(standing)
    }

    /// Whether all files still stand where they stood; else what is wrong and what to do.
    pub(super) fn check(&self) -> Result<(), (Fault, String)> {
        self.check_one(
            "",
            self.ledger,
            "put it back and start again; a start without it begins a new ledger, from then on",
        )?;
        self.check_one(
            ".lock",
            self.lock,
            "another process may write to the ledger now; start again, which makes a new lock",
        )?;
        let advice = "start again; never remove a file of a ledger that is in use";
        self.check_one(LOG, self.log, advice)?;
        self.check_one(INDEX, self.index, advice)
    }

    fn check_one(&self, ending: &str, open: Identity, advice: &str) -> Result<(), (Fault, String)> {
        let path = beside(&self.path, ending);
        let moved = |what: &str| {
            let why = format!("{} {what} while it was in use; {advice}", path.display());
            Err((Fault::Moved, why))
        };
        match Identity::at(&path) {
            Ok(there) if there == open => Ok(()),
            Ok(_) => moved("was replaced by another file"),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                moved("was deleted or moved away")
            }
            Err(error) => Err(advise(&format!("looking at {}", path.display()), &error)),
        }
    }

    /// When the ledger itself is not where it was, SQLite leaves its log where it is, and the next start would take it
    /// for that of whatever stands there then. Takes it out of the way and gives its new name.
    pub(super) fn leave(&self) -> io::Result<Option<PathBuf>> {
        // As SQLite looks, through links: a ledger that was moved and linked to is closed as always.
        let is_there =
            fs::metadata(&self.path).is_ok_and(|file| Identity::of(&file) == self.ledger);
        let log = Identity::at(&beside(&self.path, LOG));
        if is_there || log.ok() != Some(self.log) {
            return Ok(None);
        }
        set_aside(&self.path, LOG)
    }
}

/// Gives a file that belongs to a ledger which is no more another name, in place of the last one of its kind. It may
/// hold the last commits of a ledger that somebody still has elsewhere.
fn set_aside(path: &Path, ending: &str) -> io::Result<Option<PathBuf>> {
    let old = beside(path, &format!("{ending}.old"));
    match fs::rename(beside(path, ending), &old) {
        Ok(()) => Ok(Some(old)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Before a ledger is made where there is none: takes out of the way what SQLite would read into it. Gives the names.
pub(super) fn set_remains_aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut aside = Vec::new();
    for ending in [LOG, "-journal"] {
        aside.extend(set_aside(path, ending)?);
    }
    Ok(aside)
}
