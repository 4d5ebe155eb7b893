//! The channels of `notices`, `heartbeat`, and what an entry says of both, from the file.

use std::sync::Arc;
use std::time::Duration;

use super::{Channel, DigestAt, Heartbeat, Mail, MailTls, Ping, Text, Way};
use crate::config::account;
use crate::config::check::{Check, Given, KeySet, SECRET_FORMS, listed};
use crate::config::credentials;
use crate::config::entry;
use crate::config::excerpt::quoted;
use crate::config::hidden;
use crate::config::problem::{At, Finding, Kind};
use crate::config::text;
use crate::config::tree::{Mapping, Pair, Shape, Value};
use crate::domain::notice::{Alarm, Topic, body};
use crate::domain::request::SecretRef;

pub(in crate::config) const COLLECT: Duration = Duration::from_secs(30);
pub(in crate::config) const MESSAGES_PER_HOUR: u32 = 20;
pub(in crate::config) const EVERY: Duration = Duration::from_secs(300);
/// Most channels, and most people that a mail goes to.
pub(in crate::config) const CHANNELS_MAX: usize = 50;
pub(in crate::config) const RECIPIENTS_MAX: usize = 50;
/// Longest wait for more of the same: who wants one message a day wants a digest.
pub(in crate::config) const COLLECT_MAX: Duration = Duration::from_secs(3600);
pub(in crate::config) const MESSAGES_PER_HOUR_MAX: u32 = 3600;
/// The daemon looks at itself no oftener.
pub(in crate::config) const EVERY_MIN: Duration = Duration::from_secs(30);
pub(in crate::config) const EVERY_MAX: Duration = Duration::from_secs(86_400);
/// An alarm that comes sooner would come before the loop has had its turn.
pub(in crate::config) const ALARM_MIN: Duration = Duration::from_secs(60);
/// Longest template of a body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How a channel is reached, as the file calls it.
pub(in crate::config) const KINDS: [(&str, WayKind); 6] = [
    ("json", WayKind::Json),
    ("slack", WayKind::Slack),
    ("feishu", WayKind::Feishu),
    ("dingtalk", WayKind::DingTalk),
    ("wecom", WayKind::WeCom),
    ("mail", WayKind::Mail),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum WayKind {
    Json,
    Slack,
    Feishu,
    DingTalk,
    WeCom,
    Mail,
}

impl WayKind {
    /// Whether whoever knows its address may post there.
    pub(in crate::config) fn is_chat(self) -> bool {
        match self {
            Self::Slack | Self::Feishu | Self::DingTalk | Self::WeCom => true,
            Self::Json | Self::Mail => false,
        }
    }

    fn word(self) -> &'static str {
        entry::word(&KINDS, self)
    }

    /// The keys that this way has beside those of every channel; the first `usize` of them are needed.
    pub(in crate::config) fn keys(self) -> (&'static [&'static str], usize) {
        match self {
            Self::Json => (&["url", "secret", "token", "body"], 1),
            Self::Slack | Self::WeCom => (&["url"], 1),
            Self::Feishu | Self::DingTalk => (&["url", "secret"], 1),
            Self::Mail => (&["server", "from", "to", "user", "password"], 3),
        }
    }
}

pub(in crate::config) static CHANNEL: KeySet = KeySet {
    what: "a channel",
    known: &[
        "kind",
        "url",
        "secret",
        "token",
        "body",
        "server",
        "user",
        "password",
        "from",
        "to",
        "events",
        "labels",
        "collect",
        "messages_per_hour",
        "digest",
        "proxy",
        "ca_file",
    ],
    advice: &[
        ("type", "did you mean `kind`?"),
        ("webhook", "did you mean `url`?"),
        ("webhook_url", "did you mean `url`?"),
        ("address", "did you mean `url`?"),
        ("sign", "did you mean `secret`?"),
        ("topics", "did you mean `events`?"),
        ("on", "did you mean `events`?"),
        ("template", "did you mean `body`?"),
        ("host", "did you mean `server`?"),
        ("smtp", "did you mean `server`?"),
        ("recipients", "did you mean `to`?"),
        ("limit", "did you mean `messages_per_hour`?"),
        ("rate_limit", "did you mean `messages_per_hour`?"),
        ("wait", "did you mean `collect`?"),
        ("group_wait", "did you mean `collect`?"),
        (
            "entries",
            "which entries a channel is told of is said by `labels`",
        ),
    ],
};

