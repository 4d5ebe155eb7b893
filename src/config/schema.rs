//! The JSON Schema of a configuration file, for editors: what each key means, and its possible values.
//!
//! Files are read as trees, not into these types: a typed reader stops at the first mistake. They are here for their
//! schema alone. That they have the keys that the reader has, and its defaults, words and limits, is held in two ways: words,
//! limits and defaults come from the reader's own constants, and `tests/schema.rs` compares keys both ways.
//!
//! It is draft-07, which every editor's YAML support knows. Whatever it accepts, the reader may still refuse: a schema
//! knows nothing of other files, of clocks, or of what several keys mean together.

#![expect(dead_code, reason = "only the schema of these types is used")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::text::show_duration;
use super::{account, calendars, credentials, entry, regions, request, resolve};
use crate::domain::request::{DESCRIPTION_CHARS_MAX, VARIABLE_VALUE_CHARS_MAX};
use crate::domain::schedule::PATTERNS_MAX;
use crate::domain::{Policy, Retry};

/// A text that is made from something.
const TEMPLATE: &str = r"\{\{";

/// The schema. `zone_names` are the time zones that are known.
pub fn schema(zone_names: &[String]) -> Value {
    let mut schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<File>()
        .to_value();
    if let Some(zone) = schema.pointer_mut("/definitions/Timezone")
        && !zone_names.is_empty()
    {
        zone["enum"] = json!(zone_names);
    }
    for (name, definition) in schema["definitions"].as_object_mut().into_iter().flatten() {
        if !["Account", "Credentials", "Secret", "Calendar", "Freeze"].contains(&name.as_str()) {
            let_templates_stand(definition);
        }
    }
    schema
}

/// Any value of an entry may come from its matrix, and some from a template: what it is then, only the reader can say.
fn let_templates_stand(schema: &mut Value) {
    let Value::Object(keys) = schema else {
        if let Value::Array(schemas) = schema {
            schemas.iter_mut().for_each(let_templates_stand);
        }
        return;
    };
    let is_leaf = match keys.get("type") {
        Some(Value::String(kind)) => !["object", "array", "null"].contains(&kind.as_str()),
        Some(Value::Array(kinds)) => !kinds.iter().any(|kind| kind == "object" || kind == "array"),
        Some(_) | None => false,
    };
    if !is_leaf {
        for (key, inner) in keys.iter_mut() {
            match key.as_str() {
                "properties" => {
                    let properties = inner.as_object_mut().into_iter().flatten();
                    properties.for_each(|(_, property)| let_templates_stand(property));
                }
                "items" | "anyOf" | "additionalProperties" => let_templates_stand(inner),
                _ => {}
            }
        }
        return;
    }
    // What an editor shows stays outside.
    const SHOWN: [&str; 4] = ["description", "title", "default", "examples"];
    let (shown, rules): (
        serde_json::Map<String, Value>,
        serde_json::Map<String, Value>,
    ) = std::mem::take(keys)
        .into_iter()
        .partition(|(key, _)| SHOWN.contains(&key.as_str()));
    *keys = shown;
    let template = json!({ "type": "string", "pattern": TEMPLATE });
    keys.insert("anyOf".to_owned(), json!([rules, template]));
}

