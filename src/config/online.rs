//! An entry beside its pipeline as the service shows it: names that the pipeline does not have, values that it wants, and
//! limits that will refuse.
//!
//! Nothing is asked here: whoever did hands over the answers. What the service does not show is not wrong; that it
//! could not be compared is a warning, and that it could not be asked at all an error which says just that.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::check::Check;
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use super::resolve::Layers;
use super::text;
use super::tree::{Shape, Value};
use crate::domain::pipeline::{
    Denial, Seen, SeenConcurrency, SeenPipeline, SeenSource, SeenStage, Told, without_user,
};
use crate::domain::{Entry, Overlap, PipelineAt};

/// The keys whose parts are compared one by one.
pub(super) const COMPARED: [&str; 4] = ["choose_stages", "choose_jobs", "variables", "sources"];
/// So many stages, jobs or variables are named in advice.
const NAMED_MAX: usize = 10;

/// The pipelines that the enabled entries start, each once.
pub fn pipelines_of(config: &Config) -> BTreeSet<PipelineAt> {
    let entries = config.entries.values().filter(|entry| entry.enabled);
    entries.map(|entry| pipeline_of(entry)).collect()
}

fn pipeline_of(entry: &Entry) -> PipelineAt {
    PipelineAt {
        account: entry.account.clone(),
        project_id: entry.request.project_id.clone(),
        pipeline_id: entry.request.pipeline_id.clone(),
    }
}

/// What the service said, and what follows from several entries together.
#[derive(Debug)]
pub(super) struct Online<'a> {
    told: &'a Told,
    /// The pipelines that have a limit which refuses, each with the first place and the entries that mind no other run.
    limited: BTreeMap<&'a PipelineAt, (At, SeenConcurrency, usize)>,
    /// By account: what could not be asked, how often, and the first place.
    unknown: BTreeMap<&'a str, Unknown<'a>>,
}

#[derive(Debug)]
struct Unknown<'a> {
    at: At,
    pipelines: BTreeSet<&'a PipelineAt>,
    why: &'a str,
}