pub(in crate::config) static DIGEST: KeySet = KeySet {
    what: "`digest`",
    known: &["cron", "timezone"],
    advice: &[
        (
            "at",
            "write when as a pattern: { cron: \"0 8 * * *\", timezone: Asia/Shanghai }",
        ),
        ("tz", "did you mean `timezone`?"),
    ],
};

pub(in crate::config) static HEARTBEAT: KeySet = KeySet {
    what: "`heartbeat`",
    known: &["url", "every"],
    advice: &[("interval", "did you mean `every`?")],
};

pub(in crate::config) static ALARM: KeySet = KeySet {
    what: "`alarm`",
    known: &["no_success_for", "not_started_within"],
    advice: &[
        (
            "run_timeout",
            "a run that takes too long is told of by the entry's `run_timeout`",
        ),
        (
            "overdue",
            "a run that takes too long is told of by the entry's `run_timeout`",
        ),
        ("success_within", "did you mean `no_success_for`?"),
        ("start_within", "did you mean `not_started_within`?"),
    ],
};

/// The keys of a channel as they are read.
#[derive(Debug, Default)]
struct Keys {
    url: Option<Given<Text>>,
    secret: Option<Given<SecretRef>>,
    token: Option<Given<SecretRef>>,
    body: Option<Given<String>>,
    server: Option<Given<Server>>,
    user: Option<Given<Text>>,
    password: Option<Given<SecretRef>>,
    from: Option<Given<String>>,
    to: Option<Given<Vec<String>>>,
    events: Option<Given<Vec<Topic>>>,
    labels: Option<Vec<String>>,
    collect: Option<Duration>,
    messages_per_hour: Option<u32>,
    digest: Option<DigestAt>,
    proxy: Option<String>,
    ca_file: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone)]
struct Server {
    host: String,
    port: u16,
    tls: MailTls,
}

/// Checks what stands under a channel's name.
pub(in crate::config) fn channel(
    check: &mut Check<'_>,
    name: &str,
    name_at: At,
    value: Value<'_>,
) -> Option<Channel> {
    let Shape::Mapping(mapping) = value.shape() else {
        let help =
            "write its keys below it, such as `kind: slack` and `url: { env: SLACK_WEBHOOK }`";
        check.hide(value);
        check.wrong_form(value, name, "a mapping", help);
        return None;
    };
    let before = check.findings.errors();
    hide_secrets(check, mapping);
    let pairs = check.keys(mapping, &CHANNEL);
    let (lacks_any, meant) = (check.lacks, std::mem::take(&mut check.meant));
    let lacks = |key: &str| lacks_any || meant.contains(&key);
    let given = pairs.iter().find(|pair| pair.key == "kind");
    if given.is_none() && !lacks("kind") {
        let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        let message = format!("the channel {} has no `kind`", quoted(name));
        let help = format!("write how it is reached: one of {}", listed(&words));
        check.report(Finding::error(Kind::Missing, name_at, message).help(help));
    }
    let kind = given.and_then(|pair| way_kind(check, pair.value));
    let mut keys = Keys::default();
    for pair in pairs {
        let is_of_a_way = KINDS
            .iter()
            .any(|(_, kind)| kind.keys().0.contains(&pair.key));
        match kind {
            Some(_) | None if pair.key == "kind" => {}
            // An address where none belongs may be anything, so nothing more is said of it.
            Some(_) | None if NO_ADDRESS.contains(&pair.key) && has_address(pair.value) => {
                stray_address(check, &pair);
            }
            Some(kind) if is_of_a_way && !kind.keys().0.contains(&pair.key) => {
                strange(check, kind, &pair);
            }
            Some(WayKind::Mail) if pair.key == "proxy" => strange(check, WayKind::Mail, &pair),
            // Which keys it may have is not known.
            None if is_of_a_way => {}
            Some(_) | None => keys.take(check, kind.unwrap_or(WayKind::Json), pair),
        }
    }
    let kind = kind?;
    let (own, needed) = kind.keys();
    for key in own.iter().take(needed) {
        if !lacks(key) && !keys.has(key) {
            let message = format!(
                "the channel {} has no `{key}`, which `kind: {}` needs",
                quoted(name),
                kind.word()
            );
            check.report(Finding::error(Kind::Missing, name_at, message).help(form(kind)));
        }
    }
    if let Some(Given {
        at,
        value: Some(events),
    }) = &keys.events
        && events.is_empty()
        && keys.digest.is_none()
        && !lacks("digest")
    {
        let message =
            "`events` is empty and there is no `digest`, so the channel is told of nothing";
        let help = format!(
            "leave `events` out for all but `skipped`, or name some of {}",
            listed(&topic_names())
        );
        check.report(Finding::error(Kind::Value, *at, message).help(help));
    }
    if check.findings.errors() > before {
        return None;
    }
    keys.finish(check, name, name_at, kind)
}

