//! What is served beside the calls: `/openapi.json`, and at `/docs` Swagger UI, which shows it.
//!
//! Everything is in the program and comes from this server, which the page's policy holds it to.

use std::io;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Request, Response, StatusCode};
use marquee_proto::dynamic::{Api, Routes};
use tonic::body::Body;

use super::error::HttpError;
use super::file::{self, File, Keep};
use super::openapi;

const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));

/// Nothing from elsewhere. Swagger UI sets styles of elements.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Where people begin.
const START: &str = "/docs";

/// The files, made once.
pub(super) struct Docs(Vec<File>);

impl Docs {
    /// Of these services at these places.
    ///
    /// # Errors
    /// When a file cannot be packed, for want of memory.
    pub(super) fn new(api: &Api, routes: &Routes) -> io::Result<Self> {
        let description = openapi::description(api, routes).to_string();
        let packed = |path, content_type, gzip| {
            File::packed(path, content_type, POLICY, Keep::Ask, Bytes::from_static(gzip))
        };
        Ok(Self(vec![
            File::plain("/openapi.json", "application/json", POLICY, description.as_bytes())?,
            File::plain(START, "text/html; charset=utf-8", POLICY, include_bytes!("page.html"))?,
            File::plain("/docs/start.js", "text/javascript", POLICY, include_bytes!("start.js"))?,
            packed("/docs/swagger-ui-bundle.js", "text/javascript", SCRIPT),
            packed("/docs/swagger-ui.css", "text/css", STYLE),
        ]))
    }

    /// The answer to a request for one of the files, or for where they begin; `None` for any other.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Option<Result<Response<Body>, HttpError>> {
        let path = request.uri().path();
        let is_start = path == "/" || path == "/docs/";
        let file = self.0.iter().find(|file| file.path == path);
        if !is_start && file.is_none() {
            return None;
        }
        if !file::reads(request) {
            return Some(Err(file::read_only(request)));
        }
        Some(Ok(match file {
            Some(file) => file.response(request.headers()),
            None => to_start(),
        }))
    }
}

fn to_start() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(START));
    response
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http_body_util::BodyExt as _;

    use super::*;

    fn docs() -> Docs {
        let api = Api::marquee();
        Docs::new(&api, &Routes::of(&api).unwrap()).unwrap()
    }

    fn get(path: &str) -> Option<Response<Body>> {
        docs().answer(&Request::get(path).body(()).unwrap())?.ok()
    }

    async fn text(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_description_is_one_of_openapi() {
        let description = get("/openapi.json").unwrap();
        assert_eq!(description.headers()[CONTENT_TYPE], "application/json");
        let document: serde_json::Value = serde_json::from_str(&text(description).await).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
    }

    #[tokio::test]
    async fn what_the_page_refers_to_is_there() {
        let page = text(get("/docs").unwrap()).await;
        for path in page.split('"').filter(|part| part.starts_with('/')) {
            let file = get(path).unwrap_or_else(|| panic!("{path}"));
            assert!(!text(file).await.is_empty(), "{path}");
        }
    }

    #[test]
    fn the_root_leads_to_the_page_and_other_paths_are_not_answered() {
        for path in ["/", "/docs/"] {
            assert_eq!(get(path).unwrap().headers()[LOCATION], "/docs");
        }
        assert!(get("/docs/other").is_none());
        assert!(docs().answer(&Request::post("/docs").body(()).unwrap()).unwrap().is_err());
    }
}
