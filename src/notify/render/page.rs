//! What all ways tell, in the order they tell it: plain lines, each bounded and without characters that steer.

use std::fmt::Write;

use super::Told;
use crate::codearts::Mask;
use crate::domain::notice::{Digest, DigestRow, Group, Notice};
use crate::domain::{Timestamp, rfc3339};

/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 150;
/// Longest cause, in characters.
const CAUSE_CHARS_MAX: usize = 200;
/// Longest name of a node, id of a run or due time, in characters.
const WORD_CHARS_MAX: usize = 100;
/// Longest address that is made a link, in bytes.
const LINK_BYTES_MAX: usize = 500;

/// A message, ready to be written in some language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) is_good: bool,
    /// Who tells it, and when.
    pub(super) lead: String,
    pub(super) parts: Vec<Part>,
    /// How many things are told nowhere.
    pub(super) left_out: u64,
}

/// Things of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) head: String,
    /// Whether these are the rows of a digest.
    pub(super) is_table: bool,
    pub(super) items: Vec<Item>,
    /// How many more there are of the same.
    pub(super) more: u64,
}

/// One thing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// The entry or account it is about; empty if about none.
    pub(super) about: String,
    /// How it stands, in a word or two; only in a digest.
    pub(super) state: String,
    /// When it was due, or when it happened.
    pub(super) when: String,
    /// How long it took; only in a digest.
    pub(super) took: String,
    pub(super) is_trouble: bool,
    pub(super) text: String,
    /// The run's id; empty if there is none.
    pub(super) run: String,
    /// The run's page, if it is one that may be linked to.
    pub(super) link: Option<String>,
}

impl Item {
    /// Whether it is a row of a digest that nobody has to look at: without the links of those, a night's entries fit.
    pub(super) fn is_well(&self) -> bool {
        !self.state.is_empty() && !self.is_trouble
    }

    /// Whether it is one that the eye looks for, among others that are well.
    pub(super) fn stands_out(&self) -> bool {
        !self.state.is_empty() && self.is_trouble
    }

    /// The words of its first line.
    pub(super) fn words(&self) -> Vec<&str> {
        [&self.state, &self.when, &self.took]
            .into_iter()
            .map(String::as_str)
            .filter(|word| !word.is_empty())
            .collect()
    }
}

impl Page {
    pub(super) fn of(told: Told<'_>) -> Self {
        let Told { message, node, now } = told;
        let table = message.digest.as_ref().map(Part::of_digest);
        let title = line(&message.title(), TITLE_CHARS_MAX);
        let groups = message
            .groups
            .iter()
            .map(|group| Part::of_group(group, &title));
        Self {
            is_good: message.is_good(),
            lead: format!(
                "pipecron on {}, {}",
                line(node, WORD_CHARS_MAX),
                minute(now)
            ),
            parts: table.into_iter().chain(groups).collect(),
            title,
            left_out: message.left_out,
        }
    }

    /// How many things it is about.
    pub(super) fn count(&self) -> u64 {
        let told = self.parts.iter().map(Part::count);
        told.fold(self.left_out, u64::saturating_add)
    }
}

impl Part {
    /// How many things it is about.
    fn count(&self) -> u64 {
        let listed = u64::try_from(self.items.len()).unwrap_or(u64::MAX);
        listed.saturating_add(self.more)
    }

    /// The cause is told once: the title of a single notice ends with it.
    fn of_group(group: &Group, title: &str) -> Self {
        let mut head = group.topic.headline(group.count);
        let cause = line(&group.cause, CAUSE_CHARS_MAX);
        if !cause.is_empty() && !title.ends_with(&cause) {
            let _ = write!(head, ": {cause}");
        }
        let told = u64::try_from(group.notices.len()).unwrap_or(u64::MAX);
        Self {
            head,
            is_table: false,
            items: group.notices.iter().map(Item::of_notice).collect(),
            more: group.count.saturating_sub(told),
        }
    }

    fn of_digest(digest: &Digest) -> Self {
        Self {
            head: format!("From {} to {}", minute(digest.since), minute(digest.until)),
            is_table: true,
            items: digest.rows.iter().map(Item::of_row).collect(),
            more: digest.left_out,
        }
    }
}

impl Item {
    fn of_notice(notice: &Notice) -> Self {
        let about = match (&notice.entry, &notice.account) {
            (Some(entry), _) => entry.to_string(),
            (None, Some(account)) => format!("account {account}"),
            (None, None) => String::new(),
        };
        let due = notice
            .due_local
            .as_deref()
            .map(|due| line(due, WORD_CHARS_MAX))
            .or_else(|| notice.due.map(minute));
        Self {
            about,
            when: due.map_or_else(|| minute(notice.at), |due| format!("due {due}")),
            is_trouble: !notice.topic.is_good(),
            text: line(&notice.text, usize::MAX),
            run: run(notice.run_id.as_deref()),
            link: link(notice.run_page.as_deref()),
            ..Self::default()
        }
    }