/// Keys under which no address can be meant.
const NO_ADDRESS: [&str; 8] = [
    "from",
    "to",
    "events",
    "labels",
    "collect",
    "messages_per_hour",
    "digest",
    "ca_file",
];

/// A secret that stands in the file in plain text is shown nowhere, whatever the key is that it stands under.
fn hide_secrets(check: &mut Check<'_>, mapping: Mapping<'_>) {
    const PLAIN: [&str; 11] = [
        "kind",
        "server",
        "from",
        "to",
        "events",
        "labels",
        "collect",
        "messages_per_hour",
        "digest",
        "ca_file",
        "body",
    ];
    for pair in mapping.pairs(&mut check.findings) {
        let may_hold = match pair.key {
            "server" => pair.value.scalars().any(|server| !is_mail_server(server)),
            key => !PLAIN.contains(&key) || has_address(pair.value),
        };
        if may_hold {
            hide_but_references(check, pair.value);
        }
    }
}

/// Hides all texts in a value but those that say where a secret is kept.
fn hide_but_references(check: &mut Check<'_>, value: Value<'_>) {
    let Shape::Mapping(mapping) = value.shape() else {
        check.hide(value);
        return;
    };
    for pair in mapping.pairs(&mut check.findings) {
        let is_place = hidden::is_reference_key(pair.key)
            && matches!(pair.value.shape(), Shape::Text(text) if hidden::is_place(text));
        if !is_place {
            check.hide(pair.value);
        }
    }
}

/// Whether a text can be the address of a mail server, and has no user and password in it.
fn is_mail_server(value: Value<'_>) -> bool {
    let Shape::Text(text) = value.shape() else {
        return true;
    };
    let is_other =
        |scheme: &str| !["smtp", "smtps"].contains(&scheme.to_ascii_lowercase().as_str());
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    !text.contains('@') && !scheme.is_some_and(is_other)
}

/// Whether there is an address in a text, or in one of a list or mapping.
fn has_address(value: Value<'_>) -> bool {
    let mut texts = value.scalars();
    texts.any(|text| matches!(text.shape(), Shape::Text(text) if text.contains("://")))
}

/// An address under a key that has none.
fn stray_address(check: &mut Check<'_>, pair: &Pair<'_>) {
    check.hide(pair.value);
    let message = format!(
        "an address stands at `{}`, and whoever knows it can perhaps post there",
        pair.key
    );
    let help = "what is posted to is `url`, and a secret is named by its place, url: { env: NAME }; a mail server is `server`";
    check.report(Finding::error(Kind::Secret, pair.value.at(), message).help(help));
}

/// How a channel is reached, by the words that people know as well.
fn way_kind(check: &mut Check<'_>, value: Value<'_>) -> Option<WayKind> {
    if has_address(value) {
        let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        let message = "`kind` is a word, and here stands an address";
        let help = format!(
            "write one of {}, and beside it `url: {{ env: NAME }}`",
            listed(&words)
        );
        check.report(Finding::error(Kind::Value, value.at(), message).help(help));
        return None;
    }
    if let Shape::Text(text) = value.shape() {
        let meant = match text.to_ascii_lowercase().as_str() {
            "mattermost" | "rocketchat" | "rocket.chat" => Some("slack"),
            "lark" => Some("feishu"),
            "wechat" | "weixin" | "wework" | "wechat_work" => Some("wecom"),
            "webhook" | "http" | "https" | "url" => Some("json"),
            "email" | "e-mail" | "smtp" => Some("mail"),
            _ => None,
        };
        if let Some(meant) = meant {
            let message = format!("`kind` cannot be {}", quoted(text));
            let help = format!("write `kind: {meant}`");
            check.report(Finding::error(Kind::Value, value.at(), message).help(help));
            return None;
        }
    }
    check.word(value, "kind", &KINDS)
}

