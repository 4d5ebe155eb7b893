//! Calendar files beside the configuration: a broken one changes nothing, at a reload and at a start.

use rustix::process::Signal;

use super::{Place, schedules};

#[test]
fn a_broken_calendar_file_keeps_the_old_one_at_a_reload_and_at_a_start() {
    let place = Place::new();
    let yaml = schedules("tick", "first").replace(
        "schedules:",
        "calendars: { cn: { ics: cn.ics } }\ndefaults: { skip_on: cn }\nschedules:",
    );
    place.write(&yaml);
    let calendar = |day: &str| {
        let event = format!("BEGIN:VEVENT\nDTSTART:{day}\nEND:VEVENT");
        let text = format!("BEGIN:VCALENDAR\n{event}\nEND:VCALENDAR\n");
        std::fs::write(place.path("cn.ics"), text).unwrap();
    };
    calendar("20991231");
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["run_id="]);
    calendar("2099123");
    daemon.signal(Signal::HUP);
    let problem = daemon.says(&["there is no date"]);
    assert!(
        problem.contains("cn.ics:3:1") && problem.contains("pipecron.yaml:3:"),
        "{problem}"
    );
    daemon.says(&["reload refused"]);
    daemon.says(&["run_id="]);
    let (status, _) = daemon.stop();
    assert!(status.success());
    // The text of the last good one is in the ledger, with that of the YAML.
    std::fs::remove_file(place.path("cn.ics")).unwrap();
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["ERROR", "cn.ics", "cannot be used"]);
    daemon.says(&["ERROR", "last good configuration"]);
    daemon.says(&["run_id="]);
    daemon.stop();
}
