//! Mail: the same in plain text and in HTML.

use std::time::SystemTime;

use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::page::{Item, Language, Page, Part, fit};
use super::{Told, body, digest};
use crate::config::notices::Mail;

/// Most that is written into each of the two, in bytes: servers take ten megabytes and more, readers do not.
const BYTES_MAX: usize = 200_000;

/// A mail, ready to be handed to a server.
#[derive(Debug, Clone)]
pub struct Letter {
    /// From whom, to whom.
    pub envelope: Envelope,
    /// Headers and body.
    pub bytes: Vec<u8>,
}

/// The mail that tells a message. Its id follows from the channel and the message, so that the same one sent twice (the
/// first answer was lost) can be recognised.
///
/// # Errors
/// When an address is none.
pub fn mail(told: Told<'_>, channel: &str, mail: &Mail) -> Result<Letter, String> {
    let mailbox = |address: &str| {
        address
            .parse::<Mailbox>()
            .map_err(|error| format!("{address:?} is no mail address: {error}"))
    };
    let from = mailbox(&mail.from)?;
    let page = Page::of(told);
    let id = digest(&format!(
        "{channel}\n{}",
        body::own_json(told.message, told.node)
    ));
    let id = id.get(..32).unwrap_or_default();
    let message_id = format!("<{id}.pipecron@{}>", from.email.domain());
    let mut builder = lettre::Message::builder()
        .from(from)
        .subject(format!("pipecron: {}", page.title))
        .date(SystemTime::from(told.now))
        .message_id(Some(message_id));
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    // Nobody's absence is to be answered to a machine (RFC 3834).
    for (name, value) in [
        (
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated",
        ),
        (
            HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"),
            "All",
        ),
    ] {
        builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
    }
    let parts = MultiPart::alternative()
        .boundary(format!("={id}="))
        .singlepart(SinglePart::plain(plain(&page)))
        .singlepart(SinglePart::html(html(&page)));
    let letter = builder
        .multipart(parts)
        .map_err(|error| format!("the mail cannot be written: {error}"))?;
    Ok(Letter {
        envelope: letter.envelope().clone(),
        bytes: letter.formatted(),
    })
}

struct Plain;

fn plain(page: &Page) -> String {
    let mut text = format!("{}\n\n{}\n", page.title, page.lead);
    text.extend(fit(page, &Plain, BYTES_MAX));
    text
}

impl Language for Plain {
    fn head(&self, part: &Part) -> String {
        let rule = "-".repeat(part.head.chars().count().min(72));
        format!("\n{}\n{rule}\n", part.head)
    }

    fn item(&self, item: &Item) -> String {
        let mut words = vec![item.about.as_str()];
        words.extend(item.words());
        words.retain(|word| !word.is_empty());
        let run = format!("run {}", item.run);
        if !item.run.is_empty() && !item.is_well() {
            words.push(&run);
        }
        let mark = if item.stands_out() { '!' } else { '*' };
        let link = item.link.as_deref().filter(|_| !item.is_well());
        let mut written = format!("{mark} {}\n", words.join(", "));
        for line in [Some(item.text.as_str()), link] {
            if let Some(line) = line.filter(|line| !line.is_empty()) {
                written.push_str(&format!("  {line}\n"));
            }
        }
        written
    }

    fn note(&self, words: &str) -> String {
        format!("  {words}\n")
    }

    fn cost(&self, piece: &str) -> usize {
        piece.len()
    }
}

/// One table for all, so that it can end after any row.
struct Html;

fn html(page: &Page) -> String {
    let color = if page.is_good { "#1a7f37" } else { "#b42318" };
    let (title, lead) = (escape(&page.title), escape(&page.lead));
    let rows = fit(page, &Html, BYTES_MAX).concat();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body style=\"font-family:sans-serif\">\n<h2 style=\"color:{color}\">{title}</h2>\n<p>{lead}</p>\n\
         <table cellpadding=\"6\" style=\"border-collapse:collapse;text-align:left;vertical-align:top\">\n\
         {rows}</table>\n</body></html>\n"
    )
}

impl Language for Html {
    fn head(&self, part: &Part) -> String {
        let head = escape(&part.head);
        let mut written = format!("<tr><th colspan=\"4\">{head}</th></tr>\n");
        if part.is_table {
            written.push_str("<tr><th>Entry</th><th>Outcome</th><th>Due</th><th></th></tr>\n");
        }
        written
    }

    fn item(&self, item: &Item) -> String {
        let line = if item.is_trouble {
            "#b42318"
        } else {
            "#d0d7de"
        };
        let run = match item.run.as_str() {
            "" => "run".to_owned(),
            run => format!("run {}", escape(run)),
        };
        let run = match &item.link {
            Some(link) => Some(format!("<a href=\"{}\">{run}</a>", escape(link))),
            None => (!item.run.is_empty()).then_some(run),
        };
        let text = (!item.text.is_empty()).then(|| escape(&item.text));
        let last: Vec<String> = [text, run].into_iter().flatten().collect();
        let outcome: Vec<&str> = [item.state.as_str(), item.took.as_str()]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        format!(
            "<tr style=\"border-left:4px solid {line}\"><td><b>{}</b></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&item.about),
            escape(&outcome.join(", ")),
            escape(&item.when),
            last.join("<br>")
        )
    }

    fn note(&self, words: &str) -> String {
        format!("<tr><td colspan=\"4\">{words}</td></tr>\n")
    }

    fn cost(&self, piece: &str) -> usize {
        piece.len()
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
