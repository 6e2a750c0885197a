//! Files that are in the program and served to browsers. They are kept in gzip, as nearly everybody takes it, and
//! unpacked for others once somebody has asked.

use std::io::{self, Read as _};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest as _, Sha256};
use tonic::body::Body;

use super::body::{deflated, takes_gzip};
use super::error::HttpError;
use crate::edge::shorten::quoted;

/// Bytes of the hash that names a version of a file.
const TAG_BYTES: usize = 16;

/// How long a browser keeps a file without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It asks each time whether there is another version.
    Ask,
    /// Always: the name changes with what the file holds.
    Always,
}

/// A file at its path.
pub(super) struct File {
    pub(super) path: &'static str,
    content_type: HeaderValue,
    policy: HeaderValue,
    keep: Keep,
    gzip: Bytes,
    plain: OnceLock<Bytes>,
    /// Names what the file holds.
    tag: HeaderValue,
}

impl File {
    /// One that is packed already; a page that it is or is part of may do what `policy` allows.
    pub(super) fn packed(
        path: &'static str,
        content_type: &'static str,
        policy: HeaderValue,
        keep: Keep,
        gzip: Bytes,
    ) -> Self {
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&gzip)[..TAG_BYTES]));
        let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
        let content_type = HeaderValue::from_static(content_type);
        Self { path, content_type, policy, keep, gzip, plain: OnceLock::new(), tag }
    }

    /// One that is packed now, and asked for each time.
    ///
    /// # Errors
    /// For want of memory.
    pub(super) fn plain(
        path: &'static str,
        content_type: &'static str,
        policy: HeaderValue,
        bytes: &[u8],
    ) -> io::Result<Self> {
        let gzip = deflated(bytes, Compression::best())?;
        Ok(Self::packed(path, content_type, policy, Keep::Ask, gzip))
    }

    /// The file for who asks with these headers, or that they have it.
    pub(super) fn response(&self, asked: &HeaderMap) -> Response<Body> {
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
        let cache_control = match self.keep {
            Keep::Ask => "no-cache",
            Keep::Always => "public, max-age=31536000, immutable",
        };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
        if is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether a request for a file asks to read it.
pub(super) fn reads<B>(request: &Request<B>) -> bool {
    [Verb::GET, Verb::HEAD].contains(request.method())
}

/// What is told to a request that does not.
pub(super) fn read_only<B>(request: &Request<B>) -> HttpError {
    HttpError::verb(quoted(request.uri().path()), "GET, HEAD")
}

/// Whether `If-None-Match` names this version.
fn is_among(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let known = known.to_str().unwrap_or_default();
    known.split(',').any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

/// What was packed by us, and so can be read.
fn unpacked(gzip: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    match GzDecoder::new(gzip).read_to_end(&mut bytes) {
        Ok(_) => bytes.into(),
        Err(error) => {
            tracing::error!(%error, "a file of the program cannot be unpacked");
            Bytes::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn file(keep: Keep) -> File {
        let gzip = deflated(&[b'a'; 4_000], Compression::best()).unwrap();
        File::packed("/a", "text/plain", HeaderValue::from_static("default-src 'none'"), keep, gzip)
    }

    fn asked(file: &File, headers: &[(HeaderName, &str)]) -> Response<Body> {
        file.response(&headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
    }

    async fn bytes(response: Response<Body>) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_file_comes_in_gzip_to_those_who_take_it_and_plain_to_others() {
        let file = file(Keep::Ask);
        let plain = asked(&file, &[]);
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let plain = bytes(plain).await;
        assert_eq!(plain, [b'a'; 4_000][..]);
        let gzip = asked(&file, &[(ACCEPT_ENCODING, "gzip")]);
        assert_eq!(gzip.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(gzip.headers()[VARY], "accept-encoding");
        let gzip = bytes(gzip).await;
        assert!(gzip.len() < 100);
        assert_eq!(unpacked(&gzip), plain);
    }

    #[test]
    fn who_has_a_file_is_not_sent_it_again() {
        let file = file(Keep::Ask);
        let tag = file.tag.to_str().unwrap();
        for known in [tag.to_owned(), format!("\"other\", W/{tag}")] {
            assert_eq!(
                asked(&file, &[(IF_NONE_MATCH, &known)]).status(),
                StatusCode::NOT_MODIFIED,
                "{known}"
            );
        }
        assert_eq!(asked(&file, &[(IF_NONE_MATCH, "\"other\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn a_file_whose_name_changes_with_it_is_kept_and_any_other_asked_for() {
        let kept = |keep| asked(&file(keep), &[]).headers()[CACHE_CONTROL].to_str().unwrap().to_owned();
        assert_eq!(kept(Keep::Ask), "no-cache");
        assert_eq!(kept(Keep::Always), "public, max-age=31536000, immutable");
    }
}
