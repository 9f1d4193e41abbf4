//! Why nothing is decided, shown or changed, with its status, its stable code and its sentence.

use assay_domain::AdmissionError;
use assay_engine::lists::ListError;
use assay_engine::{ApplyError, PolicyError, Refusal as EngineRefusal};
use hyper::StatusCode;
use thiserror::Error;

use crate::decisions::desk::Unavailable;
use crate::decisions::fold::FoldError;
use crate::decisions::owner::{LabelProblem, PolicyProblem};
use crate::decisions::transaction::TransactionError;

/// One reason. No submitted value is repeated.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Problem {
    /// There is nothing to decide with.
    #[error("this server makes no decisions; start it with --data-dir FOLDER, where they are written down")]
    NoDataFolder,
    /// Not now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It is no transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// It may not enter.
    #[error(transparent)]
    Admission(#[from] EngineRefusal),
    /// The id is known.
    #[error("another transaction has this id; an id is for one transaction, and its decision stands")]
    Conflict,
    /// The id is known from an import.
    #[error("this transaction was imported as part of the past, so that it is not decided; ask about new ones")]
    Imported,
    /// Nobody knows it.
    #[error("there is no such decision; its id is that of its transaction")]
    NotFound,
    /// Not what this route takes.
    #[error("the body must be {0}")]
    BadBody(&'static str),
    /// Not what this route takes.
    #[error("the query must be {0}")]
    BadQuery(&'static str),
    /// A text that must not be stored.
    #[error("`{0}` holds what looks like a card number, which must not enter; leave it out")]
    CardNumber(&'static str),
    /// A label that is not taken.
    #[error(transparent)]
    Label(#[from] LabelProblem),
    /// The policy is not as the one who changes it thinks.
    #[error("another policy decides than `replaces` names; read it with GET /v1/policy and change that one")]
    PolicyMoved,
    /// A version means one policy.
    #[error("another policy had this version; give each policy a version of its own")]
    VersionTaken,
    /// There is no such rule.
    #[error("the policy has no rule of this id; GET /v1/policy shows its rules")]
    NoRule,
    /// No policy is tried out.
    #[error("no policy is tried out; PUT one to /v1/policy/shadow")]
    NoShadow,
    /// There is nothing to release.
    #[error("the governor holds nothing back, so that there is nothing to release; GET /v1/monitor shows how it stands")]
    NothingHeldBack,
    /// A change that cannot be made.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A policy that cannot be understood.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A list that is not there.
    #[error("there is no list of that name; GET /v1/lists shows those there are")]
    NoList,
    /// A web page asks.
    #[error("web pages may not ask for this; ask with a client that sends no Origin")]
    FromPage,
    /// The journal cannot be read.
    #[error("the journal cannot be read; its disk needs a look, and the log says more")]
    Unreadable,
}

/// Says in the log what the answer does not.
impl From<FoldError> for Problem {
    fn from(error: FoldError) -> Self {
        tracing::error!("{error}");
        Self::Unreadable
    }
}

impl From<PolicyProblem> for Problem {
    fn from(problem: PolicyProblem) -> Self {
        match problem {
            PolicyProblem::Moved => Self::PolicyMoved,
            PolicyProblem::VersionTaken => Self::VersionTaken,
            PolicyProblem::NoRule => Self::NoRule,
            PolicyProblem::Apply(problem) => problem.into(),
        }
    }
}

impl Problem {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoDataFolder
            | Self::NotFound
            | Self::NoRule
            | Self::NoShadow
            | Self::NoList
            | Self::Label(LabelProblem::Unknown)
            | Self::Apply(ApplyError::List(ListError::Unknown)) => StatusCode::NOT_FOUND,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Conflict
            | Self::Imported
            | Self::PolicyMoved
            | Self::VersionTaken
            | Self::NothingHeldBack
            | Self::Apply(ApplyError::List(ListError::Exists | ListError::InUse)) => StatusCode::CONFLICT,
            Self::Apply(_) | Self::Policy(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Transaction(TransactionError::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::FromPage => StatusCode::FORBIDDEN,
            Self::Unreadable => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The word for programs; it never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDataFolder => "no_data_folder",
            Self::Unavailable(Unavailable::Opening { .. }) => "opening",
            Self::Unavailable(Unavailable::Busy) => "too_many_decisions",
            Self::Unavailable(Unavailable::Stopped) => "journal_stopped",
            Self::Transaction(problem) => problem.code(),
            Self::Admission(EngineRefusal::CardData(_)) => "card_data_in_transaction",
            Self::Admission(EngineRefusal::Admission(problem)) => match problem {
                AdmissionError::Missing { .. } => "missing_column",
                AdmissionError::Ahead { .. } => "event_in_the_future",
                _ => "not_admitted",
            },
            Self::Conflict => "transaction_id_taken",
            Self::Imported => "transaction_imported",
            Self::NotFound => "decision_not_found",
            Self::BadBody(_) => "bad_body",
            Self::BadQuery(_) => "bad_query",
            Self::CardNumber(_) => "card_number",
            Self::Label(LabelProblem::Unknown) => "transaction_not_found",
            Self::Label(LabelProblem::Future) => "learnt_in_the_future",
            Self::Label(LabelProblem::BeforeEvent) => "learnt_before_event",
            Self::PolicyMoved => "policy_moved",
            Self::VersionTaken => "policy_version_taken",
            Self::NoRule => "rule_not_found",
            Self::NoShadow => "no_shadow_policy",
            Self::NothingHeldBack => "governor_not_tripped",
            Self::Apply(ApplyError::List(problem)) => match problem {
                ListError::Unknown => "no_such_list",
                ListError::Exists => "list_exists",
                ListError::InUse => "list_in_use",
                ListError::Full | ListError::TextFull | ListError::TooManyLists => "lists_full",
                _ => "bad_list_change",
            },
            Self::Apply(ApplyError::Policy(_)) => "policy_does_not_fit",
            Self::Apply(_) => "change_does_not_fit",
            Self::Policy(_) => "bad_policy",
            Self::NoList => "list_not_found",
            Self::FromPage => "decisions_not_for_pages",
            Self::Unreadable => "journal_unreadable",
        }
    }

    /// The place of what is wrong with a policy.
    pub fn place(&self) -> Option<&PolicyError> {
        match self {
            Self::Policy(error) | Self::Apply(ApplyError::Policy(error)) => Some(error),
            _ => None,
        }
    }

    /// Every reason there is, for the test that the document lists them.
    #[cfg(test)]
    pub fn one_of_each() -> Vec<Self> {
        use assay_domain::card_data::CardDataError;
        let column = || "amount".to_owned();
        let policy = || PolicyError { rule: None, line: 1, column: 2, problem: "wrong".into() };
        let admission = |problem: AdmissionError| Self::from(EngineRefusal::from(problem));
        let list = |problem: ListError| Self::from(ApplyError::from(problem));
        vec![
            Self::NoDataFolder,
            Unavailable::Opening { done: 1, of: 2 }.into(),
            Unavailable::Busy.into(),
            Unavailable::Stopped.into(),
            TransactionError::NotAnObject { example: column() }.into(),
            TransactionError::UnknownKey { number: 1, advice: String::new(), columns: column() }.into(),
            TransactionError::Twice { column: column() }.into(),
            TransactionError::Kind { column: column(), expected: "a number" }.into(),
            TransactionError::Label { column: column() }.into(),
            TransactionError::Id { column: column() }.into(),
            TransactionError::TooLong.into(),
            TransactionError::CardData(CardDataError::Number { column: column() }).into(),
            EngineRefusal::CardData(CardDataError::Number { column: column() }).into(),
            admission(AdmissionError::Missing { column: column() }),
            admission(AdmissionError::Ahead { column: column(), ahead_seconds: 2, most_seconds: 1 }),
            admission(AdmissionError::Years { column: column() }),
            Self::Conflict,
            Self::Imported,
            Self::NotFound,
            Self::BadBody("an object"),
            Self::BadQuery("empty"),
            Self::CardNumber("note"),
            LabelProblem::Unknown.into(),
            LabelProblem::Future.into(),
            LabelProblem::BeforeEvent.into(),
            Self::PolicyMoved,
            Self::VersionTaken,
            Self::NoRule,
            Self::NoShadow,
            Self::NothingHeldBack,
            list(ListError::Unknown),
            list(ListError::Exists),
            list(ListError::InUse),
            list(ListError::Full),
            list(ListError::Name),
            Self::Apply(ApplyError::Policy(policy())),
            Self::Apply(ApplyError::CardData(CardDataError::Number { column: column() })),
            Self::Policy(policy()),
            Self::NoList,
            Self::FromPage,
            Self::Unreadable,
        ]
    }
}
