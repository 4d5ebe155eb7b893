//! Cron patterns against a model that does the obvious thing: it looks at every minute (or second), reads the wall clock,
//! and asks the text. The model is written from `tests/vectors/cron/README.md` and shares no code with the engine.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use pipecron::domain::cron::{CronPattern, PatternErrorKind};
use pipecron::domain::schedule::{Count, Schedule};
use pipecron::domain::zone::{Change, FIRST_INSTANT, LAST_INSTANT, Zone};
use pipecron::os::zones::Zones;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const NAMES: &str = "SUN MON TUE WED THU FRI SAT JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";

// The model.

/// What a text means, by its words alone.
struct Model {
    seconds: Vec<bool>,
    minutes: Vec<bool>,
    hours: Vec<bool>,
    months: BTreeSet<u32>,
    dates: Vec<String>,
    weekdays: Vec<String>,
    both: bool,
    wildcard: bool,
}

impl Model {
    fn new(text: &str) -> Self {
        let text = match text {
            "@hourly" => "0 * * * *",
            "@daily" => "0 0 * * *",
            text => text,
        };
        let mut words: Vec<String> = text.split(' ').map(str::to_uppercase).collect();
        let stars = words
            .iter()
            .take(words.len() - 3)
            .any(|word| word.starts_with('*'));
        if words.len() == 5 {
            words.insert(0, "0".to_owned());
        }
        let flags = |word: &str, size: u32| {
            let named: BTreeSet<u32> = word
                .split(',')
                .flat_map(|item| plain(item, 0, size - 1))
                .collect();
            (0..size).map(|value| named.contains(&value)).collect()
        };
        let list = |word: &String| word.split(',').map(str::to_owned).collect();
        Self {
            seconds: flags(&words[0], 60),
            minutes: flags(&words[1], 60),
            hours: flags(&words[2], 24),
            months: words[4]
                .split(',')
                .flat_map(|item| plain(item, 1, 12))
                .collect(),
            dates: list(&words[3]),
            weekdays: list(&words[5]),
            both: [&words[3], &words[5]]
                .iter()
                .any(|word| word.starts_with('*') || *word == "?"),
            wildcard: stars,
        }
    }

    fn on(&self, date: NaiveDate) -> bool {
        let by_date = self.dates.iter().any(|item| date_item(item, date));
        let by_weekday = self.weekdays.iter().any(|item| weekday_item(item, date));
        self.months.contains(&date.month())
            && if self.both {
                by_date && by_weekday
            } else {
                by_date || by_weekday
            }
    }

    fn at(&self, hour: u32, minute: u32, second: u32) -> bool {
        self.hours[hour as usize] && self.minutes[minute as usize] && self.seconds[second as usize]
    }
}

/// The values of an item that has no special letters.
fn plain(item: &str, min: u32, max: u32) -> Vec<u32> {
    let value = |text: &str| {
        let name = NAMES
            .split(' ')
            .position(|name| name == text)
            .map(|at| if at < 7 { at } else { at - 6 });
        name.map_or_else(
            || text.parse().unwrap_or_else(|_| panic!("model: {item}")),
            |name| name as u32,
        )
    };
    let (range, step) = item
        .split_once('/')
        .map_or((item, None), |(range, step)| (range, Some(value(step))));
    let (low, mut high) = match (range, range.split_once('-')) {
        ("*" | "?", _) => (min, max),
        (_, Some((low, high))) => (value(low), value(high)),
        (only, None) => (value(only), if step.is_some() { max } else { value(only) }),
    };
    if max == 7 && low > high && high == 0 {
        high = 7;
    }
    (low..=high).step_by(step.unwrap_or(1) as usize).collect()
}

fn month_has(date: NaiveDate, day: i64) -> Option<NaiveDate> {
    u32::try_from(day).ok().and_then(|day| date.with_day(day))
}

fn is_workday(date: NaiveDate) -> bool {
    !matches!(date.weekday(), chrono::Weekday::Sat | chrono::Weekday::Sun)
}

