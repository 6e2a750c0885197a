//! The `marquee.v1` API: generated types and services, the descriptor set, validation, and the codec that keeps
//! requests within their bounds before they are decoded.
//!
//! The constraints stand in the protos as the field option `(marquee.v1.rules)`. The build turns them
//! into [`Validate`], so that the server checks what the documentation says; `dynamic`, behind the feature of that
//! name, reads the same options at run time, for the command line.
//!
//! Begin with [`v1`], the messages and services, and [`Validate`]. Clients and the server's edge use this crate, and
//! nothing below the edge does.
//!
//! ```
//! use marquee_proto::{Validate, v1};
//!
//! let request = v1::RecommendRequest { subject: Some(7.into()), k: Some(501), ..Default::default() };
//! let violations = request.validate().unwrap_err();
//! assert_eq!(violations[0].field, "k");
//! ```
//!
//! The id of the user or movie that a request is about stands in a oneof, which is made of it by `into`:
//! `v1::GetMovieRequest { movie: Some(2571.into()) }`.

mod code;
mod codec;
#[cfg(feature = "dynamic")]
pub mod dynamic;
mod keyed;
pub mod methods;
mod named;
mod oneofs;
mod scan;
mod timings;
mod validate;

pub use code::{CODE_NAMES, code_name};
pub use codec::{Codec, DOMAIN, INVALID_FIELD, RequestDecoder, UNDECODABLE};
pub use keyed::{Keyed, MAX_KEY_BYTES, Numbers, is_key};
pub use named::{Named, Names};
pub use scan::{Shape, Wire};
pub use validate::{Checker, MAX_VIOLATIONS, Validate, Violation};

/// Messages, services and clients of `marquee.v1`.
#[allow(clippy::pedantic, clippy::unwrap_used, missing_docs, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("marquee.v1");
}

/// The encoded `FileDescriptorSet` of the package and its imports, comments included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/marquee.v1.bin"));