/// A configuration of pipecron: when to start which CodeArts pipeline. All files given to `--config` make one configuration,
/// and any key may stand in any file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "pipecron configuration")]
struct File {
    /// Whose credentials start runs, and where the service is, by a name of your own.
    #[schemars(extend("propertyNames" = name_pattern()))]
    accounts: Option<BTreeMap<String, Account>>,
    /// What holds for the entries of this file, if they do not say it themselves. Anything an entry may say.
    #[schemars(extend("properties" = no_matrix()))]
    defaults: Option<Entry>,
    /// What holds for the entries of all files, if neither they nor the `defaults` of their file say it. In one file only.
    #[schemars(extend("properties" = no_matrix()))]
    global_defaults: Option<Entry>,
    /// The entries by name: when to start what. A name stands in logs and in the description of its runs.
    #[schemars(extend("propertyNames" = name_pattern()))]
    schedules: Option<BTreeMap<String, Option<Entry>>>,
    /// Days off, by a name of your own: for `only_on` and `skip_on` of entries.
    #[schemars(extend("propertyNames" = name_pattern()))]
    calendars: Option<BTreeMap<String, Calendar>>,
    /// Times in which nothing starts, or nothing that has one of their labels.
    freezes: Option<Vec<Freeze>>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Which days are days off: those of the weekend, holidays, events and days of the patterns, but not `workdays`. A date is
/// that of the zone of the entry which asks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = one_of(&["weekend", "holidays", "workdays", "ics", "patterns"])))]
struct Calendar {
    /// The days of the week that are off, such as `[sat, sun]`.
    weekend: Option<Weekend>,
    /// Dates that are off, and ranges of them: `2027-01-01`, `2027-02-05..2027-02-11`.
    holidays: Option<Texts>,
    /// Dates that are worked on whatever else is said: China's shifted working days.
    workdays: Option<Texts>,
    /// An iCalendar file, or several; the days of its events are off. Its path begins where this file is.
    ics: Option<Texts>,
    /// Days that are off, as cron patterns: `* * 24-31 DEC *`.
    patterns: Option<Texts>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// A time in which nothing starts.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("required" = ["from", "until"]))]
struct Freeze {
    /// Its first day in the zone of each entry, or its first instant.
    from: Option<Bound>,
    /// Its last day, which is included, or its last instant.
    until: Option<Bound>,
    /// It holds for entries with one of these labels. Default: for all.
    labels: Option<Texts>,
    /// Entries, or labels of entries, for which it does not hold. Default: none.
    except: Option<Texts>,
    /// Why, for the history.
    reason: Option<SomeText>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Where the service is, who we are there, and how we get there.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = one_of(&["region", "endpoint"]), "if" = no_endpoint(), "then" = known_region()))]
struct Account {
    /// Where the service is, such as `cn-north-4`; its addresses follow from it. Needed, unless `endpoint` is given.
    #[schemars(extend("examples" = regions::names().collect::<Vec<_>>()))]
    region: Option<Text>,
    /// The address of the pipeline service, such as `https://cloudpipeline-ext.cn-north-4.myhuaweicloud.com`.
    ///
    /// Default: the region's.
    endpoint: Option<Address>,
    /// The address of IAM, where tokens come from.
    ///
    /// Default: the region's.
    iam_endpoint: Option<Address>,
    /// The address of the instance's metadata service.
    #[schemars(extend("default" = account::METADATA_ENDPOINT))]
    metadata_endpoint: Option<Address>,
    /// Sent as `X-Project-Id`; 32 letters and digits. Not the `project_id` of an entry.
    ///
    /// Default: not sent.
    iam_project_id: Option<Id>,
    /// Who we are there. One of `{ ak, sk, security_token? }`, `{ domain, user, password, project? }`, `{ token }`,
    /// `{ metadata: true }`, `{ profile, file? }`.
    ///
    /// Default: the SDKs' chain: environment, profile, metadata.
    credentials: Option<Credentials>,
    /// The proxy, such as `http://proxy.example.com:3128`; `none` for none at all.
    ///
    /// Default: what `HTTPS_PROXY` in the environment says.
    proxy: Option<Proxy>,
    /// A file of certificates to trust beside the system's.
    ///
    /// Default: none.
    ca_file: Option<Text>,
    /// The longest wait for a connection.
    #[schemars(extend("default" = show_duration(account::CONNECT_TIMEOUT)))]
    connect_timeout: Option<Duration>,
    /// The longest wait for a whole exchange.
    #[schemars(extend("default" = show_duration(account::REQUEST_TIMEOUT)))]
    request_timeout: Option<Duration>,
    /// How long a run is looked for when the answer to its start was lost, before "not started" is believed.
    #[schemars(extend("default" = show_duration(account::SETTLE)))]
    settle: Option<Seconds>,
    /// How many runs may be under way at once by our doing; further ticks wait, by `priority`.
    ///
    /// Default: no limit.
    #[schemars(extend("maximum" = account::MAX_RUNNING_MAX))]
    max_running: Option<Count>,
    /// How many requests of all kinds are made a second.
    #[schemars(extend("default" = account::REQUESTS_PER_SECOND, "maximum" = account::REQUESTS_PER_SECOND_MAX))]
    requests_per_second: Option<Count>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Who we are to the service. A secret is never plain text: it is read from the environment, a file or the service manager.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = credential_forms()))]
