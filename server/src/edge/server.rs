//! All services behind all layers, on one listener.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{Request, Response};
use marquee_engine::{Engine, Priority};
use marquee_proto::DESCRIPTOR_SET;
use marquee_proto::methods::recommendation;
use marquee_proto::v1::access_service_server::AccessServiceServer;
use marquee_proto::v1::account_service_server::AccountServiceServer;
use marquee_proto::v1::audit_service_server::AuditServiceServer;
use marquee_proto::v1::catalog_service_server::CatalogServiceServer;
use marquee_proto::v1::experiment_service_server::ExperimentServiceServer;
use marquee_proto::v1::interaction_service_server::InteractionServiceServer;
use marquee_proto::v1::job_service_server::JobServiceServer;
use marquee_proto::v1::model_service_server::ModelServiceServer;
use marquee_proto::v1::operations_service_server::OperationsServiceServer;
use marquee_proto::v1::recommendation_service_server::RecommendationServiceServer;
use marquee_proto::v1::rule_service_server::RuleServiceServer;
use marquee_proto::v1::user_service_server::UserServiceServer;
use marquee_proto::v1::vector_service_server::VectorServiceServer;
use marquee_store::Store;
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tower::util::option_layer;
use tower::{Layer as _, Service};

use super::bundles::Bundles;
use super::health::Health;
use super::http::{AllowedHosts, CorsOrigins, HttpLayer, HttpOptions};
use super::key_numbers::KeyNumbers;
use super::layers::{
    AdmissionLayer, AuditLayer, CallLog, CompressedLayer, ConnectionLimits, ConnectionTimes, Connections,
    ContentTypeLayer, DeadlineLayer, ForwardedLayer, IdentityLayer, LimitLayer, Methods, ObserveLayer,
    ReceiveLayer, ReceiveLimits, Reflection, RefusedLayer, ShareLayer, StatusLayer, Stream, StreamLayer,
    UnknownMethodLayer, accept, request_id,
};
use super::services::{
    AccessApi, AccountApi, AuditApi, CatalogApi, ExperimentApi, InteractionApi, JobApi, Lately, ModelApi,
    OperationsApi, Places, RecommendationApi, RuleApi, Unsaid, UserApi, VectorApi,
};
use super::slow_calls::SlowCalls;
use super::tls::Tls;
use crate::access::accounts::Accounts;
use crate::access::audit::{Audit, Trail};
use crate::access::{Access, Certificates, Keys, Tokens};
use crate::activation::Activations;
use crate::catalog::Catalog;
use crate::experiments::Experiments;
use crate::jobs::{Jobs, Timetable};
use crate::recommend::{Recommender, SimilarUsers};
use crate::registry::{LoadModel, Registry};
use crate::rules::Rules;
use crate::shared::events::EventLog;
use crate::shared::limit::{Limiter, Shares};
use crate::telemetry::{Exemplars, RpcMetrics, Samples};
use crate::users::Users;
use crate::writes::WriteCoordinator;

/// What a caller may send of one call before it is read, and of all calls of a connection.
///
/// h2 holds what is not read, at 256 bytes a frame at least, and cuts the connection off when its frames below
/// 256 bytes lack more than half of the connection's window to that. A stream with a message in each frame may have
/// to wait for the store or the model at any time, so its window full of the smallest messages must fit in:
/// 65,536 bytes of 5 each lack 3.1 MiB of the 8 that there are. Fifteen streams of ratings fit in together, 28 bytes
/// each. Larger windows for calls would be faster over long distances alone: this one is HTTP/2's own.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const KEEPALIVE: Duration = Duration::from_secs(30);
const PENDING_RESETS: usize = 1024;
/// What the headers of one call may hold.
const HEADER_LIST_BYTES: u32 = 16 << 10;

