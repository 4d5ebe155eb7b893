//! `discover`: the pipelines of a project, and an entry for one, written out. It only asks.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::online::{Pipelines, Service};
use super::{Common, form, load, stderr, stdout};
use crate::codearts::http::{Client, PipelinePage};
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

/// So many pipelines of a project are read: a service whose list has no end is not followed for ever.
const PIPELINES_MAX: usize = 100_000;
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

/// A list that is followed to its end, which a service that never stops does not have.
struct List {
    /// The pipelines that were on it, by id.
    known: BTreeSet<String>,
    /// Where the next page begins, if it is to be read.
    next: Option<u64>,
    /// How many there are, as the service says.
    total: Option<u64>,
    /// Why it was not followed to its end.
    cut: Option<String>,
}

impl List {
    fn new() -> Self {
        Self {
            known: BTreeSet::new(),
            next: Some(0),
            total: None,
            cut: None,
        }
    }

    /// Takes a page, and gives what is new on it: a list that changed between two pages shows a row twice.
    fn take(&mut self, page: PipelinePage) -> Vec<PipelineRow> {
        let PipelinePage {
            mut rows,
            total,
            next,
        } = page;
        let is_empty = rows.is_empty();
        rows.retain(|row| self.known.insert(row.id.clone()));
        (self.next, self.total) = (next, total);
        let read = self.known.len();
        if next.is_some() && rows.is_empty() && !is_empty {
            self.cut = Some(format!(
                "after {read} pipelines the service gave nothing new and said that there are more"
            ));
        } else if next.is_some() && read >= PIPELINES_MAX {
            self.cut = Some(format!("no more than {PIPELINES_MAX} pipelines are read"));
        }
        if self.cut.is_some() {
            self.next = None;
        }
        rows
    }

    /// What of the list was not read, in words, once it has ended.
    fn missing(&self) -> Option<String> {
        let read = self.known.len();
        let of = self
            .total
            .map_or_else(String::new, |total| format!(" of {total}"));
        match &self.cut {
            Some(cut) => Some(format!("{cut} ({read}{of} were read)")),
            None if self.total.is_some_and(|total| total > read as u64) => Some(format!(
                "the service gave {read}{of} pipelines; the list may have changed meanwhile: run it again"
            )),
            None => None,
        }
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

    /// The next page of the list, without what was on those before.
    async fn page(&self, list: &mut List, offset: u64) -> anyhow::Result<Vec<PipelineRow>> {
        let page = self
            .client
            .list_pipelines(&self.account, &self.project_id, offset);
        match page.await {
            Ok(page) => Ok(list.take(page)),
            Err(answer) => bail!(
                "the account {} cannot list the pipelines of the project {}: {}",
                self.account,
                self.project_id,
                said(&answer)
            ),
        }
    }

    /// Page by page, so that a large project shows its first pipelines at once.
    async fn print_all(&self, json: bool) -> anyhow::Result<ExitCode> {
        let mut out = stdout(form(json));
        let mut list = List::new();
        let mut hidden = 0_usize;
        while let Some(offset) = list.next {
            let rows = self.page(&mut list, offset).await?;
            let wanted = rows.iter().map(|row| self.at(&row.id)).collect();
            let told = self.client.show_pipelines(&wanted, &|| ()).await;
            for row in &rows {
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
        if let Some(why) = list.missing() {
            bail!("this is not all: {why}");
        }
        if list.known.is_empty() && !json {
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
        let mut list = List::new();
        while let Some(offset) = list.next {
            for row in self.page(&mut list, offset).await? {
                if row.name == name {
                    ids.insert(row.id);
                } else {
                    names.insert(row.name);
                }
            }
        }
        // Also if one was found: it may not be the only one.
        if let Some(why) = list.missing() {
            bail!("the pipeline {name:?} cannot be looked for by its name, give its id: {why}");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ids: std::ops::Range<usize>, total: Option<u64>, has_more: bool) -> PipelinePage {
        let next = has_more.then_some(ids.end as u64);
        let row = |id: usize| PipelineRow {
            id: id.to_string(),
            name: "web".to_owned(),
            is_banned: None,
        };
        PipelinePage {
            rows: ids.map(row).collect(),
            total,
            next,
        }
    }

    #[test]
    fn a_list_is_followed_to_its_end() {
        let mut list = List::new();
        let mut from = 0;
        while let Some(offset) = list.next {
            assert_eq!(offset, from as u64);
            let new = list.take(page(from..from + 50, Some(9_000), from < 8_950));
            assert_eq!(new.len(), 50);
            from += 50;
        }
        assert_eq!((from, list.missing()), (9_000, None));
    }

    #[test]
    fn a_list_that_does_not_end_well_says_so() {
        // The same page again and again.
        let mut list = List::new();
        assert_eq!(list.take(page(0..50, None, true)).len(), 50);
        assert_eq!(list.take(page(0..50, None, true)).len(), 0);
        assert_eq!(list.next, None);
        let why = list.missing().unwrap();
        assert!(
            why.contains("gave nothing new") && why.contains("(50 were read)"),
            "{why}"
        );
        // New ones for ever.
        let mut list = List::new();
        let mut from = 0;
        while list.next.is_some() {
            list.take(page(from..from + 50, Some(u64::MAX), true));
            from += 50;
        }
        assert_eq!(from, PIPELINES_MAX);
        let why = list.missing().unwrap();
        assert!(
            why.contains("no more than 100000") && why.contains("100000 of"),
            "{why}"
        );
        // Fewer than there are.
        let mut list = List::new();
        list.take(page(0..50, Some(120), true));
        assert_eq!(
            list.missing().unwrap(),
            "the service gave 50 of 120 pipelines; the list may have changed meanwhile: run it again"
        );
        list.take(page(50..50, Some(120), false));
        assert!(list.missing().unwrap().contains("50 of 120"));
        // A row that is shown twice is no reason to stop.
        let mut list = List::new();
        list.take(page(0..50, Some(100), true));
        assert_eq!(list.take(page(49..99, Some(99), false)).len(), 49);
        assert_eq!(list.missing(), None);
    }
}
