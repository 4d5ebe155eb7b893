//! Entries beside their pipelines: what does not fit is shown where it stands.

use pipecron::config::{
    Colour, Config, Loaded, SourceFile, World, parse_online, pipelines_of, render,
};
use pipecron::domain::PipelineAt;
use pipecron::domain::pipeline::{
    Denial, Seen, SeenConcurrency, SeenJob, SeenPipeline, SeenSource, SeenStage, SeenVariable, Told,
};
use pipecron::os::zones::Zones;

use crate::world::{ACCOUNT, IDS, good};

fn stage(identifier: &str, title: &str, jobs: &[(&str, &str)]) -> SeenStage {
    let job = |(identifier, title): &(&str, &str)| SeenJob {
        identifier: (*identifier).to_owned(),
        title: (*title).to_owned(),
    };
    SeenStage {
        identifier: identifier.to_owned(),
        title: title.to_owned(),
        jobs: jobs.iter().map(job).collect(),
    }
}

fn variable(name: &str, default: &str) -> SeenVariable {
    SeenVariable {
        name: name.to_owned(),
        default: Some(default.to_owned()),
        is_runtime: true,
        ..SeenVariable::default()
    }
}

fn pipeline() -> SeenPipeline {
    SeenPipeline {
        name: "nightly-web".to_owned(),
        stages: Some(vec![
            stage(
                "build",
                "Build",
                &[("JOB_abc", "Compile all"), ("JOB_def", "Unit tests")],
            ),
            stage("1638", "Deploy to staging", &[("JOB_ghi", "Deploy")]),
        ]),
        variables: Some(vec![
            SeenVariable {
                limits: vec!["full".to_owned(), "quick".to_owned()],
                ..variable("MODE", "full")
            },
            SeenVariable {
                is_secret: true,
                default: None,
                ..variable("KEY", "")
            },
        ]),
        sources: Some(vec![SeenSource {
            kind: "code".to_owned(),
            git_url: Some("https://example.com/a/B.git".to_owned()),
            ..SeenSource::default()
        }]),
        ..SeenPipeline::default()
    }
}

/// An entry with these keys.
fn entry(keys: &str) -> String {
    format!("{ACCOUNT}schedules:\n  web:\n    cron: \"0 2 * * *\"\n{IDS}{keys}")
}

fn check_with(text: &str, seen: impl Fn(&PipelineAt) -> Seen) -> Loaded {
    let config: Config = good(text);
    let told: Told = pipelines_of(&config)
        .into_iter()
        .map(|at| {
            let seen = seen(&at);
            (at, seen)
        })
        .collect();
    let file = SourceFile {
        path: "a.yaml".to_owned(),
        text: text.to_owned(),
    };
    let zones = Zones::built_in();
    let world = World {
        zone: &|name| zones.get(name),
        zone_names: &[],
        now: "2026-11-24T12:00:00Z".parse().expect("an instant"),
    };
    parse_online(&[file], &world, &told)
}

fn shown(loaded: &Loaded) -> String {
    render(&loaded.problems, loaded.unlisted, Colour::Never)
}

fn check(text: &str, pipeline: &SeenPipeline) -> String {
    shown(&check_with(text, |_| {
        Seen::Pipeline(Box::new(pipeline.clone()))
    }))
}

#[test]
fn an_entry_that_fits_has_no_problem() {
    let fits = entry(
        "    choose_stages: [build, \"1638\"]\n    choose_jobs: [JOB_abc, JOB_ghi]\n    \
         variables: { MODE: quick, KEY: { env: KEY } }\n    \
         sources: [{ git_type: codehub, git_url: https://example.com/a/b/, branch: x }]\n",
    )
    .replace("a/b/", "a/b");
    assert_eq!(check(&fits, &pipeline()), "");
    assert_eq!(check(&entry(""), &pipeline()), "");
    // What is sent as the API has it, and by way of defaults and merge keys.
    let merged = format!(
        "{ACCOUNT}defaults: &d\n  choose_jobs: [JOB_abc]\n  variables: [{{ name: MODE, value: full }}]\nschedules:\n  web:\n    \
         <<: *d\n    cron: \"0 2 * * *\"\n{IDS}  other:\n    cron: \"0 2 * * *\"\n{IDS}"
    );
    assert_eq!(check(&merged, &pipeline()), "");
}