struct Credentials {
    /// The access key's id; no secret.
    ak: Option<TextOrSecret>,
    /// The secret key.
    sk: Option<Secret>,
    /// The security token of a temporary access key.
    security_token: Option<Secret>,
    /// The name of the Huawei Cloud account of an IAM user.
    domain: Option<TextOrSecret>,
    /// The IAM user's name.
    user: Option<TextOrSecret>,
    /// The IAM user's password.
    password: Option<Secret>,
    /// The IAM project of the token, such as `cn-north-4`.
    ///
    /// Default: the region's.
    project: Option<SomeText>,
    /// A ready-made IAM token.
    token: Option<Secret>,
    /// `true`: the agency of the instance pipecron runs on.
    #[schemars(extend("const" = true))]
    metadata: Option<Flag>,
    /// A section of the SDKs' credentials file.
    profile: Option<SomeText>,
    /// That file.
    ///
    /// Default: `~/.huaweicloud/credentials`.
    file: Option<Text>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Where a secret is kept. It is read again on a reload, and when the service refuses it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = one_of(&["env", "file", "credential"])))]
struct Secret {
    /// The name of an environment variable, without `$`.
    #[schemars(extend("pattern" = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    env: Option<Text>,
    /// The path of a file.
    file: Option<Text>,
    /// The name of a credential of the service manager (`LoadCredential=` of the unit).
    #[schemars(extend("pattern" = "^[^./][^/]*$"))]
    credential: Option<Text>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// When a run of which pipeline is started, and how. `cron`, `project_id` and `pipeline_id` are needed, here or in defaults.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Entry {
    /// When it is due: a pattern or a list of them.
    ///
    /// Five fields: minute, hour, day-of-month, month, day-of-week; or six with the second first. `@daily` and kin,
    /// `@manually` for by hand alone. Quote what begins with `*` or `@`.
    cron: Option<Cron>,
    /// The IANA name of the zone the patterns are meant in, never that of the machine.
    #[schemars(extend("default" = "UTC"))]
    timezone: Option<Timezone>,
    /// The name of the account that starts it.
    ///
    /// Default: the only one there is.
    account: Option<SomeText>,
    /// The id of the CodeArts project, from the address of its page: 32 letters and digits.
    project_id: Option<Id>,
    /// The id of the pipeline, from the address of its page: 32 letters and digits.
    pipeline_id: Option<Id>,
    /// Which refs to run.
    ///
    /// Default: those configured in the pipeline.
    sources: Option<Vec<Source>>,
    /// Custom parameters: `NAME: value`, or the API's list of `{ name, value }`. A value is sent as it stands in the
    /// file: `1.10`, `yes` and `012` stay what they are. A secret is `{ env: NAME }`, `{ file: PATH }` or `{ credential: NAME }`.
    ///
    /// Default: those configured in the pipeline.
    variables: Option<Variables>,
    /// The ids of the stages to run.
    ///
    /// Default: all.
    choose_stages: Option<Vec<Text>>,
    /// The ids of the jobs to run; jobs of a stage that is not chosen are ignored by the API.
    ///
    /// Default: all.
    choose_jobs: Option<Vec<Text>>,
    /// The description of the run; the marker that finds it again is added.
    ///
    /// Default: the marker alone.
    #[schemars(extend("maxLength" = DESCRIPTION_CHARS_MAX))]
    description: Option<Text>,
    /// Whether to start it as a sub-pipeline.
    ///
    /// Default: not sent.
    sub_hook: Option<Flag>,
    /// The id of an execution plan.
    ///
    /// Default: not sent.
    execution_plan_id: Option<Text>,
    /// A start lies up to this long after the due time, at an offset fixed by the entry's name.
    #[schemars(extend("default" = "0s"))]
    spread: Option<Duration>,
    /// Which of the ticks missed while pipecron was away run.
    #[schemars(extend("default" = entry::word(&entry::CATCH_UPS, resolve::CATCH_UP_DEFAULT)))]
    catch_up: Option<CatchUp>,
    /// How many missed ticks `catch_up: all` runs at most, the newest ones.
    #[schemars(extend("default" = resolve::CATCH_UP_MAX_DEFAULT, "maximum" = entry::CATCH_UP_MAX))]
    catch_up_max: Option<Count>,
    /// A tick that is not started this long after it was due is given up, whatever held it.
    #[schemars(extend("default" = show_duration(resolve::DEADLINE_DEFAULT)))]
    deadline: Option<Seconds>,
    /// How refusals that may pass are tried again.
    retry: Option<RetryKeys>,
    /// What becomes of a start that was not answered and whose run is not found.
    #[schemars(extend("default" = entry::word(&entry::ON_DOUBTS, Policy::default().on_doubt)))]
    on_doubt: Option<OnDoubt>,
    /// Whether the run is looked at until it ends, and how it ended is written down.
    #[schemars(extend("default" = Policy::default().follow))]
    follow: Option<Flag>,
    /// A run that takes longer is reported.
    ///
    /// Default: none.
    run_timeout: Option<Seconds>,
    /// What a tick does while its pipeline has another run: start all the same, skip, wait (the newest tick does), or stop that
    /// run and start.
    #[schemars(extend("default" = entry::overlap_word(Policy::default().overlap)))]
    overlap: Option<Overlap>,
    /// Who gets a place of `max_running` first: the higher.
    #[schemars(extend("default" = Policy::default().priority))]
    priority: Option<Priority>,
    /// Whether it opens ticks at all.
    #[schemars(extend("default" = true))]
    enabled: Option<Flag>,
    /// Not due before this day in its zone, or this instant.
    ///
    /// Default: none.
    not_before: Option<Bound>,
    /// Not due after this day (which is included) in its zone, or this instant.
    ///
    /// Default: none.
    not_after: Option<Bound>,
    /// Words to tell entries apart by.
    ///
    /// Default: none.
    #[schemars(extend("maxItems" = entry::LABELS_MAX))]
    labels: Option<Vec<Label>>,
    /// Calendars: it is due only on days that are working days of each of them.
    ///
    /// Default: none.
    only_on: Option<Texts>,
    /// Calendars: it is not due on days off of any of them.
    ///
    /// Default: none.
    skip_on: Option<Texts>,
    /// What becomes of a tick on another day: it is skipped, or moves to the next or the previous working day.
    ///
    /// Default: skip.
    on_excluded: Option<OnExcluded>,
    /// Makes an entry of every combination of some values, which its texts name as `{{ matrix.NAME }}`.
    ///
    /// Lists of values by name, and `exclude`, `include` and `name` (of the entries). Default: one entry.
    matrix: Option<Matrix>,
    /// Whether it may be due more often than once a minute, which is otherwise taken for a mistake.
    #[schemars(extend("default" = false))]
    allow_subminute: Option<Flag>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// How refusals that may pass, and runs that were looked for and not found, are tried again.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Retry")]
struct RetryKeys {
    /// How often a start is tried; 1 is once.
    #[schemars(extend("default" = Retry::default().max_attempts, "maximum" = entry::ATTEMPTS_MAX))]
    max_attempts: Option<Count>,
    /// The first wait.
    #[schemars(extend("default" = show_duration(Retry::default().initial_backoff)))]
    initial_backoff: Option<SomeDuration>,
    /// The longest wait.
    #[schemars(extend("default" = show_duration(Retry::default().max_backoff)))]
    max_backoff: Option<SomeDuration>,
    /// How many times longer each wait is than the one before.
    #[schemars(extend("default" = Retry::default().multiplier))]
    multiplier: Option<Factor>,
    /// Whether a wait is a share of its length drawn by the tick, or the whole.
    #[schemars(extend("default" = entry::word(&entry::JITTERS, Retry::default().jitter)))]
    jitter: Option<Jitter>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// A repository and what to build of it: `{ git_type, git_url, branch }`, or in the API's form `{ type: code, params: {...} }`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = source_forms()))]
struct Source {
    /// What it is, in the API's form.
    r#type: Option<SourceType>,
    /// The repository, in the API's form.
    params: Option<Params>,
    /// Where the repository is: `codehub` is CodeArts Repo.
    git_type: Option<GitType>,
    /// The repository's `https://` address.
    git_url: Option<HttpsUrl>,
    /// A name to tell several repositories apart.
    ///
    /// Default: none.
    alias: Option<Name>,
    /// The id of a repository of CodeArts Repo.
    ///
    /// Default: none.
    codehub_id: Option<Text>,
    /// The repository's default branch.
    ///
    /// Default: not sent.
    default_branch: Option<Text>,
    /// The service endpoint of a repository outside CodeArts.
    ///
    /// Default: none.
    endpoint_id: Option<Text>,
    /// The ids of change requests.
    ///
    /// Default: not sent.
    change_request_ids: Option<Vec<Text>>,
    /// The branch to build.
    ///
    /// Default: what is configured in the pipeline.
    branch: Option<SomeText>,
    /// The tag to build.
    ///
    /// Default: what is configured in the pipeline.
    tag: Option<SomeText>,
    /// What the run looks started by.
    ///
    /// Default: not sent.
    event_type: Option<EventType>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// A repository in the API's form.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("required" = ["git_type", "git_url"]))]
struct Params {
    /// Where the repository is: `codehub` is CodeArts Repo.
    git_type: Option<GitType>,
    /// The repository's `https://` address.
    git_url: Option<HttpsUrl>,
    /// A name to tell several repositories apart.
    ///
    /// Default: none.
    alias: Option<Name>,
    /// The id of a repository of CodeArts Repo.
    ///
    /// Default: none.
    codehub_id: Option<Text>,
    /// The repository's default branch.
    ///
    /// Default: not sent.
    default_branch: Option<Text>,
    /// The service endpoint of a repository outside CodeArts.
    ///
    /// Default: none.
    endpoint_id: Option<Text>,
    /// What to build.
    ///
    /// Default: what is configured in the pipeline.
    build_params: Option<BuildParams>,
    /// The ids of change requests.
    ///
    /// Default: not sent.
    change_request_ids: Option<Vec<Text>>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// What to build: `{ build_type: branch, target_branch: NAME }` or `{ build_type: tag, tag: NAME }`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = build_forms()))]
struct BuildParams {
    /// Of what kind the ref is.
    build_type: Option<BuildType>,
    /// What the run looks started by.
    ///
    /// Default: not sent.
    event_type: Option<EventType>,
    /// The branch to build.
    target_branch: Option<SomeText>,
    /// The tag to build.
    tag: Option<SomeText>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// A custom parameter in the API's form.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("required" = ["name", "value"]))]
struct Variable {
    /// Its name: letters, digits and `_`.
    name: Option<Name>,
    /// Its value, or where it is kept.
    value: Option<VariableValue>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Implements the schema of a type that is one value, a text for instance.
macro_rules! values {
    ($($(#[doc = $about:literal])* $name:ident: $schema:expr;)+) => {$(
        $(#[doc = $about])*
        struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                // What is large stands once.
                matches!(stringify!($name), name if !["Timezone", "Variables", "Cron"].contains(&name))
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let schema: fn(&mut SchemaGenerator) -> Schema = $schema;
                schema(generator)
            }
        }
    )+};
}

values! {
    /// Whatever is no list and no mapping: what stands in the file is the text.
    Text: |_| json_schema!({ "type": ["string", "number", "boolean"] });
    /// The same, with more in it than blanks.
    SomeText: |_| json_schema!({ "type": ["string", "number", "boolean"], "pattern": r"\S" });
    Flag: |_| json_schema!({ "type": "boolean" });
    Count: |_| json_schema!({ "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$" });
    Priority: |_| {
        let most = entry::PRIORITY_MAX;
        json_schema!({ "type": ["integer", "string"], "minimum": -most, "maximum": most, "pattern": "^[-+]?[0-9]+$" })
    };
    Factor: |_| json_schema!({
        "type": ["number", "string"], "minimum": 1, "maximum": 100, "pattern": r"^[0-9.]+$",
    });
    Duration: |_| duration(".");
    /// More than nothing.
    SomeDuration: |_| duration(".*[1-9]");
    /// A second or more.
    Seconds: |_| duration(".*([1-9][0-9]*([dhs]|m(?!s))|[1-9][0-9]{3,}ms)");
    Bound: |_| json_schema!({
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2}))?$",
        "examples": ["2026-12-01", "2026-12-01T08:00:00+08:00"],
    });
    Id: |_| json_schema!({ "type": ["string", "number"], "pattern": "^[A-Za-z0-9]{32}$" });
    Name: |_| json_schema!({
        "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9_]+$", "maxLength": request::NAME_CHARS_MAX,
    });
    Label: |_| json_schema!({
        "type": ["string", "number", "boolean"], "pattern": r"^[^\s,]+$", "maxLength": entry::LABEL_CHARS_MAX,
    });
    Address: |_| json_schema!({ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/@?#]+[^@?#]*$" });
    HttpsUrl: |_| json_schema!({ "type": "string", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]://[^\s/]+" });
    Proxy: |_| json_schema!({ "type": "string", "pattern": "^(none|[Hh][Tt][Tt][Pp][Ss]?://[^/@?#]+/?)$" });
    Timezone: |_| json_schema!({ "type": "string" });
    CatchUp: |_| words(entry::CATCH_UPS.iter().map(|(word, _)| *word));
    OnDoubt: |_| words(entry::ON_DOUBTS.iter().map(|(word, _)| *word));
    OnExcluded: |_| words(entry::ON_EXCLUDEDS.iter().map(|(word, _)| *word));
    Texts: |_| {
        let text = json!({ "type": ["string", "number"] });
        json_schema!({ "anyOf": [text, { "type": "array", "items": text }] })
    };
    Weekend: |_| {
        let days = calendars::WEEKDAYS.iter().flat_map(|(short, long)| [any_case(short), any_case(long)]);
        let pattern = format!("^({})$", days.collect::<Vec<_>>().join("|"));
        let day = json!({ "type": "string", "pattern": pattern });
        json_schema!({ "anyOf": [day, { "type": "array", "items": day, "maxItems": 7 }], "examples": [["sat", "sun"]] })
    };
    Matrix: |_| {
        let values = json!({ "type": "array", "minItems": 1, "items": { "type": ["string", "number", "boolean", "object"] } });
        let rows = json!({ "type": "array", "items": { "type": "object" } });
        let others = ["name", "exclude", "include"];
        json_schema!({
            "type": "object",
            "properties": { "name": { "type": "string" }, "exclude": rows, "include": rows, "<<": { "type": ["object", "array"] } },
            "additionalProperties": values,
            "propertyNames": { "pattern": "^([A-Za-z][A-Za-z0-9_]*|<<)$" },
            // It has values of its own.
            "not": { "type": "object", "propertyNames": { "enum": others } },
        })
    };
    Overlap: |_| words(entry::OVERLAPS.iter().map(|(word, _)| *word));
    Jitter: |_| words(entry::JITTERS.iter().map(|(word, _)| *word));
    SourceType: |_| words(request::TYPES);
    GitType: |_| words(request::GIT_TYPES);
    BuildType: |_| words(request::BUILD_TYPES);
    EventType: |_| words(request::EVENT_TYPES);
    Cron: |_| {
        let pattern = json!({ "type": "string", "pattern": cron_pattern() });
        json_schema!({
            "anyOf": [pattern, { "type": "array", "items": pattern, "minItems": 1, "maxItems": PATTERNS_MAX }],
            "examples": ["0 2 * * *", "30 2 * * 1-5", "@daily", "0 2 L * *", "@manually"],
        })
    };
    TextOrSecret: |generator| either(generator, json!({ "type": ["string", "number", "boolean"] }));
    VariableValue: |generator| either(
        generator,
        json!({ "type": ["string", "number", "boolean"], "maxLength": VARIABLE_VALUE_CHARS_MAX }),
    );
    Variables: |generator| {
        let value = generator.subschema_for::<VariableValue>();
        let item = generator.subschema_for::<Variable>();
        json_schema!({ "anyOf": [
            {
                "type": "object", "additionalProperties": value,
                "propertyNames": { "pattern": "^([A-Za-z0-9_]+|<<)$", "maxLength": request::NAME_CHARS_MAX },
            },
            { "type": "array", "items": item },
        ] })
    };
    /// Takes over what a block with an anchor says: `<<: *base`, or a list of such. What stands here itself wins. A JSON
    /// object of the API's documentation pastes in as it is: `<<: { ... }`.
    Merge: |_| json_schema!({
        "type": ["object", "array"],
        "description": "Takes over what a block with an anchor says: `<<: *base`, or a list of such. What stands here itself wins. \
                        A JSON body of the API's documentation pastes in as it is: `<<: { ... }`.",
    });
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Schema {
    let words: Vec<&str> = words.into_iter().collect();
    json_schema!({ "type": "string", "enum": words })
}

/// A duration in which there is what the expression looks for.
fn duration(has: &str) -> Schema {
    json_schema!({
        "type": "string", "pattern": format!("^(?={has})([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"),
        "examples": ["250ms", "90s", "20m", "1h30m", "2d"],
    })
}

/// Defaults are for many entries, and a matrix is of one.
fn no_matrix() -> Value {
    json!({ "matrix": { "type": "null" } })
}

/// A plain value, or where a secret one is kept.
fn either(generator: &mut SchemaGenerator, plain: Value) -> Schema {
    let secret = generator.subschema_for::<Secret>();
    json_schema!({ "anyOf": [plain, secret] })
}

fn name_pattern() -> Value {
    json!({ "pattern": r"^([A-Za-z0-9][A-Za-z0-9._-]*|<<|.*\{\{.*)$", "maxLength": 100 })
}

/// An expression for what a pattern may be, field by field. What several fields say together (February 31, a range that ends
/// before it begins) is beyond it.
fn cron_pattern() -> String {
    let names = |names: &str| -> String {
        names
            .split(' ')
            .map(|name| format!("|{}", any_case(name)))
            .collect()
    };
    let field = |value: &str, special: &str| {
        let hashed = format!(r"[hH](\({value}-{value}\))?");
        let item = format!("(([*]|{value}(-{value})?|{hashed})(/0*[1-9][0-9]*)?{special})");
        format!("{item}(,{item})*")
    };
    let sixty = field("(0*[1-5]?[0-9])", "");
    let hour = field("(0*(1?[0-9]|2[0-3]))", "");
    let day = "(0*([1-9]|[12][0-9]|3[01]))";
    let day_of_month = field(day, &format!("|[?]|[lL]|[lL][wW]|{day}[wW]"));
    let month = format!(
        "(0*([1-9]|1[0-2]){})",
        names("jan feb mar apr may jun jul aug sep oct nov dec")
    );
    let weekday = format!("(0*[0-7]{})", names("sun mon tue wed thu fri sat"));
    let day_of_week = field(&weekday, &format!("|[?]|{weekday}([lL]|#0*[1-5])"));
    let month = field(&month, "");
    let fields = [&sixty, &hour, &day_of_month, &month, &day_of_week].map(String::as_str);
    let nicknames = names("yearly annually monthly weekly daily midnight hourly manually");
    let nicknames = nicknames.trim_start_matches('|');
    format!(
        r"^\s*(@({nicknames})|({sixty}\s+)?{})\s*$",
        fields.join(r"\s+")
    )
}

/// An expression for a word in any letter case.
fn any_case(word: &str) -> String {
    let letter = |c: char| format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase());
    word.chars().map(letter).collect()
}

/// Needs exactly one of the keys.
fn one_of(keys: &[&str]) -> Value {
    keys.iter().map(|key| needs(&[key])).collect()
}

/// Needs all of the keys, and a value of each.
fn needs(keys: &[&str]) -> Value {
    let value = |key: &&str| ((*key).to_owned(), json!({ "not": { "type": "null" } }));
    let values: serde_json::Map<String, Value> = keys.iter().map(value).collect();
    json!({ "required": keys, "properties": values })
}

fn no_endpoint() -> Value {
    json!({ "required": ["region"], "not": { "required": ["endpoint"] } })
}

fn known_region() -> Value {
    json!({ "properties": { "region": { "enum": regions::names().collect::<Vec<_>>() } } })
}

/// Each form has its own keys, of which the first are needed.
fn credential_forms() -> Value {
    let form = |(_, keys, needed): &(&str, &[&str], usize)| {
        let needed = keys.get(..*needed).unwrap_or_default();
        let possible: Vec<&str> = keys.iter().copied().chain(["<<"]).collect();
        let mut form = needs(needed);
        form["propertyNames"] = json!({ "enum": possible });
        form
    };
    credentials::FORMS.iter().map(form).collect()
}

fn source_forms() -> Value {
    let of_the_api =
        json!({ "required": ["type"], "propertyNames": { "enum": ["type", "params", "<<"] } });
    json!([
        of_the_api,
        {
            "required": ["git_type", "git_url"],
            "properties": { "params": false },
            "not": { "required": ["branch", "tag"] },
            "if": { "required": ["event_type"] },
            "then": { "anyOf": [{ "required": ["branch"] }, { "required": ["tag"] }] },
        },
    ])
}

fn build_forms() -> Value {
    let form = |kind: &str, key: &str| json!({ "required": ["build_type", key], "properties": { "build_type": { "const": kind } } });
    json!([form("branch", "target_branch"), form("tag", "tag")])
}
