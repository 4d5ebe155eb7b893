//! What a response says of pipelines, and what a refusal says of why there is nothing to see. No IO.
//!
//! `ShowPipelineDetail` gives the stages and jobs in `definition`, a text that holds JSON; it is a part that the pages do
//! not describe, so it is read leniently, and one that cannot be read is as if it were not there: the check that asks
//! for it then says that it could not compare, rather than that something is wrong.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Mask;
use super::calls::{Maybe, Page, ROWS_MAX, TEXT_BYTES_MAX, Word, parse, rows};
use super::code::gateway_number;
use super::search::concerns_all;
use crate::domain::pipeline::{
    Denial, PipelineRow, Seen, SeenConcurrency, SeenJob, SeenPipeline, SeenSource, SeenStage,
    SeenVariable,
};
use crate::domain::{Answer, PipelineAt};

/// The longest identifier or name that is read, in bytes; the service's own have 128 characters.
const NAME_BYTES_MAX: usize = 1024;

/// What a failed question about a pipeline says of it.
pub fn denied(answer: &Answer) -> Seen {
    let words = said(answer);
    match denial(answer) {
        Some(denial) => Seen::Denied(denial, words),
        None => Seen::Unknown(words),
    }
}

/// Whether every further question of the account would come to the same.
pub fn ends_all(answer: &Answer) -> bool {
    concerns_all(answer) || is_of_the_gateway(answer)
}

/// The service's words and its code.
pub fn said(answer: &Answer) -> String {
    match &answer.code {
        Some(code) if !answer.message.contains(code.as_str()) => {
            format!("{} ({code})", answer.message)
        }
        Some(_) | None => answer.message.clone(),
    }
}

/// The gateway refuses a user, a project or an address, whatever is asked (help centre: "Error Codes" of the API Request
/// Signing Guide and of API Gateway).
fn is_of_the_gateway(answer: &Answer) -> bool {
    let number = answer.code.as_deref().and_then(gateway_number);
    matches!(
        number,
        Some("0101" | "0302" | "0306" | "0310" | "0401" | "0402" | "0802")
    )
}

/// The codes stand in the help centre, "Error Codes" of CodeArts Pipeline (`DEVCP`), and in what public clients handle
/// (`DEVPIPE`, `DEV`: the Terraform provider's `common.go`).
fn denial(answer: &Answer) -> Option<Denial> {
    match answer.code.as_deref()? {
        "DEVPIPE.00011401" | "DEVCP.00012002" | "DEVPIPE.30011001" => Some(Denial::NoPipeline),
        "DEVPIPE.00011136" => Some(Denial::OtherProject),
        "DEVPIPE.00011412" | "DEV_21_100169" | "DEVPIPE.30021001" => Some(Denial::NoProject),
        "DEVCP.00014031" | "DEVCP.00021018" | "DEVPIPE.30011011" => Some(Denial::NotAllowed),
        _ => None,
    }
}

/// The answer of `ShowPipelineDetail`.
pub(super) fn detail(text: &str, at: &PipelineAt) -> Result<SeenPipeline, String> {
    let detail: Maybe<Detail> = parse(text)?;
    let detail = detail.0.ok_or("the answer shows no pipeline")?;
    let id = detail.id.id().ok_or("the answer shows no pipeline")?;
    if id != at.pipeline_id {
        return Err(format!("the answer shows the pipeline {id} instead"));
    }
    let definition = detail.definition.stages();
    Ok(SeenPipeline {
        id,
        name: shown(&detail.name),
        is_banned: detail.banned.is_true(),
        is_deleted: detail.deleted.is_true(),
        stages: definition.and_then(known_stages),
        variables: items(detail.variables)
            .map(|list| list.into_iter().filter_map(VariableRow::seen).collect()),
        sources: items(detail.sources).map(|list| list.into_iter().map(SourceRow::seen).collect()),
        concurrency: detail.concurrency_control.0.and_then(Control::seen),
    })
}

/// The answer of `ListPipelines`.
pub(super) fn list(text: &str) -> Result<Page<PipelineRow>, String> {
    let list: List = parse(text)?;
    rows("pipelines", list.pipelines, list.total.number(), Row::row)
}

/// The objects of a list. None if it is no list, or one so long that it cannot be what we asked for: what was not read
/// must not count as not there.
fn items<T: DeserializeOwned>(list: Value) -> Option<Vec<T>> {
    let Value::Array(items) = list else {
        return None;
    };
    if items.len() > ROWS_MAX {
        return None;
    }
    let item = |item: Value| serde_json::from_value::<Maybe<T>>(item).ok()?.0;
    items.into_iter().map(item).collect()
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    total: Word,
    pipelines: Option<Vec<Row>>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    pipeline_id: Word,
    #[serde(default)]
    name: Word,
    #[serde(default)]
    banned: Word,
}

impl Row {
    fn row(self) -> Option<PipelineRow> {
        Some(PipelineRow {
            id: self.pipeline_id.id()?,
            name: shown(&self.name),
            is_banned: self.banned.flag(),
        })
    }
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    id: Word,
    #[serde(default)]
    name: Word,
    #[serde(default)]
    banned: Word,
    #[serde(default)]
    deleted: Word,
    #[serde(default)]
    definition: Definition,
    #[serde(default)]
    variables: Value,
    #[serde(default)]
    sources: Value,
    #[serde(default)]
    concurrency_control: Maybe<Control>,
}

