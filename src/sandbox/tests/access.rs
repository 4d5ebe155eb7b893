//! The ways in: IAM tokens, projects, the keys of the metadata service.

use super::*;

#[test]
fn a_token_is_had_for_a_password_and_opens_until_it_ends() {
    let mut world = World::new(|settings| settings.check_auth = true);
    let scope = json!({"project": {"name": "cn-north-4"}});
    let response = world
        .answer(&Request::new("POST", "/v3/auth/tokens").json(&login(SANDBOX_PASSWORD, &scope)));
    assert_eq!(response.status, 201);
    let token = response.header_text("x-subject-token").unwrap().to_owned();
    let body = response.value();
    assert_eq!(
        keys(&body["token"]),
        "catalog expires_at issued_at methods project roles user"
    );
    assert_eq!(body["token"]["expires_at"], "2026-11-25T18:00:00.000000Z");
    assert_eq!(body["token"]["project"]["name"], "cn-north-4");
    assert!(response.header_text("x-iam-trace-id").is_some());
    let run = start_request().header("x-auth-token", &token);
    assert_eq!(world.answer(&run).status, 200);
    assert_eq!(world.runs()[0].executor.name, SANDBOX_USER);
    world.pass(24 * 3600);
    let ended = world.answer(&run);
    assert_eq!(
        (ended.status, &ended.value()["error_code"]),
        (401, &json!("APIGW.0307"))
    );
    assert_eq!(keys(&ended.value()), "error_code error_msg request_id");
    let fresh = world.answer(
        &Request::new("POST", "/v3/auth/tokens?nocatalog=true")
            .json(&login(SANDBOX_PASSWORD, &scope)),
    );
    assert!(fresh.value()["token"].get("catalog").is_none());
    let token = fresh.header_text("x-subject-token").unwrap().to_owned();
    let run = start_request().header("x-auth-token", &token);
    assert_eq!(world.answer(&run).status, 200);
    world.service.revoke_tokens();
    assert_eq!(world.answer(&run).status, 401);
    let shown = serde_json::to_string(world.service.requests()).unwrap();
    assert!(
        !shown.contains("MIIsandbox") && !shown.contains(SANDBOX_PASSWORD),
        "no secret in the list of requests"
    );
}

#[test]
fn iam_refuses_in_its_own_shape() {
    let mut world = World::new(|settings| {
        settings.iam_projects = Some(vec![("cn-north-4".to_owned(), PROJECT.to_owned())]);
    });
    let project = |name: &str| json!({"project": {"name": name}});
    for (body, status) in [
        (login("wrong", &project("cn-north-4")), 401),
        (login(SANDBOX_PASSWORD, &project("cn-east-3")), 401),
        (login(SANDBOX_PASSWORD, &json!({"project": {}})), 400),
        (json!({"auth": {}}), 400),
        (json!({"auth": {"identity": {"methods": ["totp"]}}}), 400),
    ] {
        let response = world.answer(&Request::new("POST", "/v3/auth/tokens").json(&body));
        let error = &response.value()["error"];
        assert_eq!(
            (response.status, &error["code"]),
            (status, &json!(status)),
            "{body}"
        );
        assert_eq!(keys(error), "code message title");
        assert!(response.header_text("x-subject-token").is_none());
    }
    let by_id = login(SANDBOX_PASSWORD, &json!({"project": {"id": PROJECT}}));
    assert_eq!(
        world
            .answer(&Request::new("POST", "/v3/auth/tokens").json(&by_id))
            .status,
        201
    );
}

#[test]
fn a_token_that_is_not_scoped_to_a_project_does_not_open() {
    let mut world = World::new(|settings| settings.check_auth = true);
    for scope in [Value::Null, json!({"domain": {"name": SANDBOX_DOMAIN}})] {
        let response = world.answer(
            &Request::new("POST", "/v3/auth/tokens").json(&login(SANDBOX_PASSWORD, &scope)),
        );
        let token = response.header_text("x-subject-token").unwrap().to_owned();
        let refused = world.answer(&start_request().header("x-auth-token", &token));
        assert_eq!(refused.value()["error_code"], "APIGW.0307");
    }
}