fn topic_names() -> Vec<&'static str> {
    Topic::ALL.iter().map(|topic| topic.name()).collect()
}

/// A key of another way.
fn strange(check: &mut Check<'_>, kind: WayKind, pair: &Pair<'_>) {
    let message = format!("`kind: {}` has no `{}`", kind.word(), pair.key);
    check.report(Finding::error(Kind::Conflict, pair.key_at, message).help(form(kind)));
}

/// How a channel of this kind is written.
fn form(kind: WayKind) -> &'static str {
    match kind {
        WayKind::Json => {
            "write { kind: json, url: https://example.com/hook }; `secret` signs it, `token` is sent as a bearer token, `body` is \
             a template"
        }
        WayKind::Slack => "write { kind: slack, url: { env: SLACK_WEBHOOK } }",
        WayKind::Feishu => {
            "write { kind: feishu, url: { env: FEISHU_WEBHOOK } }, and `secret` if the bot demands signatures"
        }
        WayKind::DingTalk => {
            "write { kind: dingtalk, url: { env: DINGTALK_WEBHOOK } }, and `secret` if the robot demands signatures"
        }
        WayKind::WeCom => "write { kind: wecom, url: { env: WECOM_WEBHOOK } }",
        WayKind::Mail => {
            "write { kind: mail, server: smtps://smtp.example.com, from: pipecron@example.com, to: [team@example.com] }, and \
             `user` and `password` if the server wants them"
        }
    }
}

impl Keys {
    fn has(&self, key: &str) -> bool {
        match key {
            "url" => self.url.is_some(),
            "server" => self.server.is_some(),
            "from" => self.from.is_some(),
            "to" => self.to.is_some(),
            _ => false,
        }
    }

    fn take(&mut self, check: &mut Check<'_>, kind: WayKind, pair: Pair<'_>) {
        let Pair { key, value, .. } = pair;
        match key {
            "url" => self.url = given(value, url(check, value, key, kind != WayKind::Json)),
            "secret" => self.secret = given(value, credentials::secret(check, value, key)),
            "token" => self.token = given(value, credentials::secret(check, value, key)),
            "body" => self.body = given(value, body(check, value)),
            "server" => self.server = given(value, server(check, value)),
            "user" => self.user = given(value, credentials::text(check, value, key)),
            "password" => self.password = given(value, credentials::secret(check, value, key)),
            "from" => self.from = given(value, mailbox(check, value, key)),
            "to" => self.to = given(value, recipients(check, value)),
            "events" => self.events = given(value, events(check, value)),
            "labels" => {
                let labels = entry::labels(check, value);
                self.labels = labels.map(|labels| labels.iter().cloned().collect());
            }
            "collect" => {
                self.collect = check.duration_within(value, key, Duration::ZERO, COLLECT_MAX);
            }
            "messages_per_hour" => {
                self.messages_per_hour = check.count(value, key, MESSAGES_PER_HOUR_MAX);
            }
            "digest" => self.digest = digest(check, value),
            "proxy" => self.proxy = account::proxy(check, value),
            "ca_file" => self.ca_file = check.path(value, key),
            _ => {}
        }
    }

