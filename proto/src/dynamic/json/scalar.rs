//! Values without parts, as JSON has them and as the bytes of a message have them.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::encoding::encode_varint;
use prost_reflect::{EnumDescriptor, Kind};

use super::hints::{quoted, unknown_value};
use crate::dynamic::enum_value;

/// Up to here every whole number is one of its own when it is written as `1.0` or `1e3`; beyond, it would become its
/// neighbour.
const MOST: f64 = 9_007_199_254_740_992.0;

/// A value of JSON.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text(&'a str),
}

impl fmt::Display for Scalar<'_> {
    /// As JSON has it, cut where it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

impl Scalar<'_> {
    /// The whole number that it is, as a number or as a text.
    fn whole(self) -> Option<i128> {
        match self {
            Self::Whole(value) => Some(value),
            Self::Number(value) if value.fract() == 0.0 && value.abs() < MOST => Some(value as i128),
            // Written as it is read: no sign of plus, no leading nought.
            Self::Text(text) => text.parse().ok().filter(|value: &i128| value.to_string() == text),
            _ => None,
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Whole(value) => Some(value as f64),
            Self::Number(value) => Some(value),
            Self::Text("NaN") => Some(f64::NAN),
            Self::Text("Infinity") => Some(f64::INFINITY),
            Self::Text("-Infinity") => Some(f64::NEG_INFINITY),
            // Rust reads further names of those.
            Self::Text(text) if text.ends_with(|last: char| last.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
    }
}

/// Whether a list of it is one field with all values.
pub(super) fn is_packed(kind: &Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}

/// Writes a value without its key.
///
/// # Errors
/// What is wrong with it, if it is no value of that kind.
pub(super) fn write(kind: &Kind, value: &Scalar<'_>, bytes: &mut Vec<u8>) -> Result<(), String> {
    written(kind, *value, bytes).unwrap_or_else(|| match (kind, value) {
        (Kind::Enum(descriptor), Scalar::Text(name)) => Err(unknown_value(descriptor, name)),
        _ => Err(format!("is {value}; {} is accepted", expected(kind))),
    })
}

/// `None` where the value is not of that kind.
fn written(kind: &Kind, value: Scalar<'_>, bytes: &mut Vec<u8>) -> Option<Result<(), String>> {
    match kind {
        Kind::Double => bytes.extend(value.number()?.to_le_bytes()),
        Kind::Float => bytes.extend(float(value)?.to_le_bytes()),
        Kind::Int32 => varint(i64::from(i32::try_from(value.whole()?).ok()?) as u64, bytes),
        Kind::Int64 => varint(i64::try_from(value.whole()?).ok()? as u64, bytes),
        Kind::Uint32 => varint(u32::try_from(value.whole()?).ok()?.into(), bytes),
        Kind::Uint64 => varint(u64::try_from(value.whole()?).ok()?, bytes),
        Kind::Sint32 => varint(zigzag(i32::try_from(value.whole()?).ok()?.into()), bytes),
        Kind::Sint64 => varint(zigzag(i64::try_from(value.whole()?).ok()?), bytes),
        Kind::Fixed32 => bytes.extend(u32::try_from(value.whole()?).ok()?.to_le_bytes()),
        Kind::Fixed64 => bytes.extend(u64::try_from(value.whole()?).ok()?.to_le_bytes()),
        Kind::Sfixed32 => bytes.extend(i32::try_from(value.whole()?).ok()?.to_le_bytes()),
        Kind::Sfixed64 => bytes.extend(i64::try_from(value.whole()?).ok()?.to_le_bytes()),
        Kind::Bool => match value {
            Scalar::Bool(value) => bytes.push(u8::from(value)),
            _ => return None,
        },
        Kind::String => match value {
            Scalar::Text(text) => delimited(text.as_bytes(), bytes),
            _ => return None,
        },
        Kind::Bytes => match value {
            Scalar::Text(text) => delimited(&base64(text)?, bytes),
            _ => return None,
        },
        Kind::Enum(descriptor) => varint(i64::from(number_of(descriptor, value)?) as u64, bytes),
        Kind::Message(_) => return None,
    }
    Some(Ok(()))
}

fn varint(value: u64, bytes: &mut Vec<u8>) {
    encode_varint(value, bytes);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn delimited(value: &[u8], bytes: &mut Vec<u8>) {
    varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

/// A finite number must be one of 32 bits.
fn float(value: Scalar<'_>) -> Option<f32> {
    let number = value.number()?;
    let float = number as f32;
    (float.is_finite() || !number.is_finite()).then_some(float)
}

fn number_of(descriptor: &EnumDescriptor, value: Scalar<'_>) -> Option<i32> {
    match value {
        Scalar::Text(name) => {
            let exact = descriptor.get_value_by_name(name);
            exact.or_else(|| enum_value(descriptor, name)).map(|value| value.number())
        }
        value => i32::try_from(value.whole()?).ok(),
    }
}

/// Either alphabet, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINES: [GeneralPurpose; 2] =
        [GeneralPurpose::new(&STANDARD, CONFIG), GeneralPurpose::new(&URL_SAFE, CONFIG)];
    ENGINES.iter().find_map(|engine| engine.decode(text).ok())
}

/// What a field of this kind takes.
pub(super) fn expected(kind: &Kind) -> String {
    let whole = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match kind {
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => whole(i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => whole(i64::MIN.into(), i64::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => whole(0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => whole(0, u64::MAX.into()),
        Kind::Bool => "true or false".to_owned(),
        Kind::String => "a text".to_owned(),
        Kind::Bytes => "a text in base64".to_owned(),
        Kind::Enum(descriptor) => format!("the name of a {}", descriptor.name()),
        Kind::Message(descriptor) => format!("a {}", descriptor.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_with_a_fraction_or_an_exponent_is_read_while_it_is_exact() {
        assert_eq!(Scalar::Number(1e3).whole(), Some(1000));
        assert_eq!(Scalar::Number(-9_007_199_254_740_991.0).whole(), Some(-9_007_199_254_740_991));
        assert_eq!(Scalar::Number(9_007_199_254_740_996.0).whole(), None);
        assert_eq!(Scalar::Number(0.5).whole(), None);
    }
}
