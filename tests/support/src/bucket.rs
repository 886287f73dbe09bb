//! An object store of S3's kind on this machine: a small one that refuses every request whose
//! signature, or what it says of its body, is wrong. It knows of S3 what a partner's bucket is used for.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// The id of the one key that opens it.
pub const KEY: &str = "AKIATUNEMANTRA";
/// That key's secret.
pub const SECRET: &str = "bucket-secret-8f2d91";
/// The region that requests must be signed for.
pub const REGION: &str = "eu-north-1";

/// What the store holds, and what it was asked.
#[derive(Default)]
pub struct Held {
    /// By name.
    pub objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    /// Method and URI of each request, in order.
    pub asked: Vec<String>,
    /// The next conditional put is done, and not answered.
    pub loses_answer: bool,
    /// The key opens nothing any more.
    pub refuses: bool,
}

impl Held {
    /// The names of what was put, in order, parts of one object as often as there were any.
    #[must_use]
    pub fn puts(&self) -> Vec<&str> {
        let asked = self.asked.iter();
        asked
            .filter_map(|asked| asked.strip_prefix("PUT /bucket/"))
            .collect()
    }
}

type Shared = Arc<Mutex<Held>>;

/// See the module. The bucket is called `bucket`.
pub struct Bucket {
    held: Shared,
    /// `store.endpoint` of a platform that delivers here.
    pub url: String,
}

impl Bucket {
    /// An empty one.
    pub async fn start() -> Self {
        let held = Shared::default();
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(held.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { held, url }
    }

    /// What it holds, for looking and for putting there what the partner would.
    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// The names of the objects, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.held().objects.keys().cloned().collect()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Every request is signed (AWS signature version 4), and its body is what was signed.
fn is_signed(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> bool {
    let said = text(headers, "authorization");
    let part = |name: &str| {
        let (_, rest) = said.split_once(name)?;
        rest.split([',', ' ']).next()
    };
    let (Some(names), Some(signature)) = (part("SignedHeaders="), part("Signature=")) else {
        return false;
    };
    let time = text(headers, "x-amz-date");
    let day = time.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let body = hex::encode(Sha256::digest(body));
    if part("Credential=") != Some(format!("{KEY}/{scope}").as_str())
        || text(headers, "x-amz-content-sha256") != body
        || !names.split(';').any(|name| name == "x-amz-content-sha256")
    {
        return false;
    }
    let mut query: Vec<String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.contains('=') {
            true => pair.to_owned(),
            false => format!("{pair}="),
        })
        .collect();
    query.sort();
    let signed: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", text(headers, name).trim()))
        .collect();
    let (path, query) = (uri.path(), query.join("&"));
    let request = format!("{method}\n{path}\n{query}\n{signed}\n{names}\n{body}");
    let request = hex::encode(Sha256::digest(request.as_bytes()));
    let message = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{request}");
    let key = [day, REGION, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| {
            mac(&key, part)
        });
    hex::encode(mac(&key, &message)) == signature
}

async fn answer(
    State(held): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut held = held.lock().unwrap();
    held.asked.push(format!("{method} {uri}"));
    if held.refuses || !is_signed(&method, &uri, &headers, &body) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let name = uri
        .path()
        .trim_start_matches("/bucket")
        .trim_start_matches('/')
        .to_owned();
    let part = query
        .get("partNumber")
        .and_then(|number| number.parse().ok());
    match (method, part) {
        (Method::PUT, Some(part)) => {
            let tag = etag(&body);
            held.parts.insert((name, part), body.to_vec());
            tag.into_response()
        }
        (Method::PUT, None) => put(&mut held, name, &headers, &body),
        (Method::POST, _) if query.contains_key("uploads") => format!(
            "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>{name}</Key>\
             <UploadId>u</UploadId></InitiateMultipartUploadResult>"
        )
        .into_response(),
        (Method::POST, _) => {
            let (whole, others) = std::mem::take(&mut held.parts)
                .into_iter()
                .partition::<BTreeMap<_, _>, _>(|((of, _), _)| *of == name);
            held.parts = others;
            held.objects
                .insert(name, whole.into_values().flatten().collect());
            "<CompleteMultipartUploadResult><ETag>\"u-2\"</ETag></CompleteMultipartUploadResult>"
                .into_response()
        }
        (Method::DELETE, _) => {
            held.objects.remove(&name);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::GET, _) if query.contains_key("list-type") => listing(&held, &query),
        (Method::GET | Method::HEAD, _) => match held.objects.get(&name) {
            None => StatusCode::NOT_FOUND.into_response(),
            Some(bytes) => {
                let modified = [(header::LAST_MODIFIED, "Mon, 24 Nov 2025 16:00:00 GMT")];
                (modified, etag(bytes), bytes.clone()).into_response()
            }
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// The MD5 of a body in hex, which is an object's tag.
#[must_use]
pub fn md5(body: &[u8]) -> String {
    hex::encode(Md5::digest(body))
}

fn etag(body: &[u8]) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{}\"", md5(body)))]
}

fn put(held: &mut Held, name: String, headers: &HeaderMap, body: &[u8]) -> Response {
    let is_conditional = text(headers, "if-none-match") == "*";
    if is_conditional && held.objects.contains_key(&name) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    held.objects.insert(name, body.to_vec());
    if is_conditional && std::mem::take(&mut held.loses_answer) {
        return StatusCode::CONFLICT.into_response();
    }
    etag(body).into_response()
}

fn listing(held: &Held, query: &HashMap<String, String>) -> Response {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let is_shallow = query.contains_key("delimiter");
    let (mut contents, mut folders) = (String::new(), Vec::new());
    for (name, bytes) in &held.objects {
        let Some(rest) = name.strip_prefix(&prefix) else {
            continue;
        };
        match rest.split_once('/') {
            Some((folder, _)) if is_shallow => folders.push(format!("{prefix}{folder}/")),
            _ => contents.push_str(&format!(
                "<Contents><Key>{name}</Key><LastModified>2025-11-24T16:00:00.000Z</LastModified>\
                 <ETag>\"e\"</ETag><Size>{}</Size></Contents>",
                bytes.len()
            )),
        }
    }
    folders.dedup();
    for folder in folders {
        contents.push_str(&format!(
            "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        ));
    }
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")
        .into_response()
}