impl<'a> Online<'a> {
    pub(super) fn new(told: &'a Told) -> Self {
        Self {
            told,
            limited: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }
}

/// Compares an entry with its pipeline, if the service was asked.
pub(super) fn compare(check: &mut Check<'_>, layers: &Layers<'_, '_>, entry: &Entry) {
    let place = |at: Option<At>| at.unwrap_or(layers.name_at);
    let pipeline_at = place(layers.pick(|keys| &keys.pipeline_id).map(|given| given.at));
    let project_at = place(layers.pick(|keys| &keys.project_id).map(|given| given.at));
    let Some(online) = &mut check.online else {
        return;
    };
    let Some((at, seen)) = online.told.get_key_value(&pipeline_of(entry)) else {
        return;
    };
    match seen {
        Seen::Unknown(why) => {
            let unknown = online.unknown.entry(at.account.as_str());
            let unknown = unknown.or_insert_with(|| Unknown {
                at: pipeline_at,
                pipelines: BTreeSet::new(),
                why,
            });
            unknown.pipelines.insert(at);
        }
        Seen::Denied(denial, words) => {
            let place = match denial {
                Denial::NoProject => project_at,
                Denial::NoPipeline | Denial::OtherProject | Denial::NotAllowed => pipeline_at,
            };
            check.report(denied(*denial, words, at, place));
        }
        Seen::Pipeline(pipeline) => {
            if let Some(limit) = pipeline.concurrency.filter(|limit| limit.refuses) {
                let limited = online.limited.entry(at);
                let limited = limited.or_insert((pipeline_at, limit, 0));
                limited.2 += usize::from(entry.policy.overlap == Overlap::Allow);
            }
            let with = With { pipeline };
            with.standing(check, pipeline_at);
            with.request(check, layers, entry);
        }
    }
}

fn denied(denial: Denial, words: &str, at: &PipelineAt, place: At) -> Finding {
    let PipelineAt {
        account,
        project_id,
        pipeline_id,
    } = at;
    let account = quoted(account.as_str());
    let (message, help) = match denial {
        Denial::NoPipeline => (
            format!("CodeArts knows no pipeline {} for the account {account}", quoted(pipeline_id)),
            format!("`pipecron discover --project {project_id}` lists the pipelines that there are"),
        ),
        Denial::OtherProject => (
            format!("the pipeline {} is not one of the project {}", quoted(pipeline_id), quoted(project_id)),
            "both ids stand in the address of the pipeline's page in the console; take them from the same page".to_owned(),
        ),
        Denial::NoProject => (
            format!(
                "CodeArts knows no project {}, or the user of the account {account} is no member of it",
                quoted(project_id)
            ),
            "check the id; if it is right, have the project's administrator add that user, in a role that may view and \
             execute the pipeline"
                .to_owned(),
        ),
        Denial::NotAllowed => (
            format!(
                "the account {account} lacks the permission to view the pipeline {}",
                quoted(pipeline_id)
            ),
            "have the project's administrator give its user the permissions to view and to execute this pipeline (its page \
             in the console, Permissions), or name another `account`"
                .to_owned(),
        ),
    };
    let message = format!("{message}: {}", super::shown(words));
    Finding::error(Kind::Online, place, message).help(help)
}

/// Reports what follows from all entries together.
pub(super) fn finish(check: &mut Check<'_>, accounts: &BTreeMap<&str, At>) {
    let Some(online) = check.online.take() else {
        return;
    };
    for (account, unknown) in online.unknown {
        let asked = |at: &&PipelineAt| at.account.as_str() == account;
        let all = online.told.keys().filter(asked).count();
        let which = match unknown.pipelines.len() {
            1 if all == 1 => "its pipeline".to_owned(),
            some if some == all => format!("any of its {all} pipelines"),
            some => format!("{some} of its {all} pipelines"),
        };
        let message = format!(
            "the account {} could not ask CodeArts about {which}: {}",
            quoted(account),
            super::shown(unknown.why)
        );
        let at = accounts.get(account).copied().unwrap_or(unknown.at);
        let help =
            "whether its entries fit their pipelines is not known; mend that, and check again";
        check.report(Finding::error(Kind::Online, at, message).help(help));
    }
    for (place, limit, careless) in online.limited.into_values() {
        let runs = limit.runs_max;
        let is_tight = runs == 1 || careless as u64 > runs;
        if careless == 0 || !is_tight {
            continue;
        }
        let who = match careless {
            1 => "an entry starts it".to_owned(),
            several => format!("{several} entries start it"),
        };
        let message = format!(
            "the pipeline takes {runs} run{} at once and refuses more, and {who} whatever runs",
            if runs == 1 { "" } else { "s" }
        );
        let help = "a start that is refused is tried again within `deadline`; write `overlap: queue` or `skip`, or let the \
                    pipeline queue what is beyond its limit";
        check.report(Finding::warning(Kind::Online, place, message).help(help));
    }
}

/// A pipeline that is there.
struct With<'p> {
    pipeline: &'p SeenPipeline,
}

/// Something that has an identifier, and what people call it.
type Named<'p> = (&'p str, &'p str);