fn date_item(item: &str, date: NaiveDate) -> bool {
    let workdays = || {
        (1..=31)
            .filter_map(|day| month_has(date, day))
            .filter(|day| is_workday(*day))
    };
    if item == "L" {
        date.month() != (date + TimeDelta::days(1)).month()
    } else if item == "LW" {
        workdays().next_back() == Some(date)
    } else if let Some(day) = item.strip_suffix('W') {
        let day: i64 = day.parse().expect("a day");
        let nearest = workdays().min_by_key(|workday| (i64::from(workday.day()) - day).abs());
        month_has(date, day).is_some() && nearest == Some(date)
    } else {
        plain(item, 1, 31).contains(&date.day())
    }
}

fn weekday_item(item: &str, date: NaiveDate) -> bool {
    let is = |text: &str| {
        plain(text, 0, 7)
            .iter()
            .any(|day| day % 7 == date.weekday().num_days_from_sunday())
    };
    if let Some((day, nth)) = item.split_once('#') {
        is(day) && ((date.day() - 1) / 7 + 1).to_string() == nth
    } else if let Some(day) = item.strip_suffix('L') {
        is(day) && (date + TimeDelta::days(7)).month() != date.month()
    } else {
        is(item)
    }
}

/// A stretch of time in a zone, moment by moment: what the wall clock shows, whether for the first time, and what it
/// jumped over just now.
struct Scene {
    moments: Vec<Moment>,
    dates: Vec<NaiveDate>,
}

struct Moment {
    at: i64,
    local: Local,
    first: bool,
    jumped: Vec<Local>,
}

#[derive(Clone, Copy)]
struct Local {
    date: usize,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Scene {
    /// The moments of `window`, `step` seconds apart. What came up to 27 hours before is looked at too, to know what
    /// the clock has shown already.
    fn new(zone: &Zone, window: Range<i64>, step: i64) -> Self {
        let begin = (window.start - 27 * HOUR).div_euclid(step) * step;
        let offset = |at: i64| -> i64 {
            let changes = zone.changes();
            let last = changes.iter().rev().find(|change| change.at <= at);
            last.map_or_else(|| zone.stretch_at(i64::MIN).offset, |change| change.offset)
                .into()
        };
        let base = begin - 30 * HOUR + offset(begin);
        let mut done = vec![false; ((window.end - base + 80 * HOUR) / step) as usize];
        let mut scene = Self {
            moments: Vec::new(),
            dates: Vec::new(),
        };
        let (mut before, mut at) = (offset(begin), begin);
        let mut next_change = zone.changes().partition_point(|change| change.at <= begin);
        while at < window.end {
            let mut now = before;
            while let Some(change) = zone.changes().get(next_change)
                && change.at <= at
            {
                now = change.offset.into();
                next_change += 1;
            }
            let mut jumped = Vec::new();
            for skipped in (at + before..at + now).step_by(step as usize) {
                let was_done =
                    std::mem::replace(&mut done[((skipped - base) / step) as usize], true);
                if !was_done && now - before <= 3 * HOUR && at >= window.start {
                    jumped.push(scene.local(skipped));
                }
            }
            let first = !std::mem::replace(&mut done[((at + now - base) / step) as usize], true);
            if at >= window.start {
                let local = scene.local(at + now);
                scene.moments.push(Moment {
                    at,
                    local,
                    first,
                    jumped,
                });
            }
            before = now;
            at += step;
        }
        scene
    }

    fn local(&mut self, local: i64) -> Local {
        let (date, second) = (local.div_euclid(DAY), local.rem_euclid(DAY) as u32);
        let date = wall(date * DAY).date();
        let at = self
            .dates
            .iter()
            .position(|known| *known == date)
            .unwrap_or_else(|| {
                self.dates.push(date);
                self.dates.len() - 1
            });
        Local {
            date: at,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    /// The firings, by looking at every moment.
    fn firings(&self, model: &Model) -> Vec<i64> {
        let on: Vec<bool> = self.dates.iter().map(|date| model.on(*date)).collect();
        let named =
            |local: &Local| model.at(local.hour, local.minute, local.second) && on[local.date];
        let fires = |moment: &&Moment| {
            if model.wildcard {
                named(&moment.local)
            } else {
                moment.first && named(&moment.local) || moment.jumped.iter().any(named)
            }
        };
        self.moments
            .iter()
            .filter(fires)
            .map(|moment| moment.at)
            .collect()
    }
}

// Help.

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("an instant")
}

fn wall(local: i64) -> NaiveDateTime {
    instant(local).naive_utc()
}

/// A small generator of numbers; a seed is a case.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        (self.next() % end.unsigned_abs()) as i64
    }

