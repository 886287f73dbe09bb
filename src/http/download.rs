//! A document as a download: evidence, a statement. Its name, type and content may be a partner's: no
//! browser is to make anything of them.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands as it is in a name by RFC 8187.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

pub(crate) fn download(name: &str, media_type: &str, body: impl IntoResponse) -> Response {
    let name = utf8_percent_encode(name, PLAIN);
    let disposition = format!("attachment; filename*=UTF-8''{name}");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(harmless(media_type)),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox; frame-ancestors 'none'"),
    );
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn harmless(media_type: &str) -> &'static str {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    [
        "application/json",
        "application/xml",
        "text/xml",
        "text/plain",
        "text/csv",
        "application/pdf",
        "application/zip",
    ]
    .into_iter()
    .find(|known| essence.eq_ignore_ascii_case(known))
    .unwrap_or("application/octet-stream")
}