impl With<'_> {
    /// The pipeline, as it stands in a message.
    fn called(&self) -> String {
        let Self { pipeline } = self;
        match pipeline.name.as_str() {
            "" => format!("the pipeline {}", quoted(&pipeline.id)),
            name => format!("the pipeline {}", quoted(name)),
        }
    }

    fn standing(&self, check: &mut Check<'_>, at: At) {
        let Self { pipeline } = self;
        let (message, help) = if pipeline.is_deleted {
            ("was deleted", "remove the entry, or name another pipeline")
        } else if pipeline.is_banned {
            (
                "is disabled in CodeArts, so every start would be refused",
                "enable it in the console, or write `enabled: false` in the entry for as long as it is",
            )
        } else {
            return;
        };
        let message = format!("{} {message}", self.called());
        check.report(Finding::error(Kind::Online, at, message).help(help));
    }

    fn request(&self, check: &mut Check<'_>, layers: &Layers<'_, '_>, entry: &Entry) {
        let sent = |key: &str| {
            let of = |keys: &&super::Keys<'_>| keys.sent.iter().any(|(name, _)| *name == key);
            let keys = layers.layers.iter().find(|keys| of(keys))?;
            let value = keys.sent.iter().find(|(name, _)| *name == key);
            value.map(|(_, value)| *value)
        };
        if let Some(value) = sent("choose_stages") {
            self.stages(check, value);
        }
        if let Some(value) = sent("choose_jobs") {
            self.jobs(check, value, entry);
        }
        // Those of defaults are sent too, unless the entry gives them itself or says that it has none.
        for keys in layers.layers {
            let value = keys.sent.iter().find(|(name, _)| *name == "variables");
            if let Some((_, value)) = value {
                self.variables(check, *value);
            }
            if (keys.variables.as_ref())
                .and_then(|given| given.value.as_ref())
                .is_some_and(|variables| variables.is_empty())
            {
                break;
            }
        }
        self.missing(check, layers, entry, sent("variables"));
        if let Some(value) = sent("sources") {
            self.sources(check, value);
        }
    }

    fn stages(&self, check: &mut Check<'_>, value: Value<'_>) {
        let Some(stages) = &self.pipeline.stages else {
            return self.not_shown(check, value.at(), "stages", "choose_stages");
        };
        let known: Vec<Named<'_>> = stages.iter().map(SeenStage::named).collect();
        for (text, at) in texts(value) {
            if !known.iter().any(|(identifier, _)| *identifier == text) {
                self.unknown(check, at, ("stage", text), &known);
            }
        }
    }

    fn jobs(&self, check: &mut Check<'_>, value: Value<'_>, entry: &Entry) {
        let Some(stages) = &self.pipeline.stages else {
            return self.not_shown(check, value.at(), "jobs", "choose_jobs");
        };
        let jobs = || {
            stages
                .iter()
                .flat_map(|stage| stage.jobs.iter().map(move |job| (stage, job)))
        };
        let known: Vec<Named<'_>> = jobs()
            .map(|(_, job)| (job.identifier.as_str(), job.title.as_str()))
            .collect();
        for (text, at) in texts(value) {
            let of: Vec<&SeenStage> = jobs()
                .filter(|(_, job)| job.identifier == text)
                .map(|(stage, _)| stage)
                .collect();
            let Some(stage) = of.first() else {
                self.unknown(check, at, ("job", text), &known);
                continue;
            };
            let chosen = entry.request.choose_stages.as_ref();
            let is_chosen =
                |stage: &&SeenStage| chosen.is_none_or(|chosen| chosen.contains(&stage.identifier));
            if !of.iter().any(is_chosen) {
                let message = format!(
                    "the job {} belongs to the stage {}, which is not chosen, so it does not run",
                    quoted(text),
                    titled(stage.named())
                );
                let help = format!(
                    "add {} to `choose_stages`, or remove the job",
                    quoted(&stage.identifier)
                );
                check.report(Finding::warning(Kind::Online, at, message).help(help));
            }
        }
    }

    fn variables(&self, check: &mut Check<'_>, value: Value<'_>) {
        let Some(declared) = &self.pipeline.variables else {
            return self.not_shown(check, value.at(), "variables", "variables");
        };
        let known: Vec<Named<'_>> = declared
            .iter()
            .map(|variable| (variable.name.as_str(), variable.description.as_str()))
            .collect();
        for Given { name, at, value } in variables(check, value) {
            let Some(declared) = declared.iter().find(|declared| declared.name == name) else {
                self.unknown(check, at, ("variable", name), &known);
                continue;
            };
            let Some((text, value)) = value.and_then(|value| Some((value.text()?, value))) else {
                continue; // a secret, or nothing
            };
            if declared.is_secret {
                check.hide(value);
                let message = format!(
                    "the variable {} is private in CodeArts, and its value stands in the file",
                    quoted(name)
                );
                let help =
                    "write where it is kept: { env: NAME }, { file: PATH } or { credential: NAME }";
                check.report(Finding::warning(Kind::Online, at, message).help(help));
            } else if !declared.limits.is_empty()
                && !declared.limits.iter().any(|limit| limit == text)
                && !is_template(text)
            {
                let limits: Vec<&str> = declared.limits.iter().map(String::as_str).collect();
                let message = format!(
                    "{} takes {} for the variable {}, and not {}",
                    self.called(),
                    super::check::listed(limits.get(..NAMED_MAX).unwrap_or(&limits)),
                    quoted(name),
                    quoted(text)
                );
                let near = text::nearest(text, limits.iter().copied());
                let help = near.map_or_else(
                    || "write one of these".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                let at = value.text_at().unwrap_or_else(|| value.at());
                check.report(Finding::error(Kind::Online, at, message).help(help));
            }
        }
    }

    /// The variables that each start has to bring and this one does not.
    fn missing(
        &self,
        check: &mut Check<'_>,
        layers: &Layers<'_, '_>,
        entry: &Entry,
        value: Option<Value<'_>>,
    ) {
        let given = entry.request.variables.as_deref().unwrap_or_default();
        let is_given = |name: &str| given.iter().any(|variable| variable.name == name);
        let at = value.map_or(layers.name_at, Value::at);
        let asked = self.pipeline.variables.iter().flatten().filter(|declared| {
            declared.is_runtime && declared.lacks_default() && !is_given(&declared.name)
        });
        for declared in asked {
            let name = quoted(&declared.name);
            let about = match declared.description.as_str() {
                "" => String::new(),
                about => format!(" ({})", super::shown(about)),
            };
            let message = format!(
                "{} asks for the variable {name}{about} at each start and has no default for it, and the entry {} does not give it",
                self.called(),
                quoted(entry.name.as_str())
            );
            let help = format!(
                "write it under `variables`, such as `{}: VALUE`",
                declared.name
            );
            let finding = match declared.is_required {
                Some(true) => Finding::error(Kind::Online, at, message),
                // Where the service does not say that it must be there, an empty text may be what is meant.
                Some(false) => continue,
                None => Finding::warning(Kind::Online, at, message),
            };
            check.report(finding.help(help));
        }
    }

    fn sources(&self, check: &mut Check<'_>, value: Value<'_>) {
        let (Some(known), Shape::List(list)) = (&self.pipeline.sources, value.shape()) else {
            return;
        };
        let code: Vec<&SeenSource> = known
            .iter()
            .filter(|source| source.git_url.is_some() || source.codehub_id.is_some())
            .collect();
        for item in list.items() {
            let Some((at, repository)) = repository(check, item) else {
                continue;
            };
            if code.iter().any(|source| repository.is(source)) {
                continue;
            }
            let message = format!(
                "{} has no source {}",
                self.called(),
                quoted(&without_user(repository.shown()))
            );
            let help = match code.as_slice() {
                [] => "it has none at all; remove `sources`, or add the repository in the console"
                    .to_owned(),
                some => {
                    let urls = some.iter().take(NAMED_MAX).filter_map(|source| {
                        source.git_url.as_deref().or(source.codehub_id.as_deref())
                    });
                    // A password may stand in an address, and this is printed where many read it.
                    let urls: Vec<String> = urls.map(without_user).collect();
                    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
                    format!(
                        "its sources are {}; what the service does with another repository is not documented",
                        super::check::listed(&urls)
                    )
                }
            };
            check.report(Finding::warning(Kind::Online, at, message).help(help));
        }
    }

    /// A name that the pipeline does not have.
    fn unknown(
        &self,
        check: &mut Check<'_>,
        at: At,
        (what, text): (&str, &str),
        known: &[Named<'_>],
    ) {
        let message = format!("{} has no {what} {}", self.called(), quoted(text));
        let finding = Finding::error(Kind::Online, at, message);
        if check.findings.are_many() {
            return check.report(finding);
        }
        let named = |wanted: &str| known.iter().copied().find(|(name, _)| *name == wanted);
        // People know the title.
        let by_title = || {
            let titles = known
                .iter()
                .filter(|(_, title)| !title.is_empty() && what != "variable");
            let near = text::nearest(text, titles.clone().map(|(_, title)| *title))?;
            titles.copied().find(|(_, title)| *title == near)
        };
        let near = text::nearest(text, known.iter().map(|(name, _)| *name))
            .and_then(named)
            .or_else(by_title);
        let help = match near {
            Some(near) => format!("did you mean {}?", titled(near)),
            None if known.is_empty() => format!("it has no {what} at all"),
            None => {
                let some: Vec<String> = known
                    .iter()
                    .take(NAMED_MAX)
                    .map(|named| titled(*named))
                    .collect();
                let more = match known.len().saturating_sub(NAMED_MAX) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("it has {}{more}", some.join(", "))
            }
        };
        check.report(finding.help(help));
    }

    fn not_shown(&self, check: &mut Check<'_>, at: At, what: &str, key: &str) {
        let message = format!(
            "CodeArts does not show the {what} of {}, so `{key}` could not be compared",
            self.called()
        );
        let help = "a start will show whether they are right";
        check.report(Finding::warning(Kind::Online, at, message).help(help));
    }
}

impl SeenStage {
    fn named(&self) -> Named<'_> {
        (&self.identifier, &self.title)
    }
}