    fn within(&mut self, range: Range<i64>) -> i64 {
        range.start + self.below(range.end - range.start)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as i64) as usize]
    }

    fn one_in(&mut self, count: i64) -> bool {
        self.below(count) == 0
    }

    fn field(&mut self, min: i64, max: i64, stars: i64) -> String {
        if self.one_in(stars) {
            return if self.one_in(3) {
                format!("*/{}", self.within(1..max))
            } else {
                "*".to_owned()
            };
        }
        let item = |random: &mut Self| {
            let low = random.within(min..max + 1);
            let high = random.within(low..max + 1);
            match random.below(6) {
                0 => format!("{low}-{high}"),
                1 => format!("{low}-{high}/{}", random.within(1..9)),
                2 => format!("{low}/{}", random.within(1..30)),
                _ => low.to_string(),
            }
        };
        (0..=self.below(3))
            .map(|_| item(self))
            .collect::<Vec<_>>()
            .join(",")
    }

    fn date_field(&mut self) -> String {
        match self.below(8) {
            0 => "L".to_owned(),
            1 => "LW".to_owned(),
            2 => format!("{}W", self.within(1..32)),
            3 => format!("{},{}W,L", self.within(1..32), self.within(1..32)),
            4 => "?".to_owned(),
            _ => self.field(1, 31, 2),
        }
    }

    fn weekday_field(&mut self) -> String {
        let names = [
            "sun", "Mon", "TUE", "wed", "THU", "FRI", "Sat", "0", "5", "7",
        ];
        match self.below(9) {
            0 => format!("{}L", self.pick(&names)),
            1 => format!("{}#{}", self.pick(&names), self.within(1..6)),
            2 => format!(
                "{}#{},{}L,{}",
                self.pick(&names),
                self.within(1..6),
                self.within(0..8),
                self.pick(&names)
            ),
            3 => format!(
                "{}-{}",
                self.pick(&["1", "FRI", "6"]),
                self.pick(&["SUN", "0", "7"])
            ),
            4 => "?".to_owned(),
            _ => self.field(0, 7, 2),
        }
    }

    fn pattern(&mut self) -> String {
        let seconds = if self.one_in(4) {
            format!("{} ", self.field(0, 59, 4))
        } else {
            String::new()
        };
        let clock = format!("{seconds}{} {}", self.field(0, 59, 3), self.field(0, 23, 3));
        let month = if self.one_in(2) {
            "*".to_owned()
        } else {
            self.field(1, 12, 4)
        };
        format!(
            "{clock} {} {month} {}",
            self.date_field(),
            self.weekday_field()
        )
    }
}

