//! Pipelines that a sandbox has, as a file declares them: YAML (or JSON), for who rehearses a configuration.

use serde::Deserialize;

use super::body;
use super::settings::{
    Concurrency, DeclaredSource, DeclaredVariable, Exceed, JobSettings, PipelineSettings,
    StageSettings, Undeclared,
};

/// So many pipelines may be declared.
const PIPELINES_MAX: usize = 20_000;

/// The pipelines of a file.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Vec<PipelineSettings>, String> {
    let file: File = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    if file.pipelines.len() > PIPELINES_MAX {
        return Err(format!("there are more than {PIPELINES_MAX} pipelines"));
    }
    let mut settings: Vec<PipelineSettings> = Vec::with_capacity(file.pipelines.len());
    for pipeline in file.pipelines {
        for (key, id) in [
            ("project_id", &pipeline.project_id),
            ("pipeline_id", &pipeline.pipeline_id),
        ] {
            if !body::is_id(id) {
                return Err(format!("{key} {id:?} has not 32 letters and digits"));
            }
        }
        settings.push(pipeline.settings());
    }
    let mut ids: Vec<&str> = settings.iter().map(|it| it.pipeline_id.as_str()).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(format!("the pipeline {} is declared twice", two[0])),
        None => Ok(settings),
    }
}

/// How such a file looks, for a terminal.
pub const MANUAL: &str = "\
Without --pipelines every pipeline is there, takes every stage, job and
variable, and shows none of them. With it there are those of the file alone, and
what a start names has to be theirs:
  pipelines:
    - project_id: 54f90b75fc1447b1b65e8d3a9f77923d
      pipeline_id: e5460d1d403146a1935c2d4b68ef506c
      name: nightly-web
      banned: false                # true: disabled, a start is refused
      stages:
        - identifier: build
          name: Build
          jobs: [{ identifier: JOB_abc, name: Compile all }]
      variables:
        - { name: MODE, value: full, runtime: true, limits: [full, quick] }
        - { name: KEY, secret: true, required: true, description: a token }
      sources:                     # also codehub_id, endpoint_id, alias
        - git_type: codehub
          git_url: https://example.com/a/b.git
          default_branch: master
      concurrency: { runs: 5, exceed: abort }      # or queue
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pipelines: Vec<Pipeline>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pipeline {
    project_id: String,
    pipeline_id: String,
    name: Option<String>,
    #[serde(default)]
    banned: bool,
    #[serde(default)]
    stages: Vec<Stage>,
    #[serde(default)]
    variables: Vec<Variable>,
    #[serde(default)]
    sources: Vec<Source>,
    concurrency: Option<Limit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stage {
    identifier: String,
    name: Option<String>,
    #[serde(default)]
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    identifier: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    runtime: bool,
    #[serde(default)]
    secret: bool,
    required: Option<bool>,
    #[serde(default)]
    limits: Vec<String>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(default)]
    git_type: String,
    #[serde(default)]
    git_url: String,
    codehub_id: Option<String>,
    endpoint_id: Option<String>,
    alias: Option<String>,
    #[serde(default)]
    default_branch: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    runs: u32,
    exceed: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Abort,
    Queue,
}

impl Pipeline {
    fn settings(self) -> PipelineSettings {
        let usual = PipelineSettings::new(&self.project_id, &self.pipeline_id);
        PipelineSettings {
            name: self.name.unwrap_or(usual.name),
            is_banned: self.banned,
            is_shown: true,
            concurrency: self.concurrency.map(|limit| Concurrency {
                runs_max: Some(limit.runs),
                exceed: match limit.exceed {
                    Action::Abort => Exceed::Abort,
                    Action::Queue => Exceed::Queue,
                },
            }),
            stages: self.stages.into_iter().map(Stage::settings).collect(),
            variables: self.variables.into_iter().map(Variable::settings).collect(),
            sources: self.sources.into_iter().map(Source::settings).collect(),
            undeclared: Undeclared::Refuse,
            project_id: self.project_id,
            pipeline_id: self.pipeline_id,
        }
    }
}

impl Stage {
    fn settings(self) -> StageSettings {
        let job = |job: Job| JobSettings {
            name: job.name.unwrap_or_else(|| job.identifier.clone()),
            identifier: job.identifier,
        };
        StageSettings {
            name: self.name.unwrap_or_else(|| self.identifier.clone()),
            identifier: self.identifier,
            jobs: self.jobs.into_iter().map(job).collect(),
        }
    }
}

impl Variable {
    fn settings(self) -> DeclaredVariable {
        DeclaredVariable {
            name: self.name,
            value: self.value,
            is_runtime: self.runtime,
            is_secret: self.secret,
            is_required: self.required,
            limits: self.limits,
            description: self.description,
        }
    }
}

impl Source {
    fn settings(self) -> DeclaredSource {
        DeclaredSource {
            git_type: self.git_type,
            git_url: self.git_url,
            codehub_id: self.codehub_id,
            endpoint_id: self.endpoint_id,
            alias: self.alias,
            default_branch: self.default_branch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_help_shows_can_be_read() {
        let (_, yaml) = MANUAL.split_once("theirs:\n").unwrap();
        let pipelines = parse(yaml).unwrap();
        assert_eq!(pipelines.len(), 1);
        assert_eq!(pipelines[0].stages[0].jobs[0].name, "Compile all");
        assert_eq!(pipelines[0].variables[1].is_required, Some(true));
        assert!(pipelines[0].is_shown && !pipelines[0].is_banned);
        assert!(MANUAL.lines().all(|line| line.chars().count() <= 80));
    }
}