    /// What several keys say together.
    fn finish(
        self,
        check: &mut Check<'_>,
        name: &str,
        name_at: At,
        kind: WayKind,
    ) -> Option<Channel> {
        let address = |url: Option<Given<Text>>| match url?.value? {
            Text::Secret(url) => Some(url),
            Text::Plain(_) => None,
        };
        let value = |secret: Option<Given<SecretRef>>| secret.and_then(|given| given.value);
        let way = match kind {
            WayKind::Json => Way::Json {
                url: self.url?.value?,
                secret: value(self.secret),
                token: value(self.token),
                body: self.body.and_then(|body| body.value),
            },
            WayKind::Slack => Way::Slack {
                url: address(self.url)?,
            },
            WayKind::Feishu => Way::Feishu {
                url: address(self.url)?,
                secret: value(self.secret),
            },
            WayKind::DingTalk => Way::DingTalk {
                url: address(self.url)?,
                secret: value(self.secret),
            },
            WayKind::WeCom => Way::WeCom {
                url: address(self.url)?,
            },
            WayKind::Mail => {
                let login = match (self.user, self.password) {
                    (None, None) => None,
                    (Some(user), Some(password)) => Some((user.value?, password.value?)),
                    (Some(one), None) => return half_a_login(check, "password", one.at),
                    (None, Some(one)) => return half_a_login(check, "user", one.at),
                };
                let server = self.server?.value?;
                if server.tls == MailTls::None && login.is_some() {
                    let message = "a password is sent over a connection that is not protected";
                    let help = "it stays on this machine; leave out `user` and `password` if the server there wants none";
                    check.report(Finding::warning(Kind::Secret, name_at, message).help(help));
                }
                Way::Mail(Mail {
                    host: server.host,
                    port: server.port,
                    tls: server.tls,
                    login,
                    from: self.from?.value?,
                    to: self.to?.value?,
                })
            }
        };
        let usual = || Topic::ALL.into_iter().filter(|topic| topic.is_usual());
        Some(Channel {
            name: name.to_owned(),
            way,
            topics: match self.events {
                Some(events) => events.value?,
                None => usual().collect(),
            },
            labels: self.labels.unwrap_or_default(),
            collect: self.collect.unwrap_or(COLLECT),
            messages_per_hour: self.messages_per_hour.unwrap_or(MESSAGES_PER_HOUR),
            digest: self.digest,
            proxy: self.proxy,
            ca_file: self.ca_file,
        })
    }
}

fn half_a_login<T>(check: &mut Check<'_>, lacks: &str, at: At) -> Option<T> {
    let message = format!("`user` and `password` belong together, and there is no `{lacks}`");
    check.report(Finding::error(Kind::Missing, at, message).help(form(WayKind::Mail)));
    None
}

fn given<T>(value: Value<'_>, read: Option<T>) -> Option<Given<T>> {
    Some(Given {
        at: value.at(),
        value: read,
    })
}

/// An address that is posted to.
fn url(check: &mut Check<'_>, value: Value<'_>, key: &str, is_secret: bool) -> Option<Text> {
    const FORMS: &str = "write an address such as https://example.com/hook, or { env: NAME } if whoever knows it may post there";
    if !matches!(value.shape(), Shape::Mapping(_)) {
        check.hide(value);
    }
    if matches!(value.shape(), Shape::List(_)) {
        let help = match is_secret {
            true => SECRET_FORMS,
            false => FORMS,
        };
        check.wrong_form(value, key, "one address", help);
        return None;
    }
    if is_secret {
        if let Shape::Text(_) = value.shape() {
            let message =
                format!("`{key}` stands in the file, and whoever knows it can post there");
            let help = format!(
                "write `{key}: {{ env: NAME }}`, `{{ file: PATH }}` or `{{ credential: NAME }}`, and get a new address from the \
                 bot: whoever saw the file knows this one"
            );
            check.report(Finding::error(Kind::Secret, value.at(), message).help(help));
            return None;
        }
        return credentials::secret(check, value, key).map(Text::Secret);
    }
    let text = match credentials::text(check, value, key)? {
        Text::Plain(text) => text,
        Text::Secret(secret) => return Some(Text::Secret(secret)),
    };
    let refuse = |check: &mut Check<'_>, kind, message: String, help: &str| {
        check.report(Finding::error(kind, value.at(), message).help(help));
        None
    };
    match text::address(&text) {
        Err(why) => {
            let message = format!("`{key}` is no address: {why}");
            refuse(check, Kind::Value, message, FORMS)
        }
        Ok(address) if address.path.contains('#') => {
            let message = format!("`{key}` has a fragment, which no server is told");
            refuse(
                check,
                Kind::Value,
                message,
                "leave out `#` and what follows it",
            )
        }
        Ok(address) if address.user.is_some() => {
            let message = format!("`{key}` has a user or password in it");
            refuse(check, Kind::Secret, message, "write it as { env: NAME }")
        }
        Ok(address) if !address.secure && !address.is_loopback() => {
            let message = format!(
                "`{key}` is plain http://, over which anyone on the way can read and change what is sent"
            );
            let help = "write https://; plain http:// is possible only to this machine (127.0.0.1, [::1], localhost)";
            refuse(check, Kind::Value, message, help)
        }
        Ok(_) => Some(Text::Plain(text)),
    }
}

/// The dead man's switch of an entry.
pub(in crate::config) fn ping(check: &mut Check<'_>, value: Value<'_>) -> Option<Arc<Ping>> {
    let url = url(check, value, "ping", false)?;
    Some(Arc::new(Ping { url }))
}

