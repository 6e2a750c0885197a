//! A typed async client of the `marquee.v1` API.
//!
//! A service that calls Marquee must decide many things besides the message: by when the answer is
//! needed, what may be repeated, how long to wait before repeating, which node to ask. [`Client`]
//! decides them once, from [`ConnectOptions`]:
//!
//! - every unary call has a deadline, which travels as `grpc-timeout` and bounds all attempts together;
//! - calls that the API declares idempotent are repeated on UNAVAILABLE and RESOURCE_EXHAUSTED, with
//!   exponential back-off, jitter and the server's `google.rpc.RetryInfo` ([`RetryPolicy`]);
//! - an interaction without a `time` gets one before the first attempt, so that a repeated write is
//!   the same event and counts once;
//! - every call carries an `x-request-id`, the same one on every attempt.
//!
//! ```no_run
//! use marquee_client::{Client, ConnectOptions};
//! use marquee_proto::v1::{RecommendRequest, recommend_request::Subject};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ConnectOptions::to("http://127.0.0.1:50051")).await?;
//! let request =
//!     RecommendRequest { subject: Some(Subject::UserId(1)), k: Some(10), ..Default::default() };
//! for movie in client.recommend(request).await?.recommendations {
//!     println!("{:>7} {}", movie.movie_id, movie.title);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] has a method for each unary RPC, and [`Client::recommend_stream`], [`Client::watch_interactions`] and the
//! like for streams; messages are those of `marquee_proto::v1`. An error is a [`tonic::Status`].
//!
//! The `cli` feature (on by default) adds the `marquee` command line; services that only call the
//! API switch it off.

mod call;
#[cfg(feature = "cli")]
pub mod cli;
mod connection;
mod deadline;
mod options;
mod retry;
mod typed;
mod upload;

pub use call::{Client, Repeat, Rpc};
pub use connection::ConnectError;
pub use deadline::DeadlineStream;
pub use options::{ApiKey, ClientCertificate, ConnectOptions, TlsOptions};
pub use retry::RetryPolicy;
pub use upload::UploadError;
