//! What the pages say.

use chrono::TimeDelta;
use pipecron::daemon::{Health, Read};
use pipecron::domain::{Origin, Reason, TickId, TickState, rfc3339};
use pipecron::ledger::Story;
use pipecron::page::{Class, Held, Query, entry, index, missing, tick, trouble};

use crate::world::*;

fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

/// The text of a page without its marks, in one line.
fn text(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            _ if !inside => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_says(html: &str, words: &str) {
    let text = text(html);
    assert!(text.contains(words), "not there: {words}\nin: {text}");
}

#[test]
fn one_sentence_answers_whether_every_nightly_ran() {
    let entries: Vec<String> = (0..6).map(|n| format!("n{n}")).collect();
    let lines: Vec<(&str, &str)> = entries
        .iter()
        .map(|name| (name.as_str(), NIGHTLY))
        .collect();
    let yaml = yaml("", &lines);
    let running = TickState::Running { since: now() };
    let waiting = TickState::Waiting { not_before: now() };
    let doubtful = TickState::Doubtful { look_at: now() };
    let good = |entry| ended(entry, hours(6), Reason::Succeeded);
    for (glances, sentence, is_trouble) in [
        (vec![], "Nothing was to run in the last 24 hours", false),
        (
            vec![good("n0")],
            "The one nightly of the last 24 hours succeeded",
            false,
        ),
        (
            vec![
                good("n0"),
                good("n1"),
                ended("n2", hours(6), Reason::Started),
            ],
            "All 3 nightlies of the last 24 hours succeeded",
            false,
        ),
        (
            vec![
                good("n0"),
                good("n1"),
                glance("n2", hours(6), running),
                ended("n3", hours(6), Reason::Failed),
            ],
            "2 of 4 nightlies of the last 24 hours succeeded, 1 running, 1 failed",
            true,
        ),
        (
            vec![glance("n0", hours(1), running)],
            "0 of 1 nightly of the last 24 hours succeeded, 1 running",
            false,
        ),
        (
            vec![
                glance("n0", hours(6), waiting),
                glance("n1", hours(6), doubtful),
                ended("n2", hours(6), Reason::Unknown),
                ended("n3", hours(6), Reason::Missed),
                ended("n4", hours(6), Reason::Canceled),
                ended("n5", hours(6), Reason::Excluded),
            ],
            "0 of 5 nightlies of the last 24 hours succeeded, 1 waiting, 2 in doubt, 1 canceled, 1 not started, 1 left out",
            true,
        ),
        // What is left out is no nightly of this night.
        (
            vec![ended("n0", hours(6), Reason::Excluded)],
            "Nothing was to run in the last 24 hours, 1 left out",
            false,
        ),
        // Each entry counts once, by its newest tick.
        (
            vec![ended("n0", hours(9), Reason::Failed), good("n0")],
            "The one nightly of the last 24 hours succeeded",
            false,
        ),
        // A day and an hour ago was another night; and a row in the future comes from a clock that was ahead.
        (
            vec![ended("n0", hours(25), Reason::Failed), good("n1")],
            "The one nightly of the last 24 hours succeeded",
            false,
        ),
        (
            vec![ended("n0", hours(-5), Reason::Failed), good("n0")],
            "The one nightly of the last 24 hours succeeded",
            false,
        ),
    ] {
        let mut sight = sight(&yaml);
        put(&mut sight, glances);
        let answer = sight.answer();
        assert_eq!(answer.to_string(), sentence);
        assert_eq!(answer.is_trouble(), is_trouble, "{sentence}");
        let page = index(&sight, &Query::default());
        assert_eq!(page.status, 200);
        assert_says(&page.html, &format!("{sentence}."));
        let mood = page.html.contains("class=\"answer bad\"");
        assert_eq!(mood, is_trouble, "{sentence}");
    }
}

#[test]
fn what_was_run_again_by_hand_for_the_same_night_counts() {
    let mut sight = sight(&yaml("", &[("n", NIGHTLY)]));
    let failed = ended("n", hours(6), Reason::Failed);
    let mut again = ended("n", hours(6), Reason::Succeeded);
    again.id = TickId::manual(&again.entry, again.due, "x");
    again.origin = Origin::Manual;
    again.opened_at = now() - hours(1);
    put(&mut sight, [failed, again]);
    assert_eq!(
        sight.answer().to_string(),
        "The one nightly of the last 24 hours succeeded"
    );
}

#[test]
fn every_reason_has_its_class_and_words() {
    for reason in Reason::ALL {
        let class = Class::of(&ended("n", hours(1), reason));
        let is_bad = match reason {
            Reason::Succeeded | Reason::Started => false,
            Reason::Excluded | Reason::Paused | Reason::Superseded | Reason::Withdrawn => false,
            Reason::Failed
            | Reason::Canceled
            | Reason::Missed
            | Reason::Skipped
            | Reason::TooLate
            | Reason::Refused
            | Reason::GaveUp
            | Reason::Unknown => true,
        };
        assert_eq!(
            class.is_trouble(),
            is_bad,
            "{reason:?}: silence is never success"
        );
    }
    let mut names: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Class::ALL.len());
}

