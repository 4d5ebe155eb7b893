//! A profile of the SDKs' credentials file (huaweicloudsdkcore, `auth.provider`): INI, one section a profile. Pure.
//!
//! Keys: `ak`, `sk`, `security_token`, `project_id`. Others of the SDKs' (`domain_id`, `iam_endpoint`, `idp_id`, ...)
//! are left alone; a profile that only has an identity provider is refused, as we cannot use it.

use secrecy::SecretString;

use super::Keys;

/// The sections that the default chain looks for: the SDKs name the first, but the Python SDK's own chain reads the
/// second (seen when it was run).
pub const CHAIN_PROFILES: [&str; 2] = ["basic", "basiccredentials"];

/// A profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The access key.
    pub keys: Keys,
    /// The IAM project's id, if it is given.
    pub project_id: Option<String>,
}

/// The first profile of `names` that the text has.
///
/// # Errors
/// When the text has none of them, or the profile lacks a key. The message holds no value.
pub fn parse(text: &str, names: &[&str]) -> Result<Profile, String> {
    let section = names
        .iter()
        .find_map(|name| section(text, name).map(|lines| (*name, lines)));
    let Some((name, lines)) = section else {
        let wanted: Vec<String> = names.iter().map(|name| format!("[{name}]")).collect();
        return Err(format!("it has no section {}", wanted.join(" or ")));
    };
    let value = |key: &str| {
        lines
            .iter()
            .rev()
            .filter_map(|line| line.split_once(['=', ':']))
            .find(|(there, _)| there.trim().eq_ignore_ascii_case(key))
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    };
    let want = |key: &str| value(key).ok_or_else(|| format!("its section [{name}] has no `{key}`"));
    Ok(Profile {
        keys: Keys {
            ak: want("ak")?.to_owned(),
            sk: want("sk")?.into(),
            security_token: value("security_token").map(SecretString::from),
        },
        project_id: value("project_id").map(str::to_owned),
    })
}

/// The lines of a section, without comments. A section that comes twice goes on.
fn section<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let mut found = None;
    let mut is_in = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            is_in = header.trim() == name;
            if is_in {
                found.get_or_insert_with(Vec::new);
            }
        } else if is_in && !line.starts_with(['#', ';']) {
            found.get_or_insert_with(Vec::new).push(line);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn profiles_are_found_by_name() {
        let text = "\u{feff}# mine\n[basic]\nak = AK1\nsk= S=K;1 \n\n[ other ]\r\nAK: AK2\r\nsk: SK2\r\nsecurity_token=T\r\nproject_id=P\r\n; end\n";
        let basic = parse(text, &CHAIN_PROFILES).unwrap();
        assert_eq!(
            (basic.keys.ak.as_str(), basic.keys.sk.expose_secret()),
            ("AK1", "S=K;1")
        );
        assert_eq!(
            (basic.keys.security_token.is_some(), basic.project_id),
            (false, None)
        );
        let other = parse(text, &["other"]).unwrap();
        assert_eq!(
            (other.keys.ak.as_str(), other.keys.sk.expose_secret()),
            ("AK2", "SK2")
        );
        assert_eq!(other.keys.security_token.unwrap().expose_secret(), "T");
        assert_eq!(other.project_id.as_deref(), Some("P"));
        let chain = parse("[basiccredentials]\nak=A\nsk=B", &CHAIN_PROFILES).unwrap();
        assert_eq!(chain.keys.ak, "A");
    }

    #[test]
    fn what_is_missing_is_named() {
        let rows = [
            ("", "it has no section [basic] or [basiccredentials]"),
            ("[basic]\nak=secret", "its section [basic] has no `sk`"),
            ("[basic]\nak=\nsk=secret", "its section [basic] has no `ak`"),
            (
                "ak=secret\nsk=secret",
                "it has no section [basic] or [basiccredentials]",
            ),
        ];
        for (text, why) in rows {
            assert_eq!(parse(text, &CHAIN_PROFILES).unwrap_err(), why);
        }
    }
}
