//! An entry that is written for a pipeline is one that the checker takes, whatever the pipeline is called, and shows no
//! secret.

use pipecron::config::draft;
use pipecron::domain::pipeline::{SeenJob, SeenPipeline, SeenSource, SeenStage, SeenVariable};
use pipecron::domain::request::VariableValue;
use pipecron::domain::{AccountName, PipelineAt};
use proptest::prelude::*;

use crate::world::{ACCOUNT, check_files};

fn at() -> PipelineAt {
    PipelineAt {
        account: AccountName::parse("main").unwrap(),
        project_id: "54f90b75fc1447b1b65e8d3a9f77923d".to_owned(),
        pipeline_id: "e5460d1d403146a1935c2d4b68ef506c".to_owned(),
    }
}

/// The variables of the entry that was written, which has no problem.
fn accepted(pipeline: &SeenPipeline) -> Vec<(String, String)> {
    let text = draft(&at(), pipeline);
    let loaded = check_files(&[("accounts.yaml", ACCOUNT), ("entry.yaml", &text)]);
    assert!(
        loaded.problems.is_empty(),
        "{:?}\nin\n{text}",
        loaded.problems
    );
    let config = loaded.config.unwrap();
    assert_eq!(config.entries.len(), 1, "{text}");
    let entry = config.entries.values().next().unwrap();
    assert_eq!(entry.request.pipeline_id, at().pipeline_id);
    let given = entry.request.variables.iter().flat_map(|list| list.iter());
    given
        .map(|variable| match &variable.value {
            VariableValue::Value(value) => (variable.name.clone(), value.clone()),
            VariableValue::Secret(_) => panic!("a secret is given:\n{text}"),
        })
        .collect()
}

fn variable(name: &str, default: &str) -> SeenVariable {
    SeenVariable {
        name: name.to_owned(),
        default: Some(default.to_owned()),
        is_runtime: true,
        ..SeenVariable::default()
    }
}

#[test]
fn defaults_stay_what_they_are() {
    let defaults = [
        "012",
        "yes",
        "1.10",
        "a: b # c",
        "\"'\\",
        " x ",
        "null",
        "多 行\n\t",
        "\u{1b}[31m\u{202e}\u{e0041}",
        "",
    ];
    let variables = (0..)
        .zip(defaults)
        .map(|(n, default)| variable(&format!("V{n}"), default));
    let pipeline = SeenPipeline {
        variables: Some(variables.collect()),
        ..SeenPipeline::default()
    };
    let given: Vec<String> = accepted(&pipeline)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(given, defaults);
    assert!(!draft(&at(), &pipeline).contains(['\u{1b}', '\u{202e}', '\u{e0041}']));
}

#[test]
fn what_the_checker_would_refuse_is_left_to_a_comment() {
    let long = "x".repeat(8_193);
    let pipeline = SeenPipeline {
        variables: Some(vec![
            variable("TEMPLATE", "{{ tick.due }}"),
            variable("LONG", &long),
            variable("odd name", "x"),
            variable("no", "x"),
            variable("DATE", "%Y%m%d"),
            variable("GOOD", "y"),
            variable("GOOD", "given twice"),
        ]),
        sources: Some(vec![
            SeenSource {
                git_type: Some("codehub".to_owned()),
                git_url: Some("https://robot:hunter2@example.com/a.git".to_owned()),
                ..SeenSource::default()
            },
            SeenSource {
                git_type: Some("svn".to_owned()),
                git_url: Some("https://example.com/a.git".to_owned()),
                ..SeenSource::default()
            },
        ]),
        ..SeenPipeline::default()
    };
    assert_eq!(accepted(&pipeline), [("GOOD".to_owned(), "y".to_owned())]);
    let text = draft(&at(), &pipeline);
    assert!(
        !text.contains("hunter2") && text.contains("is left out"),
        "{text}"
    );
}

#[test]
fn what_a_pipeline_requires_is_said_where_it_is_to_be_written() {
    let required = |name: &str, default: &str| SeenVariable {
        is_required: Some(true),
        ..variable(name, default)
    };
    let pipeline = SeenPipeline {
        variables: Some(vec![
            required("TARGET", ""),
            required("MODE", "full"),
            variable("NOTE", ""),
            variable("LEVEL", "3"),
        ]),
        ..SeenPipeline::default()
    };
    accepted(&pipeline);
    let text = draft(&at(), &pipeline);
    for line in [
        "TARGET: \"\" # the pipeline requires a value: write it",
        "MODE: \"full\" # required at each start; this is the pipeline's default",
        "NOTE: \"\" # has no default",
        "LEVEL: \"3\" # the pipeline's default",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn an_entry_has_a_name_that_it_may_have() {
    for (name, expected) in [
        ("nightly-web", "nightly-web:"),
        ("夜间构建", "pipeline-e5460d1d:"),
        ("012", "pipeline-e5460d1d:"),
        ("true", "pipeline-e5460d1d:"),
        ("", "pipeline-e5460d1d:"),
    ] {
        let pipeline = SeenPipeline {
            name: name.to_owned(),
            ..SeenPipeline::default()
        };
        accepted(&pipeline);
        assert!(
            draft(&at(), &pipeline).contains(&format!("  {expected}\n")),
            "{name}"
        );
    }
}

proptest! {
    #[test]
    fn any_pipeline_gives_an_entry_without_a_problem(
        words in proptest::collection::vec(any::<String>(), 12),
        url in "https://[a-z@:/{}%. ]{0,20}",
        is_runtime in any::<bool>(),
    ) {
        let [name, stage, title, job, variable, value, about, branch, alias, kind, limit, endpoint] =
            words.try_into().unwrap();
        let some = |text: &String| Some(text.clone());
        let pipeline = SeenPipeline {
            name,
            stages: Some(vec![SeenStage {
                identifier: stage.clone(),
                title: title.clone(),
                jobs: vec![SeenJob { identifier: job, title }],
            }]),
            variables: Some(vec![
                SeenVariable {
                    name: variable,
                    default: some(&value),
                    is_runtime,
                    limits: vec![limit],
                    description: about.clone(),
                    ..SeenVariable::default()
                },
                SeenVariable { name: "V".to_owned(), default: some(&value), is_runtime: true, ..SeenVariable::default() },
                SeenVariable { name: stage, is_secret: true, description: about, ..SeenVariable::default() },
            ]),
            sources: Some(vec![SeenSource {
                kind,
                git_type: Some("gitee".to_owned()),
                git_url: Some(url),
                alias: some(&alias),
                codehub_id: some(&branch),
                endpoint_id: some(&endpoint),
                default_branch: some(&branch),
            }]),
            ..SeenPipeline::default()
        };
        let given = accepted(&pipeline);
        let is_template = ["{{", "{%"].iter().any(|mark| value.contains(mark));
        let is_given = given.iter().any(|(name, had)| name == "V" && *had == value);
        prop_assert!(is_template || is_given, "{given:?}");
    }
}