#[test]
fn what_failed_is_told_with_its_code_and_a_link_to_the_consoles_page() {
    let mut sight = sight(&yaml("", &[("web", NIGHTLY), ("api", NIGHTLY)]));
    let mut failed = took(
        ended("web", hours(6), Reason::Failed),
        TimeDelta::minutes(12),
    );
    failed.note = "run 17 failed at stage \"build\"".to_owned();
    let mut refused = ended("api", hours(6), Reason::Refused);
    refused.note = "refused: HTTP 200 DEVCP.00014004 the parameter is wrong".to_owned();
    put(&mut sight, [failed, refused]);
    let html = index(&sight, &Query::default()).html;
    assert_says(&html, "Not as it should be");
    assert_says(&html, "web");
    assert_says(
        &html,
        "failed run 17 failed at stage &#34;build&#34; number 17",
    );
    assert_says(
        &html,
        "not started: refused refused: HTTP 200 DEVCP.00014004 the parameter is wrong –",
    );
    let link = format!(
        "<a href=\"https://devcloud.cn-north-4.huaweicloud.com/cicd/project/{PROJECT}/pipeline/detail/{PIPELINE}/8ab1?v=1\" rel=\"noreferrer\">"
    )
    .replace('=', "&#61;");
    let plain = html.replace("&#61;", "=");
    assert!(plain.contains(&link.replace("&#61;", "=")), "{html}");
}

#[test]
fn a_run_at_another_address_than_the_regions_has_no_link() {
    let text = yaml(
        ", endpoint: 'https://proxy.example.com'",
        &[("web", NIGHTLY)],
    );
    let mut sight = sight(&text);
    put(
        &mut sight,
        [took(
            ended("web", hours(6), Reason::Failed),
            TimeDelta::minutes(1),
        )],
    );
    let html = index(&sight, &Query::default()).html;
    assert!(!html.contains("devcloud"), "{html}");
}

#[test]
fn the_next_start_is_told_by_its_own_clock_and_for_the_viewers() {
    let mut sight = sight(&yaml(
        "",
        &[
            ("night", NIGHTLY),
            ("hand", "cron: '@manually'"),
            ("off", "cron: '0 2 * * *'\nenabled: false"),
            ("spread", "cron: '0 9 * * *'\nspread: 1h"),
        ],
    ));
    let html = index(&sight, &Query::default()).html;
    assert_says(&html, "Next: spread");
    assert_says(&html, "Thu 26 Nov 02:00 Asia/Shanghai");
    assert!(html.contains("data-utc=\"2026-11-25T18:00:00Z\""));
    assert_says(&html, "only by hand");
    assert_says(&html, "not enabled");
    // The spread is part of when it starts.
    assert!(!text(&html).contains("Wed 25 Nov 09:00 UTC"));
    sight
        .paused
        .insert(name("spread"), held("paused by ada: release", None));
    let html = index(&sight, &Query::default()).html;
    assert_says(&html, "Next: night");
    assert_says(&html, "when it is resumed paused by ada: release");
    // One that ends by itself starts again then.
    let until = Some(now() + hours(30));
    sight.paused.insert(name("spread"), held("paused", until));
    let html = index(&sight, &Query::default()).html;
    assert_says(&html, "Next: night");
    assert_says(&html, "Thu 26 Nov 09:");
}

fn held(words: &str, until: Option<pipecron::domain::Timestamp>) -> Held {
    Held {
        words: words.to_owned(),
        until,
    }
}

