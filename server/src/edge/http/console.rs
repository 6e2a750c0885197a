//! The web console: its built files, at `/` and `/assets/*`, and its page at every path that is one of its own.
//!
//! The files are in the program, so that it serves the console without Node and without a folder. The console finds its
//! way by its own addresses, such as `/movies/1`, so each of them is answered with the one page that there is. What the
//! page cannot ask the API for, how the server is set, is in `/console.json`.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use serde_json::json;
use tonic::body::Body;

use super::error::HttpError;
use super::file::{self, File, Keep};

/// Path, content type and gzip of each file, as the build packs them.
const BUILT: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// Nothing from elsewhere, and nothing that is not a file: neither script nor style stands in a page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

/// The page.
const PAGE: &str = "/index.html";

/// What is named after what it holds.
const ASSETS: &str = "/assets/";

/// Where the console has no page, with all that is below: the API's, the documentation's, and the files'.
const NOT_ITS_OWN: [&str; 3] = ["/v1", "/docs", "/assets"];

/// How the server is set, as far as the console shows something else then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsoleFacts {
    /// Whether callers have to say who they are.
    pub(crate) asks_who: bool,
    /// Whether people may make accounts.
    pub(crate) signs_up: bool,
}

/// The files, made once.
pub(super) struct Console(Vec<File>);

impl Console {
    /// For a server that is set so.
    ///
    /// # Errors
    /// When a file cannot be packed, for want of memory.
    pub(super) fn new(facts: ConsoleFacts) -> io::Result<Self> {
        let mut files: Vec<File> = BUILT.iter().map(built).collect();
        let facts = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "asksWho": facts.asks_who,
            "signsUp": facts.signs_up,
        });
        files.push(File::plain("/console.json", "application/json", POLICY, facts.to_string().as_bytes())?);
        Ok(Self(files))
    }

    /// The answer to a request for one of the files, or to read the console's page; `None` for any other.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Option<Result<Response<Body>, HttpError>> {
        let path = request.uri().path();
        let file = self.file(path);
        if file.is_some() && !file::reads(request) {
            return Some(Err(file::read_only(request)));
        }
        let is_page = || file::reads(request) && is_its_own(path);
        let file = file.or_else(|| is_page().then(|| self.file(PAGE)).flatten())?;
        Some(Ok(file.response(request.headers())))
    }

    fn file(&self, path: &str) -> Option<&File> {
        let path = if path == "/" { PAGE } else { path };
        self.0.iter().find(|file| file.path == path)
    }
}

fn built((path, content_type, gzip): &(&'static str, &'static str, &'static [u8])) -> File {
    let keep = if path.starts_with(ASSETS) { Keep::Always } else { Keep::Ask };
    File::packed(path, content_type, POLICY, keep, Bytes::from_static(gzip))
}

/// Whether the console may have a page there: addresses of methods and of files have a dot in them.
fn is_its_own(path: &str) -> bool {
    !path.contains('.') && !NOT_ITS_OWN.iter().any(|root| is_at_or_below(root, path))
}

fn is_at_or_below(root: &str, path: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
    use http_body_util::BodyExt as _;

    use super::*;

    fn asked(verb: &str, path: &str) -> Option<Result<Response<Body>, HttpError>> {
        let console = Console::new(ConsoleFacts { asks_who: true, signs_up: false }).unwrap();
        console.answer(&Request::builder().method(verb).uri(path).body(()).unwrap())
    }

    fn get(path: &str) -> Option<Response<Body>> {
        asked("GET", path)?.ok()
    }

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_page_stands_at_the_root_and_what_it_refers_to_is_there_to_be_kept() {
        let page = get("/").unwrap();
        assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        assert!(page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
        let page = text(page).await;
        let assets: Vec<&str> = page.split('"').filter(|part| part.starts_with(ASSETS)).collect();
        assert!(assets.len() >= 2, "{page}");
        for asset in assets {
            let asset = get(asset).unwrap_or_else(|| panic!("{asset}"));
            assert!(asset.headers()[CACHE_CONTROL].to_str().unwrap().ends_with("immutable"));
        }
    }

    #[tokio::test]
    async fn the_page_is_answered_where_nobody_else_has_one() {
        let page = text(get("/").unwrap()).await;
        for own in ["/search", "/movies/1", "/operate/models", "/v10", "/documents"] {
            assert_eq!(text(get(own).unwrap()).await, page, "{own}");
        }
        for other in
            ["/v1", "/v1/nothing", "/docs/nothing", "/assets", "/assets/nothing", "/nothing.js", "/a.b/c"]
        {
            assert!(get(other).is_none(), "{other}");
        }
    }

    #[tokio::test]
    async fn the_console_is_told_how_the_server_is_set() {
        let facts: serde_json::Value =
            serde_json::from_str(&text(get("/console.json").unwrap()).await).unwrap();
        assert_eq!((&facts["asksWho"], &facts["signsUp"]), (&json!(true), &json!(false)));
    }

    #[test]
    fn files_are_read_and_what_is_sent_to_other_paths_is_for_others() {
        assert_eq!(asked("HEAD", "/movies/1").unwrap().unwrap().status(), StatusCode::OK);
        assert!(asked("POST", "/").unwrap().is_err());
        assert!(asked("POST", "/nothing").is_none());
    }
}
