//! What handlers take from a request; what cannot be read is a problem.

use axum::{
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(of_body(&rejection)),
        }
    }
}

fn of_body(rejection: &JsonRejection) -> Problem {
    let kind = match (rejection, rejection.status()) {
        (JsonRejection::MissingJsonContentType(_), _) => Kind::UnsupportedMediaType,
        (_, StatusCode::PAYLOAD_TOO_LARGE) => Kind::BodyTooLarge,
        // It is JSON, and not what is asked for.
        (JsonRejection::JsonDataError(_), _) => Kind::InvalidValue,
        _ => Kind::InvalidRequest,
    };
    Problem::new(kind, rejection.body_text())
}

/// The parameters after the question mark.
pub(crate) struct Query<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection @ QueryRejection::FailedToDeserializeQueryString(_)) => {
                Err(Problem::new(Kind::InvalidRequest, rejection.body_text()))
            }
            Err(rejection) => Err(Problem::new(Kind::InvalidRequest, rejection.body_text())),
        }
    }
}

/// The parameters in the path. One that cannot be names nothing.
pub(crate) struct Path<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(failed)) => {
                Err(Problem::missing(failed.body_text()))
            }
            Err(rejection) => Err(Problem::new(Kind::InvalidRequest, rejection.body_text())),
        }
    }
}