/// Every service that is served: the API, and the standard ones.
const DESCRIPTOR_SETS: [&[u8]; 4] = [
    DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// What ended the serving.
pub(crate) type ServeError = tonic::transport::Error;

/// The parts of a running server that the edge calls.
pub(crate) struct AppState {
    /// Runs the models.
    pub(crate) engine: Arc<Engine>,
    /// The movies.
    pub(crate) catalog: Arc<Catalog>,
    /// What is durable.
    pub(crate) store: Arc<dyn Store>,
    /// The one way in for writes.
    pub(crate) coordinator: WriteCoordinator,
    /// What users do, for those who follow it.
    pub(crate) events: Arc<dyn EventLog>,
    /// The pipeline.
    pub(crate) recommender: Arc<Recommender>,
    /// The rules of the business.
    pub(crate) rules: Arc<Rules>,
    /// Who is answered how.
    pub(crate) experiments: Arc<Experiments>,
    /// Finds users whose taste is alike; `None` where nobody may.
    pub(crate) similar_users: Option<Arc<SimilarUsers>>,
    /// The versions of models that are kept.
    pub(crate) registry: Arc<Registry>,
    /// Which model is active.
    pub(crate) activations: Arc<Activations>,
    /// Loads a model from its folder.
    pub(crate) load: LoadModel,
    /// Counts the calls of callers, if they are limited.
    pub(crate) limiter: Option<Arc<Limiter>>,
    /// Who has how many calls in flight, if that is bounded.
    pub(crate) shares: Option<Arc<Shares>>,
    /// The keys of those who may call.
    pub(crate) keys: Arc<Keys>,
    /// Recognises tokens of an identity provider, if they are taken.
    pub(crate) tokens: Option<Arc<Tokens>>,
    /// The people who sign in.
    pub(crate) accounts: Arc<Accounts>,
    /// Those whom their certificates name.
    pub(crate) certificates: Arc<Certificates>,
    /// What was recorded of calls.
    pub(crate) trail: Arc<Trail>,
    /// Records calls, where they are recorded.
    pub(crate) audit: Option<Arc<Audit>>,
    /// Long work.
    pub(crate) jobs: Arc<Jobs>,
    /// When it is done by itself.
    pub(crate) timetable: Arc<Timetable>,
    /// What is said of each service.
    pub(crate) health: Arc<Health>,
    /// What the server did lately.
    pub(crate) samples: Arc<Samples>,
    /// Which calls took long.
    pub(crate) slow_calls: Arc<SlowCalls>,
    /// Where their traces are noted, if they are exported.
    pub(crate) exemplars: Option<Arc<Exemplars>>,
}

/// What the settings say of calls and connections.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    /// How many connections there may be.
    pub(crate) connections: ConnectionLimits,
    /// How connections are encrypted; `None` if they are not.
    pub(crate) tls: Option<Arc<Tls>>,
    /// How long a connection may be of no use; replies to a stream are waited for as long as those of a connection.
    pub(crate) times: ConnectionTimes,
    /// What may be held of requests that are not whole.
    pub(crate) receive: ReceiveLimits,
    /// How those are answered who speak no gRPC; `None` if they are not.
    pub(crate) http: Option<HttpOptions>,
    /// Calls at once on a connection.
    pub(crate) max_concurrent_streams: u32,
    /// Calls that watch at once.
    pub(crate) max_watchers: usize,
    /// What requests for recommendations mean that do not say it.
    pub(crate) unsaid: Unsaid,
    /// The folders that callers may have models loaded from.
    pub(crate) bundles: Bundles,
    /// Whether callers have to say who they are.
    pub(crate) asks_who: bool,
    /// Who may ask which services there are.
    pub(crate) reflection: Reflection,
    /// Which calls have a line in the log.
    pub(crate) log: CallLog,
}

