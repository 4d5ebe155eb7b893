//! The error codes of the service and of its gateway, and what each says about the request.

/// What a code says about the request, wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Too many requests.
    Throttled,
    /// The limit of parallel runs; not started.
    Busy,
    /// The limit of parallel runs; accepted, waits in the queue.
    Queued,
    /// The same request will never be accepted.
    Permanent,
    /// The credentials or the clock.
    Credentials,
    /// It may have been carried out.
    Ambiguous,
    /// None that we know.
    Unknown,
}

/// The codes. CodeArts Pipeline: help centre, "Error Codes" of CodeArts Pipeline (`COCT`, `DEVCP`), and what public
/// clients handle (`DEVPIPE`, `DEV`; `Queued` from the Terraform provider's resource `pipeline_action`). The gateway:
/// "Error Codes" of the API Request Signing Guide and of API Gateway; it writes `APIGW.` on the services' own
/// endpoints and `APIG.` elsewhere, with the same numbers.
pub(super) fn word(code: &str) -> Word {
    if let Some(number) = gateway_number(code) {
        return match number {
            "0308" => Word::Throttled,
            "0301" | "0303" | "0305" | "0307" => Word::Credentials,
            "0101" | "0106" | "0302" | "0306" | "0310" | "0401" | "0402" | "0802" => {
                Word::Permanent
            }
            "0201" | "0601" | "0606" | "0609" | "0610" | "0611" | "0613" => Word::Ambiguous,
            _ => Word::Unknown,
        };
    }
    match code {
        "COCT.0070003" | "429" => Word::Throttled,
        "DEVPIPE.00011104" | "DEVPIPE.00011105" => Word::Busy,
        "DEVPIPE.00011169" | "DEVPIPE.00011170" => Word::Queued,
        "DEVPIPE.00011136" | "DEVPIPE.00011401" | "DEVPIPE.00011412" | "DEVPIPE.30011001"
        | "DEVPIPE.30011011" | "DEVPIPE.30021001" | "DEV_21_100169" | "DEVCP.00012002"
        | "DEVCP.00014004" | "DEVCP.00014031" | "DEVCP.00021018" | "DEVCP.00021400" => {
            Word::Permanent
        }
        "DEV.00000001" => Word::Credentials,
        "COCT.0070500" | "DEVCP.00010000" | "DEVCP.00020500" | "408" => Word::Ambiguous,
        // A service behind the service failed, and its status was handed on as a code.
        _ if code.len() == 3
            && code.starts_with('5')
            && code.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Word::Ambiguous
        }
        _ => Word::Unknown,
    }
}

/// The number of a gateway's code.
pub(super) fn gateway_number(code: &str) -> Option<&str> {
    code.strip_prefix("APIGW.")
        .or_else(|| code.strip_prefix("APIG."))
}
