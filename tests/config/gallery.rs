//! Two galleries. `tests/gallery/broken`: files, or directories of them, that somebody got wrong, and beside each what that
//! person is told. `tests/gallery/good`: files that make a configuration. Who adds one drops it there; nothing else is to do.

use std::fs;
use std::path::{Path, PathBuf};

use pipecron::config::{Colour, Loaded, SourceFile, Unread, parse_with, render};
use pipecron::os::files::read_what_is_there;

use super::world::with_world;

fn gallery(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/gallery")
        .join(name)
}

/// The files and directories of a gallery by name, in order.
fn pieces(name: &str) -> Vec<(String, PathBuf)> {
    let mut pieces: Vec<(String, PathBuf)> = fs::read_dir(gallery(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    pieces.sort();
    pieces
}

/// Reads it as the program does. Paths are those within the gallery.
fn load(path: &Path) -> Loaded {
    let (files, unread) = read_what_is_there(&[path.to_owned()]);
    let within = path.parent().unwrap().to_str().unwrap().to_owned() + "/";
    let files: Vec<SourceFile> = files
        .into_iter()
        .map(|file| SourceFile {
            path: file.path.replace(&within, ""),
            ..file
        })
        .collect();
    let mut loaded = {
        let beside = Unread {
            files: unread.len(),
            ..Unread::default()
        };
        with_world(|world| parse_with(&files, beside, world))
    };
    let unread = unread.into_iter().map(|mut problem| {
        problem.file = problem.file.replace(&within, "");
        problem
    });
    // Of a single file that cannot be read there is nothing more to say.
    loaded.problems.splice(0..0, unread);
    loaded
}

#[test]
fn each_broken_file_says_where_it_is_broken_and_what_to_write_instead() {
    let pieces = pieces("broken");
    assert!(pieces.len() >= 170, "{}", pieces.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(gallery("broken"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for (name, path) in pieces {
        let loaded = load(&path);
        assert!(!loaded.problems.is_empty(), "{name} is not broken");
        let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
        for secret in [
            "hunter2",
            "verysecret",
            "plainsecret",
            "MY SECRET",
            "mysecretkey",
        ] {
            let lines: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
            assert!(
                !shown.contains(secret) && !lines.concat().contains(secret),
                "{name}: {secret} is shown\n{shown}"
            );
        }
        // In a log each problem is one sentence, without the example that a terminal shows.
        for problem in &loaded.problems {
            let line = problem.to_string();
            let reads_badly = [":;", ",;", "such as;", "\\u{a}", "help:", "error:"];
            assert!(
                !reads_badly.iter().any(|piece| line.contains(piece))
                    && !line.ends_with([':', ',']),
                "{name}: {line}"
            );
            assert!(
                problem.help.is_some() || problem.related.is_some(),
                "{name}: nothing is advised: {line}"
            );
        }
        insta::assert_snapshot!(name, shown);
    }
}

#[test]
fn each_good_file_is_good() {
    let pieces = pieces("good");
    assert!(pieces.len() >= 10, "{}", pieces.len());
    for (name, path) in pieces {
        let loaded = load(&path);
        let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
        assert!(loaded.problems.is_empty(), "{name}\n{shown}");
        assert!(
            loaded
                .config
                .is_some_and(|config| !config.entries.is_empty()),
            "{name}"
        );
    }
}