#[test]
fn a_region_has_its_project() {
    let mut world = World::new(|_| {});
    let one = world.get("/v3/projects?name=cn-north-4");
    assert_eq!(one["projects"][0]["name"], "cn-north-4");
    assert_eq!(one["projects"][0]["id"].as_str().map(str::len), Some(32));
    assert_ne!(
        world.get("/v3/projects?name=cn-east-3")["projects"][0]["id"],
        one["projects"][0]["id"]
    );
    let mut world = World::new(|settings| {
        settings.iam_projects = Some(vec![
            ("a".to_owned(), "1".to_owned()),
            ("a".to_owned(), "2".to_owned()),
        ]);
    });
    assert_eq!(
        world.get("/v3/projects?name=a")["projects"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(world.get("/v3/projects?name=b")["projects"], json!([]));
    let mut world = World::new(|settings| settings.check_auth = true);
    assert_eq!(
        world
            .answer(&Request::new("GET", "/v3/projects?name=a"))
            .status,
        401
    );
}

#[test]
fn the_metadata_service_hands_out_a_key_that_opens() {
    let key = |world: &mut World, token: Option<&str>| {
        let request = Request::new("GET", "/openstack/latest/securitykey");
        match token {
            Some(token) => world.answer(&request.header("x-metadata-token", token)),
            None => world.answer(&request),
        }
    };
    let ask = |world: &mut World, secs: &str| {
        world.answer(
            &Request::new("PUT", "/meta-data/latest/api/token")
                .header("x-metadata-token-ttl-seconds", secs),
        )
    };
    let mut world = World::new(|settings| settings.metadata = Metadata::TokenRequired);
    assert_eq!(key(&mut world, None).status, 401);
    assert_eq!(key(&mut world, Some("nonsense")).status, 401);
    for secs in ["0", "21601", "many"] {
        assert_eq!(ask(&mut world, secs).status, 400);
    }
    let token = String::from_utf8(ask(&mut world, "60").body).unwrap();
    let answer = key(&mut world, Some(&token));
    assert_eq!(answer.status, 200);
    assert_eq!(
        keys(&answer.value()["credential"]),
        "access expires_at secret securitytoken"
    );
    assert_eq!(
        answer.value()["credential"]["expires_at"],
        "2026-11-25T18:00:00.000000Z"
    );
    world.pass(60);
    assert_eq!(
        key(&mut world, Some(&token)).status,
        401,
        "the token has ended"
    );
    for (metadata, without, with) in [
        (Metadata::Absent, 404, 404),
        (Metadata::NoAgency, 401, 401),
        (Metadata::TokenOptional, 200, 401),
    ] {
        let mut world = World::new(|settings| settings.metadata = metadata);
        assert_eq!(key(&mut world, None).status, without, "{metadata:?}");
        assert_eq!(
            key(&mut world, Some("nonsense")).status,
            with,
            "{metadata:?}"
        );
    }
    let mut world = World::new(|settings| settings.metadata = Metadata::NoAgency);
    assert_eq!(
        key(&mut world, None).body,
        b"Please configure Cloud Service Agency first"
    );
}

#[test]
fn iam_is_down_or_refuses() {
    let mut world = World::new(|_| {});
    world.fault("status=503:APIG.0613,on=token,next=1");
    world.fault("status=401,on=token,next=1");
    world.fault("dropped=close,on=token+projects,next=1");
    let ask = Request::new("POST", "/v3/auth/tokens")
        .json(&login(SANDBOX_PASSWORD, &json!({"project": {"name": "x"}})));
    assert_eq!(world.answer(&ask).value()["error_code"], "APIG.0613");
    assert_eq!(world.answer(&ask).value()["error"]["code"], 401);
    assert_eq!(world.handle(&ask), Outcome::Silence(Hangup::Close));
    assert_eq!(world.answer(&ask).status, 201);
}
