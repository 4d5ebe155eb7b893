//! What each call of the pipeline service answers, by the documentation.

use super::*;

#[test]
fn a_start_is_answered_by_the_id_of_its_run_alone() {
    let mut world = World::new(|_| {});
    let response = world.answer(&start_request());
    assert_eq!(response.status, 200);
    let run = world.runs().remove(0);
    assert_eq!(response.value(), json!({"pipeline_run_id": run.id}));
    assert_eq!(
        (
            run.project_id.as_str(),
            run.pipeline_id.as_str(),
            run.run_number
        ),
        (PROJECT, PIPELINE, 1)
    );
    assert_eq!(
        response.header_text("date"),
        Some("Tue, 24 Nov 2026 18:00:00 GMT")
    );
    assert_eq!(response.header_text("x-request-id").map(str::len), Some(32));
}

#[test]
fn a_row_of_the_list_has_no_description() {
    let mut world = World::new(|_| {});
    let id = world.start();
    let list = world.post(&of("/pipeline-runs/list"), &json!({"limit": 5}));
    assert_eq!(keys(&list), "limit offset pipeline_runs total");
    assert_eq!(
        (&list["total"], &list["limit"], &list["offset"]),
        (&json!(1), &json!(5), &json!(0))
    );
    let row = &list["pipeline_runs"][0];
    assert_eq!(
        keys(row),
        "artifact_params build_params detail_url end_time executor_id executor_name modify_url pipeline_id \
         pipeline_run_id run_number stage_status_list start_time status trigger_type"
    );
    assert_eq!(row["pipeline_run_id"], json!(id));
    assert_eq!(row["start_time"], json!(world.now.timestamp_millis()));
    assert_eq!(row["end_time"], Value::Null);
    assert_eq!(
        keys(&row["stage_status_list"][0]),
        "end_time id name sequence start_time status"
    );
    assert!(
        row["stage_status_list"][0]["start_time"].is_string(),
        "a text here"
    );
    world.pass(20);
    let list = world.post(&of("/pipeline-runs/list"), &json!({}));
    assert_eq!(list["pipeline_runs"][0]["status"], "COMPLETED");
    assert_eq!(
        list["pipeline_runs"][0]["end_time"],
        json!(world.now.timestamp_millis())
    );
}

