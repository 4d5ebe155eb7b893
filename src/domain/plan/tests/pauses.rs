//! Stories of pauses.

use super::*;
use crate::domain::pause::Lifted;

impl World {
    /// Somebody pauses it, at this time or now.
    fn pauses(&mut self, scope: Scope, since: &str, until: Option<&str>) -> &mut Self {
        self.pauses.push(Pause {
            scope,
            since: at(since),
            until: until.map(at),
            by: "ada".to_owned(),
            reason: "the farm moves".to_owned(),
            lifted: None,
        });
        self
    }

    /// Somebody lifts all pauses.
    fn resumes(&mut self, when: &str) -> &mut Self {
        for pause in &mut self.pauses {
            pause.lifted = Some(Lifted {
                at: at(when),
                by: "bob".to_owned(),
            });
        }
        self
    }

    /// The hour at which each tick was due, how it stands, and how many it stands for.
    fn hours(&self) -> Vec<String> {
        let row = |tick: &Tick| {
            let state = tick.state.word();
            match tick.missed {
                None => format!("{} {state}", tick.due.format("%d %H:%M")),
                Some(missed) => format!(
                    "{}..{} {state} {}",
                    missed.from.format("%d %H:%M"),
                    missed.to.format("%d %H:%M"),
                    missed.count
                ),
            }
        };
        self.ticks.iter().map(row).collect()
    }
}

fn hourly(now: &str) -> World {
    let mut world = World::at(now);
    world.cron("0 * * * *").decide();
    world
}

#[test]
fn ticks_due_during_a_pause_end_as_paused_and_a_resume_owes_nothing() {
    let mut world = hourly("2027-02-04T09:30:00Z");
    world.wakes_until("2027-02-04T10:30:00Z");
    world
        .pauses(Scope::All, "2027-02-04T10:30:00Z", None)
        .wakes_until("2027-02-04T12:30:00Z")
        .resumes("2027-02-04T12:30:00Z")
        .decide()
        .wakes_until("2027-02-04T13:30:00Z");
    assert_eq!(
        world.hours(),
        [
            "04 10:00 started",
            "04 11:00 paused",
            "04 12:00 paused",
            "04 13:00 started"
        ]
    );
    assert_eq!(
        world.ticks[1].note,
        "paused: pause of all entries by ada at 2027-02-04T10:30:00Z: the farm moves"
    );
    // Decided is decided: a clock that goes back opens nothing.
    world.go_to("2027-02-04T10:45:00Z");
    world.wakes_until("2027-02-04T12:45:00Z");
    assert_eq!(world.ticks.len(), 4);
}

#[test]
fn a_pause_is_about_an_entry_a_label_or_all() {
    let label = |text: &str| Scope::Label(text.to_owned());
    let entry = |text: &str| Scope::Entry(EntryName::parse(text).unwrap());
    for (scope, state) in [
        (Scope::All, "paused"),
        (entry("nightly"), "paused"),
        (entry("other"), "started"),
        (label("web"), "paused"),
        (label("nightly"), "started"),
    ] {
        let mut world = hourly("2027-02-04T09:30:00Z");
        world.entry.labels = Arc::new(["web".to_owned()].into());
        world
            .pauses(scope.clone(), "2027-02-04T09:40:00Z", None)
            .wakes_until("2027-02-04T10:30:00Z");
        assert_eq!(world.hours(), [format!("04 10:00 {state}")], "{scope}");
    }
}

#[test]
fn a_pause_that_runs_out_ends_at_its_instant() {
    let mut world = hourly("2027-02-04T09:30:00Z");
    let until = Some("2027-02-04T12:00:00Z");
    world
        .pauses(Scope::All, "2027-02-04T10:00:00Z", until)
        .wakes_until("2027-02-04T12:30:00Z");
    // The first instant is in it, the last is not.
    assert_eq!(
        world.hours(),
        ["04 10:00 paused", "04 11:00 paused", "04 12:00 started"]
    );
}

#[test]
fn a_pause_that_was_over_before_the_daemon_came_back_is_ruled_on_and_the_rest_is_missed_or_caught_up()
 {
    for (catch_up, rows) in [
        (
            CatchUp::Latest,
            [
                "04 11:00 paused",
                "04 12:00 paused",
                "04 10:00..04 10:00 missed 1",
                "04 13:00..04 13:00 missed 1",
                "04 14:00 sent",
            ]
            .as_slice(),
        ),
        (
            CatchUp::All,
            &[
                "04 11:00 paused",
                "04 12:00 paused",
                "04 10:00 sent",
                "04 13:00 sent",
                "04 14:00 sent",
            ],
        ),
        (
            CatchUp::None,
            &[
                "04 11:00 paused",
                "04 12:00 paused",
                "04 10:00..04 10:00 missed 1",
                "04 13:00..04 14:00 missed 2",
            ],
        ),
    ] {
        let mut world = hourly("2027-02-04T09:30:00Z").with(|entry| entry.catch_up = catch_up);
        world
            .pauses(Scope::All, "2027-02-04T10:30:00Z", None)
            .resumes("2027-02-04T12:30:00Z")
            .go_to("2027-02-04T14:30:00Z");
        world.wakes_until("2027-02-04T14:40:00Z");
        assert_eq!(world.hours(), rows, "{catch_up:?}");
    }
}

