//! A look at the bytes of a request before anything is made of them.
//!
//! A decoder allocates as it reads: a list of a million empty messages is two bytes an element on the wire and five
//! hundred in memory. So the bytes are walked first, once and without an allocation, along tables that the build
//! makes of the descriptors: the lists are counted against their rules, and what cannot be decoded is named by its
//! field. The depth has its bound in the tables, which do not hold themselves.
//!
//! Parts of one message add up: where a field that is no list stands twice, the decoder merges both, so what they
//! hold is counted together.

use std::fmt::Write as _;

use crate::Violation;
use crate::v1;

/// Groups of unknown fields that may stand in each other.
const MAX_GROUPS: usize = 32;

/// The fields of a message that requests are made of.
pub struct Shape {
    fields: &'static [Field],
}

struct Field {
    number: u32,
    name: &'static str,
    kind: Kind,
    /// Most elements, if it is a list.
    most: Option<u32>,
    /// Where it is counted if it is a list, and where the lists in it begin if it holds some.
    list: usize,
}

enum Kind {
    Varint,
    /// Numbers of so many bytes.
    Fixed(usize),
    Text,
    #[allow(dead_code, reason = "no request has such a field yet")]
    Bytes,
    Message(&'static Shape),
}

/// A message of the wire, either way.
pub trait Wire {
    /// What a request may hold; `None` for what only replies are.
    fn shape() -> Option<&'static Shape>;
}

/// What is wrong with the bytes, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    why: Why,
    /// From the innermost field to the outermost, each with its index in a list.
    path: Vec<(&'static str, Option<u32>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A list has more elements than its rule allows.
    TooMany { most: u32 },
    /// A text is not UTF-8.
    NotUtf8,
    /// A number stands where a text or a message is meant, or the like.
    OtherType,
    /// The bytes end within a field.
    Short,
    /// There is no such field, or no such end of a group.
    BadKey,
}

impl Fault {
    fn within(mut self, name: &'static str, index: Option<u32>) -> Self {
        self.path.push((name, index));
        self
    }

    /// Whether the bytes are a message, though one that is refused.
    pub(crate) fn is_too_many(&self) -> bool {
        matches!(self.why, Why::TooMany { .. })
    }

    /// The field, and what is wrong with it; the field is empty where the message itself is at fault.
    pub(crate) fn violation(&self) -> Violation {
        let mut field = String::new();
        for (name, index) in self.path.iter().rev() {
            let dot = if field.is_empty() { "" } else { "." };
            let _infallible = match index {
                Some(index) => write!(field, "{dot}{name}[{index}]"),
                None => write!(field, "{dot}{name}"),
            };
        }
        let description = match self.why {
            Why::TooMany { most } => too_many(most),
            Why::NotUtf8 => "is not UTF-8; encode texts as UTF-8".to_owned(),
            Why::OtherType => "has bytes of another type; send a message of this API".to_owned(),
            Why::Short => "ends before its length; send a whole message".to_owned(),
            Why::BadKey => "has a key that Protobuf does not have; send a message of this API".to_owned(),
        };
        Violation { field, description }
    }
}

impl From<Why> for Fault {
    fn from(why: Why) -> Self {
        Self { why, path: Vec::new() }
    }
}

/// What is wrong with a list of more than `most` elements.
pub(crate) fn too_many(most: u32) -> String {
    format!("has more than {most} elements; at most {most} are accepted")
}

/// Whether a request's bytes can be decoded within the bounds of its lists.
pub(crate) fn scan(shape: &Shape, bytes: &[u8]) -> Result<(), Fault> {
    shape.scan(bytes, &mut [0; MAX_LISTS])
}

impl Shape {
    /// `counts` holds the lists of this message and of the messages in it.
    fn scan(&self, mut bytes: &[u8], counts: &mut [u32]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let (number, value) = value(&mut bytes)?;
            if let Some(field) = self.fields.iter().find(|field| field.number == number) {
                field.scan(&value, counts)?;
            }
        }
        Ok(())
    }
}

