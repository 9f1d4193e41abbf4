//! Why a change of the models is not made, with its status, its stable code and its sentence.

use hyper::StatusCode;
use thiserror::Error;

use super::reason::Reason;
use crate::decisions::desk::Unavailable;

/// One reason. Names of models are the operator's own words, and not repeated either.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Problem {
    /// No such model.
    #[error("there is no model of this name; GET /v1/models lists those there are")]
    NotFound,
    /// Its file was refused, so that it cannot do anything.
    #[error("this model is not loaded: {}", .0.sentence())]
    Refused(Reason),
    /// A name that no model can have.
    #[error(
        "write the model's name as ?name=… with 1 to 64 letters, digits, `-`, `_` and `.`; `rollback` is taken, and a card number is none"
    )]
    BadName,
    /// A name that another model has.
    #[error("another model has this name; choose a new one, or delete that model first")]
    NameTaken,
    /// Room for no more.
    #[error("{limit} models are loaded, which is all that --max-models allows; delete one first")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A file beyond the limit.
    #[error("the model has more than {limit} bytes, which is all that --max-model-bytes allows")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The active model cannot be taken away or compared with itself.
    #[error("this is the active model; activate another one first")]
    IsActive,
    /// A challenger or a shadow of another shape.
    #[error(
        "this model takes other rows than the active one: other features, or no missing values where that one knows them; a request \
         to /predict has one shape, so it can only be activated, or asked by its name"
    )]
    OtherRows,
    /// A shadow of decisions whose transactions are other ones.
    #[error(
        "this model's definition asks for columns (NOT NULL) that transactions which are decided here do not have, or have as another type; \
         it can be activated, and transactions sent with these columns from then on"
    )]
    OtherColumns,
    /// A second challenger.
    #[error("another model has a share of the requests; end that rollout first, with percent 0")]
    OtherRollout,
    /// Nothing was active before.
    #[error("no other model was active before this one, or it was deleted; activate one by its name")]
    NothingToRollBackTo,
    /// The server works without a folder.
    #[error("this server has no folder of models; start it with --models FOLDER")]
    NoFolder,
    /// It was given by `--model`, not by the folder.
    #[error("this model's file is not in the folder of models; it leaves when the server starts without it")]
    NotInFolder,
    /// The body of a change is not what it should be.
    #[error("send {0}")]
    BadSetting(&'static str),
    /// A web page asked.
    #[error("web pages may not change models; ask with a client that sends no Origin")]
    FromPage,
    /// Decisions need to know how features are made.
    #[error(
        "decisions are made here, and this model does not say how its features are made of transactions; train one with \
         `assay train --definition`, or import it with --definition"
    )]
    NoDefinition,
    /// Decisions cannot be made with it.
    #[error("this model cannot decide in the place of the one that does; the log says why")]
    CannotDecide,
    /// Nothing can be decided now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// What was decided could not be written down.
    #[error(
        "nothing was changed: the folder of models cannot be written; its permissions or its disk need a look, and the log says more"
    )]
    NotWritten,
}

impl Problem {
    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadName | Self::BadSetting(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::FromPage => StatusCode::FORBIDDEN,
            Self::Refused(_) | Self::NoDefinition | Self::CannotDecide => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotWritten => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        }
    }

    /// The word for programs; it never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "model_not_found",
            Self::Refused(_) => "model_refused",
            Self::BadName => "bad_model_name",
            Self::NameTaken => "model_name_taken",
            Self::TooMany { .. } => "too_many_models",
            Self::TooLarge { .. } => "model_too_large",
            Self::IsActive => "model_is_active",
            Self::OtherRows => "model_takes_other_rows",
            Self::OtherColumns => "model_takes_other_columns",
            Self::OtherRollout => "other_rollout",
            Self::NothingToRollBackTo => "nothing_to_roll_back_to",
            Self::NoFolder => "no_model_folder",
            Self::NotInFolder => "model_not_in_folder",
            Self::BadSetting(_) => "bad_setting",
            Self::FromPage => "not_for_pages",
            Self::NoDefinition => "model_without_definition",
            Self::CannotDecide => "model_cannot_decide",
            Self::Unavailable(_) => "decisions_unavailable",
            Self::NotWritten => "not_written",
        }
    }

    /// Every reason there is, for the test that the document lists them.
    #[cfg(test)]
    pub fn one_of_each() -> Vec<Self> {
        vec![
            Self::NotFound,
            Self::Refused(Reason::NotWhole),
            Self::BadName,
            Self::NameTaken,
            Self::TooMany { limit: 1 },
            Self::TooLarge { limit: 1 },
            Self::IsActive,
            Self::OtherRows,
            Self::OtherColumns,
            Self::OtherRollout,
            Self::NothingToRollBackTo,
            Self::NoFolder,
            Self::NotInFolder,
            Self::BadSetting("{\"percent\": 10}"),
            Self::FromPage,
            Self::NoDefinition,
            Self::CannotDecide,
            Unavailable::Busy.into(),
            Self::NotWritten,
        ]
    }
}
