//! A gallery of broken files: each `tests/config/broken/NAME.yaml`, and beside it what a person is told.

use std::fs;
use std::path::Path;

use pipecron::config::{Colour, render};

use super::world::check_files;

#[test]
fn each_broken_file_says_where_it_is_broken_and_what_to_write_instead() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/broken");
    let mut names: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".yaml")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    assert!(names.len() >= 71, "{}", names.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("broken");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for name in names {
        let file = format!("{name}.yaml");
        let text = fs::read_to_string(directory.join(&file)).unwrap();
        let loaded = check_files(&[(&file, &text)]);
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
        insta::assert_snapshot!(name, shown);
    }
}