impl Field {
    fn scan(&self, value: &Value<'_>, counts: &mut [u32]) -> Result<(), Fault> {
        let Some(most) = self.most else {
            return self
                .scan_one(value, &mut counts[self.list..])
                .map_err(|fault| fault.within(self.name, None));
        };
        let count = &mut counts[self.list];
        let before = *count;
        let elements =
            self.elements(value).map_err(|why| Fault::from(why).within(self.name, Some(before)))?;
        *count = before.saturating_add(elements);
        if *count > most {
            return Err(Fault::from(Why::TooMany { most }).within(self.name, None));
        }
        match value {
            Value::Bytes(_) if self.is_packable() => Ok(()),
            _ => self
                .scan_one(value, &mut [0; MAX_LISTS])
                .map_err(|fault| fault.within(self.name, Some(before))),
        }
    }

    fn is_packable(&self) -> bool {
        matches!(self.kind, Kind::Varint | Kind::Fixed(_))
    }

    /// How many elements of a list a value is: several where numbers are packed.
    fn elements(&self, value: &Value<'_>) -> Result<u32, Why> {
        let count = match (&self.kind, value) {
            (Kind::Varint, Value::Bytes(packed)) => packed.iter().filter(|byte| **byte < 0x80).count(),
            (Kind::Fixed(size), Value::Bytes(packed)) if packed.len() % size != 0 => return Err(Why::Short),
            (Kind::Fixed(size), Value::Bytes(packed)) => packed.len() / size,
            _ => 1,
        };
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn scan_one(&self, value: &Value<'_>, counts: &mut [u32]) -> Result<(), Fault> {
        match (&self.kind, value) {
            (Kind::Varint, Value::Varint) | (Kind::Bytes, Value::Bytes(_)) => Ok(()),
            (Kind::Fixed(size), Value::Fixed(found)) if size == found => Ok(()),
            (Kind::Text, Value::Bytes(text)) => match std::str::from_utf8(text) {
                Ok(_) => Ok(()),
                Err(_) => Err(Why::NotUtf8.into()),
            },
            (Kind::Message(shape), Value::Bytes(bytes)) => shape.scan(bytes, counts),
            _ => Err(Why::OtherType.into()),
        }
    }
}

/// What stands behind a key.
enum Value<'a> {
    Varint,
    Fixed(usize),
    Bytes(&'a [u8]),
    Group,
}

/// Takes one field off the bytes.
fn value<'a>(bytes: &mut &'a [u8]) -> Result<(u32, Value<'a>), Why> {
    let (number, kind) = key(bytes)?;
    let value = match kind {
        0 => varint(bytes).map(|_| Value::Varint)?,
        1 => take(bytes, 8).map(|_| Value::Fixed(8))?,
        2 => Value::Bytes(text(bytes)?),
        3 => group(bytes, number).map(|()| Value::Group)?,
        5 => take(bytes, 4).map(|_| Value::Fixed(4))?,
        _ => return Err(Why::BadKey),
    };
    Ok((number, value))
}

/// Skips a group, which no message of ours has, up to its end.
fn group(bytes: &mut &[u8], number: u32) -> Result<(), Why> {
    let mut open = [0; MAX_GROUPS];
    open[0] = number;
    let mut depth = 1;
    while depth > 0 {
        let (number, kind) = key(bytes)?;
        match kind {
            0 => varint(bytes).map(drop)?,
            1 => take(bytes, 8).map(drop)?,
            2 => text(bytes).map(drop)?,
            3 => {
                *open.get_mut(depth).ok_or(Why::BadKey)? = number;
                depth += 1;
            }
            4 if open[depth - 1] == number => depth -= 1,
            5 => take(bytes, 4).map(drop)?,
            _ => return Err(Why::BadKey),
        }
    }
    Ok(())
}

fn key(bytes: &mut &[u8]) -> Result<(u32, u32), Why> {
    let key = u32::try_from(varint(bytes)?).map_err(|_| Why::BadKey)?;
    let number = key >> 3;
    if number == 0 { Err(Why::BadKey) } else { Ok((number, key & 7)) }
}

