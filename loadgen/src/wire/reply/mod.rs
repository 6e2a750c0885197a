//! Reads the few fields of a reply that the generator wants, and steps over the rest.
//!
//! Decoding a reply of ten movies allocates some forty times; decoding its `timings` alone allocates
//! nothing and costs less than the clock.

mod json;

use marquee_proto::v1;
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::Encoding;
use crate::measure::StageTimes;

/// What of a reply matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One answer; its `timings` stand in this field, if it has any.
    Unary {
        /// The number of the field.
        timings: Option<u32>,
    },
    /// One message with a list of outcomes in field 1, each with an `error` in field 2 or a response in
    /// field 1.
    Batch,
    /// A stream of messages with one outcome in field 1.
    Stream,
    /// Nothing is known: a body is an answer.
    Opaque,
}

/// What a reply says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Answers in it, failed ones included.
    pub answers: u32,
    /// Of them, errors.
    pub failed: u32,
    /// The server's account of the time.
    pub stages: Option<StageTimes>,
}

/// Reads the body of a reply; `None` when it is no reply of that shape.
pub fn read(shape: Shape, encoding: Encoding, body: &[u8]) -> Option<Answer> {
    match encoding {
        Encoding::Prefixed => read_messages(shape, frames(body)),
        Encoding::Bare => read_messages(shape, std::iter::once(Some(body))),
        Encoding::Json => json::read(shape, body),
    }
}

fn read_messages<'a>(shape: Shape, mut messages: impl Iterator<Item = Option<&'a [u8]>>) -> Option<Answer> {
    let one = Answer { answers: 1, ..Answer::default() };
    match shape {
        Shape::Opaque => Some(one),
        Shape::Unary { timings: None } => messages.next()?.map(|_| one),
        Shape::Unary { timings: Some(number) } => {
            let stages = field(messages.next()??, number).ok()?.map(read_timings);
            Some(Answer { stages: stages.flatten(), ..one })
        }
        Shape::Batch => count_outcomes(messages.next()??),
        Shape::Stream => messages.try_fold(Answer::default(), |sum, message| {
            let one = count_outcomes(message?)?;
            Some(Answer { answers: sum.answers + one.answers, failed: sum.failed + one.failed, stages: None })
        }),
    }
}

/// The length-prefixed messages of a gRPC body; `None` for one that is cut off or compressed.
fn frames(mut body: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let message = (|| {
            let (prefix, rest) = body.split_at_checked(5)?;
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            let (message, rest) = rest.split_at_checked(length)?;
            body = rest;
            (prefix[0] == 0).then_some(message)
        })();
        if message.is_none() {
            body = &[];
        }
        Some(message)
    })
}

/// The length-delimited fields of a message, as (number, bytes); other fields are stepped over. `None` for
/// a message that is broken.
fn fields(mut message: &[u8]) -> impl Iterator<Item = Option<(u32, &[u8])>> {
    std::iter::from_fn(move || {
        while !message.is_empty() {
            let Some((number, value)) = step(&mut message) else {
                message = &[];
                return Some(None);
            };
            if let Some(bytes) = value {
                return Some(Some((number, bytes)));
            }
        }
        None
    })
}

