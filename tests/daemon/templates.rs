//! What a template makes is decided when the tick is opened, and is what every attempt sends.

use pipecron::domain::template::Zones;

use super::*;

fn templated() -> Entry {
    let mut entry = entry("nightly", "0 2 * * *");
    entry.policy.follow = true;
    entry.templates = Some(Arc::new(Zones {
        own: Arc::new(Zone::utc()),
        named: BTreeMap::new(),
    }));
    entry.request.description =
        Some("{{ tick.local | date('%d') }} of {{ entry.name }}".to_owned());
    let value =
        "since {{ last_success.due | default('ever') }}, {{ last_success.run_id | default('-') }}";
    entry.request.variables = Some(
        vec![Variable {
            name: "SINCE".to_owned(),
            value: VariableValue::Value(value.to_owned()),
        }]
        .into(),
    );
    entry
}

/// Description and variable of every start that was sent.
fn sent(world: &World) -> Vec<(String, String)> {
    let starts = world.service.starts.lock().unwrap();
    starts
        .iter()
        .map(|start| {
            let variables = start.request.variables.as_ref().unwrap();
            let value = match &variables[0].value {
                VariableValue::Value(value) => value.clone(),
                VariableValue::Secret(_) => "a secret".to_owned(),
            };
            (start.request.description.clone().unwrap(), value)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_a_restart_sends_what_was_made_when_the_tick_was_opened() {
    let mut world = World::at("2026-11-24T01:30:00Z");
    world.service.always(Some(AnswerKind::Busy));
    world.start([templated()]);
    world.passes(HOUR).await;
    let opened = world.ticks().await[0].request.clone();
    assert_eq!(opened.description.as_deref(), Some("24 of nightly"));
    world.kill();
    // Meanwhile the file says something else: that is for the ticks to come.
    let mut changed = templated();
    changed.request.description = Some("changed".to_owned());
    world.service.always(None);
    world.start([changed]);
    world.passes(HOUR).await;
    let first = ("24 of nightly".to_owned(), "since ever, -".to_owned());
    let starts = sent(&world);
    assert!(starts.len() > 2, "{starts:?}");
    assert!(starts.iter().all(|start| *start == first), "{starts:?}");
    assert_eq!(world.ticks().await[0].request, opened);
    // The next tick knows of the first one's success.
    let run = world.ticks().await[0].run.clone().unwrap().id;
    world.service.ends(&run, "COMPLETED");
    world.passes(24 * HOUR).await;
    let expected = (
        "changed".to_owned(),
        format!("since 2026-11-24T02:00:00Z, {run}"),
    );
    assert_eq!(sent(&world).last(), Some(&expected));
}
