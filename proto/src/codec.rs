//! Protobuf as prost writes and reads it, with requests scanned before they are decoded.
//!
//! A request that is refused here has cost its bytes and no more. Replies are decoded as they come: a caller
//! trusts the server that it asked.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf as _;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::ProstEncoder;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::Violation;
use crate::scan::{Fault, Wire, scan};

/// The domain of the reasons in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "marquee";

/// The reason for a field that breaks its rule.
pub const INVALID_FIELD: &str = "INVALID_FIELD";

/// The reason for bytes that are no message.
pub const UNDECODABLE: &str = "UNDECODABLE_MESSAGE";

/// The codec of the generated clients and servers: encodes `T`, decodes `U`.
#[derive(Clone, Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Wire + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = RequestDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Decodes what holds to the bounds of its lists.
#[derive(Clone, Debug)]
pub struct RequestDecoder<U>(PhantomData<U>);

impl<U: Message + Default + Wire> Decoder for RequestDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if let Some(shape) = U::shape() {
            debug_assert_eq!(bytes.chunk().len(), bytes.remaining(), "a message comes in one piece");
            scan(shape, bytes.chunk()).map_err(|fault| refused(&fault))?;
        }
        U::decode(bytes).map(Some).map_err(|error| undecodable(&error.to_string(), None))
    }
}

fn refused(fault: &Fault) -> Status {
    let Violation { field, description } = fault.violation();
    let named = if field.is_empty() { "a field" } else { field.as_str() };
    let sentence = format!("{named} {description}");
    if fault.is_too_many() {
        return status(sentence, INVALID_FIELD, Some(Violation { field, description }));
    }
    let violation = (!field.is_empty()).then_some(Violation { field, description });
    undecodable(&sentence, violation)
}

fn undecodable(why: &str, violation: Option<Violation>) -> Status {
    status(format!("the message cannot be decoded: {why}"), UNDECODABLE, violation)
}

fn status(message: String, reason: &str, violation: Option<Violation>) -> Status {
    let mut details = ErrorDetails::new();
    if let Some(Violation { field, description }) = violation {
        details.add_bad_request_violation(field, description);
    }
    details.set_error_info(reason, DOMAIN, []);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use prost::bytes::{BufMut as _, Bytes, BytesMut};
    use tonic::codec::Streaming;

    use super::*;
    use crate::v1;

    /// What becomes of a message that stands in a request.
    async fn decoded<U: Message + Default + Wire + Send + 'static>(message: &[u8]) -> Result<U, Status> {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(message.len() as u32);
        framed.put_slice(message);
        let body = Full::<Bytes>::from(framed.freeze());
        let decoder = RequestDecoder(PhantomData);
        let mut messages = Streaming::<U>::new_request(decoder, body, None, None);
        Ok(messages.message().await?.unwrap())
    }

    fn field_and_reason(status: &Status) -> (Option<String>, String) {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let details = status.get_error_details();
        let field = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
        (field, details.error_info().unwrap().reason.clone())
    }

    #[tokio::test]
    async fn a_sound_request_comes_through() {
        let request = v1::RecommendRequest { k: Some(7), model_version: "v1".into(), ..Default::default() };
        assert_eq!(decoded::<v1::RecommendRequest>(&request.encode_to_vec()).await.unwrap(), request);
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_is_an_invalid_field() {
        let batch = v1::RecommendBatchRequest { requests: vec![v1::RecommendRequest::default(); 1001] };
        let refused = decoded::<v1::RecommendBatchRequest>(&batch.encode_to_vec()).await.unwrap_err();
        assert_eq!(refused.message(), "requests has more than 1000 elements; at most 1000 are accepted");
        assert_eq!(field_and_reason(&refused), (Some("requests".into()), INVALID_FIELD.into()));
    }

    #[tokio::test]
    async fn a_reply_has_no_bounds() {
        let genres = vec![v1::Genre::default(); 100_000];
        let reply = v1::ListGenresResponse { genres };
        assert_eq!(decoded::<v1::ListGenresResponse>(&reply.encode_to_vec()).await.unwrap(), reply);
    }

    #[tokio::test]
    async fn what_cannot_be_decoded_is_an_invalid_argument_and_not_internal() {
        let text = decoded::<v1::RecommendRequest>(&[8 << 3 | 2, 1, 0xff]).await.unwrap_err();
        assert_eq!(field_and_reason(&text), (Some("model_version".into()), UNDECODABLE.into()));
        let expected = "the message cannot be decoded: model_version is not UTF-8; encode texts as UTF-8";
        assert_eq!(text.message(), expected);

        let short = decoded::<v1::RecommendRequest>(&[8 << 3 | 2, 9]).await.unwrap_err();
        assert_eq!(field_and_reason(&short), (None, UNDECODABLE.into()));

        let mut overflow = vec![3 << 3];
        overflow.extend([0xff; 9]);
        overflow.push(0x7f);
        let number = decoded::<v1::RecommendRequest>(&overflow).await.unwrap_err();
        assert_eq!(field_and_reason(&number).1, UNDECODABLE);
    }
}