#[test]
fn one_finds_by_name_label_account_zone_and_state() {
    let mut sight = sight(&yaml(
        "",
        &[
            (
                "web",
                "cron: '0 2 * * *'\ntimezone: Asia/Shanghai\nlabels: [Nightly]",
            ),
            ("api", "cron: '0 2 * * *'\ntimezone: Europe/Berlin"),
        ],
    ));
    put(&mut sight, [ended("api", hours(1), Reason::Failed)]);
    for (words, found) in [
        ("", vec!["api", "web"]),
        ("web", vec!["web"]),
        ("WEB", vec!["web"]),
        ("nightly", vec!["web"]),
        ("berlin", vec!["api"]),
        ("failed", vec!["api"]),
        ("main failed", vec!["api"]),
        ("web berlin", vec![]),
        ("<script>", vec![]),
    ] {
        let html = index(&sight, &Query::new(words)).html;
        let count = html.matches("<tr data-find=").count();
        assert_eq!(count, found.len(), "{words}");
        for entry in found {
            assert!(
                html.contains(&format!("<a href=\"/entry/{entry}\"")),
                "{words}"
            );
        }
        assert_says(&html, &format!("{count} of 2"));
        assert!(!html.contains("<script>"), "{html}");
    }
}

#[test]
fn of_very_many_entries_the_first_are_listed_and_all_are_counted_and_found() {
    let lines: Vec<String> = (0..3_100).map(|n| format!("n{n:04}")).collect();
    let lines: Vec<(&str, &str)> = lines.iter().map(|name| (name.as_str(), NIGHTLY)).collect();
    let mut sight = sight(&yaml("", &lines));
    put(&mut sight, [ended("n3099", hours(1), Reason::Failed)]);
    let html = index(&sight, &Query::default()).html;
    assert_eq!(html.matches("<tr data-find=").count(), 3_000);
    assert_says(&html, "3100 of 3100");
    assert_says(&html, "These are the first 3000");
    assert_says(
        &html,
        "0 of 1 nightly of the last 24 hours succeeded, 1 failed.",
    );
    let html = index(&sight, &Query::new("n3099")).html;
    assert_eq!(html.matches("<tr data-find=").count(), 1);
    assert!(!html.contains("These are the first"));
}

#[test]
fn a_strip_and_a_chart_say_in_words_what_they_draw() {
    let mut sight = sight(&yaml("", &[("n", NIGHTLY)]));
    let day = |day: i64, reason| {
        took(
            ended("n", hours(24 * day + 6), reason),
            TimeDelta::minutes(10 + day),
        )
    };
    let glances = (0..40).map(|n| match n {
        0 => day(n, Reason::Failed),
        1 => ended("n", hours(30), Reason::Excluded),
        _ => day(n, Reason::Succeeded),
    });
    put(&mut sight, glances);
    let html = index(&sight, &Query::default()).html;
    assert!(
        html.contains("the last 30 ticks: 28 succeeded, 1 failed, 1 left out"),
        "{html}"
    );
    // Of those that ended well: the middle one of 38 (12 to 49 minutes).
    assert_says(&html, "10 min, usually 31 min");
    // Thirty bars and no more, in as many paths as there are classes.
    let strip = html
        .split("class=\"strip\"")
        .nth(1)
        .unwrap()
        .split("</svg>")
        .next()
        .unwrap();
    assert_eq!(strip.matches('M').count(), 30);
    assert_eq!(strip.matches("<path").count(), 3);
}

#[test]
fn a_run_under_way_is_told_with_how_long_it_takes_so_far() {
    let mut sight = sight(&yaml("", &[("n", NIGHTLY)]));
    let mut running = took(
        glance(
            "n",
            hours(2),
            TickState::Running {
                since: now() - hours(2),
            },
        ),
        TimeDelta::zero(),
    );
    running.run.as_mut().unwrap().ended_at = None;
    running.run.as_mut().unwrap().overdue = true;
    put(&mut sight, [running]);
    let html = index(&sight, &Query::default()).html;
    assert_says(&html, "Under way");
    assert_says(&html, "running, overdue");
    assert_says(&html, "2 h 00 min so far");
}

#[test]
fn the_coming_day_is_drawn_against_the_limit_of_the_account() {
    // Three of an hour at once at 18:00 UTC, and a limit of two.
    let lines: Vec<(String, &str)> = (0..3).map(|n| (format!("n{n}"), NIGHTLY)).collect();
    let lines: Vec<(&str, &str)> = lines
        .iter()
        .map(|(name, line)| (name.as_str(), *line))
        .collect();
    let mut sight = sight(&yaml(", max_running: 2", &lines));
    for n in 0..3 {
        let glances = (0..3).map(|day| {
            took(
                ended(&format!("n{n}"), hours(24 * day + 6), Reason::Succeeded),
                hours(1),
            )
        });
        put(&mut sight, glances);
    }
    let html = index(&sight, &Query::default()).html;
    assert_says(
        &html,
        "3 starts; most at once: 3 runs, about 18:00 UTC; more than max_running, 2: some wait",
    );
    assert!(html.contains("<path class=\"limit\""));
    assert!(html.contains("<path class=\"over\""));
    // What is paused does not start.
    for n in 0..2 {
        sight
            .paused
            .insert(name(&format!("n{n}")), held("paused", None));
    }
    let html = index(&sight, &Query::default()).html;
    assert_says(
        &html,
        "1 start; most at once: 1 run, about 18:00 UTC; max_running is 2",
    );
    assert!(!html.contains("<path class=\"over\""));
}