    fn of_row(row: &DigestRow) -> Self {
        Self {
            about: row.entry.to_string(),
            state: line(&row.outcome, WORD_CHARS_MAX),
            when: line(&row.due_local, WORD_CHARS_MAX),
            took: row.duration_secs.map(took).unwrap_or_default(),
            is_trouble: row.is_trouble,
            text: line(&row.text, usize::MAX),
            run: run(row.run_id.as_deref()),
            link: link(row.run_page.as_deref()),
        }
    }
}

/// One line of at most `chars_max` characters, and never more than the limit of a text.
fn line(text: &str, chars_max: usize) -> String {
    let text = Mask::none().show(text);
    if text.chars().count() <= chars_max {
        return text;
    }
    let mut bounded: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    bounded.push('…');
    bounded
}

fn run(id: Option<&str>) -> String {
    line(id.unwrap_or_default(), WORD_CHARS_MAX)
}

/// The address, if it leads to a page and holds nothing that could end a link early, in any of the languages.
fn link(address: Option<&str>) -> Option<String> {
    let address = address?;
    let leads = address.starts_with("https://") || address.starts_with("http://");
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>()[]{}|\\^`\"'*".contains(&byte);
    (leads && address.len() <= LINK_BYTES_MAX && address.bytes().all(plain))
        .then(|| address.to_owned())
}

fn minute(instant: Timestamp) -> String {
    let text = rfc3339(instant);
    match (text.get(..10), text.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time} UTC"),
        _ => text,
    }
}

fn took(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// How a page is written in a language, piece by piece.
pub(super) trait Language {
    /// The beginning of a part.
    fn head(&self, part: &Part) -> String;
    /// One thing.
    fn item(&self, item: &Item) -> String;
    /// What says how many are not told, in words that need no escaping.
    fn note(&self, words: &str) -> String;
    /// What a piece takes of the room.
    fn cost(&self, piece: &str) -> usize;
}

/// The parts of a page as whole pieces that fit into `room`, each part with how many of it are not told one by one, and
/// at the end how many are not told at all. A part with many things leaves the others theirs: each gets one, then the
/// next.
pub(super) fn fit(page: &Page, language: &dyn Language, room: usize) -> Vec<String> {
    let cost = |piece: &String| language.cost(piece);
    let cut = |left: u64| {
        language.note(&match left {
            1 => "1 more is left out here".to_owned(),
            left => format!("{left} more are left out here"),
        })
    };
    let mut room = room.saturating_sub(cost(&cut(page.count().max(2))));
    let mut told: Vec<Begun<'_>> = Vec::new();
    for part in &page.parts {
        let head = language.head(part);
        let rest = cost(&uncounted(language, part, 0)).max(cost(&uncounted(language, part, 1)));
        let Some(left) = room.checked_sub(cost(&head) + rest) else {
            break;
        };
        room = left;
        told.push(Begun {
            part,
            pieces: vec![head],
            is_full: false,
        });
    }
    while told.iter().any(|begun| !begun.is_full) {
        for begun in &mut told {
            let next = begun.part.items.get(begun.items());
            let piece = next.map(|item| language.item(item));
            match piece.filter(|piece| cost(piece) <= room && !begun.is_full) {
                Some(piece) => {
                    room -= cost(&piece);
                    begun.pieces.push(piece);
                }
                None => begun.is_full = true,
            }
        }
    }
    let mut left = page.count();
    let mut pieces = Vec::new();
    for begun in told {
        left = left.saturating_sub(begun.part.count());
        let items = begun.items();
        pieces.extend(begun.pieces);
        if begun.part.count() > u64::try_from(items).unwrap_or(u64::MAX) {
            pieces.push(uncounted(language, begun.part, items));
        }
    }
    if left > 0 {
        pieces.push(cut(left));
    }
    pieces
}

/// A part of which some is written: its head, and the first of its things.
struct Begun<'p> {
    part: &'p Part,
    pieces: Vec<String>,
    is_full: bool,
}

impl Begun<'_> {
    fn items(&self) -> usize {
        self.pieces.len() - 1
    }
}

/// How many of a part are not told one by one, if `items` are.
fn uncounted(language: &dyn Language, part: &Part, items: usize) -> String {
    let left = part.count() - u64::try_from(items).unwrap_or(u64::MAX).min(part.count());
    language.note(&match items {
        0 => format!("{left} not listed here"),
        _ => format!("and {left} more"),
    })
}