/// What an entry wants to be told of.
pub(in crate::config) fn alarm(check: &mut Check<'_>, value: Value<'_>) -> Option<Alarm> {
    let Shape::Mapping(mapping) = value.shape() else {
        let help = "write { no_success_for: 26h, not_started_within: 30m }, or one of them";
        check.hide(value);
        check.wrong_form(value, "alarm", "a mapping", help);
        return None;
    };
    let before = check.findings.errors();
    let mut alarm = Alarm::default();
    for pair in check.keys(mapping, &ALARM) {
        let Pair { key, value, .. } = pair;
        if has_address(value) {
            stray_address(check, &pair);
            continue;
        }
        let length = check.duration(value, key, ALARM_MIN);
        match key {
            "no_success_for" => alarm.no_success_for = length,
            _ => alarm.not_started_within = length,
        }
    }
    (check.findings.errors() == before).then_some(alarm)
}

/// The daemon's own sign of life.
pub(in crate::config) fn heartbeat(check: &mut Check<'_>, pair: Pair<'_>) -> Option<Heartbeat> {
    let Shape::Mapping(mapping) = pair.value.shape() else {
        let help = "write { url: { env: NAME }, every: 5m }";
        check.hide(pair.value);
        check.wrong_form(pair.value, pair.key, "a mapping", help);
        return None;
    };
    for Pair { key, value, .. } in mapping.pairs(&mut check.findings) {
        if key != "every" {
            hide_but_references(check, value);
        }
    }
    let (mut at, mut every) = (None, Some(EVERY));
    let pairs = check.keys(mapping, &HEARTBEAT);
    let lacks = check.lacks || check.meant.contains(&"url");
    for pair in pairs {
        let Pair { key, value, .. } = pair;
        match key {
            "every" if has_address(value) => stray_address(check, &pair),
            "url" => at = Some(url(check, value, key, false)),
            _ => every = check.duration_within(value, key, EVERY_MIN, EVERY_MAX),
        }
    }
    if at.is_none() && !lacks {
        let message = "`heartbeat` has no `url`";
        let help = "write { url: { env: NAME }, every: 5m }";
        check.report(Finding::error(Kind::Missing, pair.key_at, message).help(help));
    }
    let ping = Ping { url: at?? };
    Some(Heartbeat {
        ping,
        every: every?,
    })
}

fn body(check: &mut Check<'_>, value: Value<'_>) -> Option<String> {
    if matches!(value.shape(), Shape::List(_)) {
        check.wrong_form(
            value,
            "body",
            "a text",
            "write a template in one text, after `body: |`",
        );
        return None;
    }
    let text = check.text(value, "body")?;
    if text.len() > BODY_BYTES_MAX {
        let message = format!(
            "`body` has {} bytes, and {BODY_BYTES_MAX} are possible",
            text.len()
        );
        check.report(Finding::error(Kind::Limit, value.at(), message).help("shorten it"));
        return None;
    }
    if let Err(why) = body::check_body(text) {
        let message = format!("the template of `body` makes nothing: {why}");
        let help =
            "it knows what our own JSON holds, such as {{ title | tojson }}; the README lists it";
        check.report(Finding::error(Kind::Template, value.at(), message).help(help));
        return None;
    }
    Some(text.to_owned())
}

/// `smtps://HOST[:PORT]` or `smtp://HOST[:PORT]`.
fn server(check: &mut Check<'_>, value: Value<'_>) -> Option<Server> {
    const HELP: &str = "write smtps://smtp.example.com (TLS from the first byte, port 465) or smtp://smtp.example.com \
        (STARTTLS, port 587)";
    if matches!(value.shape(), Shape::List(_)) {
        check.wrong_form(value, "server", "one address", HELP);
        return None;
    }
    let text = check.some_text(value, "server")?;
    let mut refuse = |kind, message: String| {
        check.report(Finding::error(kind, value.at(), message).help(HELP));
        None
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse(
            Kind::Value,
            "`server` does not begin with smtps:// or smtp://".to_owned(),
        );
    };
    let (http, port) = match scheme.to_ascii_lowercase().as_str() {
        "smtps" => ("https", 465),
        "smtp" => ("http", 587),
        _ => {
            let message = "`server` does not begin with smtps:// or smtp://";
            return refuse(Kind::Value, message.to_owned());
        }
    };
    let as_http = format!("{http}://{rest}");
    let address = match text::address(&as_http) {
        Ok(address) => address,
        Err(why) => return refuse(Kind::Value, format!("`server` is no address: {why}")),
    };
    if address.user.is_some() {
        let message = "`server` has a user or password in it; they are `user` and `password`";
        return refuse(Kind::Secret, message.to_owned());
    }
    if !matches!(address.path, "" | "/") {
        return refuse(Kind::Value, "`server` has a path".to_owned());
    }
    let tls = match (address.secure, address.is_loopback()) {
        (true, _) => MailTls::Wrapped,
        (false, true) => MailTls::None,
        (false, false) => MailTls::Required,
    };
    Some(Server {
        host: address.host.to_owned(),
        port: address.port.unwrap_or(port),
        tls,
    })
}