#[test]
fn what_starts_every_minute_is_drawn_up_to_a_limit_and_that_is_said() {
    let html = index(
        &sight(&yaml("", &[("often", "cron: '* * * * *'")])),
        &Query::default(),
    )
    .html;
    assert_says(&html, "300 starts; most at once: 15 runs");
    assert_says(
        &html,
        "of one entry that starts very often the first are drawn",
    );
}

#[test]
fn what_needs_somebody_stands_above_everything_else() {
    let mut sight = sight(&yaml("", &[("n", NIGHTLY)]));
    sight.ledger_fails = true;
    sight.health.insert(
        "main".parse_account(),
        Health {
            rests_until: Some(now() + hours(1)),
            is_broken: false,
            is_refused: true,
        },
    );
    sight.reload = Some(Read {
        at: now() - hours(1),
        by: "SIGHUP from process 7".to_owned(),
        problems: (0..25)
            .map(|n| format!("a.yaml:{n}: error\nsecond line"))
            .collect(),
    });
    let html = index(&sight, &Query::default()).html;
    assert_says(&html, "Needs somebody The ledger fails");
    assert_says(
        &html,
        "The service refuses the credentials of account main; they are tried again, next at 2026-11-25T01:00:00Z.",
    );
    assert_says(
        &html,
        "The reload of 2026-11-24T23:00:00Z was refused: the configuration from before stays.",
    );
    assert_says(&html, "a.yaml:19: error second line and 5 more");
    assert!(
        html.contains("class=\"answer bad\""),
        "an answer is not fine while nobody is able to start anything"
    );
    assert_says(
        &html,
        "main : its credentials are refused, rests until 2026-11-25T01:00:00Z (cn-north-4)",
    );
    sight.ledger_fails = false;
    sight.reload.as_mut().unwrap().problems.clear();
    sight.health.clear();
    let html = index(&sight, &Query::default()).html;
    assert!(!html.contains("Needs somebody"));
    assert_says(
        &html,
        "The last reload, at 2026-11-24T23:00:00Z by SIGHUP from process 7, was taken.",
    );
}

trait ParseAccount {
    fn parse_account(&self) -> pipecron::domain::AccountName;
}

impl ParseAccount for str {
    fn parse_account(&self) -> pipecron::domain::AccountName {
        pipecron::domain::AccountName::parse(self).unwrap()
    }
}

/// What must come through as text, wherever it comes from.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u{202e}\u{1b}[31m";

#[test]
fn whatever_comes_from_outside_is_text() {
    let mut sight = sight(&yaml("", &[("n", NIGHTLY)]));
    sight.node = HOSTILE.to_owned();
    let mut bad = took(ended("n", hours(6), Reason::Failed), TimeDelta::minutes(5));
    bad.note = HOSTILE.to_owned();
    let run = bad.run.as_mut().unwrap();
    run.id = HOSTILE.to_owned();
    run.number = None;
    let story = Story {
        tick: story_tick(&bad),
        attempts: Vec::new(),
        notes: vec![(now(), HOSTILE.to_owned())],
    };
    put(&mut sight, [bad.clone()]);
    sight.paused.insert(name("n"), held(HOSTILE, None));
    sight.reload = Some(Read {
        at: now(),
        by: HOSTILE.to_owned(),
        problems: vec![HOSTILE.to_owned()],
    });
    for page in [
        index(&sight, &Query::default()),
        index(&sight, &Query::new(HOSTILE)),
        entry(&sight, &name("n"), &[bad]).unwrap(),
        tick(&sight, &story),
        missing(&sight, "entry", HOSTILE, &[]),
        missing(&sight, "tick", HOSTILE, &[]),
        missing(&sight, "page", HOSTILE, &[]),
        trouble(HOSTILE),
    ] {
        let html = page.html;
        assert!(!html.contains("<script>"), "{html}");
        assert!(!html.contains("<img"), "{html}");
        assert!(
            !html.contains('\u{1b}') && !html.contains('\u{202e}'),
            "{html}"
        );
        // The policy refuses what stands in the page itself; nothing relies on it.
        assert!(!html.contains("style="), "{html}");
    }
}