/// Serves until `stop`, then ends the calls in flight.
///
/// # Errors
/// What ended the serving before.
pub(crate) async fn serve(
    listener: TcpListener,
    state: Arc<AppState>,
    options: ServerOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let ServerOptions { connections, times, receive, .. } = options;
    let default_method = options.unsaid.method;
    let coordinator = state.coordinator.clone();
    let numbers = KeyNumbers::of(&coordinator);
    let recommendation = RecommendationApi::new(
        Arc::clone(&state.recommender),
        Arc::clone(&state.catalog),
        state.similar_users.clone(),
        Arc::clone(&state.experiments),
        numbers.clone(),
        options.unsaid,
    );
    let (recommender, similar_users) = (Arc::clone(&state.recommender), state.similar_users.clone());
    let vectors = VectorApi::new(recommender, similar_users, numbers.clone(), default_method);
    let catalog = CatalogApi::new(Arc::clone(&state.catalog), coordinator.clone())
        .personal(Arc::clone(&state.recommender));
    let users = Users::new(Arc::clone(&state.store), Arc::clone(&state.catalog));
    let users = UserApi::new(users, coordinator.clone(), Arc::clone(&state.accounts), numbers.clone());
    let rules = RuleApi::new(Arc::clone(&state.rules), numbers.clone());
    let experiments =
        ExperimentApi::new(Arc::clone(&state.experiments), numbers.clone(), options.max_watchers);
    let interactions = InteractionApi::new(coordinator, Arc::clone(&state.events), options.max_watchers);
    let jobs = JobApi::new(
        Arc::clone(&state.jobs),
        Arc::clone(&state.timetable),
        Arc::clone(&state.keys),
        options.max_watchers,
    );
    let operations = OperationsApi::new(
        Arc::clone(&state.engine),
        Arc::clone(&state.store),
        Arc::clone(&state.load),
        Arc::clone(&state.activations),
        Places { bundles: options.bundles, registry: Arc::clone(&state.registry) },
        Lately {
            samples: Arc::clone(&state.samples),
            slow_calls: Arc::clone(&state.slow_calls),
            max_watchers: options.max_watchers,
        },
        options.tls.clone(),
    );
    let models =
        ModelApi::new(Arc::clone(&state.registry), Arc::clone(&state.engine), Arc::clone(&state.activations));
    let health = tonic_health::server::HealthService::from_health_reporter(state.health.reporter.clone());

    let is_reflected = options.reflection != Reflection::Off;
    let served = methods();
    let names = served.iter().map(|(name, _)| *name);
    let methods: Methods = names.clone().collect();
    let streams = served.iter().filter_map(|(name, stream)| Some((*name, (*stream)?)));
    let of_callers = streams.clone().filter(|(_, stream)| *stream != Stream::Replies).map(|(name, _)| name);
    let shared =
        served.iter().filter(|(name, stream)| *stream != Some(Stream::Replies) && refusable(name).is_some());
    let shared = shared.map(|(name, _)| *name);
    let share = state.shares.clone().map(|shares| ShareLayer::new(shares, shared, of_callers.clone()));
    let admitted = served.iter().filter(|(_, stream)| stream.is_none());
    let admitted = admitted.filter_map(|(name, _)| Some((*name, refusable(name)?)));
    let limiter = state.limiter.clone();
    let access = || {
        let (keys, tokens) = (Arc::clone(&state.keys), state.tokens.clone());
        Arc::new(Access::new(keys, tokens, Arc::clone(&state.certificates)))
    };
    let access = options.asks_who.then(access);
    let accounts = Arc::clone(&state.accounts);
    let identity = IdentityLayer::new(access, accounts, methods.clone(), options.reflection);
    let keys = AccessApi::new(Arc::clone(&state.keys));
    let accounts = AccountApi::new(Arc::clone(&state.accounts), numbers);
    let audited = state.audit.clone().map(|audit| AuditLayer::new(audit, methods.clone()));
    let audit = AuditApi::new(Arc::clone(&state.trail), state.audit.clone());
    let limit = limiter.map(|limiter| LimitLayer::new(limiter, methods.clone(), of_callers));

    macro_rules! limited {
        ($service:expr) => {
            $service.max_decoding_message_size(receive.message).accept_compressed(CompressionEncoding::Gzip)
        };
    }
    let receive_layer = ReceiveLayer::new(streams.clone(), receive);
    let http = options.http.map(|http| HttpLayer::new(http, &DESCRIPTOR_SETS, receive_layer.bodies()));
    let proxies = connections.proxies.clone();
    let forwarded = (!proxies.is_none()).then(|| ForwardedLayer::new(proxies));
    let connections = accept(listener, Connections::new(connections), options.tls, times, stop.clone());
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(options.max_concurrent_streams)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_header_list_size(HEADER_LIST_BYTES)
        .accept_http1(http.is_some())
        .layer(option_layer(forwarded))
        .layer(option_layer(http))
        .layer(AdmissionLayer::new(admitted))
        .layer(request_id())
        .layer(ObserveLayer::new(
            RpcMetrics::of(names).noting(state.exemplars.clone()),
            methods.clone(),
            options.log,
            Arc::clone(&state.slow_calls),
        ))
        .layer(StatusLayer::new(receive.message))
        .layer(ContentTypeLayer)
        .layer(UnknownMethodLayer::new(methods))
        .layer(option_layer(audited))
        .layer(identity)
        .layer(option_layer(share))
        .layer(CompressedLayer::new(receive.message))
        .layer(DeadlineLayer)
        .layer(receive_layer)
        .layer(option_layer(limit))
        .layer(RefusedLayer)
        .layer(StreamLayer::new(streams, stop.clone(), times.unread))
        .add_service(limited!(RecommendationServiceServer::new(recommendation)))
        .add_service(limited!(CatalogServiceServer::new(catalog)))
        .add_service(limited!(UserServiceServer::new(users)))
        .add_service(limited!(InteractionServiceServer::new(interactions)))
        .add_service(limited!(VectorServiceServer::new(vectors)))
        .add_service(limited!(RuleServiceServer::new(rules)))
        .add_service(limited!(ModelServiceServer::new(models)))
        .add_service(limited!(OperationsServiceServer::new(operations)))
        .add_service(limited!(AccessServiceServer::new(keys)))
        .add_service(limited!(AccountServiceServer::new(accounts)))
        .add_service(limited!(AuditServiceServer::new(audit)))
        .add_service(limited!(ExperimentServiceServer::new(experiments)))
        .add_service(limited!(JobServiceServer::new(jobs)))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_optional_service(is_reflected.then(reflection_v1).flatten())
        .add_optional_service(is_reflected.then(reflection_v1alpha).flatten())
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned())
        .await
}

