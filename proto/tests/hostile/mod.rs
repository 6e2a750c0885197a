//! Requests that cost as much as they can, made of the descriptors, and what they cost.
//!
//! The deterministic part (bytes, violations) is asserted in the tests of this package; the processor time in
//! the program `cost` of the benches, which shares this file.

pub(crate) mod gzip;
pub(crate) mod json;
pub(crate) mod meter;

use std::iter::repeat_n;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::Full;
use marquee_proto::{Codec, DESCRIPTOR_SET, Validate, Violation, Wire, v1};
use prost::Message;
use prost::encoding::encode_varint;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use tonic::Status;
use tonic::codec::{Codec as _, CompressionEncoding, Streaming};

/// Why a request is refused.
pub(crate) enum Refusal {
    /// By the codec.
    Decoding(Status),
    /// By its rules.
    Rules(Vec<Violation>),
}

/// What becomes of a request: framed bytes, compressed or not, and the most bytes of a message.
pub(crate) type Offer = fn(Bytes, Option<CompressionEncoding>, usize) -> Result<(), Refusal>;

/// A request of the API.
pub(crate) struct Target {
    /// Its message's name.
    pub(crate) name: &'static str,
    /// Does what the server does with its bytes before a handler decides.
    pub(crate) offer: Offer,
}

macro_rules! targets {
    ($($name:ident)*) => {
        /// Every request of the API; a test holds it complete.
        pub(crate) const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), offer: offer::<v1::$name> }),*];
    };
}

targets! {
    ActivateModelRequest CancelJobRequest ChangePasswordRequest CreateExperimentRequest CreateKeyRequest
    DeleteAccountRequest DeleteInteractionRequest DeleteModelVersionRequest DeleteMoviesRequest
    DeleteRuleRequest DeleteScheduleRequest DeleteUserRequest EncodeHistoryRequest
    ExplainRecommendationRequest ExportAuditRecordsRequest ExportInteractionsRequest ExportUserRequest
    ExportVectorsRequest GetExperimentRequest GetHomeRowsRequest GetJobRequest GetModelVersionRequest
    GetMovieRequest GetMovieVectorRequest GetRatingDistributionRequest GetResultsRequest GetRuleRequest
    GetStatsRequest GetUserRequest GetUserStatsRequest ImportMoviesRequest LinkUserRequest
    ListAuditRecordsRequest ListExperimentsRequest ListGenresRequest ListHistoryRequest ListJobKindsRequest
    ListJobsRequest ListKeysRequest ListModelVersionsRequest ListModelsRequest ListMoviesRequest
    ListOnboardingMoviesRequest ListPopularMoviesRequest ListRulesRequest ListSchedulesRequest
    ListSlowCallsRequest ListTrendingMoviesRequest ListUsersRequest LoadModelRequest PauseExperimentRequest
    PauseScheduleRequest PlanExperimentRequest PutRuleRequest PutScheduleRequest RecommendBatchRequest
    RecommendRequest RecommendStreamRequest RecordInteractionRequest RecordInteractionsRequest
    RegisterUserRequest ResetPasswordRequest ResumeScheduleRequest RevokeKeyRequest RollBackModelRequest
    RotateKeyRequest RunJobRequest SearchMoviesRequest SearchVectorsRequest SetPreferencesRequest
    SignInRequest SignOutRequest SignUpRequest SimilarMoviesRequest SimilarUsersRequest StartExperimentRequest
    StopExperimentRequest SuggestMoviesRequest TagModelVersionRequest UnloadModelRequest
    UpdateExperimentRequest UpdateMoviesRequest UploadModelRequest WatchInteractionsRequest WatchJobRequest
    WatchResultsRequest WatchStatsRequest WhoAmIRequest
}

fn offer<M: Message + Default + Validate + Wire + Send + 'static>(
    framed: Bytes,
    encoding: Option<CompressionEncoding>,
    limit: usize,
) -> Result<(), Refusal> {
    let decoder = Codec::<v1::GetStatsResponse, M>::default().decoder();
    let mut messages = Streaming::new_request(decoder, Full::new(framed), encoding, Some(limit));
    let message = pin!(messages.message()).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(message) = message else { panic!("a whole body is there at once") };
    let message = message.map_err(Refusal::Decoding)?;
    let message =
        message.ok_or_else(|| Refusal::Decoding(Status::invalid_argument("there is no message")))?;
    message.validate().map_err(Refusal::Rules)
}

