//! REST: the paths that the protos give their methods, with JSON.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{Method as Verb, Request, Response, StatusCode};
use marquee_proto::dynamic::{
    Captures, Found, HttpBinding, RequestBody, Verb as BindingVerb, query_to_json, with_captures,
};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::body::{self, Codec};
use super::call::{Call, Form};
use super::error::{ErrorForm, HttpError};
use super::refusal::NoCall;
use super::served::{Method, Served, Streaming};
use super::stream::{self, Framing};
use crate::edge::ApiError;
use crate::edge::layers::{ConnectionInfo, Protocol, WholeBody};
use crate::edge::shorten::quoted;

/// A method with its message in Protobuf.
struct Asked<'a> {
    method: &'a Method,
    message: Vec<u8>,
    /// What holds the message's place in the receive buffer.
    _body: Option<WholeBody>,
}

/// The answer to a request for a path that is no method's.
pub(super) async fn answer<S>(
    served: &Served,
    inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let (head, body) = request.into_parts();
    let answered = match asked(served, &head, body).await {
        Ok(Asked { method, message, _body }) => {
            let call = Call {
                path: &method.path,
                headers: &head.headers,
                extensions: head.extensions,
                message: message.into(),
                form: Form::Plain,
                protocol: Protocol::Http,
            };
            if method.streaming == Streaming::Replies {
                let replies = call.stream(inner).await?.map_err(HttpError::from);
                replies.map(|(headers, replies)| {
                    let errors = Arc::clone(&served.errors);
                    let error = move |status: &Status| errors.rest(status);
                    let framing = Framing::of(&head.headers);
                    stream::response(framing, headers, method.output.clone(), replies, error)
                })
            } else {
                let reply = call.unary(inner).await?.map_err(HttpError::from);
                reply.and_then(|reply| {
                    body::response(reply.headers, reply.message, Codec::Json, &method.output, &head.headers)
                })
            }
        }
        Err(error) => {
            let (path, headers) = (path_of_call(served, &head).to_owned(), &head.headers);
            let no_call =
                NoCall { path: &path, headers, extensions: head.extensions, protocol: Protocol::Http };
            Err(no_call.refuse(inner, error).await?)
        }
    };
    Ok(answered.unwrap_or_else(|error| served.errors.response(error, ErrorForm::on(head.uri.path()))))
}

/// That of the method at the path of a request; the path itself where there is none.
fn path_of_call<'a>(served: &'a Served, head: &'a Parts) -> &'a str {
    let method = found(served, head).ok().and_then(|(binding, _)| served.method_of(binding));
    method.map_or(head.uri.path(), |method| method.path.path())
}

async fn asked<'a>(served: &'a Served, head: &Parts, body: Body) -> Result<Asked<'a>, HttpError> {
    let (binding, captures) = found(served, head)?;
    let Some(method) = served.method_of(binding) else { return Err(nothing(head)) };
    if binding.body == RequestBody::None {
        let query = head.uri.query().unwrap_or_default();
        let json = query_to_json(&method.input, &captures, query).map_err(body::refused)?;
        let mut message = body::message_of(&method.input, json.as_bytes())?;
        let is_stream = method.streaming == Streaming::Replies;
        if let Some(json) = stream::resumed(&method.input, &head.headers).filter(|_| is_stream) {
            // Of two values of a field the last one is its value.
            message.extend(body::message_of(&method.input, json.as_bytes())?);
        }
        return Ok(Asked { method, message, _body: None });
    }
    if let Some((name, _)) =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).next()
    {
        return Err(
            ApiError::invalid(name, "is in the query; this call takes its message from the body").into()
        );
    }
    let form = body::form_of(&body::text_of(&head.headers, CONTENT_ENCODING))?;
    let connection = head.extensions.get::<ConnectionInfo>().cloned();
    let content_type = body::text_of(&head.headers, CONTENT_TYPE);
    if !content_type.is_empty() && Codec::of(&content_type) != Some(Codec::Json) {
        return Err(not_json(&content_type));
    }
    let body = body::read(&served.bodies, &head.headers, body, connection, form).await?;
    let message = if body.bytes.is_empty() {
        // As curl sends it where the path says all.
        Vec::new()
    } else if content_type.is_empty() {
        return Err(not_json(&content_type));
    } else {
        body::message_in(&method.input, &body.bytes, form, served.bodies.limit())?
    };
    let message = with_captures(&method.input, message, &captures).map_err(body::refused)?;
    Ok(Asked { method, message, _body: Some(body) })
}

/// What stands at the path of a request. HEAD asks as GET does.
fn found<'a>(served: &'a Served, head: &'a Parts) -> Result<(&'a HttpBinding, Captures<'a>), HttpError> {
    let path = head.uri.path();
    let verb = if head.method == Verb::HEAD { Verb::GET.as_str() } else { head.method.as_str() };
    let found = served.routes.find(verb, path).map_err(|violation| ApiError::Invalid(vec![violation]))?;
    match found {
        Found::Binding(binding, captures) => Ok((binding, captures)),
        Found::OtherVerbs(verbs) => Err(HttpError::verb(quoted(path), &allowed(&verbs))),
        Found::Nothing => Err(nothing(head)),
    }
}

fn nothing(head: &Parts) -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, ApiError::UnknownPath { path: quoted(head.uri.path()) })
}

fn not_json(found: &str) -> HttpError {
    let error = ApiError::MediaType { found: quoted(found), accepted: "application/json" };
    HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
}

/// The verbs as `Allow` has them.
fn allowed(verbs: &[BindingVerb]) -> String {
    let names = verbs.iter().flat_map(|verb| match verb {
        BindingVerb::Get => vec!["GET", "HEAD"],
        verb => vec![verb.as_str()],
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_get_may_ask_for_the_head() {
        assert_eq!(allowed(&[BindingVerb::Get, BindingVerb::Delete]), "GET, HEAD, DELETE");
    }
}
