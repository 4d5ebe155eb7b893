//! Where the ledger is, as it is written in `--ledger`.

use std::path::PathBuf;

/// A `--ledger` that cannot be used, and what to write instead. Never shows the text: a URL may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's address {0}")]
pub struct UrlError(String);

/// The file of `sqlite:///absolute/path` or `sqlite://relative/path`. The path is taken as it stands.
///
/// ```
/// use pipecron::ledger::parse_url;
/// assert_eq!(parse_url("sqlite:///var/lib/pipecron/ledger.db")?.to_str(), Some("/var/lib/pipecron/ledger.db"));
/// assert_eq!(parse_url("sqlite://ledger.db")?.to_str(), Some("ledger.db"));
/// assert!(parse_url("postgres://host/db").is_err());
/// # Ok::<(), pipecron::ledger::UrlError>(())
/// ```
///
/// # Errors
/// For another scheme, and for a path that names no file.
pub fn parse_url(text: &str) -> Result<PathBuf, UrlError> {
    let refuse = |why: &str| Err(UrlError(why.to_owned()));
    let Some((scheme, path)) = text.split_once(':') else {
        return refuse(
            "has no scheme; write sqlite:// before the path, as in sqlite:///var/lib/pipecron/ledger.db",
        );
    };
    match scheme {
        "sqlite" => {}
        "postgres" | "postgresql" => {
            return refuse(
                "names a PostgreSQL database, which is not supported by this version yet; use sqlite://PATH",
            );
        }
        _ => {
            return refuse(
                "has a scheme that is not known; write sqlite:///ABSOLUTE/PATH or sqlite://RELATIVE/PATH",
            );
        }
    }
    let Some(path) = path.strip_prefix("//") else {
        return refuse(
            "lacks the two slashes after the scheme; write sqlite:///ABSOLUTE/PATH or sqlite://RELATIVE/PATH",
        );
    };
    if path.contains(['?', '#', '\0']) {
        return refuse("contains '?', '#' or a NUL; it is a path alone, without options");
    }
    if path == ":memory:" {
        return refuse(
            "names a database in memory, where nothing would be kept; give the path of a file",
        );
    }
    match path.rsplit('/').next() {
        None | Some("" | "." | "..") => {
            refuse("names no file; write sqlite:///var/lib/pipecron/ledger.db")
        }
        Some(_) => Ok(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_or_refused_with_what_to_write() {
        let table: [(&str, Result<&str, &str>); 16] = [
            (
                "sqlite:///var/lib/pipecron/ledger.db",
                Ok("/var/lib/pipecron/ledger.db"),
            ),
            ("sqlite://state/ledger.db", Ok("state/ledger.db")),
            ("sqlite://ledger.db", Ok("ledger.db")),
            ("sqlite:///with space/100%.db", Ok("/with space/100%.db")),
            (
                "postgres://u:secret@host/db",
                Err("not supported by this version yet"),
            ),
            (
                "postgresql://host/db",
                Err("not supported by this version yet"),
            ),
            ("mysql://u:secret@host/db", Err("not known")),
            ("/var/lib/pipecron/ledger.db", Err("no scheme")),
            ("sqlite:/var/lib/ledger.db", Err("two slashes")),
            ("sqlite::memory:", Err("two slashes")),
            ("sqlite://:memory:", Err("in memory")),
            ("sqlite://", Err("names no file")),
            ("sqlite:///var/lib/", Err("names no file")),
            ("sqlite:///var/lib/..", Err("names no file")),
            ("sqlite:///l.db?mode=ro", Err("without options")),
            ("", Err("no scheme")),
        ];
        for (text, expected) in table {
            match (parse_url(text), expected) {
                (Ok(path), Ok(expected)) => assert_eq!(path, PathBuf::from(expected), "{text}"),
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(error.contains(expected), "{text}: {error}");
                    assert!(!error.contains("secret"), "{text}: {error}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
