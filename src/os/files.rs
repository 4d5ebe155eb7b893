//! The door through which configuration files come in: paths to texts, or all problems at once.
//!
//! It takes files and directories (`*.yaml` and `*.yml`, sorted by name, not what lies deeper). It refuses what could
//! block or fill the memory: pipes and devices, files beyond [`FILE_BYTES_MAX`], all together beyond [`TOTAL_BYTES_MAX`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use crate::config::FILE_BYTES_MAX;
use crate::config::{CALENDAR_BYTES_MAX, Kind, Problem, Severity, SourceFile};

/// The largest size of all files together, in bytes.
pub const TOTAL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The largest number of files.
pub const FILES_MAX: usize = 10_000;

/// Reads the files and directories of a configuration, in the order they are given. A file that is reached twice is read
/// once.
///
/// # Errors
/// All that is wrong: paths that do not exist or cannot be read, directories without a file, texts that are not UTF-8,
/// sizes beyond the limits.
pub fn read_config(paths: &[PathBuf]) -> Result<Vec<SourceFile>, Vec<Problem>> {
    let (files, problems) = read_what_is_there(paths);
    if problems.is_empty() {
        Ok(files)
    } else {
        Err(problems)
    }
}

/// The files that can be read, and what is wrong with the others.
pub fn read_what_is_there(paths: &[PathBuf]) -> (Vec<SourceFile>, Vec<Problem>) {
    let mut reader = Reader::default();
    if paths.is_empty() {
        let message = "no configuration path is given".to_owned();
        let help = "give a file or a directory with --config";
        reader
            .problems
            .push(Problem::of_file(Severity::Error, Kind::File, "", message).with_help(help));
    }
    for path in paths {
        reader.path(path);
    }
    (reader.files, reader.problems)
}

/// Reads calendar files: the texts of those that can be read, and why the others cannot.
pub fn read_calendars(paths: &[String]) -> (Vec<SourceFile>, Vec<(String, String)>) {
    let (mut files, mut unread) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes_max = u64::try_from(CALENDAR_BYTES_MAX).unwrap_or(u64::MAX);
        let text = super::read_file(Path::new(path), bytes_max).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| {
                let valid = error.utf8_error().valid_up_to();
                not_utf8(&error.into_bytes(), valid).0
            })
        });
        let path = path.clone();
        match text {
            Ok(text) => files.push(SourceFile { path, text }),
            Err(why) => unread.push((path, why)),
        }
    }
    (files, unread)
}

#[derive(Debug, Default)]
struct Reader {
    files: Vec<SourceFile>,
    problems: Vec<Problem>,
    /// What was reached already, by its real path.
    known: BTreeSet<PathBuf>,
    bytes: usize,
    /// Whether a limit was met, so that the rest is left unread.
    full: bool,
}

impl Reader {
    fn problem(&mut self, path: &Path, message: String, help: &str) {
        let file = path.display().to_string();
        self.problems
            .push(Problem::of_file(Severity::Error, Kind::File, &file, message).with_help(help));
    }

    fn path(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => self.directory(path),
            Ok(_) => self.file(path),
            Err(error) => self.unreadable(path, "cannot read it", &error),
        }
    }

    fn unreadable(&mut self, path: &Path, what: &str, error: &io::Error) {
        let help = if error.kind() == io::ErrorKind::NotFound {
            "check the path: it is read from the directory in which pipecron starts, unless it begins with `/`"
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            "let the user that pipecron runs as read it, and enter the directories above it"
        } else {
            "make it readable, or take it out of the list of paths"
        };
        self.problem(path, format!("{what}: {error}"), help);
    }

    fn directory(&mut self, path: &Path) {
        let paths = match directory_files(path) {
            Ok(paths) => paths,
            Err(error) => return self.unreadable(path, "cannot list the directory", &error),
        };
        if paths.is_empty() {
            let message = "the directory has no configuration file".to_owned();
            self.problem(
                path,
                message,
                "put a file there whose name ends in .yaml or .yml and does not begin with a dot",
            );
        }
        for path in paths {
            // A broken link is reported; a directory is not looked into, whatever it is called.
            if !fs::metadata(&path).is_ok_and(|about| about.is_dir()) {
                self.file(&path);
            }
        }
    }

    fn file(&mut self, path: &Path) {
        if self.full
            || !self
                .known
                .insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
        {
            return;
        }
        if self.files.len() >= FILES_MAX {
            self.full = true;
            let message = format!("there are more than {FILES_MAX} files");
            return self.problem(path, message, "join some of them");
        }
        // A pipe would block here for as long as nobody writes to it.
        match fs::metadata(path) {
            Ok(about) if !about.is_file() => {
                let message = "it is neither a file nor a directory".to_owned();
                return self.problem(
                    path,
                    message,
                    "write what it gives into a file, and name that",
                );
            }
            Ok(_) => {}
            Err(error) => return self.unreadable(path, "cannot read it", &error),
        }
        match read_bytes(path) {
            Ok(bytes) if bytes.len() > FILE_BYTES_MAX => {
                let message = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
                self.problem(path, message, "split it, if it is a configuration at all");
            }
            Ok(bytes) => self.text(path, bytes),
            Err(error) => self.unreadable(path, "cannot read it", &error),
        }
    }

    fn text(&mut self, path: &Path, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        if self.bytes > TOTAL_BYTES_MAX {
            self.full = true;
            let message = format!(
                "the files are larger than {} MiB together",
                TOTAL_BYTES_MAX >> 20
            );
            return self.problem(path, message, "check that only configuration lies there");
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.files.push(SourceFile {
                path: path.display().to_string(),
                text,
            }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let bytes = error.into_bytes();
                let (message, help) = not_utf8(&bytes, valid);
                self.problem(path, message, help);
            }
        }
    }
}

/// The configuration files of a directory, sorted by name.
fn directory_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = PathBuf::from(entry?.file_name());
        let hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
        let yaml = name
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden && names.len() <= FILES_MAX {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| path.join(name)).collect())
}

/// At most one byte more than a file may have, whatever its size was said to be.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let max = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What to say about bytes that are not UTF-8 from `valid` on.
fn not_utf8(bytes: &[u8], valid: usize) -> (String, &'static str) {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return (
            "the file is in UTF-16, and must be in UTF-8".to_owned(),
            "save it as UTF-8; editors have it under \"encoding\"",
        );
    }
    let before = bytes.get(..valid).unwrap_or_default();
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(
        before
            .rsplit(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default(),
    )
    .chars()
    .count()
        + 1;
    let byte = bytes.get(valid).copied().unwrap_or_default();
    let message = format!(
        "the file is not UTF-8: byte {valid} (line {line}, column {column}) is 0x{byte:02x}"
    );
    (
        message,
        "save it as UTF-8; a text of another encoding can be changed with iconv",
    )
}