#[test]
fn each_name_is_marked_where_it_stands_with_the_nearest_and_its_title() {
    let wrong = entry(
        "    choose_stages: [biuld, deploy to stagin, \"nothing alike\"]\n    choose_jobs: [\"JOB_dfe\", unit test]\n    \
         variables:\n      MDOE: full\n      KEY: hunter2\n      MODE: qick\n    \
         sources:\n      - type: code\n        params: { git_type: github, git_url: https://example.com/a/c.git }\n",
    );
    insta::assert_snapshot!(check(&wrong, &pipeline()));
}

#[test]
fn a_default_that_does_not_fit_is_one_problem_for_a_pipeline() {
    let text = format!(
        "{ACCOUNT}defaults: {{ choose_stages: [nightly] }}\nschedules:\n  a:\n    cron: \"0 2 * * *\"\n{IDS}  b:\n    \
         cron: \"0 3 * * *\"\n{IDS}"
    );
    let found = check(&text, &pipeline());
    assert_eq!(found.matches("error:").count(), 1, "{found}");
    assert!(found.contains("a.yaml:2:29"), "{found}");
}

#[test]
fn a_variable_that_each_start_has_to_bring_is_missed() {
    let asks = |is_required| SeenPipeline {
        variables: Some(vec![SeenVariable {
            is_required,
            description: "what to build".to_owned(),
            ..variable("TAG", "")
        }]),
        ..pipeline()
    };
    for (is_required, word) in [
        (Some(true), "error: "),
        (None, "warning: "),
        (Some(false), ""),
    ] {
        let found = check(&entry(""), &asks(is_required));
        assert!(
            found.starts_with(word) && found.is_empty() == word.is_empty(),
            "{found}"
        );
        if !word.is_empty() {
            assert!(
                found.contains("`TAG` (what to build) at each start"),
                "{found}"
            );
            assert!(found.contains("a.yaml:3:3"), "{found}");
        }
        assert_eq!(
            check(&entry("    variables: { TAG: v1 }\n"), &asks(is_required)),
            ""
        );
    }
    let default = SeenPipeline {
        variables: Some(vec![variable("TAG", "v1")]),
        ..pipeline()
    };
    assert_eq!(check(&entry(""), &default), "");
}

#[test]
fn a_job_of_a_stage_that_is_not_chosen_is_named() {
    let found = check(
        &entry("    choose_stages: [\"1638\"]\n    choose_jobs: [JOB_abc, JOB_ghi]\n"),
        &pipeline(),
    );
    assert_eq!(found.matches("warning:").count(), 1, "{found}");
    assert!(
        found.contains("`JOB_abc` belongs to the stage `build` (Build), which is not chosen"),
        "{found}"
    );
}

#[test]
fn what_is_not_shown_is_not_wrong() {
    let silent = SeenPipeline {
        stages: None,
        variables: None,
        sources: None,
        ..pipeline()
    };
    let sends = entry(
        "    choose_stages: [x]\n    choose_jobs: [y]\n    variables: { Z: z }\n    \
         sources: [{ git_type: codehub, git_url: https://example.com/x.git }]\n",
    );
    let loaded = check_with(&sends, |_| Seen::Pipeline(Box::new(silent.clone())));
    let found = shown(&loaded);
    assert!(
        loaded.config.is_some() && found.matches("could not be compared").count() == 3,
        "{found}"
    );
    assert_eq!(check(&entry(""), &silent), "");
}

/// A password may stand in an address of the console, and what is printed is read by many.
#[test]
fn a_user_in_an_address_is_neither_shown_nor_a_difference() {
    let of = |url: &str| SeenPipeline {
        sources: Some(
            [SeenSource {
                kind: "code".to_owned(),
                git_url: Some(url.to_owned()),
                ..SeenSource::default()
            }]
            .into(),
        ),
        ..pipeline()
    };
    let there = of("https://bob:hunter2@example.com/a/b.git");
    let sends = |url: &str| {
        entry(&format!(
            "    sources: [{{ git_type: codehub, git_url: {url}, branch: x }}]\n"
        ))
    };
    assert_eq!(check(&sends("https://example.com/a/b.git"), &there), "");
    let found = check(&sends("https://example.com/a/c.git"), &there);
    assert!(
        found.contains("its sources are `https://example.com/a/b.git`")
            && !found.contains("hunter2"),
        "{found}"
    );
}