/// `services`, which speak gRPC, behind the gateway for those who do not, as it is without settings; a message has at
/// most `max_message` bytes. For programs that measure what a request costs before a handler has it.
pub fn gateway<S>(
    services: S,
    max_message: usize,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = S::Error> + Clone
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    let options =
        HttpOptions { hosts: AllowedHosts::default(), origins: CorsOrigins::default(), console: None };
    let limits = ReceiveLimits { buffer: 0, message: max_message, timeout: Duration::MAX };
    HttpLayer::new(options, &DESCRIPTOR_SETS, ReceiveLayer::new([], limits).bodies()).layer(services)
}

/// Of the services, and of the details of statuses, which callers could not read otherwise.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

fn reflection_v1() -> Option<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
> {
    reflection().build_v1().inspect_err(|error| tracing::error!(%error, "reflection v1 is not served")).ok()
}

fn reflection_v1alpha() -> Option<
    tonic_reflection::server::v1alpha::ServerReflectionServer<
        impl tonic_reflection::server::v1alpha::ServerReflection,
    >,
> {
    reflection()
        .build_v1alpha()
        .inspect_err(|error| tracing::error!(%error, "reflection v1alpha is not served"))
        .ok()
}

/// Every method that is served, as `package.Service/Method`, and whose stream it has. Read once a process.
fn methods() -> &'static [(&'static str, Option<Stream>)] {
    static METHODS: LazyLock<Vec<(&'static str, Option<Stream>)>> = LazyLock::new(read_methods);
    &METHODS
}

fn read_methods() -> Vec<(&'static str, Option<Stream>)> {
    let sets = DESCRIPTOR_SETS.iter().filter_map(|set| FileDescriptorSet::decode(*set).ok());
    let mut methods = Vec::new();
    for file in sets.flat_map(|set| set.file) {
        for service in &file.service {
            for method in &service.method {
                let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                methods.push((&*name.leak(), stream_of(method)));
            }
        }
    }
    methods
}

/// The methods whose requests or replies are streams.
pub(crate) fn streams() -> HashSet<&'static str> {
    methods().iter().filter(|(_, stream)| stream.is_some()).map(|(name, _)| *name).collect()
}

fn stream_of(method: &MethodDescriptorProto) -> Option<Stream> {
    match (method.client_streaming(), method.server_streaming()) {
        (true, false) => Some(Stream::Requests),
        (true, true) => Some(Stream::Both),
        (false, true) => Some(Stream::Replies),
        (false, false) => None,
    }
}

/// Who goes first of the calls of this method; `None` where none may be refused, as who looks after an overloaded
/// server needs them.
fn refusable(method: &str) -> Option<Priority> {
    match method {
        batch if batch == recommendation::RECOMMEND_BATCH.full_name() => Some(Priority::Bulk),
        operations if operations.starts_with("marquee.v1.OperationsService/") => None,
        jobs if jobs.starts_with("marquee.v1.JobService/") => None,
        models if models.starts_with("marquee.v1.ModelService/") => None,
        api if api.starts_with("marquee.") => Some(Priority::Interactive),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::health::SERVICES;
    use super::*;

    #[test]
    fn every_method_of_the_api_and_of_the_standard_services_is_known() {
        let methods = methods();
        for known in [
            ("marquee.v1.RecommendationService/Recommend", None),
            ("marquee.v1.RecommendationService/RecommendStream", Some(Stream::Both)),
            ("marquee.v1.CatalogService/ImportMovies", Some(Stream::Requests)),
            ("marquee.v1.InteractionService/WatchInteractions", Some(Stream::Replies)),
            ("grpc.health.v1.Health/Check", None),
            ("grpc.health.v1.Health/Watch", Some(Stream::Replies)),
            ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Some(Stream::Both)),
            ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Some(Stream::Both)),
        ] {
            assert!(methods.contains(&known), "{known:?}");
        }
    }

    #[test]
    fn health_knows_every_service_of_the_api() {
        for (method, _) in methods().iter().filter(|(method, _)| method.starts_with("marquee.")) {
            let service = method.split('/').next().unwrap();
            assert!(SERVICES.iter().any(|(known, _)| *known == service), "{service}");
        }
    }

    #[test]
    fn reflection_reads_the_descriptors() {
        assert!(reflection_v1().is_some());
        assert!(reflection_v1alpha().is_some());
    }
}