/// Asks the engine every question about a window and compares the answers with the model's.
fn compare(zone: &Zone, text: &str, scene: &Scene, window: &Range<i64>) {
    let pattern = CronPattern::parse(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
    let expected = scene.firings(&Model::new(text));
    let context = || format!("`{text}` in {} from {}", zone.name(), instant(window.start));
    let (after, until) = (instant(window.start - 1), instant(window.end - 1));
    let mut found = Vec::with_capacity(expected.len());
    let mut now = after + TimeDelta::milliseconds(999);
    while let Some(next) = pattern.next_after(zone, now).filter(|next| *next <= until) {
        assert!(
            next > now,
            "{} is not later than {now}: {}",
            next,
            context()
        );
        found.push(next.timestamp());
        now = next;
    }
    assert_eq!(show(&found), show(&expected), "{}", context());
    assert_eq!(
        pattern.count_between(zone, after, until),
        expected.len() as u64,
        "count of {}",
        context()
    );
    let mut back = Vec::with_capacity(expected.len());
    let mut now = until + TimeDelta::milliseconds(999);
    while let Some(last) = pattern.last_until(zone, now).filter(|last| *last > after) {
        assert!(last <= now, "{last} is later than {now}: {}", context());
        back.push(last.timestamp());
        now = last - TimeDelta::nanoseconds(1);
    }
    back.reverse();
    assert_eq!(show(&back), show(&expected), "backwards, {}", context());
}

fn show(instants: &[i64]) -> Vec<String> {
    if instants.len() > 300 {
        return instants.iter().map(i64::to_string).collect();
    }
    instants
        .iter()
        .map(|at| instant(*at).to_rfc3339())
        .collect()
}

/// Runs `work` on every item, on two threads.
fn in_two<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let (even, odd): (Vec<_>, Vec<_>) = items
        .iter()
        .enumerate()
        .partition(|(index, _)| index % 2 == 0);
    std::thread::scope(|scope| {
        for half in [even, odd] {
            scope.spawn(|| half.into_iter().for_each(|(_, item)| work(item)));
        }
    });
}

/// The zones that differ, each once.
fn different_zones() -> Vec<Arc<Zone>> {
    let zones = Zones::load();
    let mut seen = BTreeSet::new();
    let all = zones
        .names()
        .into_iter()
        .map(|name| zones.get(&name).expect("a zone"));
    all.filter(|zone| {
        let table: Vec<_> = zone
            .changes()
            .iter()
            .map(|change| (change.at, change.offset))
            .collect();
        seen.insert((zone.stretch_at(i64::MIN).offset, table))
    })
    .collect()
}

// The properties.

/// Patterns that a change of the clock is likely to get wrong.
fn telling_patterns(change: i64, before: i64, now: i64) -> Vec<String> {
    let (low, high) = (
        (change + before).min(change + now),
        (change + before).max(change + now),
    );
    let middle = wall((low + high) / 2);
    let (hour, minute, first, last) = (
        middle.hour(),
        middle.minute(),
        wall(low).hour(),
        wall(high).hour(),
    );
    let (month, date, weekday) = (
        middle.month(),
        middle.day(),
        middle.weekday().num_days_from_sunday(),
    );
    vec![
        format!("{minute} {hour} * * *"),
        format!("{minute} {hour} {date} {month} *"),
        format!("{} {first} ? * {weekday}", wall(low).minute()),
        format!("{} {last} * * *", wall(high).minute()),
        format!("0,30,59 {},{first},{last} * * *", (first + 23) % 24),
        format!("0-59 {hour} * * *"),
        format!("{minute} 0-23 * * *"),
        format!("{minute} * * * *"),
        format!("*/20 {hour} * * *"),
        format!("{minute} */2 * * {weekday}"),
        "*/15 * * * *".to_owned(),
        "@hourly".to_owned(),
        "@daily".to_owned(),
    ]
}

#[test]
fn every_zone_at_every_change_from_2000_to_2040() {
    let years = instant(946_684_800).timestamp()..instant(2_240_524_800).timestamp();
    in_two(&different_zones(), |zone| {
        let mut before = i64::from(zone.stretch_at(years.start).offset);
        for change in zone
            .changes()
            .iter()
            .filter(|change| years.contains(&change.at))
        {
            let now = i64::from(change.offset);
            assert_eq!(
                (before % 60, now % 60),
                (0, 0),
                "{} needs a look at every second",
                zone.name()
            );
            let around = 3 * HOUR + (now - before).abs();
            let window = change.at - around..change.at + around;
            let scene = Scene::new(zone, window.clone(), 60);
            for text in telling_patterns(change.at, before, now) {
                compare(zone, &text, &scene, &window);
            }
            before = now;
        }
    });
}

