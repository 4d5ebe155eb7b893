//! Responses of the service, of IAM and of the metadata service. An input is the status in a line, headers in lines, an
//! empty line, and the body.

use pipecron::codearts::answer::RETRY_AFTER_MAX;
use pipecron::codearts::auth::{iam, metadata};
use pipecron::codearts::calls::{Call, Shown};
use pipecron::codearts::mask::{MESSAGE_CHARS_MAX, WORD_CHARS_MAX};
use pipecron::codearts::{Body, HttpResponse, Mask, read};
use pipecron::domain::pipeline::SeenVariable;
use pipecron::domain::sighting::{PipelineAt, SeenRun};
use pipecron::domain::{AccountName, Answer, AnswerKind};

use super::{Target, is_plain, now};

/// The target.
pub const TARGET: Target = Target {
    name: "answer",
    run: answer,
    words: WORDS,
    bytes_max: 64 * 1_024,
};

/// What responses are made of.
pub(super) const WORDS: &[&str] = &[
    "200\n",
    "201\n",
    "303\n",
    "400\n",
    "401\n",
    "404\n",
    "407\n",
    "408\n",
    "429\n",
    "500\n",
    "503\n",
    "0\n",
    "65535\n",
    "\n\n",
    "Retry-After: 30\n",
    "Retry-After: Wed, 25 Nov 2026 18:00:00 GMT\n",
    "Retry-After: 99999999999999999999\n",
    "Date: Tue, 24 Nov 2026 18:00:00 GMT\n",
    "Date: Fri, 31 Dec 9999 23:59:59 GMT\n",
    "X-Request-Id: 7\n",
    "Location: /x\n",
    "X-Subject-Token: t\n",
    "Broken: cut off\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e999",
    "18446744073709551616",
    "{}",
    "[]",
    "\"pipeline_run_id\":",
    "\"ad6b7f66283a45be9c1f82b06c831e59\"",
    "\"error\":{",
    "\"error_code\":",
    "\"errorCode\":",
    "\"error_msg\":",
    "\"code\":",
    "\"message\":",
    "\"DEVPIPE.00011169\"",
    "\"DEVPIPE.00011104\"",
    "\"DEVCP.00012002\"",
    "\"DEVCP.00014004\"",
    "\"DEV.00000001\"",
    "\"APIGW.0308\"",
    "\"APIGW.0201\"",
    "\"COCT.0070003\"",
    "\"success\"",
    "\"000000\"",
    "\"queue_id\":",
    "\"request_id\":",
    "\"total\":",
    "\"total\":1,",
    "\"pipeline_runs\":[",
    "\"queuedPipelines\":[",
    "\"id\":",
    "\"subject_id\":",
    "\"description\":",
    "\"[pipecron abcdefgh web@2026-11-24T18:00:00Z]\"",
    "\"run_number\":",
    "\"status\":",
    "\"RUNNING\"",
    "\"COMPLETED\"",
    "\"FAILED\"",
    "\"start_time\":",
    "1764007200000",
    "\"2026-11-24T18:00:00+08:00\"",
    "\"2026-11-24T18:00:00.5Z\"",
    "\"end_time\":",
    "\"enqueue_time\":",
    "\"stages\":[",
    "\"stage_status_list\":[",
    "\"sequence\":",
    "\"name\":",
    "\"success\":",
    "\"token\":{\"expires_at\":",
    "\"credential\":{\"access\":\"a\",\"secret\":\"s\",\"expires_at\":",
    SECRET,
    "\u{feff}",
    "\u{1b}[31m",
    "\u{202e}",
    "<html>",
];

/// The run that is asked for.
pub(super) const RUN: &str = "ad6b7f66283a45be9c1f82b06c831e59";
/// What was sent in confidence.
const SECRET: &str = "hunter2/hunter2+hunter2=";
/// Any longer part of it is hidden too.
const SECRET_PIECE_BYTES: usize = 12;
/// The codes that come with an accepted run that waits.
const QUEUED: [&str; 2] = ["DEVPIPE.00011169", "DEVPIPE.00011170"];

/// Reads a response as the answer to every request that there is.
fn answer(data: &[u8]) {
    let response = response(data);
    let mut mask = Mask::none();
    mask.hide(SECRET);
    let answer = read(&response, &mask, now());
    is_fit_to_show(&answer);
    if let AnswerKind::Started { run_id, queue_id } = &answer.kind {
        let queued = answer
            .code
            .as_deref()
            .is_some_and(|code| QUEUED.contains(&code));
        assert!(
            queued || (200..300).contains(&response.status),
            "{answer:?} is started"
        );
        assert!(queued || (queue_id.is_none() && answer.code.as_deref().is_none_or(|_| true)));
        is_id(run_id);
        queue_id.iter().for_each(|id| is_id(id));
    }
    for call in calls() {
        shows(&call, &call.read(&response, &mask, now()));
    }
    match iam::read_token(&response, &mask, now()) {
        Ok(token) => assert!(token.ends > now()),
        Err(refusal) => is_message(&refusal.message),
    }
    if let Err(why) = metadata::read_session(&response) {
        assert!(why.chars().count() <= MESSAGE_CHARS_MAX);
    }
    match metadata::read_key(&response, &mask, now()) {
        Ok((_, ends)) => assert!(ends > now()),
        Err(why) => is_message(&why),
    }
    metadata::wants_session(&response);
}

