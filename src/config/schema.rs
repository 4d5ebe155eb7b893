//! The JSON Schema of a configuration file, for editors: what each key means, and its possible values.
//!
//! Files are read as trees, not into these types: a typed reader stops at the first mistake. They are here for their
//! schema alone. That they have the keys that the reader has, and its defaults, words and limits, is held in two ways: words,
//! limits and defaults come from the reader's own constants, and `tests/schema.rs` compares keys both ways.
//!
//! It is draft-07, which every editor's YAML support knows, and `patternErrorMessage`, which some know beside it and the others
//! overlook: what a regular expression wants, in words. How it is made to say what is expected, [`shape`] tells. Whatever it
//! accepts, the reader may still refuse: a schema knows nothing of other files, of clocks, or of what several keys mean
//! together.

#![expect(dead_code, reason = "only the schema of these types is used")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::notices::read;
use super::shape::{self, first_of, has_any, needs};
use super::text::show_duration;
use super::{account, calendars, credentials, entry, regions, request, resolve};
use crate::domain::notice::Topic;
use crate::domain::request::{DESCRIPTION_CHARS_MAX, VARIABLE_VALUE_CHARS_MAX};
use crate::domain::schedule::PATTERNS_MAX;
use crate::domain::{Policy, Retry};

/// What the reader has to know when it reads an entry; only a matrix can give it.
const NEVER_A_TEMPLATE: [&str; 20] = [
    "cron",
    "timezone",
    "account",
    "project_id",
    "pipeline_id",
    "enabled",
    "follow",
    "sub_hook",
    "allow_subminute",
    "spread",
    "deadline",
    "run_timeout",
    "catch_up",
    "catch_up_max",
    "on_doubt",
    "overlap",
    "priority",
    "on_excluded",
    "not_before",
    "not_after",
];

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
    // `<<` takes over something or is not there: nothing is no mapping.
    let definitions = schema["definitions"].as_object_mut().into_iter().flatten();
    for properties in definitions.filter_map(|(_, definition)| definition.get_mut("properties")) {
        properties["<<"]["type"] = json!(["object", "array"]);
    }
    schema["properties"]["<<"]["type"] = json!(["object", "array"]);
    const PLAIN: [&str; 8] = [
        "Account",
        "Credentials",
        "Secret",
        "Calendar",
        "Freeze",
        "Channel",
        "Digest",
        "Heartbeat",
    ];
    shape::shape(&mut schema, |name| !PLAIN.contains(&name));
    let entry = &mut schema["properties"]["schedules"]["additionalProperties"];
    let rule = shape::no_templates_without_a_matrix(NEVER_A_TEMPLATE);
    if let (Some(entry), Value::Object(rule)) = (entry.as_object_mut(), rule) {
        entry.extend(rule);
    }
    schema
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
    /// Whom to tell when something goes wrong, by a name of your own: webhooks, chats, mail.
    #[schemars(extend("propertyNames" = name_pattern()))]
    notices: Option<BTreeMap<String, Channel>>,
    /// The daemon's own sign of life, for a dead man's switch that misses it.
    heartbeat: Option<Heartbeat>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Whom to tell, and of what. What is to be told is kept until it arrives, tried for a day, and has no effect on any tick.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("allOf" = [channel_forms()]))]
