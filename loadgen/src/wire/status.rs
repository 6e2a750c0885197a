//! Whether a reply is an answer, and the status that it has if not: each protocol says it in a place of its own.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use marquee_core::text::printable;
use marquee_proto::CODE_NAMES;
use serde::Deserialize;

use super::{CallFailure, Protocol, Reply, Whole};
use crate::measure::Failure;

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";

/// The flag of gRPC-web's last frame.
const TRAILERS: u8 = 0x80;

/// Most bytes of a body that are quoted.
const QUOTED: usize = 200;

/// The reply, if it is an answer.
pub(super) fn reply(protocol: Protocol, whole: Whole) -> Result<Reply, CallFailure> {
    match protocol {
        Protocol::Grpc => grpc(whole),
        Protocol::GrpcWeb => grpc_web(whole),
        Protocol::Connect | Protocol::ConnectProto => json_status(whole, connect_error),
        Protocol::Rest => json_status(whole, rest_error),
        Protocol::Http => json_status(whole, |_| None),
    }
}

fn grpc(whole: Whole) -> Result<Reply, CallFailure> {
    ok("gRPC", &whole)?;
    let status = whole.trailers.as_ref().unwrap_or(&whole.headers);
    check(status.get(STATUS).map(HeaderValue::as_bytes), status.get(MESSAGE).map(HeaderValue::as_bytes))?;
    Ok(Reply { body: whole.body })
}

fn grpc_web(whole: Whole) -> Result<Reply, CallFailure> {
    ok("gRPC-web", &whole)?;
    if let Some(status) = whole.headers.get(STATUS) {
        check(Some(status.as_bytes()), whole.headers.get(MESSAGE).map(HeaderValue::as_bytes))?;
        return Ok(Reply { body: whole.body });
    }
    let Some((messages, trailers)) = split_trailers(&whole.body) else {
        return Err(malformed("the reply's frames are cut off"));
    };
    check(trailer(trailers, STATUS), trailer(trailers, MESSAGE))?;
    Ok(Reply { body: messages })
}

/// The frames with messages, and what the last frame holds; nothing where it is no frame of trailers.
fn split_trailers(body: &Bytes) -> Option<(Bytes, &[u8])> {
    let mut at = 0;
    while at < body.len() {
        let prefix = body.get(at..at + 5)?;
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let frame = body.get(at + 5..at + 5 + length)?;
        if prefix[0] & TRAILERS != 0 {
            return Some((body.slice(..at), frame));
        }
        at += 5 + length;
    }
    Some((body.clone(), &[]))
}

/// A value in lines as HTTP/1.1 writes headers.
fn trailer<'a>(lines: &'a [u8], name: &str) -> Option<&'a [u8]> {
    lines.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// An answer has a status of the 200s; else `read` finds the code in the body, and what stands there in words.
fn json_status(whole: Whole, read: impl Fn(&[u8]) -> Option<(u16, String)>) -> Result<Reply, CallFailure> {
    if whole.status.is_success() {
        return Ok(Reply { body: whole.body });
    }
    let (failure, message) = match read(&whole.body) {
        Some((code, message)) => (Failure::Status(code), message),
        None => (Failure::Http(whole.status.as_u16()), beginning(&whole.body)),
    };
    Err(CallFailure { failure, message: printable(&message).into_owned() })
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(QUOTED)]).into_owned()
}

/// An error as Connect writes it; its code is a word.
fn connect_error(body: &[u8]) -> Option<(u16, String)> {
    #[derive(Deserialize)]
    struct Error {
        code: String,
        #[serde(default)]
        message: String,
    }
    let Error { code, message } = serde_json::from_slice(body).ok()?;
    // Connect alone writes it with one l.
    let name = if code == "canceled" { "cancelled" } else { code.as_str() };
    let code = CODE_NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    Some((u16::try_from(code).ok()?, message))
}

/// A `google.rpc.Status`.
fn rest_error(body: &[u8]) -> Option<(u16, String)> {
    #[derive(Deserialize)]
    struct Status {
        code: u16,
        #[serde(default)]
        message: String,
    }
    let Status { code, message } = serde_json::from_slice(body).ok()?;
    Some((code, message))
}

/// Both forms of gRPC tell errors in their own status, so HTTP's is 200.
fn ok(protocol: &str, whole: &Whole) -> Result<(), CallFailure> {
    if whole.status == StatusCode::OK {
        return Ok(());
    }
    let message = format!("HTTP status {} instead of a {protocol} reply", whole.status);
    Err(CallFailure { failure: Failure::Http(whole.status.as_u16()), message })
}

fn check(status: Option<&[u8]>, message: Option<&[u8]>) -> Result<(), CallFailure> {
    let Some(status) = status else {
        return Err(malformed("the reply has no grpc-status; does this server speak the protocol?"));
    };
    match std::str::from_utf8(status).ok().and_then(|text| text.parse().ok()) {
        Some(0) => Ok(()),
        Some(code) => {
            let message = percent_decode(message.unwrap_or_default());
            let message = printable(&String::from_utf8_lossy(&message)).into_owned();
            Err(CallFailure { failure: Failure::Status(code), message })
        }
        None => Err(malformed("the reply's grpc-status is no number")),
    }
}

