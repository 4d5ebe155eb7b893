//! What a calendar file says of days, and what is refused.

use super::*;

fn today() -> NaiveDate {
    "2026-11-24".parse().unwrap()
}

/// Two zones by their names, as they are since 2000.
const ZONES: &dyn Fn(&str) -> Option<Arc<Zone>> = &|name| match name {
    "Asia/Shanghai" => Some(Arc::new(Zone::new(name, 28_800, Vec::new()))),
    "America/Phoenix" => Some(Arc::new(Zone::new(name, -25_200, Vec::new()))),
    _ => None,
};

fn events(lines: &str) -> Events {
    let text = format!("BEGIN:VCALENDAR\n{lines}\nEND:VCALENDAR\n");
    read(&text, today(), ZONES).unwrap()
}

fn days(lines: &str) -> Vec<String> {
    let event = format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT");
    let spans = events(&event).spans;
    spans.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_that_nothing_fits_do_not_hold_up_whoever_reads_them() {
    let wrong = |lines: &str| {
        let text = format!("BEGIN:VCALENDAR\n{lines}\nEND:VCALENDAR\n");
        read(&text, today(), ZONES).unwrap_err().message
    };
    let event = |rule: &str| {
        format!("BEGIN:VEVENT\nDTSTART;VALUE=DATE:16010101\nRRULE:{rule}\nEND:VEVENT\n")
    };
    for rule in [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYDAY=MO;BYMONTH=1",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2",
        "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=2",
    ] {
        let message = wrong(&event(rule).repeat(200));
        assert!(message.contains("2000000 days"), "{rule}: {message}");
    }
    let message = wrong(&event("FREQ=DAILY;BYHOUR=0,1;BYSETPOS=1"));
    assert!(message.contains("hours of a day"), "{message}");
    // What people have: hundreds of yearly days for half a century, and some that come each day or week.
    let usual = [
        "FREQ=YEARLY",
        "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
        "FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1",
    ];
    let many: String = (0..600)
        .map(|n| {
            let rule = usual[n % 3];
            format!(
                "BEGIN:VEVENT\nUID:{n}\nDTSTART;VALUE=DATE:19700501\nRRULE:{rule}\nEND:VEVENT\n"
            )
        })
        .collect();
    assert!(events(&many).spans.len() > 600 * 50);
    let weekly =
        "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20000103\nRRULE:FREQ=WEEKLY;BYDAY=MO\nEND:VEVENT\n";
    assert!(events(&weekly.repeat(20)).spans.len() > 1_000);
}

#[test]
fn long_names_and_summaries_do_not_hold_up_whoever_reads_them() {
    let daily = |more: &str| {
        let event = format!("DTSTART:20270101\nRRULE:FREQ=DAILY\nSUMMARY:{more}");
        format!("BEGIN:VEVENT\n{event}\nEND:VEVENT\n").repeat(2)
    };
    let found = events(&daily(&"very long ".repeat(150_000)));
    assert!(found.spans.len() > 7_000 && found.spans[0].label.len() == 60);
    let zone = "/a".repeat(200_000);
    let text = file(&format!(
        "BEGIN:VEVENT\nDTSTART;TZID={zone}:20270101T000000\nEND:VEVENT"
    ));
    let wrong = read(&text, today(), ZONES).unwrap_err();
    assert_eq!(wrong.message, "this TZID is longer than 256 bytes");
}

#[test]
fn an_event_names_its_days() {
    for (lines, expected) in [
        ("DTSTART;VALUE=DATE:20270501", vec!["2027-05-01"]),
        ("DTSTART:20270501\nDTEND:20270502", vec!["2027-05-01"]),
        ("DTSTART:20270501\nDTEND:20270501", vec!["2027-05-01"]),
        (
            "DTSTART:20270205\nDTEND:20270212",
            vec!["2027-02-05..2027-02-11"],
        ),
        (
            "DTSTART:20270205\nDURATION:P1W",
            vec!["2027-02-05..2027-02-11"],
        ),
        (
            "DTSTART;TZID=\"Asia/Shanghai\":20270205T180000\nDTEND:20270208T000000",
            vec!["2027-02-05..2027-02-07"],
        ),
        (
            "DTSTART:20270205T180000Z\nDTEND:20270206T000001Z",
            vec!["2027-02-05..2027-02-06"],
        ),
        ("DTSTART:20270205T180000Z", vec!["2027-02-05"]),
        (
            "DTSTART:20270205T230000\nDURATION:PT2H",
            vec!["2027-02-05..2027-02-06"],
        ),
        (
            "DTSTART:20270501\nRDATE;VALUE=DATE:20270601,20270701",
            vec!["2027-05-01", "2027-06-01", "2027-07-01"],
        ),
        (
            "DTSTART:20270501\nRRULE:FREQ=YEARLY;COUNT=3",
            vec!["2027-05-01", "2028-05-01", "2029-05-01"],
        ),
        (
            "DTSTART:20270104\nRRULE:FREQ=WEEKLY;UNTIL=20270125\nEXDATE:20270111",
            vec!["2027-01-04", "2027-01-18", "2027-01-25"],
        ),
        (
            "DTSTART:20270404\nDTEND:20270406\nRRULE:FREQ=MONTHLY;BYDAY=1SU;UNTIL=20270601",
            vec!["2027-04-04..2027-04-05", "2027-05-02..2027-05-03"],
        ),
        // A year that has no such day, and no end.
        (
            "DTSTART:20280229\nRRULE:FREQ=YEARLY",
            vec!["2028-02-29", "2032-02-29", "2036-02-29"],
        ),
        ("DTSTART:20270501\nSTATUS:CANCELLED", vec![]),
        ("DTSTART:20270501\nTRANSP:TRANSPARENT", vec![]),
        (
            "DTSTART:20270501\nX-WHATEVER;A=\"b:c\":d\nBEGIN:VALARM\nDTSTART:x\nEND:VALARM",
            vec!["2027-05-01"],
        ),
    ] {
        assert_eq!(days(lines), expected, "{lines}");
    }
}

#[test]
fn folds_line_ends_marks_and_escapes_are_as_people_send_them() {
    let text = "\u{feff}\r\n\r\nBEGIN:VCALENDAR\r\nVERSION:2.0\r\nbegin:vevent\r\nSUMMARY;LANGUAGE=zh:春节\\, al\r\n l \
                of it\r\nDTSTART;VALUE=DA\r\n TE:2027\r\n\t0205\r\nend:vevent\r\nBEGIN:VTODO\r\nDUE:what\r\nEND:VTODO\r\n\
                END:VCALENDAR";
    let found = read(text, today(), ZONES).unwrap();
    assert_eq!(found.spans.len(), 1);
    assert_eq!(found.spans[0].to_string(), "2027-02-05");
    assert_eq!(found.spans[0].label, "春节, all of it");
}

#[test]
fn a_changed_instance_takes_the_place_of_the_rules() {
    let series = "BEGIN:VEVENT\nUID:a\nDTSTART:20270104\nRRULE:FREQ=WEEKLY;COUNT=3\nEND:VEVENT\n";
    let moved = "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20270111\nDTSTART:20270113\nEND:VEVENT\n";
    let gone = "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20270118\nDTSTART:20270118\nSTATUS:CANCELLED\nEND:VEVENT";
    let mut days: Vec<String> = events(&format!("{moved}{series}{gone}"))
        .spans
        .iter()
        .map(ToString::to_string)
        .collect();
    days.sort();
    assert_eq!(days, ["2027-01-04", "2027-01-13"]);
}

fn file(lines: &str) -> String {
    format!("BEGIN:VCALENDAR\n{lines}\nEND:VCALENDAR\n")
}

/// The days of several events, in order, each with what it is called.
fn labelled(events: &[&str]) -> Vec<String> {
    let lines: Vec<String> = events
        .iter()
        .map(|lines| format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT\n"))
        .collect();
    let found = read(&file(&lines.concat()), today(), ZONES).unwrap();
    assert_eq!(found.doubts, [], "{lines:?}");
    let mut spans = found.spans;
    spans.sort();
    let shown = spans.iter().map(|span| format!("{span} {}", span.label));
    shown.map(|span| span.trim_end().to_owned()).collect()
}

#[test]
fn a_change_of_all_later_instances_moves_them_too() {
    let series = "UID:a\nSUMMARY:old\nDTSTART:20270104\nRRULE:FREQ=WEEKLY;COUNT=5";
    let later = "UID:a\nRECURRENCE-ID;RANGE=THISANDFUTURE:20270118\n";
    let moved = format!("{later}SUMMARY:new\nDTSTART:20270120\nDTEND:20270122");
    assert_eq!(
        labelled(&[series, &moved]),
        [
            "2027-01-04 old",
            "2027-01-11 old",
            "2027-01-20..2027-01-21 new",
            "2027-01-27..2027-01-28 new",
            "2027-02-03..2027-02-04 new"
        ]
    );
    // A later change is named by the instance that the rule makes, wherever it was moved to.
    let again = "UID:a\nRECURRENCE-ID;RANGE=thisandfuture:20270201\nDTSTART:20270131\nSUMMARY:last";
    let gone = "UID:a\nRECURRENCE-ID:20270125\nDTSTART:20270125\nSTATUS:CANCELLED";
    assert_eq!(
        labelled(&[again, gone, &moved, series]),
        [
            "2027-01-04 old",
            "2027-01-11 old",
            "2027-01-20..2027-01-21 new",
            "2027-01-31 last"
        ]
    );
    let over = format!("{later}STATUS:CANCELLED");
    assert_eq!(
        labelled(&[series, &over]),
        ["2027-01-04 old", "2027-01-11 old"]
    );
    // One that says itself when it recurs.
    let daily = format!("{later}SUMMARY:daily\nDTSTART:20270118\nRRULE:FREQ=DAILY;COUNT=2");
    assert_eq!(
        labelled(&[series, &daily]),
        [
            "2027-01-04 old",
            "2027-01-11 old",
            "2027-01-18 daily",
            "2027-01-19 daily"
        ]
    );
    // Free at first.
    let free = format!("{series}\nTRANSP:TRANSPARENT");
    assert_eq!(labelled(&[&free]), [""; 0]);
    assert_eq!(
        labelled(&[&free, &format!("{later}DTSTART:20270118\nSUMMARY:off")]),
        ["2027-01-18 off", "2027-01-25 off", "2027-02-01 off"]
    );
    // On the clock of the series 23:00 of Monday is moved to 01:00 of Tuesday, and ends on Wednesday.
    let zoned = "UID:a\nDTSTART;TZID=Asia/Shanghai:20270104T230000\nDURATION:PT30M\nRRULE:FREQ=WEEKLY;COUNT=3";
    let moved = "UID:a\nRECURRENCE-ID;RANGE=THISANDFUTURE:20270111T150000Z\nDTSTART:20270111T170000Z\nDURATION:P1DT1H";
    assert_eq!(
        labelled(&[zoned, moved]),
        [
            "2027-01-04",
            "2027-01-12..2027-01-13",
            "2027-01-19..2027-01-20"
        ]
    );
}

#[test]
fn what_is_said_of_a_series_is_compared_on_its_own_clock() {
    // 06:00 in Shanghai is 22:00 in UTC, of the day before.
    for zone in [
        "Asia/Shanghai",
        "China Standard Time",
        "/example.org/2027/Asia/Shanghai",
    ] {
        let series = |more: &str| {
            format!("UID:a\nDTSTART;TZID={zone}:20270104T060000\nDURATION:PT1H\n{more}")
        };
        let weekly = series("RRULE:FREQ=WEEKLY;UNTIL=20270117T220000Z");
        assert_eq!(
            labelled(&[&weekly]),
            ["2027-01-04", "2027-01-11", "2027-01-18"],
            "{zone}"
        );
        let before = series("RRULE:FREQ=WEEKLY;UNTIL=20270117T215959Z");
        assert_eq!(labelled(&[&before]), ["2027-01-04", "2027-01-11"], "{zone}");
        let without = series("RRULE:FREQ=WEEKLY;COUNT=3\nEXDATE:20270110T220000Z");
        assert_eq!(
            labelled(&[&without]),
            ["2027-01-04", "2027-01-18"],
            "{zone}"
        );
        let with = series("RDATE:20270110T220000Z");
        assert_eq!(labelled(&[&with]), ["2027-01-04", "2027-01-11"], "{zone}");
        let moved = "UID:a\nRECURRENCE-ID:20270110T220000Z\nDTSTART:20270111T220000Z";
        assert_eq!(
            labelled(&[&weekly, moved]),
            ["2027-01-04", "2027-01-12", "2027-01-18"],
            "{zone}"
        );
        let gone = "UID:a\nSTATUS:CANCELLED\nRECURRENCE-ID;TZID=America/Phoenix:20270110T150000";
        assert_eq!(
            labelled(&[gone, &weekly]),
            ["2027-01-04", "2027-01-18"],
            "{zone}"
        );
    }
    // A day that ends a series belongs to it.
    let day = "DTSTART;TZID=Asia/Shanghai:20270104T060000\nRRULE:FREQ=WEEKLY;UNTIL=20270118";
    assert_eq!(labelled(&[day]), ["2027-01-04", "2027-01-11", "2027-01-18"]);
    let end = "DTSTART;TZID=Asia/Shanghai:20270205T060000\nDTEND:20270205T010000Z";
    assert_eq!(labelled(&[end]), ["2027-02-05"]);
    let flight =
        "DTSTART;TZID=Asia/Shanghai:20270205T220000\nDTEND;TZID=America/Phoenix:20270205T190000";
    assert_eq!(labelled(&[flight]), ["2027-02-05..2027-02-06"]);
}

/// Germany, as Outlook describes it under a name of its own.
const CUSTOM: &str = "BEGIN:VTIMEZONE\nTZID:Customized Time Zone\n\
    BEGIN:STANDARD\nDTSTART:16011028T030000\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\nEND:STANDARD\n\
    BEGIN:DAYLIGHT\nDTSTART:16010325T020000\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nEND:DAYLIGHT\n\
    END:VTIMEZONE\n";

#[test]
fn a_zone_that_the_file_describes_is_known_by_that_and_one_of_which_nobody_knows_is_refused() {
    let weekly = |until: &str| {
        let event = format!(
            "DTSTART;TZID=Customized Time Zone:20270315T000000\nRRULE:FREQ=WEEKLY;UNTIL={until}"
        );
        format!("BEGIN:VEVENT\n{event}\nEND:VEVENT\n")
    };
    // Midnight of March 29 is 22:00 in UTC, as the clock went forward the day before.
    for (until, last) in [
        ("20270328T220000Z", "2027-03-29"),
        ("20270328T215959Z", "2027-03-22"),
    ] {
        let found = read(&file(&format!("{}{CUSTOM}", weekly(until))), today(), ZONES).unwrap();
        assert_eq!(found.spans.last().unwrap().to_string(), last, "{until}");
    }
    // The clock goes back in between, from 02:40 to 02:10.
    let back = "BEGIN:VEVENT\nDTSTART;TZID=Customized Time Zone:20271031T024000\nDTEND:20271031T011000Z\nEND:VEVENT\n";
    let found = read(&file(&format!("{back}{CUSTOM}")), today(), ZONES).unwrap();
    assert_eq!(found.spans[0].to_string(), "2027-10-31");
    let text = file(&weekly("20270328T220000Z"));
    let wrong = read(&text, today(), ZONES).unwrap_err();
    assert!(
        wrong
            .message
            .contains("nothing is known of the time zone `Customized Time Zone`"),
        "{wrong:?}"
    );
    assert_eq!(&text[wrong.at], "RRULE:FREQ=WEEKLY;UNTIL=20270328T220000Z");
    // Nobody asks for a zone whose times meet no others.
    let alone = "DTSTART;TZID=Nowhere:20270104T060000\nDTEND;TZID=Nowhere:20270104T070000\n\
                 RRULE:FREQ=WEEKLY;COUNT=2\nEXDATE;TZID=Nowhere:20270111T060000";
    assert_eq!(labelled(&[alone]), ["2027-01-04"]);
    for (line, message) in [
        ("TZOFFSETTO:+0200", "lacks its DTSTART"),
        ("TZOFFSETFROM:+0100", "lacks its DTSTART"),
    ] {
        let broken = CUSTOM.replace(line, "X:y");
        let wrong = read(
            &file(&format!("{broken}{}", weekly("20270328T220000Z"))),
            today(),
            ZONES,
        )
        .unwrap_err();
        assert!(wrong.message.contains(message), "{line}: {wrong:?}");
    }
    for offset in ["02:00", "+2", "+2500", "+02é", ""] {
        let broken = CUSTOM.replace("TZOFFSETTO:+0200", &format!("TZOFFSETTO:{offset}"));
        let wrong = read(
            &file(&format!("{broken}{}", weekly("20270328T220000Z"))),
            today(),
            ZONES,
        )
        .unwrap_err();
        assert!(
            wrong.message.contains("is no offset"),
            "{offset}: {wrong:?}"
        );
    }
}

#[test]
fn a_time_in_utc_that_stands_for_a_date_is_read_in_the_zone_of_the_calendar_or_doubted() {
    let event = |until: &str| {
        format!(
            "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20270104\nRRULE:FREQ=WEEKLY;UNTIL={until}\nEND:VEVENT\n"
        )
    };
    let read = |text: &str| read(&file(text), today(), ZONES).unwrap();
    // Midnight of January 18 in Shanghai; that of UTC is how others write the day.
    for (text, count, doubts) in [
        (
            format!(
                "X-WR-TIMEZONE:China Standard Time\n{}",
                event("20270117T160000Z")
            ),
            3,
            0,
        ),
        (event("20270117T160000Z"), 2, 1),
        (event("20270117T160000Z").repeat(3), 6, 1),
        (event("20270118T000000Z"), 3, 0),
        (
            format!(
                "X-WR-TIMEZONE:America/Phoenix\n{}",
                event("20270118T000000Z")
            ),
            3,
            0,
        ),
    ] {
        let found = read(&text);
        assert_eq!(
            (found.spans.len(), found.doubts.len()),
            (count, doubts),
            "{text}"
        );
    }
    let doubt = &read(&event("20270117T160000Z")).doubts[0];
    assert!(doubt.message.contains("taken as written"), "{doubt:?}");
}

#[test]
fn a_period_has_a_length_of_its_own() {
    for (dates, expected) in [
        (
            "20270201T060000Z/20270203T060000Z",
            "2027-02-01..2027-02-03",
        ),
        ("20270201T060000Z/P3D", "2027-02-01..2027-02-04"),
        (
            "20270201T060000Z/PT1H,20270201T070000Z/P1D",
            "2027-02-01..2027-02-02",
        ),
    ] {
        let event =
            format!("DTSTART:20270104T060000Z\nDTEND:20270104T070000Z\nRDATE;VALUE=PERIOD:{dates}");
        assert_eq!(labelled(&[&event]), ["2027-01-04", expected], "{dates}");
    }
    // One without keeps that of the event, from its own time of day.
    let late = "DTSTART:20270104T060000Z\nDTEND:20270104T080000Z\nRDATE:20270201T230000Z";
    assert_eq!(labelled(&[late]), ["2027-01-04", "2027-02-01..2027-02-02"]);
}

#[test]
fn a_rule_takes_days_away_as_well() {
    let event =
        "DTSTART:20270104\nRRULE:FREQ=DAILY;COUNT=7\nEXRULE:FREQ=WEEKLY;BYDAY=TU,WE;UNTIL=20270106";
    assert_eq!(
        labelled(&[event]),
        [
            "2027-01-04",
            "2027-01-07",
            "2027-01-08",
            "2027-01-09",
            "2027-01-10"
        ]
    );
    // The days that a month does not have, as RFC 7529 moves them.
    let skip = "DTSTART:20270131\nRRULE:RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=BACKWARD;COUNT=3";
    assert_eq!(
        labelled(&[skip]),
        ["2027-01-31", "2027-02-28", "2027-03-31"]
    );
}

#[test]
fn events_that_name_no_day_need_not_be_readable() {
    for off in ["STATUS:CANCELLED", "TRANSP:TRANSPARENT"] {
        let event = format!("UID:x\nDTSTART:soon\nDTEND:20270230\nRRULE:FREQ=HOURLY\n{off}");
        assert_eq!(
            labelled(&[&event, "DTSTART:20270104"]),
            ["2027-01-04"],
            "{off}"
        );
        assert_eq!(labelled(&[off]), [""; 0]);
    }
}

#[test]
fn events_without_a_uid_have_nothing_to_do_with_each_other() {
    for uid in ["", "UID:\n", "UID: \n"] {
        let series = format!("{uid}DTSTART:20270104\nRRULE:FREQ=WEEKLY;COUNT=2");
        let other = format!("{uid}RECURRENCE-ID:20270111\nDTSTART:20270112");
        let gone = format!("{uid}RECURRENCE-ID:20270104\nSTATUS:CANCELLED");
        assert_eq!(
            labelled(&[&series, &other, &gone]),
            ["2027-01-04", "2027-01-11", "2027-01-12"],
            "{uid:?}"
        );
    }
}

#[test]
fn what_is_wrong_is_said_at_its_line() {
    let event = |line: &str| {
        format!(
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20270104\n{line}\nEND:VEVENT\nEND:VCALENDAR"
        )
    };
    for (text, piece, message) in [
        ("", "", "the file is empty"),
        ("<html>\n", "<html>", "this line has no colon"),
        (
            "Content-Type: text\n",
            "Content-Type: text",
            "outside of any calendar",
        ),
        ("BEGIN:VCARD\n", "BEGIN:VCARD", "outside of any calendar"),
        (
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\n",
            "",
            "the file ends within `VEVENT`",
        ),
        (
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n",
            "END:VCALENDAR",
            "`VCALENDAR` is closed where `VEVENT` is open",
        ),
        (
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT\nEND:VCALENDAR\n",
            "BEGIN:VEVENT",
            "no DTSTART",
        ),
        (&event("oops"), "oops", "no colon"),
        (
            &event("DTEND:20270230"),
            "DTEND:20270230",
            "there is no date `20270230`",
        ),
        (
            &event("DTEND:20270103"),
            "DTEND:20270103",
            "ends before it begins",
        ),
        (
            &event("DTEND:20990103"),
            "DTEND:20990103",
            "longer than 3660 days",
        ),
        (
            &event("DURATION:3 days"),
            "DURATION:3 days",
            "is no duration",
        ),
        (&event("RRULE:FREQ=NEVER"), "RRULE:FREQ=NEVER", "is wrong"),
        (
            &event("RRULE:FREQ=HOURLY"),
            "RRULE:FREQ=HOURLY",
            "within a day",
        ),
        (
            &event("RRULE:RSCALE=CHINESE;FREQ=YEARLY"),
            "RRULE:RSCALE=CHINESE;FREQ=YEARLY",
            "another calendar system",
        ),
        (&event("EXDATE:soon"), "EXDATE:soon", "there is no date"),
    ] {
        let wrong = read(text, today(), ZONES).unwrap_err();
        assert!(wrong.message.contains(message), "{text}: {wrong:?}");
        assert_eq!(&text[wrong.at.clone()], piece, "{text}: {wrong:?}");
    }
    let ancient = "DTSTART:00010101\nRRULE:FREQ=DAILY";
    let text = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{ancient}\nEND:VEVENT\nEND:VCALENDAR");
    let wrong = read(&text, today(), ZONES).unwrap_err();
    assert!(
        wrong.message.contains("more than 100000 times"),
        "{wrong:?}"
    );
}

#[test]
fn what_is_not_understood_in_full_is_refused_at_its_line() {
    for (line, message) in [
        (
            "RRULE:FREQ=YEARLY;BYEASTER=-2",
            "the part `BYEASTER=-2` of this rule is not known",
        ),
        ("EXRULE:FREQ=YEARLY;OOPS", "the part `OOPS`"),
        (
            "RRULE:FREQ=YEARLY;BYMONTH=",
            "BYMONTH of this rule has no value",
        ),
        (
            "RRULE:FREQ=YEARLY;BYMONTH=1;bymonth=2",
            "BYMONTH of this rule is given twice",
        ),
        (
            "RRULE:FREQ=YEARLY;SKIP=FORWARD",
            "SKIP may not be used without RSCALE",
        ),
        (
            "RRULE:FREQ=WEEKLY;BYDAY=2MO",
            "a BYDAY ordinal may not be used with FREQ=WEEKLY",
        ),
        (
            "RECURRENCE-ID;RANGE=THISANDPRIOR:20270104",
            "RANGE=`THISANDPRIOR` is not known",
        ),
        (
            "RDATE;VALUE=PERIOD:20270104T060000Z/20270103T060000Z",
            "ends before it begins",
        ),
    ] {
        let text = file(&format!(
            "BEGIN:VEVENT\nDTSTART:20270104\n{line}\nEND:VEVENT"
        ));
        let wrong = read(&text, today(), ZONES).unwrap_err();
        assert!(wrong.message.contains(message), "{line}: {wrong:?}");
        assert_eq!(&text[wrong.at.clone()], line, "{wrong:?}");
    }
}

#[test]
fn a_rule_that_nothing_satisfies_ends() {
    let odd = "DTSTART:20270104\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30";
    assert_eq!(days(odd), ["2027-01-04"]);
    let empty = "DTSTART:20270104\nRRULE:FREQ=DAILY;BYDAY=MO;BYSETPOS=2";
    assert_eq!(days(empty), ["2027-01-04"]);
}