struct Channel {
    /// How it is reached: `json` (a webhook of your own), `slack` (and what is compatible with it), `feishu`, `dingtalk`, `wecom`, `mail`.
    kind: Option<ChannelKind>,
    /// Where it is posted to. That of a chat is a secret: whoever knows it may post there.
    url: Option<UrlOrSecret>,
    /// Signs what is sent, where a bot demands it (feishu, dingtalk), and for who checks it (json).
    ///
    /// Default: not signed.
    secret: Option<Secret>,
    /// Sent as a bearer token (json).
    ///
    /// Default: none.
    token: Option<Secret>,
    /// What is posted instead of our own JSON (json): a template.
    ///
    /// Default: our own JSON.
    body: Option<Text>,
    /// The mail server: `smtps://HOST` (TLS from the first byte) or `smtp://HOST` (STARTTLS).
    server: Option<MailServer>,
    /// Who we are to the mail server.
    ///
    /// Default: nobody.
    user: Option<TextOrSecret>,
    /// The password for it.
    ///
    /// Default: none.
    password: Option<Secret>,
    /// Who the mail is from.
    from: Option<Mailbox>,
    /// Whom it goes to.
    to: Option<Mailboxes>,
    /// What it is told of.
    ///
    /// Default: all but `skipped`.
    events: Option<Vec<Event>>,
    /// Only entries with one of these labels; accounts and the daemon in any case.
    ///
    /// Default: all entries.
    #[schemars(extend("maxItems" = entry::LABELS_MAX))]
    labels: Option<Vec<Label>>,
    /// How long it waits for more of the same before it tells: 300 failures of one cause are one message.
    #[schemars(extend("default" = show_duration(read::COLLECT)))]
    collect: Option<Duration>,
    /// Most messages in an hour; what comes beyond is told in one when there is room again.
    #[schemars(extend("default" = read::MESSAGES_PER_HOUR, "maximum" = read::MESSAGES_PER_HOUR_MAX))]
    messages_per_hour: Option<Count>,
    /// When it gets a digest: every entry, ran or not, in one table.
    ///
    /// Default: none.
    digest: Option<Digest>,
    /// The proxy, such as `http://proxy.example.com:3128`; `none` for none at all.
    ///
    /// Default: what `HTTPS_PROXY` in the environment says.
    proxy: Option<Proxy>,
    /// A file of certificates to trust beside the system's.
    ///
    /// Default: none.
    ca_file: Option<Text>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// When a digest is sent.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("required" = ["cron"]))]
struct Digest {
    /// When: a pattern of five fields, such as `0 8 * * 1-5`.
    cron: Option<OnePattern>,
    /// The IANA name of the zone the pattern is meant in.
    #[schemars(extend("default" = "UTC"))]
    timezone: Option<Timezone>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// The daemon's own sign of life: success while it works, fail when it cannot.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("required" = ["url"]))]
struct Heartbeat {
    /// Where it goes, by the conventions of healthchecks.io.
    url: Option<UrlOrSecret>,
    /// How often it is given.
    #[schemars(extend("default" = show_duration(read::EVERY)))]
    every: Option<Seconds>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// What an entry wants to be told of beside the ends of its ticks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Alarm {
    /// Its last success lies no further back than this: longer than the longest time between two of its starts.
    ///
    /// Default: not looked at.
    no_success_for: Option<Seconds>,
    /// A tick is started so long after it was due, its spread not counted.
    ///
    /// Default: not looked at.
    not_started_within: Option<Seconds>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Which days are days off: those of the weekend, holidays, events and days of the patterns, but not `workdays`. A date is
/// that of the zone of the entry which asks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = any_of(&["weekend", "holidays", "workdays", "ics", "patterns"])))]
struct Calendar {
    /// The days of the week that are off, such as `[sat, sun]`.
    weekend: Option<Weekend>,
    /// Dates that are off, and ranges of them with both ends: `2027-01-01`, `2027-02-05..2027-02-11`.
    holidays: Option<Days>,
    /// Dates that are worked on whatever else is said: China's shifted working days.
    workdays: Option<Days>,
    /// An iCalendar file, or several; the days of its events are off. Its path begins where this file is. It is read
    /// again on a reload, and not fetched.
    ics: Option<CalendarFiles>,
    /// Days that are off, as cron patterns that name whole days: `* * 24-31 DEC *`.
    patterns: Option<DayPatterns>,
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
    labels: Option<Words>,
    /// Entries, or labels of entries, for which it does not hold. Default: none.
    except: Option<Words>,
    /// Why, for the history.
    reason: Option<SomeText>,
    #[schemars(rename = "<<")]
    merge: Option<Merge>,
}

/// Where the service is, who we are there, and how we get there.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("allOf" = [account_form()]))]
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
#[schemars(deny_unknown_fields, extend("allOf" = [credential_forms()]))]
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
#[schemars(deny_unknown_fields, extend("allOf" = [secret_forms()]))]
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
    /// Five fields: minute, hour, day-of-month, month, day-of-week; or six with the second first. `H` in a field is a value fixed
    /// by the entry's name, so that not all start at once: `H 2 * * *`, `H(0-29)`, `H/15`. `L` is the last day of the
    /// month, `15W` the weekday nearest to the 15th, `1#2` the second Monday. `@daily` and kin, `@manually` for by hand
    /// alone. Quote what begins with `*` or `@`.
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
    only_on: Option<Words>,
    /// Calendars: it is not due on days off of any of them.
    ///
    /// Default: none.
    skip_on: Option<Words>,
    /// What becomes of a tick on another day: it is skipped, or moves to the next or the previous working day.
    ///
    /// Default: skip.
    on_excluded: Option<OnExcluded>,
    /// Makes an entry of every combination of some values, which its texts name as `{{ matrix.NAME }}`.
    ///
    /// Lists of values by name, and `exclude`, `include` and `name` (of the entries). Default: one entry.
    matrix: Option<Matrix>,
    /// What it wants to be told of beside the ends of its ticks: `{ no_success_for, not_started_within }`.
    ///
    /// Default: nothing.
    alarm: Option<Alarm>,
    /// A dead man's switch that is told of start, success and failure, by the conventions of healthchecks.io.
    ///
    /// Default: none.
    ping: Option<UrlOrSecret>,
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
#[schemars(deny_unknown_fields, extend("allOf" = [source_forms()]))]
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
#[schemars(deny_unknown_fields, extend("allOf" = build_forms()))]
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
                stringify!($name) != "Timezone"
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
    Count: |_| json_schema!({
        "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$", "patternErrorMessage": "a whole number",
    });
    Priority: |_| {
        let most = entry::PRIORITY_MAX;
        json_schema!({ "type": ["integer", "string"], "minimum": -most, "maximum": most, "pattern": "^[-+]?[0-9]+$", "patternErrorMessage": "a whole number" })
    };
    Factor: |_| json_schema!({
        "type": ["number", "string"], "minimum": 1, "maximum": 100, "pattern": r"^[0-9.]+$", "patternErrorMessage": "a number",
    });
    Duration: |_| duration(".", "a duration");
    /// More than nothing.
    SomeDuration: |_| duration(".*[1-9]", "a duration of more than nothing");
    /// A second or more.
    Seconds: |_| duration(".*([1-9][0-9]*([dhs]|m(?!s))|[1-9][0-9]{3,}ms)", "a duration of a second or more");
    Bound: |_| json_schema!({
        "type": "string",
        "pattern": format!("^{}([Tt ][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}([.][0-9]+)?([Zz]|[-+][0-9]{{2}}:[0-9]{{2}}))?$", day()),
        "patternErrorMessage": "a day such as 2026-12-01, or an instant such as 2026-12-01T08:00:00+08:00",
        "examples": ["2026-12-01", "2026-12-01T08:00:00+08:00"],
    });
    // 32 digits without quotes are a number to an editor, and its size is all that is left of them.
    Id: |_| json_schema!({
        "type": ["string", "number"], "pattern": "^[A-Za-z0-9]{32}$", "minimum": 1e25,
        "patternErrorMessage": "32 letters and digits",
    });
    Name: |_| json_schema!({
        "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9_]+$", "maxLength": request::NAME_CHARS_MAX,
        "patternErrorMessage": "letters, digits and _",
    });
    Label: |_| json_schema!({
        "type": ["string", "number", "boolean"], "pattern": r"^[^\s,]+$", "maxLength": entry::LABEL_CHARS_MAX,
        "patternErrorMessage": "a word without blanks and commas",
    });
    Address: |_| json_schema!({ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/@?#]+[^@?#]*$",
        "patternErrorMessage": "an address such as https://host.example.com" });
    HttpsUrl: |_| json_schema!({ "type": "string", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]://[^\s/]+", "patternErrorMessage": "an https:// address" });
    Proxy: |_| json_schema!({ "type": "string", "pattern": "^(none|[Hh][Tt][Tt][Pp][Ss]?://[^/@?#]+/?)$",
        "patternErrorMessage": "a proxy such as http://proxy.example.com:3128, or none" });
    Timezone: |_| json_schema!({ "type": "string" });
    ChannelKind: |_| words(read::KINDS.iter().map(|(word, _)| *word));
    Event: |_| words(Topic::ALL.iter().map(|topic| topic.name()));
    UrlOrSecret: |generator| or_secret(generator, json!({
        "type": "string",
        "pattern": r"^([Hh][Tt][Tt][Pp][Ss]://[^\s/@?#]+([/?#]\S*)?|[Hh][Tt][Tt][Pp]://(127\.[0-9.]+|\[::1\]|[Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt])(:[0-9]+)?([/?#]\S*)?)$",
        "patternErrorMessage": "an https:// address (plain http:// only to this machine), or where it is kept: { env: NAME }",
    }));
    MailServer: |_| json_schema!({ "type": "string", "pattern": r"^[Ss][Mm][Tt][Pp][Ss]?://[^\s/@?#]+/?$",
        "patternErrorMessage": "a server such as smtps://smtp.example.com or smtp://smtp.example.com:587" });
    Mailbox: |_| mailbox();
    Mailboxes: |_| {
        let mut schema = one_or_list(mailbox().to_value(), read::RECIPIENTS_MAX);
        schema.insert("minItems".to_owned(), json!(1));
        schema
    };
    OnePattern: |_| json_schema!({
        "type": "string",
        "pattern": cron_pattern(),
        "patternErrorMessage": "a cron pattern such as 0 8 * * 1-5",
    });
    CatchUp: |_| words(entry::CATCH_UPS.iter().map(|(word, _)| *word));
    OnDoubt: |_| words(entry::ON_DOUBTS.iter().map(|(word, _)| *word));
    OnExcluded: |_| words(entry::ON_EXCLUDEDS.iter().map(|(word, _)| *word));
    Words: |_| one_or_list(json!({ "type": ["string", "number", "boolean"], "pattern": r"\S" }), calendars::WORDS_MAX);
    Days: |_| {
        let day = day();
        let days = json!({
            "type": "string",
            "pattern": format!(r"^{day}(\s*\.\.\s*{day})?$"),
            "patternErrorMessage": "a day such as 2027-05-01, or the first and the last, such as 2027-02-05..2027-02-11",
            "examples": ["2027-05-01", "2027-02-05..2027-02-11"],
        });
        one_or_list(days, calendars::DAYS_MAX)
    };
    CalendarFiles: |_| {
        let file = json!({
            "type": "string",
            "pattern": r"^(?![A-Za-z0-9]+://).*[.][iI][cC][sS]$",
            "patternErrorMessage": "the path of a file that ends in .ics; addresses are not fetched",
        });
        one_or_list(file, calendars::CALENDAR_FILES_MAX)
    };
    DayPatterns: |_| {
        let pattern = json!({
            "type": "string",
            "pattern": day_pattern(),
            "patternErrorMessage": "a cron pattern of whole days, such as * * 24-31 DEC *",
        });
        let mut schema = one_or_list(pattern, calendars::PATTERNS_MAX);
        schema.insert("examples".to_owned(), json!(["* * 24-31 DEC *", "* * L * *"]));
        schema
    };
    Weekend: |_| {
        let days = calendars::WEEKDAYS.iter().flat_map(|(short, long)| [any_case(short), any_case(long)]);
        let pattern = format!("^({})$", days.collect::<Vec<_>>().join("|"));
        let day = json!({
            "type": "string",
            "pattern": pattern,
            "patternErrorMessage": "one of sun, mon, tue, wed, thu, fri and sat",
        });
        let mut schema = one_or_list(day, 7);
        schema.insert("examples".to_owned(), json!([["sat", "sun"]]));
        schema
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
        let pattern = json!({
            "type": "string",
            "pattern": cron_pattern(),
            "patternErrorMessage": "a cron pattern: minute, hour, day-of-month, month, day-of-week, such as 0 2 * * 1-5; or @daily",
        });
        let mut schema = one_or_list(pattern, PATTERNS_MAX);
        schema.insert("minItems".to_owned(), json!(1));
        schema.insert(
            "examples".to_owned(),
            json!(["0 2 * * *", "H 2 * * 1-5", "H H(0-5) * * *", "@daily", "0 2 L * *", "@manually"]),
        );
        schema
    };
    TextOrSecret: |generator| or_secret(generator, json!(true));
    VariableValue: |generator| or_secret(generator, json!({ "maxLength": VARIABLE_VALUE_CHARS_MAX }));
    Variables: |generator| {
        let value = generator.subschema_for::<VariableValue>();
        let item = generator.subschema_for::<Variable>();
        json_schema!({
            "type": ["object", "array"],
            "additionalProperties": value,
            "propertyNames": {
                "pattern": "^([A-Za-z0-9_]+|<<)$", "maxLength": request::NAME_CHARS_MAX,
                "patternErrorMessage": "letters, digits and _",
            },
            "items": item,
        })
    };
    /// Takes over what a block with an anchor says: `<<: *base`, or a list of such. What stands here itself wins. A JSON
    /// object of the API's documentation pastes in as it is: `<<: { ... }`.
    Merge: |_| json_schema!({
        "type": ["object", "array"],
        "description": "Takes over what a block with an anchor says: `<<: *base`, or a list of such. What stands here itself wins. \
                        A JSON body of the API's documentation pastes in as it is: `<<: { ... }`.",
    });
}

fn mailbox() -> Schema {
    json_schema!({ "type": "string", "pattern": r"^[^\s@<>,]+@[A-Za-z0-9][A-Za-z0-9.-]*$",
        "patternErrorMessage": "a mail address alone, such as team@example.com" })
}

fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Schema {
    let words: Vec<&str> = words.into_iter().collect();
    json_schema!({ "type": "string", "enum": words })
}

/// A duration in which there is what the expression looks for.
fn duration(has: &str, what: &str) -> Schema {
    json_schema!({
        "type": "string", "pattern": format!("^(?={has})([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"),
        "patternErrorMessage": format!("{what}, such as 250ms, 90s, 20m, 1h30m or 2d"),
        "examples": ["250ms", "90s", "20m", "1h30m", "2d"],
    })
}

/// Defaults are for many entries, and a matrix is of one.
fn no_matrix() -> Value {
    json!({ "matrix": { "type": "null" } })
}

/// A plain value, or where a secret one is kept.
fn or_secret(generator: &mut SchemaGenerator, plain: Value) -> Schema {
    let secret = generator.subschema_for::<Secret>();
    json_schema!({
        "type": ["string", "number", "boolean", "object"],
        "if": { "type": "object" }, "then": secret, "else": plain,
    })
}

/// One value, or a list of them.
fn one_or_list(one: Value, items_max: usize) -> Schema {
    let Value::Object(mut keys) = one.clone() else {
        return json_schema!({});
    };
    let kinds = keys.remove("type").unwrap_or_default();
    let mut kinds = kinds.as_array().cloned().unwrap_or_else(|| vec![kinds]);
    kinds.push(json!("array"));
    keys.insert("type".to_owned(), Value::Array(kinds));
    keys.insert("items".to_owned(), one);
    keys.insert("maxItems".to_owned(), json!(items_max));
    Schema::from(keys)
}

/// An expression for a day that there is, in some year.
fn day() -> &'static str {
    "[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))"
}

fn name_pattern() -> Value {
    json!({
        "pattern": r"^([A-Za-z0-9][A-Za-z0-9._-]*|<<|.*\{\{.*)$", "maxLength": 100,
        "patternErrorMessage": "a name of letters, digits, `.`, `_` and `-` that begins with a letter or digit",
    })
}

/// An expression for what a pattern may be, field by field. What several fields say together (February 31, a range that ends
/// before it begins) is beyond it.
fn cron_pattern() -> String {
    let hour = "(0*(1?[0-9]|2[0-3]))";
    let sixty = field(SIXTY, true, "");
    let days = days_of_a_pattern(true);
    let nicknames = names("yearly annually monthly weekly daily midnight hourly manually");
    let nicknames = nicknames.trim_start_matches('|');
    let hour = field(hour, true, "");
    format!(r"^\s*(@({nicknames})|({sixty}\s+)?{sixty}\s+{hour}\s+{days})\s*$")
}

/// The same for one that names whole days, in a calendar.
fn day_pattern() -> String {
    let days = days_of_a_pattern(false);
    format!(r"^\s*((0+|[*])\s+)?([*]|0+-59)(/0*1)?\s+([*]|0+-23)(/0*1)?\s+{days}\s*$")
}

const SIXTY: &str = "(0*[1-5]?[0-9])";

/// The names, in any letter case, after a bar each.
fn names(names: &str) -> String {
    let name = |name| format!("|{}", any_case(name));
    names.split(' ').map(name).collect()
}

/// A field of a pattern: its items, and what else may stand there. `H` draws by the name of an entry.
fn field(value: &str, has_hash: bool, special: &str) -> String {
    let hash = match has_hash {
        true => format!(r"|[hH](\({value}-{value}\))?"),
        false => String::new(),
    };
    let item = format!("(([*]|{value}(-{value})?{hash})(/0*[1-9][0-9]*)?{special})");
    format!("{item}(,{item})*")
}

/// The last three fields.
fn days_of_a_pattern(has_hash: bool) -> String {
    let day = "(0*([1-9]|[12][0-9]|3[01]))";
    let day_of_month = field(day, has_hash, &format!("|[?]|[lL]|[lL][wW]|{day}[wW]"));
    let month = format!(
        "(0*([1-9]|1[0-2]){})",
        names("jan feb mar apr may jun jul aug sep oct nov dec")
    );
    let month = field(&month, has_hash, "");
    let weekday = format!("(0*[0-7]{})", names("sun mon tue wed thu fri sat"));
    let special = format!("|[?]|{weekday}([lL]|#0*[1-5])");
    let day_of_week = field(&weekday, has_hash, &special);
    [day_of_month, month, day_of_week].join(r"\s+")
}

/// An expression for a word in any letter case.
fn any_case(word: &str) -> String {
    let letter = |c: char| format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase());
    word.chars().map(letter).collect()
}

/// Needs any of the keys.
fn any_of(keys: &[&str]) -> Value {
    has_any(keys)["anyOf"].take()
}

/// Its region is known, unless it says where the service is.
fn account_form() -> Value {
    let known =
        json!({ "properties": { "region": { "enum": regions::names().collect::<Vec<_>>() } } });
    let mut needed = needs(&["region"]);
    needed["properties"]["region"] = known["properties"]["region"].clone();
    first_of([(needs(&["endpoint"]), json!({}))].into_iter(), needed)
}

/// Exactly one of them.
fn secret_forms() -> Value {
    let nothing = json!({ "type": "null" });
    let cases = [
        (
            needs(&["env"]),
            json!({ "properties": { "file": nothing, "credential": nothing } }),
        ),
        (
            needs(&["file"]),
            json!({ "properties": { "credential": nothing } }),
        ),
        (needs(&["credential"]), json!({})),
    ];
    of_mappings(first_of(cases.into_iter(), needs(&["env"])))
}

/// Each form has its own keys, of which the first are needed; any of them says which form is meant.
fn credential_forms() -> Value {
    let form = |(_, keys, needed): &(&str, &[&str], usize)| {
        let possible: Vec<&str> = keys.iter().copied().chain(["<<"]).collect();
        let mut form = needs(keys.get(..*needed).unwrap_or_default());
        form["propertyNames"] = json!({ "enum": possible });
        (has_any(keys), form)
    };
    let forms = credentials::FORMS.iter().map(form);
    of_mappings(first_of(forms, json!({ "minProperties": 1 })))
}

/// What holds of a mapping, and of nothing else.
fn of_mappings(rules: Value) -> Value {
    json!({ "if": { "type": "object" }, "then": rules })
}

/// Each way has its own keys, of which the first are needed.
fn channel_forms() -> Value {
    let of_ways: std::collections::BTreeSet<&str> = read::KINDS
        .iter()
        .flat_map(|(_, kind)| kind.keys().0)
        .copied()
        .collect();
    let form = |(word, kind): &(&str, read::WayKind)| {
        let (own, needed) = kind.keys();
        let mut form = needs(own.get(..needed).unwrap_or_default());
        let strange = of_ways.iter().filter(|key| !own.contains(key));
        for key in strange {
            form["properties"][*key] = json!({ "type": "null" });
        }
        if kind.is_chat() {
            form["properties"]["url"] = json!({ "type": "object" });
        }
        if own.contains(&"password") {
            form["properties"]["proxy"] = json!({ "type": "null" });
            form["dependencies"] = json!({ "user": ["password"], "password": ["user"] });
        }
        let is_it = json!({ "required": ["kind"], "properties": { "kind": { "const": word } } });
        (is_it, form)
    };
    let forms = read::KINDS.iter().map(form);
    of_mappings(first_of(forms, needs(&["kind"])))
}

fn source_forms() -> Value {
    let of_the_api = json!({ "propertyNames": { "enum": ["type", "params", "<<"] } });
    let mut needed = needs(&["git_type", "git_url"]);
    needed["properties"]["params"] = json!(false);
    let both = needs(&["branch", "tag"]);
    let no_tag = json!({ "properties": { "tag": { "type": "null" } } });
    let no_ref = json!({ "allOf": [needs(&["event_type"]), { "not": needs(&["tag"]) }] });
    needed["allOf"] = json!([
        { "if": both, "then": no_tag },
        { "if": no_ref, "then": needs(&["branch"]) },
    ]);
    first_of([(needs(&["type"]), of_the_api)].into_iter(), needed)
}

fn build_forms() -> Value {
    let of = |kind: &str, key: &str| {
        let is_it = json!({ "required": ["build_type"], "properties": { "build_type": { "const": kind } } });
        json!({ "if": is_it, "then": { "required": [key] } })
    };
    let rules = json!({
        "required": ["build_type"],
        "allOf": [of("branch", "target_branch"), of("tag", "tag")],
    });
    json!([of_mappings(rules)])
}