/// An identifier and what people call it: `build` (Build and test).
fn titled((identifier, title): Named<'_>) -> String {
    if title.is_empty() || title == identifier {
        quoted(identifier)
    } else {
        let title: String = title.chars().take(NAME_CHARS).collect();
        format!("{} ({})", quoted(identifier), super::shown(&title))
    }
}

/// So much of a title is shown.
const NAME_CHARS: usize = 60;

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The texts of a list that are names, each with its place. Of what comes from a template nobody knows it here.
fn texts<'t>(value: Value<'t>) -> Vec<(&'t str, At)> {
    let Shape::List(list) = value.shape() else {
        return Vec::new();
    };
    list.items()
        .filter_map(|item| Some((item.text()?, item.text_at().unwrap_or_else(|| item.at()))))
        .filter(|(text, _)| !is_template(text))
        .collect()
}

/// A variable that is given.
struct Given<'t> {
    name: &'t str,
    at: At,
    value: Option<Value<'t>>,
}

/// The variables of a mapping, or of the API's list.
fn variables<'t>(check: &mut Check<'_>, value: Value<'t>) -> Vec<Given<'t>> {
    match value.shape() {
        Shape::Mapping(mapping) => mapping
            .pairs(&mut check.findings)
            .into_iter()
            .map(|pair| Given {
                name: pair.key,
                at: pair.key_at,
                value: Some(pair.value),
            })
            .collect(),
        Shape::List(list) => list
            .items()
            .filter_map(|item| {
                let name = field(check, item, "name")?;
                Some(Given {
                    name: name.text()?,
                    at: name.text_at().unwrap_or_else(|| name.at()),
                    value: field(check, item, "value"),
                })
            })
            .collect(),
        Shape::Null | Shape::Text(_) | Shape::Refused => Vec::new(),
    }
}

