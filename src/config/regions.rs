//! Where the services of a region are. The host of the pipeline service follows no pattern, so there is a table.

/// The regions that have CodeArts Pipeline, and its address there (the SDKs' table).
const PIPELINE: [(&str, &str); 15] = [
    (
        "cn-north-1",
        "https://cloudpipeline-ext.cn-north-1.myhuaweicloud.com",
    ),
    (
        "cn-north-4",
        "https://cloudpipeline-ext.cn-north-4.myhuaweicloud.com",
    ),
    (
        "cn-south-1",
        "https://cloudpipeline-ext.cn-south-1.myhuaweicloud.com",
    ),
    (
        "cn-south-2",
        "https://cloudpipeline-ext.cn-south-2.myhuaweicloud.com",
    ),
    (
        "cn-east-3",
        "https://cloudpipeline-ext.cn-east-3.myhuaweicloud.com",
    ),
    (
        "cn-east-2",
        "https://cloudpipeline-ext.cn-east-2.myhuaweicloud.com",
    ),
    (
        "cn-southwest-2",
        "https://cloudpipeline-ext.cn-southwest-2.myhuaweicloud.com",
    ),
    (
        "ap-southeast-3",
        "https://cloudpipeline-ext.ap-southeast-3.myhuaweicloud.com",
    ),
    (
        "sa-brazil-1",
        "https://cloudpipeline-ext.sa-brazil-1.myhuaweicloud.com",
    ),
    (
        "la-north-2",
        "https://cloudpipeline-ext.la-north-2.myhuaweicloud.com",
    ),
    (
        "tr-west-1",
        "https://pipeline-external.tr-west-1.myhuaweicloud.com",
    ),
    (
        "la-south-2",
        "https://pipeline-external.la-south-2.myhuaweicloud.com",
    ),
    (
        "af-north-1",
        "https://pipeline.af-north-1.myhuaweicloud.com",
    ),
    ("me-east-1", "https://pipeline.me-east-1.myhuaweicloud.com"),
    (
        "af-south-1",
        "https://pipeline.af-south-1.myhuaweicloud.com",
    ),
];

/// The regions whose IAM is at `https://iam.REGION.myhuaweicloud.com` (the SDKs' table).
const OWN_IAM: [&str; 27] = [
    "cn-north-1",
    "cn-north-2",
    "cn-north-4",
    "cn-north-9",
    "cn-north-12",
    "cn-east-2",
    "cn-east-3",
    "cn-east-4",
    "cn-east-5",
    "cn-south-1",
    "cn-south-2",
    "cn-southwest-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "af-south-1",
    "sa-brazil-1",
    "la-south-2",
    "la-north-2",
    "na-mexico-1",
    "eu-west-0",
    "my-kualalumpur-1",
    "ru-moscow-1",
    "me-east-1",
    "ae-ad-1",
    "tr-west-1",
];

/// The address of the pipeline service in a region.
pub fn pipeline(region: &str) -> Option<&'static str> {
    PIPELINE
        .iter()
        .find(|(name, _)| *name == region)
        .map(|&(_, address)| address)
}

/// The regions that have the pipeline service.
pub fn names() -> impl Iterator<Item = &'static str> {
    PIPELINE.iter().map(|&(name, _)| name)
}

/// The address of IAM in a region, or of the one for all if the region has none or is not known.
pub fn iam(region: Option<&str>) -> String {
    match region {
        Some("eu-west-101") => "https://iam.eu-west-101.myhuaweicloud.eu".to_owned(),
        Some(region) if OWN_IAM.contains(&region) => {
            format!("https://iam.{region}.myhuaweicloud.com")
        }
        Some(_) | None => "https://iam.myhuaweicloud.com".to_owned(),
    }
}

/// The page of a run in the console, for a region that has the pipeline service.
///
/// No documentation names it; public programs that link there agree on this form, and the console's own address bar shows it.
pub fn run_page(region: &str, project_id: &str, pipeline_id: &str, run_id: &str) -> Option<String> {
    let is_plain = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // The consoles of other clouds of the same make have addresses of their own.
    let is_known = pipeline(region).is_some_and(|address| address.ends_with(".myhuaweicloud.com"));
    (is_known && [project_id, pipeline_id, run_id].into_iter().all(is_plain)).then(|| {
        format!(
            "https://devcloud.{region}.huaweicloud.com/cicd/project/{project_id}/pipeline/detail/{pipeline_id}/{run_id}?v=1"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iam_is_where_the_sdks_say() {
        assert_eq!(
            iam(Some("cn-north-4")),
            "https://iam.cn-north-4.myhuaweicloud.com"
        );
        // Has the pipeline service, but no IAM of its own in the table.
        assert!(pipeline("af-north-1").is_some());
        assert_eq!(iam(Some("af-north-1")), "https://iam.myhuaweicloud.com");
        assert_eq!(
            iam(Some("eu-west-101")),
            "https://iam.eu-west-101.myhuaweicloud.eu"
        );
        assert_eq!(iam(None), "https://iam.myhuaweicloud.com");
    }

    #[test]
    fn the_console_shows_a_run_where_the_service_is_the_regions_own() {
        let page = run_page("cn-north-4", "54f9", "e546", "8ab1");
        assert_eq!(
            page.as_deref(),
            Some(
                "https://devcloud.cn-north-4.huaweicloud.com/cicd/project/54f9/pipeline/detail/e546/8ab1?v=1"
            )
        );
        for (region, run) in [
            ("nowhere-1", "8ab1"),
            ("eu-west-101", "8ab1"),
            ("cn-north-4", ""),
            ("cn-north-4", "../x"),
            ("cn-north-4", "a\" onclick=\"b"),
        ] {
            assert_eq!(
                run_page(region, "54f9", "e546", run),
                None,
                "{region} {run}"
            );
        }
    }
}