/// The response that an input is.
pub(super) fn response(data: &[u8]) -> HttpResponse {
    let mut lines = data.split_inclusive(|&byte| byte == b'\n');
    let mut at = 0;
    let mut line = || {
        let line = lines.next()?;
        at += line.len();
        Some((
            String::from_utf8_lossy(line)
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            at,
        ))
    };
    let mut response = HttpResponse {
        status: 200,
        headers: Vec::new(),
        body: Body::Whole(data.to_vec()),
    };
    let Some(status) = line().and_then(|(line, _)| line.parse().ok()) else {
        return response;
    };
    response.status = status;
    let mut rest = data.len();
    while let Some((line, end)) = line() {
        if line.is_empty() {
            rest = end;
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        response
            .headers
            .push((name.to_owned(), value.trim().to_owned()));
    }
    response.body = match response.header("Broken") {
        Some(why) => Body::Broken(why.to_owned()),
        None => Body::Whole(data.get(rest..).unwrap_or_default().to_vec()),
    };
    response
}

/// A pipeline.
pub(super) fn pipeline() -> PipelineAt {
    PipelineAt {
        account: AccountName::parse("main").expect("a name"),
        project_id: "p1".to_owned(),
        pipeline_id: "l1".to_owned(),
    }
}

fn calls() -> [Call; 8] {
    let (run_id, queue_id) = (RUN.to_owned(), "q1".to_owned());
    [
        Call::Runs {
            at: pipeline(),
            since: Some(now()),
            offset: 0,
        },
        Call::Detail {
            at: pipeline(),
            run_id: run_id.clone(),
        },
        Call::Queue {
            at: pipeline(),
            offset: 0,
        },
        Call::Latest {
            project_id: "p1".to_owned(),
            pipeline_ids: vec!["l1".to_owned()],
        },
        Call::Pipeline { at: pipeline() },
        Call::Pipelines {
            project_id: "p1".to_owned(),
            offset: 0,
        },
        Call::Stop {
            at: pipeline(),
            run_id: run_id.clone(),
        },
        Call::CancelQueuing {
            at: pipeline(),
            run_id,
            queue_id,
        },
    ]
}

fn shows(call: &Call, shown: &Shown) {
    match (call, shown) {
        (Call::Runs { .. }, Shown::Runs(page)) => page.rows.iter().for_each(is_run),
        (Call::Queue { .. }, Shown::Queue(page)) => page
            .rows
            .iter()
            .for_each(|record| is_run(&record.clone().into_run())),
        (Call::Latest { .. }, Shown::Latest(rows)) => rows.iter().for_each(|row| is_run(&row.run)),
        (Call::Detail { .. }, Shown::Run(run)) => {
            assert_eq!(run.run_id, RUN, "another run than the one asked for");
            is_run(run);
        }
        (Call::Detail { .. }, Shown::NoRecord(answer) | Shown::Blank(answer))
        | (_, Shown::Failed(answer)) => {
            is_fit_to_show(answer);
            assert!(
                !matches!(
                    answer.kind,
                    AnswerKind::Started { .. } | AnswerKind::Doubtful
                ),
                "{call:?}: {answer:?}"
            );
        }
        (Call::Pipeline { at }, Shown::Pipeline(pipeline)) => {
            assert_eq!(pipeline.id, at.pipeline_id, "another pipeline");
            let stages = pipeline.stages.iter().flatten();
            for title in stages.map(|stage| &stage.title).chain([&pipeline.name]) {
                assert!(
                    is_plain(title) && title.chars().count() <= WORD_CHARS_MAX,
                    "{title:?} is shown"
                );
            }
            let secret = |variable: &&SeenVariable| variable.is_secret;
            for variable in pipeline.variables.iter().flatten().filter(secret) {
                assert_eq!(variable.default, None, "a secret is kept");
            }
        }
        (Call::Pipelines { .. }, Shown::Pipelines(page)) => {
            page.rows.iter().for_each(|row| is_id(&row.id));
        }
        (Call::Stop { .. } | Call::CancelQueuing { .. }, Shown::Done) => {}
        _ => panic!("{} shows {shown:?}", call.name()),
    }
}

fn is_run(run: &SeenRun) {
    is_id(&run.run_id);
    run.queue_id.iter().for_each(|id| is_id(id));
    for word in run
        .status
        .iter()
        .map(|status| &status.0)
        .chain(&run.failed_stage)
    {
        assert!(
            is_plain(word) && word.chars().count() <= WORD_CHARS_MAX,
            "{word:?} is shown"
        );
    }
}

fn is_id(id: &str) {
    assert!(
        !id.is_empty() && id.len() <= WORD_CHARS_MAX,
        "{id:?} is no id"
    );
    assert!(
        id.bytes().all(|byte| byte.is_ascii_graphic()),
        "{id:?} is no id"
    );
}

fn is_fit_to_show(answer: &Answer) {
    is_message(&answer.message);
    for word in answer.code.iter().chain(&answer.request_id) {
        assert!(
            is_plain(word) && word.chars().count() <= WORD_CHARS_MAX,
            "{word:?} is shown"
        );
    }
    assert!(
        answer
            .retry_after
            .is_none_or(|wait| wait <= RETRY_AFTER_MAX),
        "{answer:?}"
    );
    is_without_secret(&format!("{answer:?}"));
}

fn is_message(message: &str) {
    assert!(
        is_plain(message) && message.chars().count() <= MESSAGE_CHARS_MAX,
        "{message:?} is shown"
    );
    is_without_secret(message);
}

fn is_without_secret(text: &str) {
    let pieces = SECRET.as_bytes().windows(SECRET_PIECE_BYTES);
    for piece in pieces.filter_map(|piece| std::str::from_utf8(piece).ok()) {
        assert!(!text.contains(piece), "{text} holds {piece}");
    }
}