/// `LOCAL@DOMAIN`, without a name beside it.
fn mailbox(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Option<String> {
    let text = check.some_text(value, key)?;
    let letter = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            && !host.starts_with(['.', '-'])
    };
    let is_local = |local: &str| {
        let parts = || local.split('.');
        local.len() <= 64 && local.chars().all(letter) && parts().all(|part| !part.is_empty())
    };
    match text.rsplit_once('@') {
        Some((local, host)) if is_local(local) && is_host(host) => Some(text.to_owned()),
        _ => {
            let message = format!("`{key}`: {} is no mail address", quoted(text));
            let help = "write it alone, such as team@example.com, without a name or brackets";
            check.report(Finding::error(Kind::Value, value.at(), message).help(help));
            None
        }
    }
}

fn recipients(check: &mut Check<'_>, value: Value<'_>) -> Option<Vec<String>> {
    let items: Vec<Value<'_>> = match value.shape() {
        Shape::Text(_) => vec![value],
        Shape::List(_) => {
            let texts = check.texts(value, "to")?;
            texts.into_iter().map(|(_, item)| item).collect()
        }
        Shape::Null | Shape::Mapping(_) | Shape::Refused => {
            let help = "write [team@example.com]";
            check.wrong_form(value, "to", "a list of mail addresses", help);
            return None;
        }
    };
    if items.is_empty() || items.len() > RECIPIENTS_MAX {
        let message = format!(
            "`to` has {} addresses; a channel has 1 to {RECIPIENTS_MAX}",
            items.len()
        );
        check.report(Finding::error(Kind::Limit, value.at(), message).help("use a mailing list"));
        return None;
    }
    let read = items.into_iter().map(|item| mailbox(check, item, "to"));
    let read: Vec<Option<String>> = read.collect();
    read.into_iter().collect()
}

fn events(check: &mut Check<'_>, value: Value<'_>) -> Option<Vec<Topic>> {
    let texts = check.texts(value, "events")?;
    let words = topic_names();
    let mut topics = Vec::new();
    let mut is_good = true;
    for (text, item) in texts {
        match Topic::from_name(text) {
            Some(topic) if !topics.contains(&topic) => topics.push(topic),
            Some(_) => {}
            None => {
                is_good = false;
                check.not_one_of(item, "events", text, &words);
            }
        }
    }
    is_good.then_some(topics)
}

fn digest(check: &mut Check<'_>, value: Value<'_>) -> Option<DigestAt> {
    const HELP: &str = "write { cron: \"0 8 * * *\", timezone: Asia/Shanghai }";
    let Shape::Mapping(mapping) = value.shape() else {
        check.wrong_form(value, "digest", "a mapping", HELP);
        return None;
    };
    let pairs = check.keys(mapping, &DIGEST);
    let lacks = check.lacks || check.meant.contains(&"cron");
    let (mut pattern, mut zone) = (None, Some(check.utc()));
    for Pair { key, value, .. } in pairs {
        match key {
            "cron" => {
                let text = check.some_text(value, key);
                pattern = Some(text.and_then(|text| {
                    let read = entry::pattern(check, text, None, value)?;
                    Some((text.to_owned(), read))
                }));
            }
            _ => zone = check.zone(value, key),
        }
    }
    if pattern.is_none() && !lacks {
        let message = "`digest` has no `cron`";
        check.report(Finding::error(Kind::Missing, value.at(), message).help(HELP));
    }
    let (text, pattern) = pattern??;
    Some(DigestAt {
        text,
        pattern,
        zone: zone?,
    })
}