/// `definition`: a text that holds JSON, or that JSON itself.
#[derive(Deserialize, Default)]
#[serde(transparent)]
struct Definition(Value);

impl Definition {
    fn stages(self) -> Option<Vec<StageRow>> {
        #[derive(Deserialize)]
        struct Stages {
            #[serde(default)]
            stages: Value,
        }
        let stages: Maybe<Stages> = match self.0 {
            Value::String(text) => serde_json::from_str(&text).ok()?,
            Value::Object(object) => serde_json::from_value(Value::Object(object)).ok()?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
        };
        items(stages.0?.stages)
    }
}

#[derive(Deserialize)]
struct StageRow {
    #[serde(default)]
    identifier: Word,
    #[serde(default)]
    name: Word,
    #[serde(default)]
    jobs: Value,
}

#[derive(Deserialize)]
struct JobRow {
    #[serde(default)]
    identifier: Word,
    #[serde(default)]
    name: Word,
}

/// Stages without identifiers, should a definition have such, are none that could be compared.
fn known_stages(rows: Vec<StageRow>) -> Option<Vec<SeenStage>> {
    let is_nameless = !rows.is_empty() && rows.iter().all(|row| name(&row.identifier).is_none());
    if is_nameless {
        return None;
    }
    let job = |row: JobRow| {
        Some(SeenJob {
            identifier: name(&row.identifier)?,
            title: shown(&row.name),
        })
    };
    let stage = |row: StageRow| {
        let jobs = if row.jobs.is_null() {
            Vec::new()
        } else {
            items(row.jobs)?
        };
        Some(SeenStage {
            identifier: name(&row.identifier).unwrap_or_default(),
            title: shown(&row.name),
            jobs: jobs.into_iter().filter_map(job).collect(),
        })
    };
    rows.into_iter().map(stage).collect()
}

#[derive(Deserialize)]
struct VariableRow {
    #[serde(default)]
    name: Word,
    #[serde(default)]
    value: Word,
    #[serde(default)]
    is_secret: Word,
    #[serde(default)]
    is_runtime: Word,
    #[serde(default)]
    required: Word,
    #[serde(default)]
    limits: Value,
    #[serde(default)]
    description: Word,
    #[serde(default, rename = "type")]
    kind: Word,
}

impl VariableRow {
    fn seen(self) -> Option<SeenVariable> {
        let is_secret = self.is_secret.is_true();
        let limits = match self.limits {
            Value::Array(items) => items.into_iter().filter_map(text_of).collect(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => Vec::new(),
        };
        let is_enumeration = self
            .kind
            .trimmed()
            .is_some_and(|kind| kind.contains("enum"));
        Some(SeenVariable {
            name: name(&self.name)?,
            // A secret's value is masked by the service, and is none of ours even if it were not.
            default: self.value.0.filter(|_| !is_secret),
            is_secret,
            is_runtime: self.is_runtime.is_true(),
            is_required: self.required.flag(),
            limits: if is_enumeration { limits } else { Vec::new() },
            description: shown(&self.description),
        })
    }
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= TEXT_BYTES_MAX => Some(text),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

#[derive(Deserialize)]
struct SourceRow {
    #[serde(default, rename = "type")]
    kind: Word,
    #[serde(default)]
    params: Maybe<ParamsRow>,
}

#[derive(Deserialize, Default)]
struct ParamsRow {
    #[serde(default)]
    git_type: Word,
    #[serde(default)]
    git_url: Word,
    #[serde(default)]
    alias: Word,
    #[serde(default)]
    codehub_id: Word,
    #[serde(default)]
    endpoint_id: Word,
    #[serde(default)]
    default_branch: Word,
}

impl SourceRow {
    fn seen(self) -> SeenSource {
        let params = self.params.0.unwrap_or_default();
        let some = |word: &Word| word.trimmed().map(str::to_owned);
        SeenSource {
            kind: some(&self.kind).unwrap_or_default(),
            git_type: some(&params.git_type),
            git_url: some(&params.git_url),
            alias: some(&params.alias),
            codehub_id: some(&params.codehub_id),
            endpoint_id: some(&params.endpoint_id),
            default_branch: some(&params.default_branch),
        }
    }
}

#[derive(Deserialize)]
struct Control {
    #[serde(default)]
    concurrency_number: Word,
    #[serde(default)]
    exceed_action: Word,
    #[serde(default)]
    enable: Word,
}

impl Control {
    /// None if it is switched off or says nothing of use.
    fn seen(self) -> Option<SeenConcurrency> {
        let runs_max = self.concurrency_number.number().filter(|max| *max > 0)?;
        self.enable.is_true().then(|| SeenConcurrency {
            runs_max,
            refuses: self.exceed_action.trimmed() == Some("ABORT"),
        })
    }
}

/// What is compared letter by letter.
fn name(word: &Word) -> Option<String> {
    let text = word.0.as_deref()?;
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX).then(|| text.to_owned())
}

/// What is only shown.
fn shown(word: &Word) -> String {
    word.trimmed()
        .map(|text| Mask::none().show_word(text))
        .unwrap_or_default()
}

impl Word {
    fn flag(&self) -> Option<bool> {
        match self.trimmed()? {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => None,
        }
    }

    fn is_true(&self) -> bool {
        self.flag() == Some(true)
    }
}
