//! All services behind all layers, on one listener.

use std::sync::Arc;
use std::time::Duration;

use marquee_proto::DESCRIPTOR_SET;
use marquee_proto::v1::catalog_service_server::CatalogServiceServer;
use marquee_proto::v1::interaction_service_server::InteractionServiceServer;
use marquee_proto::v1::operations_service_server::OperationsServiceServer;
use marquee_proto::v1::recommendation_service_server::RecommendationServiceServer;
use marquee_proto::v1::user_service_server::UserServiceServer;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::util::option_layer;

use crate::api::{CatalogApi, InteractionApi, LoadModel, OperationsApi, RecommendationApi, UserApi};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::engine::Engine;
use crate::events::EventSink;
use crate::ledger::Ledger;
use crate::limit::Limiter;
use crate::middleware::{DeadlineLayer, LimitLayer, Methods, ObserveLayer, RequestIdLayer};
use crate::profile::Profiles;
use crate::recommend::Recommender;
use crate::redis::Redis;
use crate::store::Store;
use crate::telemetry::RpcMetrics;

const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const KEEPALIVE: Duration = Duration::from_secs(30);
const PENDING_RESETS: usize = 1024;

/// The services whose health follows the model.
const SERVICES: [&str; 6] = [
    "",
    "marquee.v1.RecommendationService",
    "marquee.v1.CatalogService",
    "marquee.v1.UserService",
    "marquee.v1.InteractionService",
    "marquee.v1.OperationsService",
];

/// The methods of the standard services.
const STANDARD_METHODS: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The rooms of a running server.
pub(super) struct Rooms {
    pub(super) engine: Arc<Engine>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) store: Arc<dyn Store>,
    pub(super) profiles: Arc<Profiles>,
    pub(super) events: Arc<dyn EventSink>,
    pub(super) recommender: Arc<Recommender>,
    pub(super) load: LoadModel,
    pub(super) redis: Option<Arc<Redis>>,
    pub(super) health: HealthReporter,
}

impl Rooms {
    /// Says how the health of all services is.
    pub(super) async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.health.set_service_status(service, status).await;
        }
    }
}

/// Serves until `stop`, then ends the calls in flight.
pub(super) async fn serve(
    listener: TcpListener,
    rooms: Arc<Rooms>,
    config: Config,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let most_bytes = config.max_message_kib << 10;
    let recommendation = RecommendationApi::new(Arc::clone(&rooms.recommender));
    let ledger = Ledger::new(
        Arc::clone(&rooms.store),
        Arc::clone(&rooms.catalog),
        Arc::clone(&rooms.profiles),
        Arc::clone(&rooms.events),
    );
    let catalog = CatalogApi::new(Arc::clone(&rooms.catalog), ledger.clone());
    let users = UserApi::new(Arc::clone(&rooms.catalog), Arc::clone(&rooms.store), ledger.clone());
    let interactions = InteractionApi::new(
        Arc::clone(&rooms.catalog),
        ledger,
        Arc::clone(&rooms.events),
        config.max_clock_skew.0,
        stop.clone(),
    );
    let operations =
        OperationsApi::new(Arc::clone(&rooms.engine), Arc::clone(&rooms.store), Arc::clone(&rooms.load));
    let health = tonic_health::server::HealthService::from_health_reporter(rooms.health.clone());

    let names = methods();
    let methods: Methods = names.iter().copied().collect();
    let limit = config
        .rate_limit
        .map(|rate| LimitLayer::new(Limiter::new(rate, rooms.redis.clone()), methods.clone()));

    macro_rules! limited {
        ($service:expr) => {
            $service.max_decoding_message_size(most_bytes).accept_compressed(CompressionEncoding::Gzip)
        };
    }
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(config.max_streams)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .layer(RequestIdLayer)
        .layer(ObserveLayer::new(RpcMetrics::of(names), methods))
        .layer(DeadlineLayer)
        .layer(option_layer(limit))
        .add_service(limited!(RecommendationServiceServer::new(recommendation)))
        .add_service(limited!(CatalogServiceServer::new(catalog)))
        .add_service(limited!(UserServiceServer::new(users)))
        .add_service(limited!(InteractionServiceServer::new(interactions)))
        .add_service(limited!(OperationsServiceServer::new(operations)))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_optional_service(reflection_v1())
        .add_optional_service(reflection_v1alpha())
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        )
        .await
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
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

/// Every method of the API and of the standard services, as `package.Service/Method`. Made once a process.
fn methods() -> Vec<&'static str> {
    let Ok(set) = FileDescriptorSet::decode(DESCRIPTOR_SET) else { return Vec::new() };
    let ours = set.file.iter().flat_map(|file| {
        file.service.iter().flat_map(move |service| {
            service
                .method
                .iter()
                .map(move |method| format!("{}.{}/{}", file.package(), service.name(), method.name()))
        })
    });
    ours.map(|method| &*method.leak()).chain(STANDARD_METHODS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_api_has_a_label() {
        let methods = methods();
        assert!(methods.contains(&"marquee.v1.RecommendationService/Recommend"));
        assert!(methods.contains(&"grpc.health.v1.Health/Watch"));
    }

    #[test]
    fn health_knows_every_service_of_the_api() {
        for method in methods().into_iter().filter(|method| method.starts_with("marquee.")) {
            let service = method.split('/').next().unwrap();
            assert!(SERVICES.contains(&service), "{service}");
        }
    }

    #[test]
    fn reflection_reads_the_descriptors() {
        assert!(reflection_v1().is_some());
        assert!(reflection_v1alpha().is_some());
    }
}
