//! `discover`: the pipelines of a project, and an entry for one, written out. It only asks.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::online::{Pipelines, Service};
use super::{Common, form, load, stderr, stdout};
use crate::codearts::http::Client;
use crate::codearts::pipelines::said;
use crate::config::{self, Config, SourceFile, shown};
use crate::domain::pipeline::{PipelineRow, Seen, SeenConcurrency, SeenPipeline, without_user};
use crate::domain::{AccountName, PipelineAt};
use crate::os::Clock;

/// Arguments of `discover`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It needs an account of the configuration and no entry. With --sandbox and without a configuration, the \
                  sandbox's own account.\n\n\
                  Exit codes: 0 everything was shown; 1 something could not be, and a message says what."
)]
pub(super) struct Options {
    /// The CodeArts project's id: 32 letters and digits
    #[arg(long, value_name = "ID")]
    project: String,
    /// Who asks; not needed where one account is configured
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Print an entry for this pipeline, by its id or name, as YAML
    #[arg(long, value_name = "PIPELINE")]
    entry: Option<String>,
    /// Print JSON, one object a pipeline
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipelines: Pipelines,
}

/// What stands for a configuration where there is none.
const SANDBOX_ACCOUNT: &str = "accounts: { sandbox: { region: cn-north-4 } }";

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let config = accounts(common, &clock)?;
    let account = account(&config, options.account.as_deref())?;
    load::runtime()?.block_on(async {
        let service = Service::of(common, &options.pipelines).await?;
        let config = service.config(config);
        let asker = Asker {
            client: Client::new(&config.accounts, clock),
            account,
            project_id: options.project.clone(),
        };
        match &options.entry {
            Some(pipeline) => asker.print_entry(pipeline, options.json).await,
            None => asker.print_all(options.json).await,
        }
    })
}

/// The accounts of the configuration, whatever its entries are.
fn accounts(common: &Common, clock: &Clock) -> anyhow::Result<Config> {
    let read = load::read_accounts(&load::config_paths(common), clock);
    match read.config {
        Some(config) if !(common.sandbox && config.accounts.is_empty()) => Ok(config),
        // Files that are there and broken are a problem in a rehearsal too.
        None if !(common.sandbox && read.files.is_empty() && common.config.is_empty()) => {
            load::print_problems(&read)?;
            bail!("the configuration has problems; nothing was asked");
        }
        Some(_) | None => {
            let file = SourceFile {
                path: "sandbox".to_owned(),
                text: SANDBOX_ACCOUNT.to_owned(),
            };
            let read = load::parse_accounts(vec![file], clock);
            read.config.context("the sandbox has no account")
        }
    }
}

fn account(config: &Config, name: Option<&str>) -> anyhow::Result<AccountName> {
    let names = || config.accounts.keys().map(AccountName::as_str);
    let listed = || names().take(20).collect::<Vec<_>>().join(", ");
    let Some(name) = name else {
        return match config.accounts.keys().collect::<Vec<_>>().as_slice() {
            [only] => Ok((*only).clone()),
            [] => bail!(
                "no account is configured, and somebody has to ask; write one under `accounts:`"
            ),
            _ => bail!(
                "several accounts are configured: say which with --account ({})",
                listed()
            ),
        };
    };
    match config.accounts.keys().find(|known| known.as_str() == name) {
        Some(account) => Ok(account.clone()),
        None => match config::nearest(name, names()) {
            Some(near) => bail!("there is no account {name:?}; did you mean {near:?}?"),
            None => bail!("there is no account {name:?}; configured are {}", listed()),
        },
    }
}

struct Asker {
    client: Client,
    account: AccountName,
    project_id: String,
}

impl Asker {
    fn at(&self, pipeline_id: &str) -> PipelineAt {
        PipelineAt {
            account: self.account.clone(),
            project_id: self.project_id.clone(),
            pipeline_id: pipeline_id.to_owned(),
        }
    }

