//! What is served beside the calls: `/openapi.json`, and at `/docs` Swagger UI, which shows it.
//!
//! Everything is in the program and comes from this server, which the page's policy holds it to. It is kept in gzip,
//! as nearly everybody takes it.

use std::io::{self, Read as _};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, IF_NONE_MATCH, LOCATION, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response, StatusCode};
use http_body_util::Full;
use marquee_proto::dynamic::{Api, Routes};
use sha2::{Digest as _, Sha256};
use tonic::body::Body;

use super::body::{deflated, takes_gzip};
use super::error::HttpError;
use super::openapi;
use crate::edge::shorten::quoted;

const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));

/// Nothing from elsewhere. Swagger UI sets styles of elements.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Where people begin.
const START: &str = "/docs";

/// Bytes of the hash that names a version of a file.
const TAG_BYTES: usize = 16;

/// The files, made once.
pub(super) struct Docs(Vec<Asset>);

struct Asset {
    path: &'static str,
    content_type: HeaderValue,
    gzip: Bytes,
    /// The same unpacked, once somebody has asked for it so.
    plain: OnceLock<Bytes>,
    /// Names what the file holds.
    tag: HeaderValue,
}

impl Docs {
    /// Of these services at these places.
    ///
    /// # Errors
    /// When a file cannot be packed, for want of memory.
    pub(super) fn new(api: &Api, routes: &Routes) -> io::Result<Self> {
        let description = openapi::description(api, routes).to_string();
        Ok(Self(vec![
            Asset::new("/openapi.json", "application/json", packed(description.as_bytes())?),
            Asset::new(START, "text/html; charset=utf-8", packed(include_bytes!("page.html"))?),
            Asset::new("/docs/start.js", "text/javascript", packed(include_bytes!("start.js"))?),
            Asset::new("/docs/swagger-ui-bundle.js", "text/javascript", Bytes::from_static(SCRIPT)),
            Asset::new("/docs/swagger-ui.css", "text/css", Bytes::from_static(STYLE)),
        ]))
    }

    /// The answer to a request for one of the files, or for where they begin; `None` for any other.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Option<Result<Response<Body>, HttpError>> {
        let path = request.uri().path();
        let is_start = path == "/" || path == "/docs/";
        let asset = self.0.iter().find(|asset| asset.path == path);
        if !is_start && asset.is_none() {
            return None;
        }
        if ![Verb::GET, Verb::HEAD].contains(request.method()) {
            return Some(Err(HttpError::verb(quoted(path), "GET, HEAD")));
        }
        Some(Ok(match asset {
            Some(asset) => asset.response(request.headers()),
            None => to_start(),
        }))
    }
}

impl Asset {
    fn new(path: &'static str, content_type: &'static str, gzip: Bytes) -> Self {
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&gzip)[..TAG_BYTES]));
        let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { path, content_type: HeaderValue::from_static(content_type), gzip, plain: OnceLock::new(), tag }
    }

    fn response(&self, asked: &HeaderMap) -> Response<Body> {
        let is_known = asked.get(IF_NONE_MATCH).is_some_and(|known| is_among(known, &self.tag));
        let (status, is_packed, bytes) = if is_known {
            (StatusCode::NOT_MODIFIED, false, Bytes::new())
        } else if takes_gzip(asked) {
            (StatusCode::OK, true, self.gzip.clone())
        } else {
            (StatusCode::OK, false, self.plain.get_or_init(|| unpacked(&self.gzip)).clone())
        };
        let mut response = Response::new(Body::new(Full::new(bytes)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        headers.insert(ETAG, self.tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
        if is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether `If-None-Match` names this version.
fn is_among(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let known = known.to_str().unwrap_or_default();
    known.split(',').any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

fn to_start() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(START));
    response
}

fn packed(bytes: &[u8]) -> io::Result<Bytes> {
    deflated(bytes, Compression::best())
}

/// What was packed by us, and so can be read.
fn unpacked(gzip: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    match GzDecoder::new(gzip).read_to_end(&mut bytes) {
        Ok(_) => bytes.into(),
        Err(error) => {
            tracing::error!(%error, "a file of the documentation cannot be unpacked");
            Bytes::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn docs() -> Docs {
        let api = Api::marquee();
        Docs::new(&api, &Routes::of(&api).unwrap()).unwrap()
    }

    fn asked(verb: &str, path: &str, headers: &[(HeaderName, &str)]) -> Option<Response<Body>> {
        let mut request = Request::builder().method(verb).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        docs().answer(&request.body(()).unwrap())?.ok()
    }

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_description_comes_in_gzip_to_those_who_take_it_and_plain_to_others() {
        let plain = asked("GET", "/openapi.json", &[]).unwrap();
        assert_eq!(plain.headers()[CONTENT_TYPE], "application/json");
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let plain = text(plain).await;
        let document: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let gzip = asked("GET", "/openapi.json", &[(ACCEPT_ENCODING, "gzip")]).unwrap();
        assert_eq!(gzip.headers()[CONTENT_ENCODING], "gzip");
        let gzip = gzip.into_body().collect().await.unwrap().to_bytes();
        assert!(gzip.len() * 4 < plain.len());
        assert_eq!(unpacked(&gzip), plain);
    }

    #[test]
    fn who_has_a_file_is_not_sent_it_again() {
        let tag = asked("GET", "/docs", &[]).unwrap().headers()[ETAG].clone();
        for known in [tag.to_str().unwrap().to_owned(), format!("\"other\", W/{}", tag.to_str().unwrap())] {
            let again = asked("GET", "/docs", &[(IF_NONE_MATCH, &known)]).unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        assert_eq!(asked("GET", "/docs", &[(IF_NONE_MATCH, "\"other\"")]).unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_the_page_refers_to_is_there() {
        let page = text(asked("GET", "/docs", &[]).unwrap()).await;
        for path in page.split('"').filter(|part| part.starts_with('/')) {
            let file = asked("GET", path, &[]).unwrap_or_else(|| panic!("{path}"));
            assert!(!text(file).await.is_empty(), "{path}");
        }
    }

    #[test]
    fn the_root_leads_to_the_page_and_other_paths_are_not_answered() {
        for path in ["/", "/docs/"] {
            assert_eq!(asked("GET", path, &[]).unwrap().headers()[LOCATION], "/docs");
        }
        assert!(asked("GET", "/docs/other", &[]).is_none());
        assert!(docs().answer(&Request::post("/docs").body(()).unwrap()).unwrap().is_err());
    }
}
