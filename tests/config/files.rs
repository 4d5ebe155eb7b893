//! The door: paths to texts, or what is wrong with them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pipecron::config::{Kind, Problem};
use pipecron::os::files::{FILE_BYTES_MAX, read_config};

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let files = read_config(paths).unwrap();
    let name = |path: &str| {
        Path::new(path)
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    files.iter().map(|file| name(&file.path)).collect()
}

fn problems(paths: &[PathBuf]) -> Vec<Problem> {
    let problems = read_config(paths).unwrap_err();
    assert!(
        problems
            .iter()
            .all(|problem| problem.kind == Kind::File && problem.help.is_some())
    );
    problems
}

#[test]
fn a_directory_gives_its_yaml_files_by_name_and_nothing_else() {
    let within = directory(&[
        ("b.yml", b"b"),
        ("a.yaml", b"a"),
        ("C.yaml", b"c"),
        (".hidden.yaml", b"h"),
        ("readme.md", b"r"),
        ("a.yaml.bak", b"x"),
        ("yaml", b"x"),
    ]);
    let path = within.path();
    fs::create_dir(path.join("deeper.yaml")).unwrap();
    fs::write(path.join("deeper.yaml/d.yaml"), "d").unwrap();
    symlink(path.join("readme.md"), path.join("linked.yaml")).unwrap();
    assert_eq!(
        names(&[path.to_owned()]),
        ["C.yaml", "a.yaml", "b.yml", "linked.yaml"]
    );
}

#[test]
fn files_and_directories_come_in_the_order_given_and_each_file_once() {
    let within = directory(&[("a.yaml", b""), ("b.yaml", b""), ("z.conf", b"")]);
    let path = within.path();
    symlink(path.join("b.yaml"), path.join("same.yaml")).unwrap();
    // A file that is named itself may be called anything.
    let paths = [
        path.join("z.conf"),
        path.join("b.yaml"),
        path.to_owned(),
        path.join("./a.yaml"),
    ];
    assert_eq!(names(&paths), ["z.conf", "b.yaml", "a.yaml"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let within = directory(&[
        ("latin.yaml", b"a: 1\nb: \xe9t\xe9\n"),
        ("utf16.yaml", b"\xff\xfea\x00:\x00 \x001\x00"),
        ("utf16be.yaml", b"\xfe\xff\x00a"),
        ("good.yaml", b"a: 1\n"),
    ]);
    let path = within.path();
    symlink(path.join("nowhere"), path.join("broken-link.yaml")).unwrap();
    let empty = directory(&[]);
    let large = empty.path().join("large.conf");
    fs::File::create(&large)
        .unwrap()
        .set_len(u64::try_from(FILE_BYTES_MAX).unwrap() + 1)
        .unwrap();
    let paths = [
        path.to_owned(),
        path.join("missing.yaml"),
        empty.path().to_owned(),
        large,
        PathBuf::from("/dev/null"),
    ];
    let lines: Vec<String> = problems(&paths)
        .iter()
        .map(|problem| {
            let name = Path::new(&problem.file)
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let name = if problem.file == empty.path().to_str().unwrap() {
                "empty".to_owned()
            } else {
                name
            };
            format!("{name}: {}", problem.message)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "broken-link.yaml: cannot read it: No such file or directory (os error 2)",
            "latin.yaml: the file is not UTF-8: byte 8 (line 2, column 4) is 0xe9",
            "utf16.yaml: the file is in UTF-16, and must be in UTF-8",
            "utf16be.yaml: the file is in UTF-16, and must be in UTF-8",
            "missing.yaml: cannot read it: No such file or directory (os error 2)",
            "empty: the directory has no configuration file",
            "large.conf: the file is larger than 64 MiB",
            "null: it is neither a file nor a directory",
        ]
    );
}

#[test]
fn no_path_at_all_is_a_problem() {
    let problems = problems(&[]);
    assert_eq!(
        problems[0].to_string(),
        "no configuration path is given; give a file or a directory with --config"
    );
}

#[test]
fn a_pipe_does_not_block() {
    let within = directory(&[]);
    let pipe = within.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return; // no such command here; the kind of file is what counts, and /dev/null shows it above
    }
    assert_eq!(problems(&[pipe]).len(), 1);
}