#[test]
fn the_detail_gives_the_description_back_and_calls_the_run_id() {
    let mut world = World::new(|_| {});
    let body = json!({
        "description": "nightly [pipecron abcdefgh web@2026-11-24T18:00:00Z]",
        "sources": [{"type": "code", "params": {
            "git_type": "codehub", "git_url": "https://e.com/a.git", "codehub_id": "9",
            "build_params": {"build_type": "branch", "target_branch": "main", "event_type": "Manual"},
        }}],
    });
    let id = world.post(&of("/run"), &body)["pipeline_run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let detail = world.detail(&id);
    assert_eq!(detail["description"], body["description"]);
    assert_eq!(
        (&detail["id"], &detail["subject_id"]),
        (&json!(id), &json!(id))
    );
    assert!(detail.get("pipeline_run_id").is_none() && detail.get("variables").is_none());
    assert_eq!(
        detail["current_system_time"],
        json!(world.now.timestamp_millis())
    );
    assert_eq!(
        detail["sources"][0]["params"]["build_params"]["target_branch"],
        "main"
    );
    assert_eq!(
        keys(&detail["stages"][0]),
        "end_time id identifier is_select jobs name post pre sequence start_time status"
    );
    for key in [
        "status",
        "run_number",
        "trigger_type",
        "start_time",
        "executor_id",
        "name",
        "project_id",
        "detail_url",
    ] {
        assert!(detail.get(key).is_some(), "{key}");
    }
    assert_eq!(
        world.runs()[0].marker.as_ref().unwrap().tick,
        "web@2026-11-24T18:00:00Z"
    );
}

#[test]
fn the_latest_run_comes_without_an_id() {
    let mut world = World::new(|_| {});
    let none = world.get(&of("/pipeline-runs/detail"));
    assert_eq!(none["error_code"], "DEVCP.00012002");
    let first = world.start();
    let second = world.start();
    assert_eq!(world.get(&of("/pipeline-runs/detail"))["id"], json!(second));
    assert_eq!(
        world.get(&of("/pipeline-runs/detail?pipeline_run_number=1"))["id"],
        json!(first)
    );
    assert_eq!(world.detail(OTHER)["error_code"], "DEVCP.00012002");
    assert_eq!(world.detail("short")["error_code"], "DEVCP.00021400");
    let elsewhere =
        format!("/v5/{PROJECT}/api/pipelines/{OTHER}/pipeline-runs/detail?pipeline_run_id={first}");
    assert_eq!(world.get(&elsewhere)["error_code"], "DEVCP.00012002");
}

#[test]
fn a_list_is_paged_sorted_and_filtered() {
    let mut world = World::new(|settings| settings.list_rows_max = 4);
    let mut started = Vec::new();
    for _ in 0..10 {
        started.push(world.start());
        world.pass(30);
    }
    let mut found = Vec::new();
    loop {
        let page = world.post(
            &of("/pipeline-runs/list"),
            &json!({"offset": found.len(), "limit": 100, "sort_key": "start_time", "sort_dir": "asc"}),
        );
        assert_eq!(page["total"], 10);
        assert_eq!(page["limit"], 4, "no page is longer than the service likes");
        let rows = ids(&page);
        if rows.is_empty() {
            break;
        }
        found.extend(rows);
    }
    assert_eq!(found, started);
    assert_eq!(
        ids(&world.post(&of("/pipeline-runs/list"), &json!({"limit": 1})))[0],
        started[9],
        "newest first"
    );
    let from = world.runs()[7].started_at.unwrap();
    let ask = |start: String, end: String| json!({"start_time": start, "end_time": end, "sort_dir": "asc"});
    let to = world.runs()[8].started_at.unwrap();
    for body in [
        ask(
            from.timestamp_millis().to_string(),
            to.timestamp_millis().to_string(),
        ),
        ask(
            from.format("%Y-%m-%d %H:%M:%S").to_string(),
            to.format("%Y-%m-%d %H:%M:%S").to_string(),
        ),
    ] {
        assert_eq!(
            ids(&world.post(&of("/pipeline-runs/list"), &body)),
            started[7..9]
        );
    }
    for (filter, rows) in [
        (json!({"status": ["RUNNING"]}), 0),
        (json!({"status": ["COMPLETED", "FAILED"]}), 4),
        (json!({"executor_ids": [OTHER]}), 0),
        (json!({"trigger_type": ["Scheduler"]}), 0),
        (json!({"limit": 0}), 0),
        (json!({"offset": 9}), 1),
        (json!({"offset": 18_446_744_073_709_551_615_u64}), 0),
    ] {
        assert_eq!(
            ids(&world.post(&of("/pipeline-runs/list"), &filter)).len(),
            rows,
            "{filter}"
        );
    }
}

#[test]
fn a_run_has_its_variables() {
    let mut world = World::new(known);
    let body = json!({"variables": [{"name": "MODE", "value": "full"}, {"name": "MODE", "value": "quick"}]});
    let id = world.post(&of("/run"), &body)["pipeline_run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = world.get(&of(&format!("/pipeline-runs/{id}/run-variables?mode=0")));
    assert_eq!(
        keys(&list[0]),
        "description is_reset is_runtime is_secret latest_value limits name required sequence type value variableGroupName"
    );
    assert_eq!(
        (&list[0]["name"], &list[0]["value"]),
        (&json!("MODE"), &json!("quick")),
        "the last one counts"
    );
    assert_eq!(
        (&list[1]["name"], &list[1]["value"]),
        (&json!("KEY"), &json!("******"))
    );
    let system = world.get(&of(&format!("/pipeline-runs/{id}/run-variables?mode=1")));
    assert!(
        system
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "PIPELINE_RUN_ID" && it["value"] == json!(id))
    );
    assert_eq!(
        world.get(&of(&format!("/pipeline-runs/{id}/run-variables?mode=2"))),
        json!([])
    );
    for query in ["", "?mode=3", "?mode="] {
        let answer = world.get(&of(&format!("/pipeline-runs/{id}/run-variables{query}")));
        assert_eq!(answer["error_code"], "DEVCP.00021400", "{query}");
    }
    let runtime = world.get(&of("/list-runtime-vars"));
    assert_eq!(runtime.as_array().unwrap().len(), 1);
    assert_eq!(runtime[0]["name"], "MODE");
}

#[test]
fn a_queued_start_has_the_shape_of_an_error_and_is_a_run() {
    let mut world = World::new(queueing);
    world.start();
    let answer = world.post(&of("/run"), &json!({"description": "second"}));
    assert_eq!(keys(&answer), "error error_code error_msg");
    assert_eq!(answer["error_code"], "DEVPIPE.00011169");
    let (run_id, queue_id) = (
        answer["error"]["pipeline_run_id"].as_str().unwrap(),
        answer["error"]["queue_id"].clone(),
    );
    assert_eq!(world.runs()[1].id, run_id);
    let queue = world.get(&of("/queued-pipeline?offset=0&limit=10"));
    assert_eq!(
        keys(&queue["queuedPipelines"][0]),
        "creator_id creator_name enqueue_time id pipeline_run_id status trigger_type"
    );
    assert_eq!(queue["queuedPipelines"][0]["id"], queue_id);
    assert_eq!(
        queue["queuedPipelines"][0]["pipeline_run_id"],
        json!(run_id)
    );
    assert_eq!(world.list().len(), 1, "it is not listed while it waits");
    assert_eq!(world.detail(run_id)["error_code"], "DEVCP.00012002");
    world.pass(20);
    assert_eq!(
        world.list(),
        [run_id.to_owned(), world.runs()[0].id.clone()]
    );
    assert_eq!(world.detail(run_id)["description"], "second");
    assert_eq!(
        world.get(&of("/queued-pipeline"))["queuedPipelines"],
        json!([])
    );
    assert_eq!(
        world.get(&of("/queued-pipeline?limit=x"))["error_code"],
        "DEVCP.00021400"
    );
}

#[test]
fn a_queued_run_is_shown_where_the_setting_says_so() {
    let mut world = World::new(|settings| {
        queueing(settings);
        settings.queued_listed = true;
    });
    world.start();
    world.post(&of("/run"), &json!({}));
    let waits = world.runs()[1].id.clone();
    assert_eq!(world.list()[0], waits);
    assert_eq!(world.detail(&waits)["status"], "QUEUED");
}

#[test]
fn a_queued_run_leaves_the_queue() {
    let mut world = World::new(queueing);
    world.start();
    let answer = world.post(&of("/run"), &json!({}));
    let (run, queue) = (
        answer["error"]["pipeline_run_id"].as_str().unwrap(),
        answer["error"]["queue_id"].as_str().unwrap(),
    );
    let wrong = world.post(&of(&format!("/{run}/cancel-queuing/{OTHER}")), &json!({}));
    assert_eq!(wrong["error_code"], "DEVCP.00012002");
    let left = world.post(&of(&format!("/{run}/cancel-queuing/{queue}")), &json!({}));
    assert_eq!(left, json!({"success": true}));
    assert_eq!(world.runs()[1].status, RunStatus::Canceled);
    let again = world.post(&of(&format!("/{run}/cancel-queuing/{queue}")), &json!({}));
    assert_eq!(again["error_code"], "DEVCP.00012002");
}

#[test]
fn the_limit_of_parallel_runs_refuses() {
    let mut world = World::new(|settings| settings.tenant_runs_max = Some(6));
    for _ in 0..5 {
        world.start();
    }
    let refused = world.post(&of("/run"), &json!({}));
    assert_eq!(keys(&refused), "error_code error_msg");
    assert_eq!(refused["error_code"], "DEVPIPE.00011104");
    let other = format!("/v5/{PROJECT}/api/pipelines/{OTHER}/run");
    assert!(world.post(&other, &json!({}))["pipeline_run_id"].is_string());
    assert_eq!(
        world.post(&other, &json!({}))["error_code"],
        "DEVPIPE.00011105"
    );
    assert_eq!(world.runs().len(), 6);
    let failed = world.get(&of("/trigger-failed-record?offset=0&limit=10"));
    assert_eq!(
        keys(&failed["triggerFailedRecordVOS"][0]),
        "executor_id executor_name reason trigger_time trigger_type"
    );
    world.pass(20);
    world.start();
}

#[test]
fn a_run_is_stopped_and_run_again() {
    let mut world = World::new(|_| {});
    let id = world.start();
    let stop = of(&format!("/pipeline-runs/{id}/stop"));
    let retry = |world: &mut World| {
        world
            .answer(&Request::new(
                "PUT",
                &of(&format!("/pipeline-runs/{id}/retry")),
            ))
            .value()
    };
    assert_eq!(
        retry(&mut world),
        json!({"success": false}),
        "it is under way"
    );
    // The SDKs send no body at all.
    assert_eq!(
        world.answer(&Request::new("POST", &stop)).value(),
        json!({"success": true})
    );
    assert_eq!(world.runs()[0].status, RunStatus::Canceled);
    assert_eq!(world.post(&stop, &json!({})), json!({"success": false}));
    assert_eq!(
        world.post(&stop, &json!({"x": 1}))["error_code"],
        "DEVCP.00014004"
    );
    assert_eq!(retry(&mut world), json!({"success": true}));
    assert_eq!(world.runs()[0].status, RunStatus::Running);
    let nobody = of(&format!("/pipeline-runs/{OTHER}/stop"));
    assert_eq!(
        world.post(&nobody, &json!({}))["error_code"],
        "DEVCP.00012002"
    );
}

#[test]
fn a_retry_can_be_queued_too() {
    let mut world = World::new(queueing);
    let id = world.start();
    world.service.set_status(world.now, &id, RunStatus::Failed);
    world.start();
    let answer = world
        .answer(&Request::new(
            "PUT",
            &of(&format!("/pipeline-runs/{id}/retry")),
        ))
        .value();
    assert_eq!(answer["error_code"], "DEVPIPE.00011169");
    assert_eq!(answer["error"]["pipeline_run_id"], json!(id));
    assert_eq!(world.runs().len(), 2);
}

#[test]
fn pipelines_are_listed_and_shown() {
    let mut world = World::new(known);
    let list = world.post(
        &format!("/v5/{PROJECT}/api/pipelines/list"),
        &json!({"name": "night", "is_publish": false}),
    );
    assert_eq!(
        (&list["total"], &list["pipelines"][0]["pipeline_id"]),
        (&json!(1), &json!(PIPELINE))
    );
    assert_eq!(list["pipelines"][0]["latest_run"], Value::Null);
    assert_eq!(
        list["current_system_time"],
        json!(world.now.timestamp_millis())
    );
    assert_eq!(
        world.post(
            &format!("/v5/{PROJECT}/api/pipelines/list"),
            &json!({"name": "x"})
        )["total"],
        0
    );
    let shown = world.get(&of(""));
    assert_eq!(
        (&shown["id"], &shown["name"], &shown["banned"]),
        (&json!(PIPELINE), &json!("nightly"), &json!(false))
    );
    let definition: Value = serde_json::from_str(shown["definition"].as_str().unwrap()).unwrap();
    assert_eq!(definition["stages"][0]["jobs"][1]["identifier"], "test");
    assert_eq!(
        shown["concurrency_control"],
        json!({"concurrency_number": 5, "exceed_action": "ABORT", "enable": true})
    );
    let status = format!("/v5/{PROJECT}/api/pipelines/status");
    assert_eq!(world.post(&status, &json!([PIPELINE])), json!([]));
    let id = world.start();
    let latest = world.post(&status, &json!([PIPELINE, OTHER]));
    assert_eq!(latest[0]["pipeline_run_id"], json!(id));
    assert_eq!(latest.as_array().unwrap().len(), 1);
    assert_eq!(
        world.post(&status, &json!(["short"]))["error_code"],
        "DEVCP.00014004"
    );
}

#[test]
fn places_that_do_not_exist_are_refused() {
    let mut world = World::new(known);
    let run = |project: &str, pipeline: &str| format!("/v5/{project}/api/pipelines/{pipeline}/run");
    for (target, status, code) in [
        (run(PROJECT, OTHER), 200, "DEVPIPE.00011401"),
        (run(OTHER, PIPELINE), 200, "DEVPIPE.00011412"),
        (run("short", PIPELINE), 400, "DEVCP.00021400"),
        (run(PROJECT, &"-".repeat(32)), 400, "DEVCP.00021400"),
        (format!("{}/", run(PROJECT, PIPELINE)), 404, "APIGW.0101"),
        ("/v5".to_owned(), 404, "APIGW.0101"),
        ("/".to_owned(), 404, "APIGW.0101"),
    ] {
        let response = world.answer(&Request::new("POST", &target).json(&json!({})));
        assert_eq!(
            (response.status, &response.value()["error_code"]),
            (status, &json!(code)),
            "{target}"
        );
    }
    assert_eq!(
        world.answer(&Request::new("GET", &of("/run"))).status,
        404,
        "a start is a POST"
    );
    assert!(world.runs().is_empty());
    let mut world = World::new(|_| {});
    world.start();
    assert_eq!(
        world.post(&run(OTHER, PIPELINE), &json!({}))["error_code"],
        "DEVPIPE.00011136"
    );
}

#[test]
fn choices_and_variables_are_checked_where_they_are_known() {
    let mut world = World::new(known);
    for (body, field) in [
        (json!({"choose_stages": ["deploy"]}), "choose_stages[0]"),
        (
            json!({"choose_jobs": ["compile", "lint"]}),
            "choose_jobs[1]",
        ),
        (
            json!({"variables": [{"name": "MODUS", "value": "x"}]}),
            "variables[0].name",
        ),
    ] {
        let answer = world.post(&of("/run"), &body);
        assert_eq!(answer["error_code"], "DEVCP.00014004");
        assert!(
            answer["error_msg"].as_str().unwrap().contains(field),
            "{answer}"
        );
    }
    let body = json!({"choose_jobs": ["compile"], "variables": [{"name": "MODE", "value": "x"}]});
    let id = world.post(&of("/run"), &body)["pipeline_run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let jobs = world.detail(&id)["stages"][0]["jobs"].clone();
    assert_eq!(
        (&jobs[0]["status"], &jobs[1]["status"]),
        (&json!("RUNNING"), &json!("UNSELECTED"))
    );
}

#[test]
fn a_body_has_to_be_there_and_to_be_json() {
    let mut world = World::new(|_| {});
    let none = world.answer(&Request::new("POST", &of("/run")));
    assert_eq!(
        (none.status, &none.value()["error_code"]),
        (400, &json!("PARSE_REQUEST_DATA_EXCEPTION"))
    );
    let mut text = Request::new("POST", &of("/run")).header("content-type", "text/plain");
    text.body = b"{}".to_vec();
    assert!(
        world.answer(&text).value()["error_msg"]
            .as_str()
            .unwrap()
            .contains("Content-Type")
    );
    let wrong = world.answer(&Request::new("POST", &of("/run")).json(&json!({"descripton": "x"})));
    assert_eq!(
        (wrong.status, &wrong.value()["error_code"]),
        (200, &json!("DEVCP.00014004"))
    );
    assert!(
        wrong.value()["error_msg"]
            .as_str()
            .unwrap()
            .contains("descripton")
    );
    assert!(world.runs().is_empty());
    assert_eq!(
        world
            .answer(&Request::new("POST", &of("/run")).json(&json!({})))
            .status,
        200
    );
}
