//! The files that pages refer to, from the binary. Their addresses change with their content, so that
//! browsers may keep them.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

struct Asset {
    name: &'static str,
    media_type: &'static str,
    body: &'static [u8],
}

/// htmx is <https://htmx.org>, version 4.0.1, under the Zero-Clause BSD licence, unchanged from
/// `dist/htmx.min.js` of its npm package; the licence lies beside it.
const ASSETS: [Asset; 4] = [
    Asset {
        name: "console.css",
        media_type: "text/css; charset=utf-8",
        body: include_bytes!("assets/console.css"),
    },
    Asset {
        name: "console.js",
        media_type: "text/javascript; charset=utf-8",
        body: include_bytes!("assets/console.js"),
    },
    Asset {
        name: "htmx.js",
        media_type: "text/javascript; charset=utf-8",
        body: include_bytes!("assets/htmx-4.0.1.min.js"),
    },
    Asset {
        name: "icon.svg",
        media_type: "image/svg+xml",
        body: include_bytes!("assets/icon.svg"),
    },
];

/// Of all of them together: names their addresses.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in &ASSETS {
        hash.update(asset.body);
    }
    hex::encode(hash.finalize()).chars().take(12).collect()
});

/// The address of an asset.
pub(super) fn address(name: &str) -> String {
    format!("/console/assets/{}/{name}", *VERSION)
}

/// What a browser checks an asset against before it runs it.
pub(super) fn integrity(name: &str) -> String {
    let body = ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map_or(&[][..], |asset| asset.body);
    format!("sha256-{}", STANDARD.encode(Sha256::digest(body)))
}

pub(super) async fn answer(Path((_, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = asset.body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.media_type),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    response
}
