//! The chat services: Slack (and what is compatible), Feishu, `DingTalk`, `WeCom`.
//!
//! None of the Chinese services has a way to escape its markdown that all its clients know, so a character that would
//! begin a link, a mention or a heading is written as its full-width twin: a person reads the same, a parser nothing.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::page::{Item, Language, Page, Part, fit};
use super::{Post, Told, base64, hmac};

/// Longest text for Slack, in characters. It cuts at 40 000 and advises 4 000 ("Truncating content", `chat.postMessage`);
/// Rocket.Chat refuses 5 000, Mattermost 16 384.
const SLACK_CHARS_MAX: usize = 4_000;
/// Largest request to Feishu, in bytes: 20 kB ("Use bots in groups"), with room for the signature.
const FEISHU_BYTES_MAX: usize = 19_000;
/// Largest request to `DingTalk`, in bytes: 20 000 ("Custom robot access").
const DINGTALK_BYTES_MAX: usize = 19_500;
/// Longest text for `WeCom`, in bytes of UTF-8 ("Group robot configuration").
const WECOM_BYTES_MAX: usize = 4_096;

/// How a service writes what.
struct Marks {
    /// Takes from a text what would mean something to the service.
    escape: fn(&str) -> String,
    bold: fn(&str) -> String,
    link: fn(&str, &str) -> String,
    note: fn(&str) -> String,
    /// What the title begins with.
    heading: &'static str,
    /// What ends a line: some join lines that only a line feed parts.
    end: &'static str,
    cost: fn(&str) -> usize,
}

impl Marks {
    fn text(&self, page: &Page, room: usize) -> String {
        let mark = signal(page.is_good);
        let title = (self.escape)(&page.title);
        let title = match self.heading {
            "" => (self.bold)(&title),
            _ => title,
        };
        let lead = (self.escape)(&page.lead);
        let end = self.end;
        let opening = format!("{}{mark} {title}{end}{lead}{end}", self.heading);
        let room = room.saturating_sub((self.cost)(&opening));
        let mut text = opening;
        text.extend(fit(page, self, room));
        text.truncate(text.trim_end().len());
        text
    }
}

impl Language for Marks {
    fn head(&self, part: &Part) -> String {
        let between = if self.end == "\n" { "\n" } else { "" };
        let head = (self.bold)(&(self.escape)(&part.head));
        format!("{between}{head}{}", self.end)
    }

    fn item(&self, item: &Item) -> String {
        let mut words = Vec::new();
        if !item.about.is_empty() {
            words.push((self.bold)(&(self.escape)(&item.about)));
        }
        words.extend(item.words().into_iter().map(self.escape));
        match run(item) {
            Some((run, Some(link))) => words.push((self.link)(&(self.escape)(&run), link)),
            Some((run, None)) => words.push((self.escape)(&run)),
            None => {}
        }
        let mut written = format!("{} {}{}", bullet(item), words.join(" · "), self.end);
        if !item.text.is_empty() {
            written.push_str(&format!("> {}{}", (self.escape)(&item.text), self.end));
        }
        written
    }

    fn note(&self, words: &str) -> String {
        format!("{}{}", (self.note)(words), self.end)
    }

    fn cost(&self, piece: &str) -> usize {
        (self.cost)(piece)
    }
}

fn signal(is_good: bool) -> &'static str {
    if is_good { "✅" } else { "🔴" }
}

fn bullet(item: &Item) -> &'static str {
    if item.stands_out() { "🔴" } else { "•" }
}

/// How many characters of a run's id are shown where a link leads to the run.
const LINKED_RUN_CHARS: usize = 8;

/// How a run is named, and where it leads.
fn run(item: &Item) -> Option<(String, Option<&str>)> {
    if item.is_well() {
        return None;
    }
    let link = item.link.as_deref();
    let id: String = match link {
        Some(_) => item.run.chars().take(LINKED_RUN_CHARS).collect(),
        None => item.run.clone(),
    };
    let name = format!("run {id}").trim_end().to_owned();
    (link.is_some() || !id.is_empty()).then_some((name, link))
}

const SLACK: Marks = Marks {
    // "Escaping text", docs.slack.dev. What is compatible mentions whoever stands behind an at sign, and knows the
    // links of markdown.
    escape: |text| {
        let text = text.replace('&', "&amp;");
        let text = text.replace('<', "&lt;").replace('>', "&gt;");
        text.chars().map(defused).collect()
    },
    bold: |text| format!("*{text}*"),
    link: |text, to| format!("<{}|{text}>", to.replace('&', "&amp;")),
    note: |words| format!("_{words}_"),
    heading: "",
    end: "\n",
    cost: |piece| piece.chars().count(),
};

const DINGTALK: Marks = Marks {
    escape: twins,
    bold: |text| format!("**{text}**"),
    link: |text, to| format!("[{text}]({to})"),
    note: str::to_owned,
    heading: "#### ",
    end: "\n\n",
    cost: json_bytes,
};

const WECOM: Marks = Marks {
    end: "\n",
    cost: str::len,
    ..DINGTALK
};

fn defused(letter: char) -> char {
    match letter {
        '@' | '[' | ']' => twin(letter),
        _ => letter,
    }
}

/// The text with the full-width twin of every character that markdown, HTML or a mention could begin with.
fn twins(text: &str) -> String {
    text.chars().map(twin).collect()
}

