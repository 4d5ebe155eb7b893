//! The cron engine against `croner`, in the same run: the next firing in UTC and in a zone with clock changes, and how
//! long it takes to see that a pattern can never fire.
//!
//! `cargo bench --bench cron`. The goals: at least four times as fast as `croner` in each row, and 50 µs for "never".
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on says so")]

use std::hint::black_box;

use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use croner::Cron;
use pipecron::domain::cron::CronPattern;
use pipecron::os::zones::Zones;

const PATTERNS: [&str; 4] = ["0 2 * * *", "*/5 * * * *", "0 0 29 2 *", "30 9 * * 1-5"];

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_500_000, 0).expect("an instant")
}

fn next(criterion: &mut Criterion) {
    let zones = Zones::load();
    for (zone, theirs_in) in [
        ("UTC", chrono_tz::UTC),
        ("Europe/Berlin", chrono_tz::Europe::Berlin),
    ] {
        let zone = zones.get(zone).expect("a zone");
        for text in PATTERNS {
            let ours = CronPattern::parse(text).expect(text);
            let theirs: Cron = text.parse().expect(text);
            let after = start().with_timezone(&theirs_in);
            let their_next = theirs.find_next_occurrence(&after, false).expect(text);
            assert_eq!(
                ours.next_after(&zone, start()),
                Some(their_next.to_utc()),
                "{text}"
            );

            let mut group = criterion.benchmark_group(format!("next {text} in {}", zone.name()));
            group.bench_function("pipecron", |bencher| {
                bencher.iter(|| black_box(&ours).next_after(&zone, black_box(start())));
            });
            group.bench_function("croner", |bencher| {
                bencher.iter(|| black_box(&theirs).find_next_occurrence(black_box(&after), false));
            });
            group.finish();
        }
    }
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for text in ["*/5 * * * *", "0 0 31 2,4 *"] {
        group.bench_function(format!("pipecron {text}"), |bencher| {
            bencher.iter(|| CronPattern::parse(black_box(text)));
        });
    }
    group.bench_function("croner */5 * * * *", |bencher| {
        bencher.iter(|| black_box("*/5 * * * *").parse::<Cron>());
    });
    group.finish();
}

/// `croner` accepts an impossible pattern and looks for its firing in vain, each time; ours is refused when it is read.
fn never(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("never 0 0 31 2 *");
    group.bench_function("pipecron", |bencher| {
        bencher.iter(|| CronPattern::parse(black_box("0 0 31 2 *")))
    });
    let theirs: Cron = "0 0 31 2 *".parse().expect("croner accepts it");
    group.sample_size(10);
    group.bench_function("croner", |bencher| {
        bencher.iter(|| theirs.find_next_occurrence(black_box(&start()), false));
    });
    group.finish();
}

/// What has no counterpart in `croner`: catching up after a long absence.
fn catch_up(criterion: &mut Criterion) {
    let zone = Zones::load().get("Europe/Berlin").expect("a zone");
    let pattern = CronPattern::parse("*/5 * * * *").expect("a pattern");
    let long_ago = start() - chrono::TimeDelta::days(3650);
    criterion.bench_function("count */5 * * * * over ten years", |bencher| {
        bencher.iter(|| {
            black_box(&pattern).count_between(&zone, black_box(long_ago), black_box(start()))
        });
    });
    criterion.bench_function("last of 0 0 29 2 */7", |bencher| {
        let rare = CronPattern::parse("0 0 29 2 */7").expect("a pattern");
        bencher.iter(|| black_box(&rare).last_until(&zone, black_box(start())));
    });
}

fn sizes(_: &mut Criterion) {
    eprintln!(
        "bytes a pattern: pipecron {}, croner {} and what it points to",
        size_of::<CronPattern>(),
        size_of::<Cron>()
    );
}

criterion_group!(benches, sizes, next, parse, never, catch_up);
criterion_main!(benches);