/// Takes what stands behind its own length.
fn text<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Why> {
    let length = varint(bytes)?;
    take(bytes, usize::try_from(length).map_err(|_| Why::Short)?)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Why> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Why::Short)?;
    *bytes = rest;
    Ok(taken)
}

/// A number of up to ten bytes of seven bits each.
fn varint(bytes: &mut &[u8]) -> Result<u64, Why> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            *bytes = &bytes[place + 1..];
            return Ok(number);
        }
    }
    Err(if bytes.len() < 10 { Why::Short } else { Why::BadKey })
}

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost::bytes::{BufMut as _, BytesMut};

    use super::*;
    use crate::v1::recommend_request::Subject;

    fn look<M: Wire>(bytes: &[u8]) -> Result<(), (String, Why)> {
        scan(M::shape().unwrap(), bytes).map_err(|fault| (fault.violation().field, fault.why))
    }

    fn too_many(field: &str, most: u32) -> Result<(), (String, Why)> {
        Err((field.to_owned(), Why::TooMany { most }))
    }

    /// A field of type 2: its key, its length, its bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        out.put_u8(number << 3 | 2);
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        out.put_slice(bytes);
        out.to_vec()
    }

    fn with_filter(filter: v1::Filter) -> v1::RecommendRequest {
        v1::RecommendRequest { filter: Some(filter), ..Default::default() }
    }

    #[test]
    fn a_request_within_its_rules_passes() {
        let filter = v1::Filter {
            genres_any: vec!["Drama".into(); 50],
            average_rating_min: Some(3.5),
            deny_movie_ids: vec![u32::MAX; 10_000],
            ..Default::default()
        };
        let history = v1::History::from(vec![1; 10_000]);
        let request = v1::RecommendRequest {
            subject: Some(Subject::History(history)),
            k: Some(500),
            ..with_filter(filter)
        };
        assert_eq!(look::<v1::RecommendRequest>(&request.encode_to_vec()), Ok(()));
        let batch = v1::RecommendBatchRequest { requests: vec![request; 3] };
        assert_eq!(look::<v1::RecommendBatchRequest>(&batch.encode_to_vec()), Ok(()));
        assert_eq!(look::<v1::RecommendRequest>(&[]), Ok(()));
    }

    #[test]
    fn a_list_over_its_rule_is_named_whether_packed_or_not() {
        let denied = with_filter(v1::Filter { deny_movie_ids: vec![0; 10_001], ..Default::default() });
        assert_eq!(
            look::<v1::RecommendRequest>(&denied.encode_to_vec()),
            too_many("filter.deny_movie_ids", 10_000)
        );
        let unpacked = [10 << 3, 0].repeat(10_001);
        assert_eq!(
            look::<v1::RecommendRequest>(&field(5, &unpacked)),
            too_many("filter.deny_movie_ids", 10_000)
        );
        let genres = with_filter(v1::Filter { genres_all: vec![String::new(); 51], ..Default::default() });
        assert_eq!(look::<v1::RecommendRequest>(&genres.encode_to_vec()), too_many("filter.genres_all", 50));
    }

    #[test]
    fn a_batch_of_two_million_empty_requests_is_refused() {
        let empty = field(1, &[]).repeat(2_000_000);
        assert_eq!(look::<v1::RecommendBatchRequest>(&empty), too_many("requests", 1000));
    }

    #[test]
    fn a_list_is_counted_in_each_element_on_its_own() {
        let of = |count| with_filter(v1::Filter { deny_movie_ids: vec![7; count], ..Default::default() });
        let fits = v1::RecommendBatchRequest { requests: vec![of(10_000), of(10_000)] };
        assert_eq!(look::<v1::RecommendBatchRequest>(&fits.encode_to_vec()), Ok(()));
        let over = v1::RecommendBatchRequest { requests: vec![of(1), of(10_001)] };
        assert_eq!(
            look::<v1::RecommendBatchRequest>(&over.encode_to_vec()),
            too_many("requests[1].filter.deny_movie_ids", 10_000)
        );
    }

    #[test]
    fn the_parts_of_a_message_that_stands_twice_are_counted_together() {
        let part = with_filter(v1::Filter { deny_movie_ids: vec![7; 6000], ..Default::default() });
        let twice = part.encode_to_vec().repeat(2);
        assert_eq!(
            v1::RecommendRequest::decode(&*twice).unwrap().filter.unwrap().deny_movie_ids.len(),
            12_000
        );
        assert_eq!(look::<v1::RecommendRequest>(&twice), too_many("filter.deny_movie_ids", 10_000));
    }

    #[test]
    fn a_list_in_another_field_has_a_count_of_its_own() {
        let filter = v1::Filter {
            allow_movie_ids: vec![7; 9000],
            deny_movie_ids: vec![7; 9000],
            ..Default::default()
        };
        let history = v1::History::from(vec![7; 9000]);
        let request =
            v1::RecommendRequest { subject: Some(Subject::History(history)), ..with_filter(filter) };
        assert_eq!(look::<v1::RecommendRequest>(&request.encode_to_vec()), Ok(()));
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_named() {
        let version = field(8, b"\xff\xfe");
        let named = |path: &str| Err((path.to_owned(), Why::NotUtf8));
        assert_eq!(look::<v1::RecommendRequest>(&version), named("model_version"));
        let batch = [field(1, &[]), field(1, &version)].concat();
        assert_eq!(look::<v1::RecommendBatchRequest>(&batch), named("requests[1].model_version"));
        let genres = [field(1, b"Drama"), field(1, b"\xc3")].concat();
        assert_eq!(look::<v1::RecommendRequest>(&field(5, &genres)), named("filter.genres_any[1]"));
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let named = |path: &str| Err((path.to_owned(), Why::OtherType));
        assert_eq!(look::<v1::RecommendRequest>(&[8 << 3, 1]), named("model_version"));
        assert_eq!(look::<v1::RecommendRequest>(&field(3, b"12")), named("k"));
        assert_eq!(look::<v1::RecommendRequest>(&[3 << 3 | 3, 3 << 3 | 4]), named("k"));
        assert_eq!(
            look::<v1::RecommendRequest>(&field(5, &[7 << 3 | 5, 0, 0, 0, 0])),
            named("filter.average_rating_min")
        );
    }

    #[test]
    fn bytes_that_end_too_early_are_no_message() {
        let named = |path: &str| Err((path.to_owned(), Why::Short));
        assert_eq!(look::<v1::RecommendRequest>(&[8 << 3 | 2, 200]), named(""));
        assert_eq!(look::<v1::RecommendRequest>(&[8 << 3 | 2, 5, b'v']), named(""));
        assert_eq!(look::<v1::RecommendRequest>(&field(5, &[5 << 3])), named("filter"));
    }

    #[test]
    fn unknown_fields_are_skipped_and_groups_end_at_a_depth() {
        let unknown = [field(15, b"later"), vec![14 << 3, 1, 13 << 3 | 5, 0, 0, 0, 0]].concat();
        assert_eq!(look::<v1::GetMovieRequest>(&unknown), Ok(()));
        let nested = |depth: usize| [[15 << 3 | 3].repeat(depth), [15 << 3 | 4].repeat(depth)].concat();
        assert_eq!(look::<v1::GetMovieRequest>(&nested(MAX_GROUPS)), Ok(()));
        let bad = Err((String::new(), Why::BadKey));
        assert_eq!(look::<v1::GetMovieRequest>(&nested(MAX_GROUPS + 1)), bad);
        assert_eq!(look::<v1::GetMovieRequest>(&nested(1_000_000)), bad);
        assert_eq!(look::<v1::GetMovieRequest>(&[0, 0]), bad);
        assert_eq!(look::<v1::GetMovieRequest>(&[15 << 3 | 3, 14 << 3 | 4]), bad);
    }
}