#[test]
fn every_second_around_the_odd_changes_of_two_centuries() {
    let zones = Zones::load();
    let telling = [
        "Africa/Cairo",
        "Africa/Monrovia",
        "America/Caracas",
        "America/Santiago",
        "America/St_Johns",
        "Antarctica/Troll",
        "Asia/Gaza",
        "Asia/Kathmandu",
        "Asia/Pyongyang",
        "Australia/Lord_Howe",
        "Europe/Amsterdam",
        "Europe/Dublin",
        "Europe/Moscow",
        "Pacific/Apia",
        "Pacific/Kwajalein",
    ];
    in_two(&telling, |name| {
        let zone = zones.get(name).expect("a zone");
        let mut before = i64::from(zone.stretch_at(FIRST_INSTANT).offset);
        let far = instant(2_000_000_000).timestamp();
        for change in zone.changes().iter().take_while(|change| change.at < far) {
            let now = i64::from(change.offset);
            let odd = before % 60 != 0 || now % 60 != 0 || (now - before).abs() != HOUR;
            let around = 600 + (now - before).abs().min(5 * HOUR);
            // Ordinary changes are many and alike.
            if odd || change.at % 7 == 0 || change.at > 1_700_000_000 {
                let window = change.at - around..change.at + around;
                let scene = Scene::new(&zone, window.clone(), 1);
                let middle = wall(change.at + (before + now) / 2);
                let (hour, minute, second) = (middle.hour(), middle.minute(), middle.second());
                for text in [
                    format!("{second} {minute} {hour} * * *"),
                    format!("{second},59 0-59/5 {hour},{} * * *", (hour + 1) % 24),
                    format!("*/17 {minute} {hour} * * *"),
                    format!("59 {minute},0 * * * *"),
                    format!("{minute} {hour} * * *"),
                    "*/10 * * * *".to_owned(),
                ] {
                    compare(&zone, &text, &scene, &window);
                }
            }
            before = now;
        }
    });
}

#[test]
fn any_pattern_in_any_zone_at_any_time() {
    let zones = different_zones();
    let seeds: Vec<u64> = (0..400).collect();
    in_two(&seeds, |seed| {
        let mut random = Random(*seed);
        let zone = random.pick(&zones);
        let start = random.within(FIRST_INSTANT + 30 * HOUR..LAST_INSTANT - 60 * DAY);
        // Half of the windows lie at a change of the clock.
        let start = match zone.changes() {
            changes if !changes.is_empty() && random.one_in(2) => {
                random.pick(changes).at.max(FIRST_INSTANT + 60 * HOUR) - random.below(28 * HOUR)
            }
            _ => start,
        };
        let whole_minutes = zone.stretch_at(start - 30 * HOUR).offset % 60 == 0
            && zone.stretch_at(start + 30 * HOUR).offset % 60 == 0;
        let (step, length) = if whole_minutes {
            (60, 40 * HOUR)
        } else {
            (1, 5 * HOUR)
        };
        let start = start.div_euclid(60) * 60;
        let window = start..start + length;
        let scene = Scene::new(zone, window.clone(), step);
        let mut left = 25;
        while left > 0 {
            let text = random.pattern();
            if (step == 60 && text.split(' ').count() == 6) || CronPattern::parse(&text).is_err() {
                continue;
            }
            compare(zone, &text, &scene, &window);
            left -= 1;
        }
    });
}