#[test]
fn a_pipeline_that_cannot_be_started_is_an_error() {
    for (seen, words) in [
        (
            Seen::Pipeline(Box::new(SeenPipeline {
                is_banned: true,
                ..pipeline()
            })),
            "is disabled in CodeArts",
        ),
        (
            Seen::Pipeline(Box::new(SeenPipeline {
                is_deleted: true,
                ..pipeline()
            })),
            "was deleted",
        ),
        (
            Seen::Denied(Denial::NoPipeline, "no\u{1b}[1m".to_owned()),
            "knows no pipeline `e5460d1d403146a1935c2d4b68ef506c` for the account `main`",
        ),
        (
            Seen::Denied(Denial::OtherProject, "no".to_owned()),
            "is not one of the project `54f90b75fc1447b1b65e8d3a9f77923d`",
        ),
        (
            Seen::Denied(Denial::NoProject, "no".to_owned()),
            "or the user of the account `main` is no member of it",
        ),
        (
            Seen::Denied(Denial::NotAllowed, "no".to_owned()),
            "the account `main` lacks the permission to view the pipeline",
        ),
    ] {
        let loaded = check_with(&entry(""), |_| seen.clone());
        let found = shown(&loaded);
        assert!(loaded.config.is_none() && found.contains(words), "{found}");
        assert!(!found.contains('\u{1b}'), "{found}");
        let line = if words.contains("no member") { 5 } else { 6 };
        assert!(found.contains(&format!("a.yaml:{line}:")), "{found}");
    }
}

#[test]
fn an_account_that_cannot_be_asked_is_said_once_at_its_name() {
    let many: String = (0..30)
        .map(|n| {
            format!(
                "  e{n}: {{ cron: \"0 2 * * *\", project_id: {p}, pipeline_id: {n:032} }}\n",
                p = "54f90b75fc1447b1b65e8d3a9f77923d"
            )
        })
        .collect();
    let text = format!("{ACCOUNT}schedules:\n{many}");
    let unknown = |at: &PipelineAt| match at.pipeline_id.ends_with('0') {
        true => Seen::Unknown("no route to host".to_owned()),
        false => Seen::Pipeline(Box::new(pipeline())),
    };
    let found = shown(&check_with(&text, unknown));
    let words =
        "the account `main` could not ask CodeArts about 3 of its 30 pipelines: no route to host";
    assert!(
        found.matches("error:").count() == 1 && found.contains(words),
        "{found}"
    );
    assert!(
        found.contains("a.yaml:1:13") && found.contains("is not known"),
        "{found}"
    );
}

#[test]
fn a_limit_that_will_refuse_is_a_warning() {
    let limited = |runs_max, refuses| SeenPipeline {
        concurrency: Some(SeenConcurrency { runs_max, refuses }),
        ..pipeline()
    };
    let two = format!("{}  other:\n    cron: \"0 3 * * *\"\n{IDS}", entry(""));
    for (text, runs_max, refuses, words) in [
        (
            entry(""),
            1,
            true,
            "takes 1 run at once and refuses more, and an entry starts it",
        ),
        (two.clone(), 1, true, "2 entries start it"),
        (entry(""), 1, false, ""),
        (entry(""), 2, true, ""),
        (two, 2, true, ""),
        (entry("    overlap: queue\n"), 1, true, ""),
    ] {
        let found = check(&text, &limited(runs_max, refuses));
        assert!(
            found.contains(words) && found.is_empty() == words.is_empty(),
            "{text}\n{found}"
        );
        assert!(found.matches("warning:").count() <= 1, "{found}");
    }
}

#[test]
fn an_entry_that_is_switched_off_asks_nothing() {
    let config = good(&entry("    enabled: false\n"));
    assert!(pipelines_of(&config).is_empty());
}
