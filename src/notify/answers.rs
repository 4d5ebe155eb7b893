//! What an answer means. Pure. The chat services answer 200 to everything, and say in the body how it went.

use std::time::Duration;

use serde_json::Value;

use super::Undelivered;
use crate::codearts::Mask;

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Somebody's own receiver.
    Json,
    /// Slack, or what is compatible.
    Slack,
    /// Feishu.
    Feishu,
    /// `DingTalk`.
    DingTalk,
    /// `WeCom`.
    WeCom,
    /// A dead man's switch.
    Ping,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its status.
    pub status: u16,
    /// How long it asks us to wait.
    pub retry_after: Option<Duration>,
    /// Its body, or why that could not be read.
    pub body: Result<String, String>,
}

/// What we know of a service's codes.
struct Codes {
    /// Where the code stands, the newer name first.
    code: &'static [&'static str],
    /// Where its words stand.
    words: &'static [&'static str],
    /// Too many messages, and how long that lasts, in seconds.
    too_many: &'static [(i64, u64)],
    /// What no other try will change: wrong keys, wrong settings, wrong content.
    lasting: &'static [i64],
}

/// "Use bots in groups", open.feishu.cn: 11232 and 99991400 are its limits of frequency (five messages a second, a
/// hundred a minute); 9499 a bad request, 19001 a wrong address, 19002 wrong parameters, 19021 a wrong signature or
/// clock, 19022 an address that is not on its list, 19024 a missing keyword.
const FEISHU: Codes = Codes {
    code: &["code", "StatusCode"],
    words: &["msg", "StatusMessage"],
    too_many: &[(11_232, 60), (99_991_400, 60)],
    lasting: &[9_499, 19_001, 19_002, 19_021, 19_022, 19_024],
};

/// "Custom robot access" and "Global error codes", open.dingtalk.com: beyond twenty messages a minute a robot is shut
/// for ten minutes (130101, 410100); 90030 is a limit of the day. 310000 is what the robot's safety settings refuse
/// (keyword, signature, address), 300001 and 300005 a wrong token, 40035 and 43004 a wrong request, 400101 to 400106
/// robots and groups that are gone.
const DINGTALK: Codes = Codes {
    code: &["errcode"],
    words: &["errmsg"],
    too_many: &[(130_101, 600), (410_100, 600), (90_030, 3_600)],
    lasting: &[
        310_000, 300_001, 300_005, 40_035, 43_004, 400_013, 400_101, 400_102, 400_105, 400_106,
    ],
};

/// "Global error codes", developer.work.weixin.qq.com: 45009 and 45033 are limits of frequency (twenty messages a
/// minute); 93000 is a wrong key, 93004, 93008 and 93017 robots and groups that are gone, 40008, 40058 and 45002 wrong
/// content, 60020 an address that is not on its list.
const WECOM: Codes = Codes {
    code: &["errcode"],
    words: &["errmsg"],
    too_many: &[(45_009, 60), (45_033, 60)],
    lasting: &[
        93_000, 93_004, 93_008, 93_017, 40_008, 40_058, 45_002, 60_020,
    ],
};

/// Whether an answer says that the message arrived.
///
/// # Errors
/// When it does not: what it says instead, with secrets hidden.
pub fn judge(service: Service, place: &str, heard: &Heard, mask: &Mask) -> Result<(), Undelivered> {
    let status = heard.status;
    if !(200..300).contains(&status) {
        return Err(refused(place, heard, mask));
    }
    let body = heard.body.as_deref().unwrap_or_default();
    match service {
        Service::Json => Ok(()),
        Service::Slack => slack(place, body, mask),
        Service::Ping => ping(place, body),
        Service::Feishu => code(&FEISHU, place, heard, mask),
        Service::DingTalk => code(&DINGTALK, place, heard, mask),
        Service::WeCom => code(&WECOM, place, heard, mask),
    }
}

fn refused(place: &str, heard: &Heard, mask: &Mask) -> Undelivered {
    let status = heard.status;
    let said = match &heard.body {
        Ok(body) => mask.show(body),
        Err(why) => format!("an answer that could not be read: {why}"),
    };
    let mut why = format!("{place} answered HTTP {status}");
    if (300..400).contains(&status) {
        why.push_str(", a redirect, which is not followed: give the address that it leads to");
    } else if !said.is_empty() {
        why = format!("{why}: {said}");
    }
    Undelivered {
        why,
        may_pass: matches!(status, 408 | 425 | 429 | 500..=599),
        retry_after: heard.retry_after,
    }
}

/// "Handling errors" of incoming webhooks: Slack answers `ok`, or an HTTP error and a word. What is compatible answers
/// with an object.
fn slack(place: &str, body: &str, mask: &Mask) -> Result<(), Undelivered> {
    let Ok(Value::Object(said)) = serde_json::from_str(body) else {
        return Ok(());
    };
    let is_no = |key: &str| said.get(key) == Some(&Value::Bool(false));
    if !is_no("ok") && !is_no("success") {
        return Ok(());
    }
    let word = said
        .get("error")
        .and_then(Value::as_str)
        .unwrap_or("no reason");
    let why = format!("{place} refused the message: {}", mask.show(word));
    Err(match word {
        "ratelimited" | "rate_limited" | "internal_error" => Undelivered::for_now(why),
        _ => Undelivered::for_good(why),
    })
}

/// To an address with a UUID healthchecks.io answers 200 in any case, for old clients' sake.
fn ping(place: &str, body: &str) -> Result<(), Undelivered> {
    if body.starts_with("OK (not found)") {
        return Err(Undelivered::for_good(format!(
            "{place} knows no check at this address; look whether it was deleted"
        )));
    }
    if body.starts_with("OK (rate limited)") {
        return Err(Undelivered {
            retry_after: Some(Duration::from_secs(60)),
            ..Undelivered::for_now(format!("{place} got too many signals for this check"))
        });
    }
    Ok(())
}

fn code(codes: &Codes, place: &str, heard: &Heard, mask: &Mask) -> Result<(), Undelivered> {
    let status = heard.status;
    let unread = |why: &str| {
        Undelivered::for_now(format!(
            "{place} answered HTTP {status}, but does not say whether the message arrived: {why}"
        ))
    };
    let body = heard.body.as_deref().map_err(|why| unread(why))?;
    let said: Value =
        serde_json::from_str(body).map_err(|_| unread(&format!("{:?}", mask.show(body))))?;
    let code = codes
        .code
        .iter()
        .find_map(|key| said.get(key))
        .and_then(Value::as_i64)
        .ok_or_else(|| unread(&format!("{:?}", mask.show(body))))?;
    if code == 0 {
        return Ok(());
    }
    let words = codes
        .words
        .iter()
        .find_map(|key| said.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let too_many = codes.too_many.iter().find(|(known, _)| *known == code);
    let retry_after = too_many.map(|(_, seconds)| Duration::from_secs(*seconds));
    Err(Undelivered {
        why: format!(
            "{place} refused the message: code {code}: {}",
            mask.show(words)
        ),
        // Of a code that nobody has told us about, a few more tries cost less than a message that is lost.
        may_pass: !codes.lasting.contains(&code),
        retry_after: retry_after.or(heard.retry_after),
    })
}