fn twin(letter: char) -> char {
    match letter {
        '[' => '［',
        ']' => '］',
        '<' => '＜',
        '>' => '＞',
        '*' => '＊',
        '`' => '｀',
        '#' => '＃',
        '~' => '～',
        '@' => '＠',
        '|' => '｜',
        '\\' => '＼',
        _ => letter,
    }
}

/// How many bytes a text takes within JSON.
fn json_bytes(text: &str) -> usize {
    serde_json::to_string(text).map_or(usize::MAX, |json| json.len() - 2)
}

/// A message for an incoming webhook of Slack. It is one text, not blocks: what is compatible shows only that.
pub fn slack(told: Told<'_>, url: &SecretString) -> Post {
    let text = SLACK.text(&Page::of(told), SLACK_CHARS_MAX);
    let body = json!({
        "text": text,
        "mrkdwn": true,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    Post::json(url, &body)
}

/// A message for a custom robot of `DingTalk`. With a secret it is signed: HMAC-SHA256, with the secret, of the time in
/// milliseconds and the secret, in two parameters of the address ("Custom robot security settings").
pub fn dingtalk(told: Told<'_>, url: &SecretString, secret: Option<&SecretString>) -> Post {
    let page = Page::of(told);
    let frame = |text: &str| {
        json!({
            "msgtype": "markdown",
            "markdown": { "title": twins(&page.title), "text": text },
        })
    };
    let around = frame("").to_string().len();
    let text = DINGTALK.text(&page, DINGTALK_BYTES_MAX.saturating_sub(around));
    let mut post = Post::json(url, &frame(&text));
    if let Some(secret) = secret {
        let secret = secret.expose_secret();
        let timestamp = told.now.timestamp_millis();
        let signature = hmac(
            secret.as_bytes(),
            format!("{timestamp}\n{secret}").as_bytes(),
        );
        let signature = base64(&signature);
        let signature =
            percent_encoding::utf8_percent_encode(&signature, crate::codearts::RESERVED);
        let join = if post.url.contains('?') { '&' } else { '?' };
        post.url
            .push_str(&format!("{join}timestamp={timestamp}&sign={signature}"));
    }
    post
}

/// A message for a group robot of `WeCom`.
pub fn wecom(told: Told<'_>, url: &SecretString) -> Post {
    let content = WECOM.text(&Page::of(told), WECOM_BYTES_MAX);
    let body = json!({ "msgtype": "markdown", "markdown": { "content": content } });
    Post::json(url, &body)
}

/// Feishu's rich text: lines of pieces, each with its kind, so that nothing in a text can be taken for a link or a
/// mention. A piece of the page is lines of it, as JSON.
struct Rich;

impl Language for Rich {
    fn head(&self, part: &Part) -> String {
        lines(&[vec![rich(" ")], vec![rich(&part.head)]])
    }

    fn item(&self, item: &Item) -> String {
        let mut first = vec![item.about.as_str()];
        first.retain(|about| !about.is_empty());
        first.extend(item.words());
        let words = format!("{} {}", bullet(item), first.join(" · "));
        let line = match run(item) {
            Some((run, Some(link))) => vec![
                rich(&format!("{words} · ")),
                json!({ "tag": "a", "text": run, "href": link }),
            ],
            Some((run, None)) => vec![rich(&format!("{words} · {run}"))],
            None => vec![rich(&words)],
        };
        let text = (!item.text.is_empty()).then(|| vec![rich(&format!("   {}", item.text))]);
        lines(&[line].into_iter().chain(text).collect::<Vec<_>>())
    }

    fn note(&self, words: &str) -> String {
        lines(&[vec![rich(words)]])
    }

    fn cost(&self, piece: &str) -> usize {
        piece.len()
    }
}

/// A piece of text. Only a text message is said to look for mentions in it; this one is kept from it all the same.
fn rich(text: &str) -> Value {
    json!({ "tag": "text", "text": text.replace('<', "＜") })
}

fn lines(lines: &[Vec<Value>]) -> String {
    serde_json::to_string(lines).unwrap_or_default()
}

/// A message for a custom bot of Feishu. With a secret it is signed: HMAC-SHA256 of nothing, with the time in seconds
/// and the secret as its key, within the body ("Use bots in groups", "Signature verification").
pub fn feishu(told: Told<'_>, url: &SecretString, secret: Option<&SecretString>) -> Post {
    let page = Page::of(told);
    let title = format!("{} {}", signal(page.is_good), page.title);
    let frame = |content: Vec<Value>| {
        json!({
            "msg_type": "post",
            "content": { "post": { "zh_cn": { "title": title, "content": content } } },
        })
    };
    let opening = vec![Value::Array(vec![rich(&page.lead)])];
    let room = FEISHU_BYTES_MAX.saturating_sub(frame(opening.clone()).to_string().len());
    let told_lines = fit(&page, &Rich, room)
        .into_iter()
        .filter_map(|piece| serde_json::from_str::<Vec<Value>>(&piece).ok())
        .flatten();
    let mut body = frame(opening.into_iter().chain(told_lines).collect());
    if let Some(secret) = secret {
        let timestamp = told.now.timestamp();
        let key = format!("{timestamp}\n{}", secret.expose_secret());
        body["timestamp"] = Value::String(timestamp.to_string());
        body["sign"] = Value::String(base64(&hmac(key.as_bytes(), b"")));
    }
    Post::json(url, &body)
}