fn field<'t>(check: &mut Check<'_>, value: Value<'t>, key: &str) -> Option<Value<'t>> {
    let Shape::Mapping(mapping) = value.shape() else {
        return None;
    };
    let pairs = mapping.pairs(&mut check.findings);
    let pair = pairs.into_iter().find(|pair| pair.key == key)?;
    Some(pair.value)
}

/// Which repository a source names.
struct Repository<'t> {
    url: Option<&'t str>,
    codehub_id: Option<&'t str>,
}

/// The repository of a source in either form, and where it stands.
fn repository<'t>(check: &mut Check<'_>, item: Value<'t>) -> Option<(At, Repository<'t>)> {
    let item = field(check, item, "params").unwrap_or(item);
    let url = field(check, item, "git_url");
    let codehub_id = field(check, item, "codehub_id");
    let at = url.or(codehub_id)?.at();
    let repository = Repository {
        url: url.and_then(Value::text),
        codehub_id: codehub_id.and_then(Value::text),
    };
    let is_known = ![repository.url, repository.codehub_id]
        .into_iter()
        .flatten()
        .any(is_template);
    is_known.then_some((at, repository))
}

impl Repository<'_> {
    fn shown(&self) -> &str {
        self.url.or(self.codehub_id).unwrap_or_default()
    }

    /// Whether a pipeline's source is the same: by its id where both have one, else by its address.
    fn is(&self, source: &SeenSource) -> bool {
        if let (Some(ours), Some(theirs)) = (self.codehub_id, source.codehub_id.as_deref()) {
            return ours == theirs;
        }
        match (self.url, source.git_url.as_deref()) {
            (Some(ours), Some(theirs)) => plain_url(ours) == plain_url(theirs),
            (None, _) | (_, None) => true, // nothing to compare
        }
    }
}

/// An address without what makes no difference.
fn plain_url(url: &str) -> String {
    let url = without_user(url.trim());
    let url = url.trim_end_matches('/');
    url.strip_suffix(".git").unwrap_or(url).to_ascii_lowercase()
}