#[test]
fn clocks_that_no_government_has_thought_of() {
    let seeds: Vec<u64> = (0..250).collect();
    in_two(&seeds, |seed| {
        let mut random = Random(1_000_000 + *seed);
        let start = random.within(0..2_000_000_000).div_euclid(60) * 60;
        let mut at = start;
        let changes = (0..random.within(1..12)).map(|_| {
            at += 60 * random.pick(&[1, 10, 45, 60, 90, 600, 1440, 3000]) + 60 * random.below(30);
            let offset = if random.one_in(3) {
                random.within(-56..57)
            } else {
                random.within(4..9)
            };
            Change {
                at,
                offset: (offset * 900) as i32,
            }
        });
        let zone = Zone::new(&format!("Seed/{seed}"), 3600, changes.collect());
        let window = start - 2 * HOUR..at + 30 * HOUR;
        let scene = Scene::new(&zone, window.clone(), 60);
        for _ in 0..25 {
            let (hour, minute) = (random.below(24), 15 * random.below(4));
            let text = match random.below(6) {
                0 => format!("{minute} {hour} * * *"),
                1 => format!(
                    "{minute} {hour},{},{} * * 1-5",
                    random.below(24),
                    random.below(24)
                ),
                2 => format!("{minute} * * * *"),
                3 => format!("*/20 {hour} * * *"),
                4 => format!("0-59 {hour} */2 * *"),
                _ => format!("7,{minute} 0-23 * * *"),
            };
            compare(&zone, &text, &scene, &window);
        }
    });
}

#[test]
fn the_days_of_three_centuries_are_those_of_the_model() {
    let days: Vec<NaiveDate> = wall(FIRST_INSTANT)
        .date()
        .iter_days()
        .take_while(|date| date.year() < 2200)
        .collect();
    let utc = Zone::utc();
    let seeds: Vec<u64> = (0..40).collect();
    in_two(&seeds, |seed| {
        let mut random = Random(2_000_000 + *seed);
        let month = random.field(1, 12, 2);
        let text = format!(
            "30 4 {} {month} {}",
            random.date_field(),
            random.weekday_field()
        );
        let model = Model::new(&text);
        let expected: Vec<i64> = days
            .iter()
            .filter(|date| model.on(**date))
            .filter_map(|date| Some(date.and_hms_opt(4, 30, 0)?.and_utc().timestamp()))
            .collect();
        let Ok(pattern) = CronPattern::parse(&text) else {
            assert!(expected.is_empty(), "`{text}`");
            return;
        };
        let mut now = instant(FIRST_INSTANT - 5);
        for (index, at) in expected.iter().enumerate() {
            let next = pattern.next_after(&utc, now).expect("a next day");
            assert_eq!(
                (next, pattern.last_until(&utc, next)),
                (instant(*at), Some(next)),
                "`{text}` after {now}"
            );
            assert_eq!(
                pattern.last_until(&utc, now),
                index.checked_sub(1).map(|_| now),
                "`{text}` until {now}"
            );
            now = next;
        }
        assert_eq!(pattern.next_after(&utc, now), None, "`{text}` after {now}");
        for _ in 0..50 {
            let after = random.within(FIRST_INSTANT..LAST_INSTANT);
            let until = random.within(after..LAST_INSTANT);
            let between = expected
                .iter()
                .filter(|at| (after + 1..=until).contains(*at))
                .count() as u64;
            let count = pattern.count_between(&utc, instant(after), instant(until));
            assert_eq!(
                count,
                between,
                "`{text}` between {} and {}",
                instant(after),
                instant(until)
            );
        }
    });
}

#[test]
fn what_can_never_fire_is_refused_and_all_else_fires_within_fifty_years() {
    let mut texts: Vec<String> = Vec::new();
    let dates = [
        "29", "30", "31", "30,31", "29W", "30W", "31W", "29-31/2", "*/29", "*/30", "L", "31W,30",
        "LW",
    ];
    let months = ["2", "4", "2,4,6,9,11", "2,3", "FEB-FEB"];
    for (date, month) in dates
        .iter()
        .flat_map(|date| months.map(|month| (date, month)))
    {
        for weekday in ["*", "?", "*/7", "*/6", "1", "5#5", "*,1#1", "2#1"] {
            texts.push(format!("0 12 {date} {month} {weekday}"));
        }
    }
    for weekday in ["0#5", "1#1", "2#2", "5#5", "6L", "1L,1#1"] {
        texts.extend(
            ["*/8", "*/29", "*/31", "*/15", "*"].map(|date| format!("0 12 {date} 2 {weekday}")),
        );
    }
    let utc = Zone::utc();
    let starts: Vec<i64> = (1900..2149)
        .step_by(31)
        .map(|year| instant(0).timestamp() + (year - 1970) * 31_556_952)
        .collect();
    let every_day: Vec<NaiveDate> = NaiveDate::from_ymd_opt(2000, 1, 1)
        .expect("a day")
        .iter_days()
        .take(146_097)
        .collect();
    in_two(&texts, |text| {
        let model = Model::new(text);
        let happens = every_day.iter().any(|date| model.on(*date));
        match CronPattern::parse(text) {
            Err(error) => {
                assert_eq!(
                    (error.kind, happens),
                    (PatternErrorKind::Never, false),
                    "`{text}`"
                );
                assert!(
                    text[error.span.clone()]
                        .starts_with(text.split(' ').nth(2).unwrap_or_default()),
                    "{error}"
                );
            }
            Ok(pattern) => {
                assert!(happens, "`{text}` was accepted");
                for start in &starts {
                    let next = pattern.next_after(&utc, instant(*start)).expect("a firing");
                    assert!(
                        next.timestamp() - start < 50 * 366 * DAY,
                        "`{text}` after {}",
                        instant(*start)
                    );
                }
            }
        }
    });
}