#[test]
fn nothing_that_was_missed_is_caught_up_while_a_pause_holds() {
    let mut world = hourly("2027-02-04T09:30:00Z");
    // The daemon was away from 09:31, somebody paused all at 11:30, and it comes back at 12:30.
    world
        .pauses(Scope::All, "2027-02-04T11:30:00Z", None)
        .go_to("2027-02-04T12:30:00Z");
    assert_eq!(
        world.hours(),
        ["04 10:00 paused", "04 11:00 paused", "04 12:00 paused"]
    );
    assert!(world.sent.is_empty() && world.finds.is_empty());
    let mut world = hourly("2027-02-01T09:30:00Z");
    world
        .pauses(Scope::All, "2027-02-02T00:00:00Z", None)
        .go_to("2027-02-04T12:30:00Z");
    assert_eq!(world.hours(), ["01 10:00..04 12:00 paused 75"]);
    assert_eq!(
        world.ticks[0].note,
        "paused 75 ticks, due 2027-02-01T10:00:00Z to 2027-02-04T12:00:00Z: pause of all entries by ada at \
         2027-02-02T00:00:00Z: the farm moves"
    );
}

#[test]
fn a_clock_that_is_set_does_not_confuse_a_pause() {
    // Back: somebody asked and nobody took it back, so it holds.
    let mut world = hourly("2027-02-04T09:30:00Z");
    world.pauses(Scope::All, "2027-02-04T09:30:00Z", None);
    world.go_to("2027-02-04T07:30:00Z");
    world.wakes_until("2027-02-04T10:30:00Z");
    assert_eq!(
        world.hours(),
        ["04 08:00 paused", "04 09:00 paused", "04 10:00 paused"]
    );
    // Ahead and back again: the pause has run out by that clock, and holds again by the right one.
    let mut world = hourly("2027-02-04T09:30:00Z").with(|entry| entry.catch_up = CatchUp::None);
    let until = Some("2027-02-04T20:00:00Z");
    world.pauses(Scope::All, "2027-02-04T09:30:00Z", until);
    world.go_to("2028-02-04T09:30:00Z");
    world.go_to("2027-02-04T09:31:00Z");
    world.ticks.clear();
    world.wakes_until("2027-02-04T11:30:00Z");
    assert_eq!(world.hours(), ["04 10:00 paused", "04 11:00 paused"]);
}

#[test]
fn pauses_that_overlap_are_one_time() {
    let mut world = hourly("2027-02-04T09:30:00Z").with(|entry| entry.catch_up = CatchUp::All);
    let name = EntryName::parse("nightly").unwrap();
    let [ten, eleven] = ["2027-02-04T10:30:00Z", "2027-02-04T11:30:00Z"];
    let (noon, one) = (Some("2027-02-04T12:30:00Z"), Some("2027-02-04T13:30:00Z"));
    world
        .pauses(Scope::Entry(name), eleven, noon)
        .pauses(Scope::All, ten, one)
        .go_to("2027-02-04T14:30:00Z");
    world.wakes_until("2027-02-04T14:40:00Z");
    assert_eq!(
        world.hours(),
        [
            "04 11:00 paused",
            "04 12:00 paused",
            "04 13:00 paused",
            "04 10:00 sent",
            "04 14:00 sent"
        ]
    );
}

#[test]
fn what_is_open_goes_on_and_what_is_started_by_hand_starts() {
    let mut world = hourly("2027-02-04T09:30:00Z").with(|entry| {
        entry.spread = Duration::from_secs(1800);
    });
    world.wakes();
    assert_eq!(world.hours(), ["04 10:00 waiting"]);
    world
        .pauses(Scope::All, "2027-02-04T10:00:01Z", None)
        .wakes_until("2027-02-04T10:59:00Z");
    assert_eq!(world.hours(), ["04 10:00 started"]);
    let (now, state) = (world.now, world.state());
    let plan = open_manual(now, &world.entry, &state, wanted(), &mut world.room);
    world.store(plan);
    assert_eq!(world.hours(), ["04 10:00 started", "04 10:59 sent"]);
}

#[test]
fn what_a_calendar_excludes_or_somebody_skips_is_not_paused_as_well() {
    let mut world = hourly("2027-02-04T09:30:00Z");
    world.skips.push(Skip {
        due: at("2027-02-04T10:00:00Z"),
        by: "ada".to_owned(),
        asked_at: at("2027-02-04T09:00:00Z"),
        reason: String::new(),
    });
    world
        .pauses(Scope::All, "2027-02-04T09:40:00Z", None)
        .wakes_until("2027-02-04T11:30:00Z");
    assert_eq!(world.hours(), ["04 10:00 excluded", "04 11:00 paused"]);
}