/// Takes one field off the front; its bytes if it has a length.
fn step<'a>(message: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let (number, wire) = decode_key(message).ok()?;
    let skip = |message: &mut &'a [u8], length: usize| {
        let (taken, rest) = message.split_at_checked(length)?;
        *message = rest;
        Some(taken)
    };
    let value = match wire {
        WireType::Varint => {
            decode_varint(message).ok()?;
            None
        }
        WireType::SixtyFourBit => skip(message, 8).map(|_| None)?,
        WireType::ThirtyTwoBit => skip(message, 4).map(|_| None)?,
        WireType::LengthDelimited => {
            let length = decode_varint(message).ok()?;
            Some(skip(message, usize::try_from(length).ok()?)?)
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    Some((number, value))
}

/// A message that is none.
struct Broken;

/// The last field of that number, if there is one.
fn field(message: &[u8], number: u32) -> Result<Option<&[u8]>, Broken> {
    fields(message).try_fold(None, |found, field| {
        let (this, bytes) = field.ok_or(Broken)?;
        Ok(if this == number { Some(bytes) } else { found })
    })
}

fn read_timings(message: &[u8]) -> Option<StageTimes> {
    let timings = v1::Timings::decode(message).ok()?;
    Some(StageTimes { total_us: timings.total_us, stage_us: timings.stages_us() })
}

fn count_outcomes(message: &[u8]) -> Option<Answer> {
    fields(message).try_fold(Answer::default(), |mut sum, field| {
        let (number, outcome) = field?;
        if number == 1 {
            sum.answers += 1;
            sum.failed += u32::from(self::field(outcome, 2).ok()?.is_some());
        }
        Some(sum)
    })
}

#[cfg(test)]
mod tests {
    use marquee_proto::dynamic::{Api, to_json_text};
    use prost::Message;
    use prost_reflect::DynamicMessage;

    use super::*;

    fn framed(messages: &[impl Message]) -> Vec<u8> {
        let mut body = Vec::new();
        for message in messages {
            body.push(0);
            body.extend((message.encoded_len() as u32).to_be_bytes());
            message.encode(&mut body).unwrap();
        }
        body
    }

    fn response() -> v1::RecommendResponse {
        v1::RecommendResponse {
            recommendations: vec![
                v1::Recommendation {
                    movie_id: 296,
                    title: "Pulp Fiction (1994)".to_owned(),
                    score: 1.5,
                    ..Default::default()
                };
                10
            ],
            model_version: "v1".to_owned(),
            timings: Some(v1::Timings::new(900, [10, 300, 500, 60, 4, 1, 0, 0, 15, 10])),
            ignored_history_movies: 2,
            ..Default::default()
        }
    }

    fn outcome(ok: bool) -> v1::RecommendOutcome {
        use v1::recommend_outcome::Outcome;
        let error = v1::CallError { code: 8, ..Default::default() };
        v1::RecommendOutcome {
            outcome: Some(if ok { Outcome::Response(response()) } else { Outcome::Error(error) }),
        }
    }

    #[test]
    fn the_timings_of_a_reply_are_found_behind_its_movies() {
        let answer =
            read(Shape::Unary { timings: Some(5) }, Encoding::Prefixed, &framed(&[response()])).unwrap();
        let stages = answer.stages.unwrap();
        assert_eq!(stages.total_us, 900);
        assert_eq!(stages.stage_us, [10, 300, 500, 60, 4, 1, 0, 0, 15, 10]);
        assert_eq!(stages.stage_us.iter().sum::<u32>(), stages.total_us);
    }

    #[test]
    fn a_reply_without_timings_is_an_answer_without_stages() {
        let empty = v1::RecommendResponse::default();
        let answer = read(Shape::Unary { timings: Some(5) }, Encoding::Prefixed, &framed(&[empty])).unwrap();
        assert_eq!(answer, Answer { answers: 1, failed: 0, stages: None });
    }

    #[test]
    fn the_outcomes_of_a_batch_are_counted() {
        let batch =
            v1::RecommendBatchResponse { outcomes: vec![outcome(true), outcome(false), outcome(true)] };
        let answer = read(Shape::Batch, Encoding::Prefixed, &framed(&[batch])).unwrap();
        assert_eq!((answer.answers, answer.failed), (3, 1));
    }

    #[test]
    fn the_messages_of_a_stream_are_counted() {
        let message = |ok| v1::RecommendStreamResponse { outcome: Some(outcome(ok)) };
        let answer =
            read(Shape::Stream, Encoding::Prefixed, &framed(&[message(true), message(false)])).unwrap();
        assert_eq!((answer.answers, answer.failed), (2, 1));
    }

    #[test]
    fn a_cut_off_body_is_no_reply() {
        let body = framed(&[response()]);
        assert_eq!(
            read(Shape::Unary { timings: Some(5) }, Encoding::Prefixed, &body[..body.len() - 1]),
            None
        );
        assert_eq!(read(Shape::Unary { timings: None }, Encoding::Prefixed, &[]), None);
    }

    /// The message in JSON, as the server writes it.
    fn json(name: &str, message: &impl Message) -> Vec<u8> {
        let api = Api::marquee();
        let descriptor = api.pool().get_message_by_name(&format!("marquee.v1.{name}")).unwrap();
        let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).unwrap();
        to_json_text(&message).unwrap()
    }

    #[test]
    fn a_reply_says_the_same_in_every_encoding() {
        let response = response();
        let shape = Shape::Unary { timings: Some(5) };
        let answer = read(shape, Encoding::Prefixed, &framed(std::slice::from_ref(&response)));
        assert!(answer.unwrap().stages.is_some());
        assert_eq!(read(shape, Encoding::Bare, &response.encode_to_vec()), answer);
        assert_eq!(read(shape, Encoding::Json, &json("RecommendResponse", &response)), answer);

        let batch = v1::RecommendBatchResponse { outcomes: vec![outcome(true), outcome(false)] };
        let answer = read(Shape::Batch, Encoding::Prefixed, &framed(std::slice::from_ref(&batch)));
        assert_eq!(read(Shape::Batch, Encoding::Bare, &batch.encode_to_vec()), answer);
        assert_eq!(read(Shape::Batch, Encoding::Json, &json("RecommendBatchResponse", &batch)), answer);
    }

    #[test]
    fn json_is_checked_to_its_end() {
        let body = json("RecommendResponse", &response());
        for shape in [Shape::Unary { timings: Some(5) }, Shape::Unary { timings: None }] {
            assert!(read(shape, Encoding::Json, &body).is_some());
            assert_eq!(read(shape, Encoding::Json, &body[..body.len() - 1]), None);
            assert_eq!(read(shape, Encoding::Json, b"<html>"), None);
        }
    }
}
