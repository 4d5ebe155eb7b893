//! What can be asked of the service, by name.

macro_rules! calls {
    ($($(#[doc = $doc:literal])* $call:ident => $name:literal,)*) => {
        /// What a request asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Call {
            $($(#[doc = $doc])* $call,)*
        }

        impl Call {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$call,)*];

            /// The call's name in rules and lists.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$call => $name,)*
                }
            }
        }
    };
}

calls! {
    /// `RunPipeline`.
    Run => "run",
    /// `ListPipelineRuns`.
    List => "list",
    /// `ShowPipelineRunDetail`.
    Detail => "detail",
    /// `ListRunVariables`.
    Variables => "variables",
    /// `queued-pipeline`.
    Queue => "queue",
    /// `cancel-queuing`.
    CancelQueuing => "cancel-queuing",
    /// `trigger-failed-record`.
    FailedTriggers => "failed-triggers",
    /// `list-runtime-vars`.
    RuntimeVariables => "runtime-variables",
    /// `StopPipelineRun`.
    Stop => "stop",
    /// `RetryPipelineRun`.
    Retry => "retry",
    /// `ListPipelines`.
    Pipelines => "pipelines",
    /// `ShowPipelineDetail`.
    Pipeline => "pipeline",
    /// `BatchShowPipelinesLatestStatus`.
    LatestStatus => "latest-status",
    /// `POST /v3/auth/tokens`.
    Token => "token",
    /// `GET /v3/projects`.
    Projects => "projects",
    /// The instance metadata service's token.
    MetadataToken => "metadata-token",
    /// The instance metadata service's key.
    MetadataKey => "metadata-key",
    /// Anything else.
    Unknown => "unknown",
}

impl Call {
    /// The call of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.name() == name)
    }

    /// Whether IAM answers it.
    pub(super) fn is_iam(self) -> bool {
        matches!(self, Self::Token | Self::Projects)
    }
}
