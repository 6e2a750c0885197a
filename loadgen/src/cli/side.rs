//! One side of a comparison: a server, and how it is asked.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use crate::wire::{HttpVersion, Protocol, Target};

/// One side of a comparison.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) protocol: Option<Protocol>,
    pub(super) http: Option<HttpVersion>,
    pub(super) template: Option<PathBuf>,
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is no side; write NAME=http://HOST:PORT[,OPTION=VALUE]..."))?;
        let mut parts = rest.split(',');
        let target = parts.next().unwrap_or_default();
        let target = target.parse().map_err(|error: crate::wire::WireError| error.to_string())?;
        let mut side = Self { name: name.to_owned(), target, protocol: None, http: None, template: None };
        for part in parts {
            match part.split_once('=') {
                Some(("protocol", value)) => side.protocol = Some(one_of(value)?),
                Some(("http", value)) => side.http = Some(one_of(value)?),
                Some(("template", value)) => side.template = Some(PathBuf::from(value)),
                _ => {
                    return Err(format!(
                        "'{part}' is no option of a side; write protocol=PROTOCOL, http=VERSION or template=FILE"
                    ));
                }
            }
        }
        if side.protocol.is_some() && side.template.is_some() {
            return Err(format!(
                "'{name}' has a protocol and a template; a template says its protocol itself"
            ));
        }
        Ok(side)
    }
}

fn one_of<T: ValueEnum>(value: &str) -> Result<T, String> {
    let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let names = known.map(|known| known.get_name().to_owned()).collect::<Vec<_>>().join(", ");
    T::from_str(value, false).map_err(|_| format!("'{value}' is none of {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_has_a_name_a_target_and_what_differs_of_the_options() {
        let side: Side = "other=http://127.0.0.1:8001,template=triton.toml".parse().unwrap();
        assert_eq!(side.name, "other");
        assert_eq!(side.target.authority, "127.0.0.1:8001");
        assert_eq!(side.template, Some(PathBuf::from("triton.toml")));
        let side: Side = "json=http://127.0.0.1:1,protocol=connect,http=2".parse().unwrap();
        assert_eq!((side.protocol, side.http), (Some(Protocol::Connect), Some(HttpVersion::Two)));
        for (wrong, why) in [
            ("http://127.0.0.1:8001", "is no side"),
            ("a=http://127.0.0.1:1,protocol=soap", "none of grpc, grpc-web, connect, connect-proto, rest"),
            ("a=http://127.0.0.1:1,http=3", "'3' is none of 1, 2"),
            ("a=http://127.0.0.1:1,triton.toml", "is no option of a side"),
            ("a=http://127.0.0.1:1,protocol=rest,template=t.toml", "a template says its protocol itself"),
        ] {
            let error = wrong.parse::<Side>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