#[test]
fn a_pattern_whose_hour_the_clock_always_skips_ends_its_search() {
    let berlin = Zones::built_in().get("Europe/Berlin").expect("a zone");
    let pattern = CronPattern::parse("*/5 2 * 3 SUNL").expect("a pattern");
    let today = instant(1_800_000_000);
    assert_eq!(pattern.next_after(&berlin, today), None);
    assert_eq!(
        pattern.count_between(&berlin, today, instant(LAST_INSTANT)),
        0
    );
    // Before there was summer time in March, it fired.
    let last = pattern
        .last_until(&berlin, today)
        .expect("a firing long ago");
    assert!(last < instant(400_000_000), "{last}");
}

#[test]
fn odd_instants_and_odd_zones_are_borne() {
    let mut random = Random(3_000_000);
    let mut zones = vec![
        Zone::utc(),
        Zone::new("Far/East", i32::MAX, vec![]),
        Zone::new("Far/West", i32::MIN, vec![]),
    ];
    for count in [1, 3, 50, 4000] {
        let change = |random: &mut Random| {
            let at = *random.pick(&[
                i64::MIN,
                i64::MAX,
                0,
                FIRST_INSTANT,
                LAST_INSTANT,
                random.0 as i64 / 1_000_000_000,
            ]);
            let at = if random.one_in(2) {
                random.within(FIRST_INSTANT..LAST_INSTANT)
            } else {
                at
            };
            Change {
                at,
                offset: random.next() as i32,
            }
        };
        zones.push(Zone::new(
            "Odd",
            0,
            (0..count).map(|_| change(&mut random)).collect(),
        ));
    }
    let mut instants = vec![DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC];
    for at in [FIRST_INSTANT, LAST_INSTANT, 0, 1_800_000_000] {
        instants.extend([at - 1, at, at + 1].map(instant));
        instants.push(instant(at) + TimeDelta::nanoseconds(1));
        instants.push(instant(at) - TimeDelta::nanoseconds(1));
    }
    for text in [
        "* * * * * *",
        "0 2 * * *",
        "*/5 * * * *",
        "0 0 29 2 1#5",
        "59 59 23 31 12 *",
    ] {
        let pattern = CronPattern::parse(text).expect(text);
        for (zone, at) in zones
            .iter()
            .flat_map(|zone| instants.iter().map(move |at| (zone, *at)))
        {
            let context = format!("`{text}` in {} at {at}", zone.name());
            let inside =
                |found: &DateTime<Utc>| (FIRST_INSTANT..LAST_INSTANT).contains(&found.timestamp());
            if let Some(next) = pattern.next_after(zone, at) {
                assert!(next > at && inside(&next), "{context}: {next}");
                assert_eq!(pattern.last_until(zone, next), Some(next), "{context}");
                assert_eq!(pattern.count_between(zone, at, next), 1, "{context}");
            }
            if let Some(last) = pattern.last_until(zone, at) {
                assert!(last <= at && inside(&last), "{context}: {last}");
                assert!(
                    pattern.next_after(zone, last).is_none_or(|next| next > at),
                    "{context}"
                );
                assert_eq!(pattern.count_between(zone, last, at), 0, "{context}");
            }
            let _ = pattern.clock_note(zone, at);
        }
    }
}

