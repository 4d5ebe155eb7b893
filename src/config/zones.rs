//! What to write instead of a time zone that is none: people write offsets and abbreviations.

/// Abbreviations, and the places whose clocks people mean by them.
const ABBREVIATIONS: [(&str, &[&str]); 22] = [
    ("CST", &["Asia/Shanghai", "America/Chicago"]),
    ("CDT", &["America/Chicago"]),
    ("EDT", &["America/New_York"]),
    ("EST5", &["America/New_York"]),
    ("MDT", &["America/Denver"]),
    ("PST", &["America/Los_Angeles"]),
    ("PDT", &["America/Los_Angeles"]),
    ("CEST", &["Europe/Berlin", "Europe/Paris"]),
    ("EEST", &["Europe/Helsinki", "Europe/Athens"]),
    ("BST", &["Europe/London"]),
    ("IST", &["Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"]),
    ("JST", &["Asia/Tokyo"]),
    ("KST", &["Asia/Seoul"]),
    ("HKT", &["Asia/Hong_Kong"]),
    ("SGT", &["Asia/Singapore"]),
    ("MYT", &["Asia/Kuala_Lumpur"]),
    ("ICT", &["Asia/Bangkok"]),
    ("WIB", &["Asia/Jakarta"]),
    ("MSK", &["Europe/Moscow"]),
    ("BRT", &["America/Sao_Paulo"]),
    ("AEST", &["Australia/Sydney", "Australia/Brisbane"]),
    ("AEDT", &["Australia/Sydney"]),
];

/// Offsets in minutes, and a place that has it.
const OFFSETS: [(i32, &str); 16] = [
    (0, "UTC"),
    (60, "Europe/Berlin"),
    (120, "Europe/Helsinki"),
    (180, "Europe/Istanbul"),
    (240, "Asia/Dubai"),
    (330, "Asia/Kolkata"),
    (420, "Asia/Bangkok"),
    (480, "Asia/Shanghai"),
    (540, "Asia/Tokyo"),
    (600, "Australia/Sydney"),
    (720, "Pacific/Auckland"),
    (-180, "America/Sao_Paulo"),
    (-300, "America/New_York"),
    (-360, "America/Mexico_City"),
    (-420, "America/Denver"),
    (-480, "America/Los_Angeles"),
];

/// Advice about a name that no zone has; `known` says whether one has it.
pub(super) fn meant(name: &str, known: &dyn Fn(&str) -> bool) -> String {
    let upper = name.to_ascii_uppercase();
    let places = ABBREVIATIONS.iter().find(|(short, _)| *short == upper);
    if let Some((short, places)) = places {
        let places: Vec<String> = (places.iter().copied())
            .filter(|place| known(place))
            .map(|place| format!("`{place}`"))
            .collect();
        if !places.is_empty() {
            return format!(
                "{short} is no name of a zone but what a clock shows, in several places or for half a year; write the place: {}",
                places.join(" or ")
            );
        }
    }
    if ["LOCAL", "LOCALTIME", "SYSTEM", "HOST"].contains(&upper.as_str()) {
        return "the zone of the machine is never used, as a daemon may move; write its name, such as Asia/Shanghai".to_owned();
    }
    let place = offset(&upper)
        .and_then(|minutes| OFFSETS.iter().find(|(offset, _)| *offset == minutes))
        .filter(|(_, place)| known(place));
    if let Some((_, place)) = place {
        return format!(
            "write the place whose clock is meant, such as `{place}`: an offset says nothing of clock changes"
        );
    }
    "write an IANA name such as Asia/Shanghai, Europe/Berlin or UTC; offsets and abbreviations are none, as they say nothing of \
     clock changes"
        .to_owned()
}

/// The minutes of `+08:00`, `UTC+8`, `GMT-0330`.
fn offset(text: &str) -> Option<i32> {
    let text = ["UTC", "GMT"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    let (sign, text) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match text.split_once(':') {
        Some(both) => both,
        None if text.len() > 2 => text.split_at_checked(text.len() - 2)?,
        None => (text, "0"),
    };
    let number = |text: &str| {
        let digits =
            !text.is_empty() && text.len() <= 2 && text.bytes().all(|c| c.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten()
    };
    Some(sign * (number(hours)? * 60 + number(minutes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_people_write_them() {
        for (text, minutes) in [
            ("+08:00", Some(480)),
            ("UTC+8", Some(480)),
            ("GMT-0330", Some(-210)),
            ("UTC-5", Some(-300)),
            ("+5:30", Some(330)),
            ("UTC", None),
            ("+", None),
            ("+é8", None),
            ("8", None),
            ("+123456", None),
            ("+8:", None),
        ] {
            assert_eq!(offset(text), minutes, "{text}");
        }
    }

    #[test]
    fn a_place_is_named_for_what_a_clock_shows() {
        let all: &dyn Fn(&str) -> bool = &|_| true;
        assert!(meant("cst", all).ends_with("`Asia/Shanghai` or `America/Chicago`"));
        assert!(meant("utc+8", all).contains("`Asia/Shanghai`"));
        assert!(meant("Local", all).contains("never used"));
        assert!(meant("CST", &|_| false).starts_with("write an IANA name"));
        assert!(meant("Mars/Base", all).starts_with("write an IANA name"));
    }
}
