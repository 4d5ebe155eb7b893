//! Signatures, against an example that was published and against another program.

use pipecron::notify::render;
use secrecy::SecretString;
use serde_json::Value;

use crate::messages::{one_failure, told};

/// GitHub's example in "Validating webhook deliveries": the way that receivers know.
#[test]
fn our_own_json_is_signed_as_webhooks_are() {
    let (secret, token) = ("It's a Secret to Everybody", "a-token");
    let post = render::json(
        told(&one_failure()),
        "https://receiver.example/",
        Some(&SecretString::from(secret)),
        Some(&SecretString::from(token)),
        Some("Hello, World!"),
    )
    .unwrap();
    assert_eq!(post.body, "Hello, World!");
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("X-Pipecron-Signature", signature.to_owned()),
        ("Authorization", "Bearer a-token".to_owned()),
    ];
    assert_eq!(post.headers, headers);
}

/// The page "Custom robot security settings" gives its programs with this secret, but no result; this is that of its
/// Python program for 2026-11-24T18:20:05Z, checked with openssl.
#[test]
fn dingtalk_is_signed_in_the_address() {
    let sent_to = |url: &str, secret: Option<&str>| {
        let secret = secret.map(SecretString::from);
        render::dingtalk(
            told(&one_failure()),
            &SecretString::from(url),
            secret.as_ref(),
        )
        .url
    };
    let parameters =
        "timestamp=1795544405000&sign=oXyvNtEGBKIKhL6VC%2FDsILTdt6Wr0e3K6o%2BWziPUj1o%3D";
    let url = "https://oapi.dingtalk.com/robot/send?access_token=0123";
    assert_eq!(
        sent_to(url, Some("this is secret")),
        format!("{url}&{parameters}")
    );
    let bare = "https://oapi.dingtalk.com/robot/send";
    assert_eq!(
        sent_to(bare, Some("this is secret")),
        format!("{bare}?{parameters}")
    );
    assert_eq!(sent_to(url, None), url);
}

/// The page "Use bots in groups" gives its programs, but no result; this is that of its Python program, checked with
/// openssl.
#[test]
fn feishu_is_signed_in_the_body() {
    let url = SecretString::from("https://open.feishu.cn/open-apis/bot/v2/hook/0123");
    let secret = SecretString::from("this is secret");
    let post = render::feishu(told(&one_failure()), &url, Some(&secret));
    let body: Value = serde_json::from_str(&post.body).unwrap();
    assert_eq!(body["timestamp"], "1795544405");
    assert_eq!(body["sign"], "hYTBNTDJmIR8v8KlXoKRL9U+tHTgkJCaTvEvmxrI73I=");
    let unsigned = render::feishu(told(&one_failure()), &url, None);
    let body: Value = serde_json::from_str(&unsigned.body).unwrap();
    assert_eq!(body.get("sign"), None);
}

#[test]
fn a_post_does_not_print_its_address_or_its_headers() {
    let post = render::json(
        told(&one_failure()),
        "https://receiver.example/hidden-path",
        None,
        Some(&SecretString::from("hidden-token")),
        None,
    )
    .unwrap();
    let printed = format!("{post:?}");
    assert!(!printed.contains("hidden"), "{printed}");
}