/// The names of all requests, as the descriptors have them, and their messages.
pub(crate) fn requests() -> Vec<MessageDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("the build made it");
    let services = pool.services().filter(|service| service.package_name() == "marquee.v1");
    let mut requests: Vec<_> = services
        .flat_map(|service| service.methods().map(|method| method.input()).collect::<Vec<_>>())
        .collect();
    requests.sort_by(|one, other| one.name().cmp(other.name()));
    requests.dedup();
    requests
}

/// How a field is blown up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fill {
    /// The smallest value over and over, in one message.
    Deep,
    /// The whole way to the smallest value over and over.
    Wide,
    /// A thousand messages, each with its part of the values.
    Spread,
    /// One value as long as may be: a text, packed zeros.
    Long,
    /// The same, not in UTF-8.
    NotUtf8,
    /// The smallest unknown fields in its place.
    Unknown,
    /// Groups in groups in its place.
    Groups,
}

/// All ways to fill.
pub(crate) const FILLS: [Fill; 7] =
    [Fill::Deep, Fill::Wide, Fill::Spread, Fill::Long, Fill::NotUtf8, Fill::Unknown, Fill::Groups];

/// A way through a message to one of its fields.
pub(crate) type Route = Vec<FieldDescriptor>;

/// The ways to all fields of a message and of the messages in it.
pub(crate) fn routes(message: &MessageDescriptor) -> Vec<Route> {
    message
        .fields()
        .flat_map(|field| {
            let inside = match field.kind() {
                Kind::Message(message) => routes(&message),
                _ => Vec::new(),
            };
            let longer = inside.into_iter().map({
                let field = field.clone();
                move |route| std::iter::once(field.clone()).chain(route).collect()
            });
            std::iter::once(vec![field.clone()]).chain(longer.collect::<Vec<Route>>())
        })
        .collect()
}

/// About `size` bytes of a message that fill the field at the end of a route.
pub(crate) fn segment(route: &[FieldDescriptor], fill: Fill, size: usize) -> Vec<u8> {
    let (leaf, around) = route.split_last().expect("a route has a field");
    let size = size.saturating_sub(8 * route.len());
    let repeated = |unit: &[u8], size: usize| unit.repeat((size / unit.len()).max(1));
    match fill {
        Fill::Deep => within(around, &repeated(&smallest(leaf), size)),
        Fill::Wide => repeated(&within(around, &smallest(leaf)), size),
        Fill::Spread => {
            let part = (size / 1000).saturating_sub(8 * route.len());
            within(around, &repeated(&smallest(leaf), part)).repeat(1000)
        }
        Fill::Long => within(around, &delimited(leaf.number(), &vec![0; size])),
        Fill::NotUtf8 => within(around, &delimited(leaf.number(), &vec![0xff; size])),
        Fill::Unknown => within(route, &repeated(&[15 << 3, 0], size)),
        Fill::Groups => {
            let opened = repeat_n(15 << 3 | 3, size / 2);
            within(around, &opened.chain(repeat_n(15 << 3 | 4, size / 2)).collect::<Vec<u8>>())
        }
    }
}

fn within(around: &[FieldDescriptor], inner: &[u8]) -> Vec<u8> {
    around.iter().rev().fold(inner.to_vec(), |inner, field| delimited(field.number(), &inner))
}

fn key(number: u32, kind: u32) -> Vec<u8> {
    let mut key = Vec::new();
    encode_varint(u64::from(number << 3 | kind), &mut key);
    key
}

fn delimited(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = key(number, 2);
    encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A field with the smallest value that it can have.
fn smallest(field: &FieldDescriptor) -> Vec<u8> {
    let number = field.number();
    match field.kind() {
        Kind::Message(_) | Kind::String | Kind::Bytes => delimited(number, &[]),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => [key(number, 1), vec![0; 8]].concat(),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => [key(number, 5), vec![0; 4]].concat(),
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => [key(number, 0), vec![0]].concat(),
    }
}

/// A message as it travels.
pub(crate) fn framed(message: &[u8], compressed: bool) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(u8::from(compressed));
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}
