//! What people do by hand while the loop runs.

use pipecron::domain::{Pause, Scope};

use super::*;

/// The hour at which each tick was due and how it stands.
async fn hours(world: &World) -> Vec<String> {
    let row = |tick: &Tick| format!("{} {}", tick.due.format("%H:%M"), state(tick));
    world.ticks().await.iter().map(row).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_a_restart_and_a_reload_and_is_told_in_the_log() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    let hourly = || entry("paused-hourly", "0 * * * *");
    world.start([hourly()]);
    world.passes(HOUR).await;
    let pause = Pause {
        scope: Scope::All,
        since: world.now(),
        until: None,
        by: "ada".to_owned(),
        reason: "the farm moves".to_owned(),
        lifted: None,
    };
    world.ledger.put_pause(pause).await.unwrap();
    world.passes(HOUR).await;
    world.stop().await;
    world.start([hourly()]);
    world.reload(Ok(config([hourly()]))).await;
    world.passes(HOUR).await;
    let now = world.now();
    let lifted = world.ledger.lift_pause(Scope::All, now, "bob".to_owned());
    assert!(lifted.await.unwrap().is_some());
    world.passes(HOUR).await;
    world.stop().await;
    assert_eq!(
        hours(&world).await,
        [
            "13:00 started",
            "14:00 paused",
            "15:00 paused",
            "16:00 started"
        ]
    );
    assert_eq!(world.service.markers().len(), 2);
    let lines = log::said(&["paused-hourly@2027-02-03T14:00:00Z"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("paused: pause of all entries by ada at"));
}
