//! How faults are written, for a terminal: the same table that the documentation of [`super::faults`] shows.

use super::call::Call;

/// The table, as Markdown.
const TABLE: &str = include_str!("faults.md");
/// Lines are no longer, so that a usual terminal does not break them.
const WIDTH: usize = 80;
/// Where what happens begins.
const INDENT: usize = 24;

/// The rows of the table: how a fault is written, and what happens.
fn rows() -> impl Iterator<Item = (&'static str, String)> {
    TABLE
        .lines()
        .filter_map(|line| {
            let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
            cells.split_once(" | ")
        })
        .filter_map(|(rule, what)| {
            let rule = rule.strip_prefix('`')?.strip_suffix('`')?;
            Some((rule, what.replace(['`', '*'], "")))
        })
}

/// All faults and their options, in lines for a terminal.
pub fn faults() -> String {
    let mut text = String::from(
        "A fault is FAULT[=VALUE][,OPTION=VALUE...], with times as 250ms, 30s, 5m, 2h:\n",
    );
    for (rule, what) in rows() {
        text.push_str(&format!("  {rule:width$}", width = INDENT - 4));
        // A rule that reaches into the second column has a line of its own.
        let mut column = 2 + rule.len().max(INDENT - 4);
        if column + 2 > INDENT {
            text.push('\n');
            column = 0;
        }
        put(&mut text, &what, column);
    }
    let calls: Vec<&str> = Call::ALL.iter().map(|call| call.name()).collect();
    text.push_str("\nOptions of every fault:\n");
    for (option, what) in [
        (
            "on=run".to_owned(),
            format!(
                "at which calls, several with +: {}, or any; run if it is left out",
                calls.join(", ")
            ),
        ),
        (
            "pipeline=ID".to_owned(),
            "at this pipeline alone".to_owned(),
        ),
        (
            "skip=N".to_owned(),
            "so many requests pass first".to_owned(),
        ),
        (
            "next=N".to_owned(),
            "then it strikes so many times; for ever if it is left out".to_owned(),
        ),
        (
            "chance=0.2".to_owned(),
            "each time with this chance".to_owned(),
        ),
    ] {
        text.push_str(&format!("  {option:width$}", width = INDENT - 4));
        put(&mut text, &what, INDENT - 2);
    }
    text.push_str("A comma inside a value is written %2C.\n");
    text
}

/// Adds words from the second column on, in lines of their own where they have to be.
fn put(text: &mut String, words: &str, mut column: usize) {
    let mut is_first = true;
    for word in words.split(' ') {
        if !is_first && column + 1 + word.chars().count() > WIDTH {
            text.push('\n');
            column = 0;
            is_first = true;
        }
        if is_first {
            text.push_str(&" ".repeat(INDENT.saturating_sub(column)));
            column = column.max(INDENT);
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.chars().count();
        is_first = false;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::faults::FaultRule;
    use super::super::rule::FAULT_NAMES;
    use super::*;

    #[test]
    fn every_fault_is_in_the_table_and_every_row_is_one_that_can_be_set() {
        let names: Vec<&str> = rows()
            .map(|(rule, _)| {
                let read = FaultRule::parse(rule);
                assert!(read.is_ok(), "{rule}: {read:?}");
                rule.split('=').next().unwrap_or_default()
            })
            .collect();
        assert_eq!(names, FAULT_NAMES);
    }

    #[test]
    fn the_text_fits_a_terminal_and_holds_the_whole_table() {
        let text = faults();
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.contains(['|', '`', '*']), "{line}");
        }
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (rule, what) in rows() {
            assert!(flat.contains(&format!("{rule} {what}")), "{rule}\n{text}");
        }
        for call in Call::ALL {
            assert!(text.contains(call.name()), "{}", call.name());
        }
    }
}