    /// A page of the list and where the next one begins, if there is one.
    async fn page(&self, offset: u64) -> anyhow::Result<(Vec<PipelineRow>, Option<u64>)> {
        let page = self
            .client
            .list_pipelines(&self.account, &self.project_id, offset);
        match page.await {
            Ok((rows, has_more)) => {
                let next = offset + rows.len() as u64;
                Ok((rows, has_more.then_some(next)))
            }
            Err(answer) => bail!(
                "the account {} cannot list the pipelines of the project {}: {}",
                self.account,
                self.project_id,
                said(&answer)
            ),
        }
    }

    /// Page by page, so that a large project needs no memory and shows its first pipelines at once.
    async fn print_all(&self, json: bool) -> anyhow::Result<ExitCode> {
        let mut out = stdout(form(json));
        let (mut next, mut all, mut hidden) = (Some(0), 0_usize, 0_usize);
        let mut known = BTreeSet::new();
        while let Some(offset) = next {
            let (mut rows, more) = self.page(offset).await?;
            next = more;
            // A list that changed between two pages shows a row twice.
            rows.retain(|row| known.insert(row.id.clone()));
            let wanted = rows.iter().map(|row| self.at(&row.id)).collect();
            let told = self.client.show_pipelines(&wanted, &|| ()).await;
            for row in &rows {
                all += 1;
                let seen = told.get(&self.at(&row.id));
                match seen {
                    Some(Seen::Pipeline(pipeline)) if json => {
                        writeln!(out, "{}", self.to_json(pipeline))?;
                    }
                    Some(Seen::Pipeline(pipeline)) => print(&mut out, pipeline)?,
                    Some(Seen::Denied(_, why) | Seen::Unknown(why)) => {
                        hidden += 1;
                        if json {
                            let row = json!({ "id": row.id, "name": row.name, "problem": why });
                            writeln!(out, "{row}")?;
                        } else {
                            writeln!(
                                out,
                                "{}  {}\n  cannot be shown: {}",
                                shown(&row.name),
                                row.id,
                                shown(why)
                            )?;
                        }
                    }
                    None => {}
                }
            }
            out.flush()?;
        }
        if all == 0 && !json {
            writeln!(
                stderr(),
                "the project {} has no pipelines that the account {} may see",
                self.project_id,
                self.account
            )?;
        }
        Ok(if hidden == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn print_entry(&self, pipeline: &str, json: bool) -> anyhow::Result<ExitCode> {
        let id = if is_id(pipeline) {
            pipeline.to_owned()
        } else {
            self.id_of(pipeline).await?
        };
        let at = self.at(&id);
        let seen = match self.client.show_pipeline(&at).await {
            Ok(seen) => seen,
            Err(answer) => bail!(
                "the account {} cannot see the pipeline {id}: {}",
                self.account,
                said(&answer)
            ),
        };
        let entry = config::draft(&at, &seen);
        let mut out = stdout(form(json));
        if json {
            writeln!(
                out,
                "{}",
                json!({ "entry": entry, "pipeline": self.to_json(&seen) })
            )?;
        } else {
            write!(out, "{entry}")?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    /// The id of the pipeline of that name, which has to be the only one.
    async fn id_of(&self, name: &str) -> anyhow::Result<String> {
        let mut ids = BTreeSet::new();
        let mut names = BTreeSet::new();
        let mut next = Some(0);
        while let Some(offset) = next {
            let (rows, more) = self.page(offset).await?;
            next = more;
            for row in rows {
                if row.name == name {
                    ids.insert(row.id);
                } else {
                    names.insert(row.name);
                }
            }
        }
        let ids: Vec<String> = ids.into_iter().collect();
        match ids.as_slice() {
            [only] => Ok(only.clone()),
            [] => match config::nearest(name, names.iter().map(String::as_str)) {
                Some(near) => bail!("the project has no pipeline {name:?}; did you mean {near:?}?"),
                None => bail!(
                    "the project has no pipeline {name:?} among its {}; `discover` without --entry lists them",
                    names.len()
                ),
            },
            several => bail!(
                "{} pipelines are called {name:?}; name one by its id: {}",
                several.len(),
                several
                    .iter()
                    .take(10)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    }

    fn to_json(&self, pipeline: &SeenPipeline) -> Value {
        let stages = pipeline.stages.as_ref().map(|stages| {
            let stage = |stage: &crate::domain::pipeline::SeenStage| {
                let jobs: Vec<Value> = stage
                    .jobs
                    .iter()
                    .map(|job| json!({ "identifier": job.identifier, "title": job.title }))
                    .collect();
                json!({ "identifier": stage.identifier, "title": stage.title, "jobs": jobs })
            };
            stages.iter().map(stage).collect::<Vec<_>>()
        });
        let variables = pipeline.variables.as_ref().map(|variables| {
            let variable = |it: &crate::domain::pipeline::SeenVariable| {
                json!({
                    "name": it.name, "default": it.default, "is_secret": it.is_secret, "is_runtime": it.is_runtime,
                    "is_required": it.is_required, "limits": it.limits, "description": it.description,
                })
            };
            variables.iter().map(variable).collect::<Vec<_>>()
        });
        let sources = pipeline.sources.as_ref().map(|sources| {
            let source = |it: &crate::domain::pipeline::SeenSource| {
                json!({
                    "type": it.kind, "git_type": it.git_type, "git_url": it.git_url.as_deref().map(without_user),
                    "alias": it.alias, "codehub_id": it.codehub_id, "endpoint_id": it.endpoint_id,
                    "default_branch": it.default_branch,
                })
            };
            sources.iter().map(source).collect::<Vec<_>>()
        });
        let limit = |limit: SeenConcurrency| json!({ "runs_max": limit.runs_max, "refuses": limit.refuses });
        json!({
            "id": pipeline.id, "name": pipeline.name, "project_id": self.project_id, "account": self.account,
            "banned": pipeline.is_banned, "stages": stages, "variables": variables, "sources": sources,
            "concurrency": pipeline.concurrency.map(limit),
        })
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn print(out: &mut impl Write, pipeline: &SeenPipeline) -> std::io::Result<()> {
    let banned = if pipeline.is_banned {
        "  (disabled)"
    } else {
        ""
    };
    writeln!(out, "{}  {}{banned}", shown(&pipeline.name), pipeline.id)?;
    let titled = |identifier: &str, title: &str| match title {
        "" => shown(identifier),
        title if title == identifier => shown(identifier),
        title => format!("{} ({})", shown(identifier), shown(title)),
    };
    match &pipeline.stages {
        None => writeln!(out, "  its stages are not shown")?,
        Some(stages) => {
            for stage in stages {
                writeln!(out, "  stage {}", titled(&stage.identifier, &stage.title))?;
                for job in &stage.jobs {
                    writeln!(out, "    job {}", titled(&job.identifier, &job.title))?;
                }
            }
        }
    }
    for variable in pipeline.variables.iter().flatten() {
        let mut words = vec![format!("  variable {}", shown(&variable.name))];
        match &variable.default {
            _ if variable.is_secret => words.push("private".to_owned()),
            Some(default) => words.push(format!("= {}", shown(&brief(default)))),
            None => {}
        }
        if variable.is_runtime {
            words.push("asked for at each start".to_owned());
        }
        if !variable.limits.is_empty() {
            words.push(format!(
                "one of {}",
                shown(&brief(&variable.limits.join(", ")))
            ));
        }
        if !variable.description.is_empty() {
            words.push(shown(&variable.description));
        }
        writeln!(out, "{}", words.join("  "))?;
    }
    for source in pipeline.sources.iter().flatten() {
        let parts = [
            source.git_type.clone(),
            source.git_url.as_deref().map(without_user),
            source.default_branch.clone(),
        ];
        let words: Vec<String> = parts
            .into_iter()
            .flatten()
            .map(|part| shown(&part))
            .collect();
        writeln!(out, "  source {}", words.join("  "))?;
    }
    Ok(())
}

fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    if text.chars().count() <= CHARS_MAX {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(CHARS_MAX).collect();
    format!("{cut:?}...")
}