#[test]
fn a_union_is_the_set_of_the_firings_of_its_patterns() {
    let zones = different_zones();
    let mut random = Random(4_000_000);
    for _ in 0..150 {
        let zone = random.pick(&zones);
        let mut texts: Vec<String> = (0..random.within(1..5)).map(|_| random.pattern()).collect();
        texts.retain(|text| CronPattern::parse(text).is_ok());
        let Ok(schedule) = Schedule::parse(&texts, Arc::clone(zone)) else {
            continue;
        };
        let after = instant(random.within(FIRST_INSTANT..LAST_INSTANT - 10 * DAY));
        let until = after + TimeDelta::seconds(random.within(0..3 * DAY));
        let mut expected = BTreeSet::new();
        for pattern in schedule.patterns() {
            let mut now = after;
            while let Some(next) = pattern.next_after(zone, now).filter(|next| *next <= until) {
                expected.insert(next);
                now = next;
            }
        }
        let expected: Vec<_> = expected.into_iter().collect();
        let found: Vec<_> = schedule.between(after, until).collect();
        assert_eq!(
            found,
            expected,
            "{texts:?} in {} from {after} to {until}",
            zone.name()
        );
        match schedule.count_between(after, until) {
            Count::Exactly(count) => assert_eq!(count, expected.len() as u64, "{texts:?}"),
            Count::AtLeast(count) => assert!(count <= expected.len() as u64, "{texts:?}"),
        }
        let latest = schedule.latest(after, until, 7);
        assert_eq!(
            latest,
            expected[expected.len().saturating_sub(7)..],
            "{texts:?}"
        );
    }
}

#[test]
fn garbage_is_an_error_with_a_place_and_never_a_panic() {
    let mut random = Random(5_000_000);
    let alphabet: Vec<char> =
        "0123456789*/-,?LW#@H \t\nMONFRIJAN()~;.+xé–＊１\u{a0}\u{200b}\u{0}🕑\u{301}\u{202e}"
            .chars()
            .collect();
    let seeds = [
        "0 2 * * *",
        "*/5 0-23/2 1,15 JAN-MAR mon#2",
        "0 0 0 LW,15W * 5L",
        "@daily",
        "H H * * *",
    ];
    let mut accepted = 0;
    for round in 0..60_000 {
        let mut text: Vec<char> = if round % 4 == 0 {
            vec![]
        } else {
            random.pick(&seeds).chars().collect()
        };
        for _ in 0..=random.below(if round % 4 == 0 { 24 } else { 3 }) {
            let at = random.below(text.len() as i64 + 1) as usize;
            match random.below(3) {
                0 if at < text.len() => drop(text.remove(at)),
                1 if at < text.len() => text[at] = *random.pick(&alphabet),
                _ => text.insert(at, *random.pick(&alphabet)),
            }
        }
        let text: String = text.into_iter().collect();
        match CronPattern::parse_named(&text, "nightly") {
            Ok(pattern) => {
                accepted += 1;
                assert!(
                    pattern.next_after(&Zone::utc(), instant(0)).is_some(),
                    "{text:?}"
                );
            }
            Err(error) => {
                let piece = text.get(error.span.clone());
                assert!(
                    piece.is_some_and(|piece| piece.starts_with(error.piece.trim_end_matches('…'))),
                    "{text:?}: {error:?}"
                );
                assert!(
                    !error.message.is_empty() && error.to_string().len() < 900,
                    "{text:?}: {error}"
                );
                assert!(
                    error.to_string().chars().all(|shown| !shown.is_control()),
                    "{text:?}: {error}"
                );
            }
        }
    }
    assert!(accepted > 1000, "{accepted}");
}