fn malformed(message: &str) -> CallFailure {
    CallFailure { failure: Failure::Malformed, message: message.to_owned() }
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escaped = (text[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(text[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn whole(status: u16, headers: &[(&'static str, &'static str)], body: &[u8]) -> Whole {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Whole {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Bytes::copy_from_slice(body),
            trailers: None,
        }
    }

    /// Why a reply is no answer.
    fn failed(protocol: Protocol, whole: Whole) -> (Failure, String) {
        let CallFailure { failure, message } = reply(protocol, whole).unwrap_err();
        (failure, message)
    }

    #[test]
    fn a_grpc_message_is_percent_decoded() {
        assert_eq!(percent_decode(b"k is 501%3B 1 to 500%20only"), b"k is 501; 1 to 500 only");
        assert_eq!(percent_decode(b"100%"), b"100%");
    }

    #[test]
    fn a_message_cannot_command_the_terminal() {
        let grpc = whole(200, &[(STATUS, "3"), (MESSAGE, "%1B[2J%0A%C2%9B31m")], b"");
        assert_eq!(failed(Protocol::Grpc, grpc), (Failure::Status(3), r"\u{1b}[2J\n\u{9b}31m".to_owned()));
        let rest = whole(400, &[], br#"{"code":3,"message":"\u001b[2J"}"#);
        assert_eq!(failed(Protocol::Rest, rest), (Failure::Status(3), r"\u{1b}[2J".to_owned()));
        let http = whole(400, &[], b"\x1b[2J");
        assert_eq!(failed(Protocol::Http, http), (Failure::Http(400), r"\u{1b}[2J".to_owned()));
    }

    #[test]
    fn grpc_has_its_status_in_the_trailers_or_in_the_headers_of_a_reply_without_any() {
        let mut answered = whole(200, &[], b"frames");
        answered.trailers = Some(HeaderMap::from_iter([(STATUS.parse().unwrap(), "0".parse().unwrap())]));
        assert_eq!(reply(Protocol::Grpc, answered).unwrap().body, "frames");
        let refused = whole(200, &[(STATUS, "8")], b"");
        assert_eq!(failed(Protocol::Grpc, refused).0, Failure::Status(8));
        assert_eq!(failed(Protocol::Grpc, whole(200, &[], b"{}")).0, Failure::Malformed);
        assert_eq!(failed(Protocol::Grpc, whole(404, &[], b"")).0, Failure::Http(404));
    }

    #[test]
    fn grpc_web_has_its_status_in_the_last_frame() {
        let message: &[u8] = b"\x00\x00\x00\x00\x02hi";
        let answered = [message, b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"].concat();
        assert_eq!(reply(Protocol::GrpcWeb, whole(200, &[], &answered)).unwrap().body, message);
        let refused = b"\x80\x00\x00\x00\x27grpc-status: 8\r\nGrpc-Message: full%21\r\n";
        assert_eq!(
            failed(Protocol::GrpcWeb, whole(200, &[], refused)),
            (Failure::Status(8), "full!".to_owned())
        );
        assert_eq!(failed(Protocol::GrpcWeb, whole(200, &[(STATUS, "5")], b"")).0, Failure::Status(5));
        assert_eq!(failed(Protocol::GrpcWeb, whole(200, &[], message)).0, Failure::Malformed);
        assert_eq!(failed(Protocol::GrpcWeb, whole(200, &[], &answered[..9])).0, Failure::Malformed);
        assert_eq!(failed(Protocol::GrpcWeb, whole(403, &[], b"")).0, Failure::Http(403));
    }

    #[test]
    fn an_error_of_connect_has_its_code_as_a_word() {
        for (code, name) in CODE_NAMES.iter().enumerate().skip(1) {
            let name = name.to_lowercase().replace("cancelled", "canceled");
            let body = format!(r#"{{"code":"{name}","message":"no"}}"#);
            let refused = failed(Protocol::Connect, whole(500, &[], body.as_bytes()));
            assert_eq!(refused, (Failure::Status(code as u16), "no".to_owned()));
        }
        assert_eq!(failed(Protocol::ConnectProto, whole(502, &[], b"<html>")).0, Failure::Http(502));
        assert_eq!(reply(Protocol::Connect, whole(200, &[], b"{}")).unwrap().body, "{}");
    }

    #[test]
    fn an_error_of_rest_has_its_code_as_a_number() {
        let refused = whole(429, &[], br#"{"code":8,"message":"full","details":[{"@type":"t"}]}"#);
        assert_eq!(failed(Protocol::Rest, refused), (Failure::Status(8), "full".to_owned()));
        assert_eq!(failed(Protocol::Rest, whole(404, &[], b"{}")), (Failure::Http(404), "{}".to_owned()));
    }
}