/// The tick of a glance.
pub(crate) fn story_tick(glance: &pipecron::ledger::Glance) -> pipecron::domain::Tick {
    pipecron::domain::Tick {
        id: glance.id.clone(),
        entry: glance.entry.clone(),
        due: glance.due,
        origin: glance.origin,
        opened_at: glance.opened_at,
        account: glance.at.account.clone(),
        request: pipecron::domain::RunRequest {
            project_id: glance.at.project_id.clone(),
            pipeline_id: glance.at.pipeline_id.clone(),
            ..pipecron::domain::RunRequest::default()
        },
        policy: pipecron::domain::Policy::default(),
        deadline: glance.due + hours(6),
        state: glance.state,
        attempts: 1,
        refusals: 0,
        holds: 0,
        doubt: None,
        run: glance.run.clone(),
        missed: None,
        moved_from: Vec::new(),
        note: glance.note.clone(),
    }
}

#[test]
fn the_page_of_an_entry_has_its_settings_its_coming_starts_and_its_ticks() {
    let text = yaml(
        "",
        &[(
            "web",
            "cron: 'H 2 * * *'\ntimezone: Europe/Berlin\nspread: 30m\nlabels: [nightly]\nnot_after: 2026-11-28",
        )],
    );
    let mut sight = sight(&text);
    put(&mut sight, [ended("web", hours(23), Reason::Succeeded)]);
    let glances = sight.glances[&name("web")].clone();
    let html = entry(&sight, &name("web"), &glances).unwrap().html;
    assert_says(&html, "H 2 * * * is");
    assert_says(&html, "Zone Europe/Berlin");
    assert_says(&html, "Spread 30m; it starts");
    assert_says(&html, "Window to 2026-11-2");
    assert_says(&html, "nightly");
    assert!(
        html.matches("<li><time").count() <= 4,
        "its time is over then"
    );
    assert!(
        html.contains("href=\"/tick/web%402026-11-24T01%3A00%3A00Z\""),
        "{html}"
    );
    assert!(entry(&sight, &name("nobody"), &[]).is_none());
    // One that is gone is known as long as its ticks are.
    let gone = [ended("gone", hours(1), Reason::Succeeded)];
    let html = entry(&sight, &name("gone"), &gone).unwrap().html;
    assert_says(&html, "it is not in the configuration any more");
}

#[test]
fn the_page_of_a_tick_tells_its_story() {
    let sight = sight(&yaml("", &[("web", NIGHTLY)]));
    let mut glance = took(
        ended("web", hours(6), Reason::Failed),
        TimeDelta::minutes(12),
    );
    glance.run.as_mut().unwrap().failed_stage = Some("build".to_owned());
    glance.run.as_mut().unwrap().outcome = Some("FAILED".to_owned());
    let story = Story {
        tick: story_tick(&glance),
        attempts: Vec::new(),
        notes: vec![
            (glance.due, "due".to_owned()),
            (now(), "run 17 ended".to_owned()),
        ],
    };
    let html = tick(&sight, &story).html;
    assert_says(&html, &format!("web@{}", rfc3339(glance.due)));
    for words in [
        "Wed 25 Nov 02:00 Asia/Shanghai",
        "How long 12 min",
        "Outcome FAILED",
        "First failed stage build",
        "run 17 ended",
    ] {
        assert_says(&html, words);
    }
}

#[test]
fn what_is_not_there_names_what_may_be_meant() {
    let mut sight = sight(&yaml("", &[("nightly-web", NIGHTLY)]));
    let page = missing(&sight, "entry", "nigthly-web", &[]);
    assert_eq!(page.status, 404);
    assert!(
        page.html
            .contains("Did you mean <a href=\"/entry/nightly-web\">nightly-web</a>?"),
        "{}",
        page.html
    );
    put(
        &mut sight,
        [ended("nightly-web", hours(6), Reason::Succeeded)],
    );
    let known = sight.glances[&name("nightly-web")].clone();
    let page = missing(&sight, "tick", "nightly-web@2026-11-24T18:00:01Z", &known);
    assert_says(
        &page.html,
        "Did you mean nightly-web@2026-11-24T18:00:00Z ?",
    );
    let page = missing(&sight, "entry", &"x".repeat(100_000), &[]);
    assert!(
        page.html.len() < 10_000,
        "what was asked for is not repeated at length"
    );
}

#[test]
fn the_script_and_the_style_sheet_reach_for_nothing_elsewhere() {
    for file in ["page.js", "style.css"] {
        let text = std::fs::read_to_string(format!("src/page/{file}")).unwrap();
        for word in [
            "http:",
            "https:",
            "//cdn",
            "@import",
            "url(",
            "eval",
            "innerHTML",
        ] {
            assert!(!text.contains(word), "{file} has {word}");
        }
    }
}
