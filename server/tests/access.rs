//! Who may call what, through the socket: what the protos declare is what happens, for every method and every kind of
//! caller.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use futures::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use marquee_core::clock::now_ms;
use marquee_proto::methods::{self, Method, Role};
use marquee_proto::v1;
use marquee_proto::v1::access_service_client::AccessServiceClient;
use marquee_proto::v1::revoke_key_request::Key::KeyId;
use marquee_server::access::Keys;
use marquee_server::app;
use marquee_server::config::{Config, StoreUrl, Switch};
use marquee_server::edge::Reflection;
use marquee_store::OnDamage;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, Value};
use tempfile::TempDir;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use self::common::cql::{new_keyspace, shared_cql};
use self::common::http1::Http1;
use self::common::nodes::{PATIENCE, until};
use self::common::{TestServer, config, sample_data};

const ROLES: [(Role, &str); 5] = [
    (Role::Viewer, "viewer"),
    (Role::Recommender, "recommender"),
    (Role::Writer, "writer"),
    (Role::Operator, "operator"),
    (Role::Admin, "admin"),
];

/// A server that asks who calls, and keys of all kinds.
struct Guarded {
    server: TestServer,
    channel: Channel,
    roles: Vec<(Role, String)>,
    person: String,
    own_role: String,
    expired: String,
}

/// Makes a key in the store of a server that does not run yet.
async fn make(keys: &Arc<Keys>, name: &str, role: &str) -> String {
    keys.create(name.to_owned(), role.to_owned(), None, now_ms()).await.expect("the key is made").text
}

async fn guarded(change: impl FnOnce(&mut Config)) -> Guarded {
    let data = sample_data().await;
    let mut config = config(&data);
    config.security.auth = Switch::On;
    config.security.roles = "few:RecommendationService/Recommend,max_k=3".parse().expect("a role");
    change(&mut config);
    let keys = keys_of(&data, &config).await;
    let mut roles = Vec::new();
    for (role, name) in ROLES {
        roles.push((role, make(&keys, name, name).await));
    }
    let person = make(&keys, "person", "person").await;
    let own_role = make(&keys, "few", "few").await;
    let (long_ago, second) = (now_ms() - 10_000, Duration::from_secs(1));
    let expired = keys.create("old".to_owned(), "admin".to_owned(), Some(second), long_ago).await;
    let expired = expired.expect("the key is made").text;
    drop(keys);
    let server = TestServer::start_with(config, data).await;
    let channel = common::channel(&server.running).await;
    Guarded { server, channel, roles, person, own_role, expired }
}

async fn keys_of(data: &TempDir, config: &Config) -> Arc<Keys> {
    let store =
        app::open_store(&StoreUrl::redb(), data.path(), OnDamage::Refuse).await.expect("the store opens");
    let roles = Arc::new(config.security.roles.with_built_in());
    Arc::new(Keys::open(store, roles).await.expect("there are no keys yet"))
}

impl Guarded {
    fn admin(&self) -> &str {
        &self.roles[4].1
    }

    /// What the server says to a message of a method, whose stream is not read on.
    async fn call(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        message: Vec<u8>,
    ) -> Result<Vec<u8>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.expect("the server is there");
        let mut request = Request::new(stream::iter([message]));
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().expect("a header"));
        }
        let path = PathAndQuery::try_from(path).expect("a path");
        let mut replies = grpc.streaming(request, path, Plain).await?.into_inner();
        let first = tokio::time::timeout(Duration::from_secs(2), replies.next()).await;
        first.ok().flatten().unwrap_or_else(|| Ok(Vec::new()))
    }

    async fn call_as(&self, key: &str, method: Method, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.call(method.path, &[("x-api-key", key)], message).await
    }

    fn access(&self) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.channel.clone())
    }
}

/// A request by a key.
fn by<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("a header"));
    request
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Code and reason of what is refused for who calls; `None` for any other answer.
fn refusal(answer: Result<Vec<u8>, Status>) -> Option<(Code, String)> {
    let status = answer.err()?;
    let is_refusal = matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied);
    is_refusal.then(|| (status.code(), reason(&status)))
}

#[tokio::test]
async fn every_method_is_for_those_whom_the_protos_name_and_for_nobody_else() {
    let it = guarded(|_| {}).await;
    let unauthenticated = |reason: &str| Some((Code::Unauthenticated, reason.to_owned()));
    let denied = Some((Code::PermissionDenied, "METHOD_NOT_PERMITTED".to_owned()));
    let revoked = {
        let created =
            it.access().create_key(by(it.admin(), create("gone", "admin"))).await.unwrap().into_inner();
        let key = Some(KeyId(created.key.unwrap().key_id));
        it.access().revoke_key(by(it.admin(), v1::RevokeKeyRequest { key })).await.unwrap();
        created.secret
    };
    let invented = format!("mq_{}_{}", "0".repeat(12), "A".repeat(43));
    // An empty request wants ten.
    let too_many = Some((Code::PermissionDenied, "REQUEST_NOT_PERMITTED".to_owned()));
    let own = ["marquee.v1.RecommendationService/Recommend"];
    for method in methods::ALL {
        let call =
            async |headers: &[(&'static str, &str)]| refusal(it.call(method.path, headers, Vec::new()).await);
        if method.access.least == Role::Anyone {
            for headers in [&[][..], &[("x-api-key", "hunter2")], &[("x-api-key", &it.person)]] {
                assert_eq!(call(headers).await, None, "{}", method.path);
            }
            continue;
        }
        assert_eq!(call(&[]).await, unauthenticated("NO_CREDENTIALS"), "{}", method.path);
        for (key, why) in [
            ("hunter2", "CREDENTIALS_REFUSED"),
            (invented.as_str(), "CREDENTIALS_REFUSED"),
            (revoked.as_str(), "CREDENTIALS_REFUSED"),
            (it.expired.as_str(), "CREDENTIALS_EXPIRED"),
        ] {
            assert_eq!(call(&[("x-api-key", key)]).await, unauthenticated(why), "{} by {key}", method.path);
        }
        for (role, key) in &it.roles {
            let expected = if method.access.least <= *role { None } else { denied.clone() };
            assert_eq!(call(&[("x-api-key", key)]).await, expected, "{} by {role:?}", method.path);
        }
        let expected = if method.access.person { None } else { denied.clone() };
        assert_eq!(call(&[("x-api-key", &it.person)]).await, expected, "{} by a person", method.path);
        let expected = if own.contains(&method.full_name()) { too_many.clone() } else { denied.clone() };
        assert_eq!(call(&[("x-api-key", &it.own_role)]).await, expected, "{} by a role of ours", method.path);
    }
}

#[tokio::test]
async fn who_may_name_no_user_is_refused_wherever_the_user_stands() {
    let it = guarded(|_| {}).await;
    let pool = DescriptorPool::decode(marquee_proto::DESCRIPTOR_SET).unwrap();
    let mut named = 0;
    for method in methods::ALL.into_iter().filter(|method| method.access.person) {
        let service = pool.get_service_by_name(method.service).unwrap();
        let input = service.methods().find(|it| it.name() == method.name).unwrap().input();
        let Some(message) = naming(&input, 1) else { continue };
        named += 1;
        let answer = it.call_as(&it.person, method, message.encode_to_vec()).await;
        // Within batches and streams the outcome of each is in the reply.
        let within = answer
            .as_ref()
            .is_ok_and(|reply| String::from_utf8_lossy(reply).contains("you may not ask for this"));
        let refused = refusal(answer);
        assert!(
            within || refused == Some((Code::PermissionDenied, "REQUEST_NOT_PERMITTED".to_owned())),
            "{}: {refused:?}",
            method.path
        );
    }
    assert!(named >= 10, "{named} methods name a user");
}

/// A message that names a user, wherever it has room for one; `None` where it has none.
fn naming(message: &MessageDescriptor, user_id: u64) -> Option<DynamicMessage> {
    let mut made = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let value = match field.kind() {
            Kind::Uint64 if field.name() == "user_id" => Value::U64(user_id),
            Kind::Message(inner) if inner.package_name() == "marquee.v1" => match naming(&inner, user_id) {
                Some(inner) if field.is_list() => Value::List(vec![Value::Message(inner)]),
                Some(inner) => Value::Message(inner),
                None => continue,
            },
            _ => continue,
        };
        made.set_field(&field, value);
        return Some(made);
    }
    None
}

#[tokio::test]
async fn a_role_of_ones_own_is_held_to_its_bounds() {
    let it = guarded(|_| {}).await;
    let ask = async |k| {
        let subject = Some(v1::recommend_request::Subject::UserId(1));
        let request = v1::RecommendRequest { subject, k, ..Default::default() };
        refusal(it.call_as(&it.own_role, methods::recommendation::RECOMMEND, request.encode_to_vec()).await)
    };
    let denied = Some((Code::PermissionDenied, "REQUEST_NOT_PERMITTED".to_owned()));
    assert_eq!(ask(Some(3)).await, None);
    assert_eq!(ask(Some(4)).await, denied);
    assert_eq!(ask(None).await, denied, "ten is what a request means that does not say how many");
}

#[tokio::test]
async fn what_is_refused_is_so_whether_a_thing_exists_or_not() {
    let it = guarded(|_| {}).await;
    let viewer = &it.roles[0].1;
    let mut answers = Vec::new();
    for user_id in [1, 999_999_999] {
        let request = v1::GetUserRequest { user: Some(user_id.into()) };
        let status = it.call_as(viewer, methods::user::GET_USER, request.encode_to_vec()).await.unwrap_err();
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_key_travels_in_either_header_and_two_that_differ_are_refused() {
    let it = guarded(|_| {}).await;
    let path = methods::operations::GET_STATS.path;
    let (admin, viewer) = (it.admin(), &it.roles[0].1);
    let bearer = format!("Bearer {admin}");
    let lower = format!("bearer  {admin}");
    for headers in [
        &[("authorization", bearer.as_str())][..],
        &[("authorization", lower.as_str())],
        &[("x-api-key", admin)],
        &[("x-api-key", admin), ("authorization", bearer.as_str())],
    ] {
        assert_eq!(refusal(it.call(path, headers, Vec::new()).await), None, "{headers:?}");
    }
    let basic = format!("Basic {admin}");
    for headers in [
        &[("authorization", basic.as_str())][..],
        &[("authorization", admin)],
        &[("authorization", "Bearer")],
        &[("x-api-key", "")],
        &[("x-api-key", viewer.as_str()), ("authorization", bearer.as_str())],
        &[("x-api-key", bearer.as_str())],
    ] {
        let refused = refusal(it.call(path, headers, Vec::new()).await);
        assert_eq!(refused, Some((Code::Unauthenticated, "CREDENTIALS_REFUSED".to_owned())), "{headers:?}");
    }
}

#[tokio::test]
async fn health_is_open_and_reflection_as_the_settings_say() {
    let health = "/grpc.health.v1.Health/Check";
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let open = guarded(|_| {}).await;
    assert_eq!(refusal(open.call(health, &[], Vec::new()).await), None);
    assert_eq!(refusal(open.call(reflection, &[], Vec::new()).await), None);
    let known = guarded(|config| config.security.reflection = Reflection::Authenticated).await;
    assert!(refusal(known.call(reflection, &[], Vec::new()).await).is_some());
    let viewer = &known.roles[0].1;
    assert_eq!(refusal(known.call(reflection, &[("x-api-key", viewer)], Vec::new()).await), None);
    let off = guarded(|config| config.security.reflection = Reflection::Off).await;
    let status = off.call(reflection, &[("x-api-key", off.admin())], Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

fn create(name: &str, role: &str) -> v1::CreateKeyRequest {
    v1::CreateKeyRequest { name: name.to_owned(), role: role.to_owned(), lifetime_seconds: None }
}

#[tokio::test]
async fn keys_are_made_listed_rotated_and_revoked_over_the_wire() {
    let it = guarded(|_| {}).await;
    let mut access = it.access();
    let made = access.create_key(by(it.admin(), create("shop", "viewer"))).await.unwrap().into_inner();
    let key = made.key.unwrap();
    assert!(made.secret.starts_with(&format!("mq_{}_", key.key_id)));
    let again = access.create_key(by(it.admin(), create("shop", "viewer"))).await.unwrap_err();
    assert_eq!((again.code(), reason(&again)), (Code::AlreadyExists, "KEY_NAME_TAKEN".to_owned()));
    let unknown = access.create_key(by(it.admin(), create("king", "king"))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert!(unknown.message().contains("role is wrong: \"king\" is no role"), "{unknown}");

    let rotate = v1::RotateKeyRequest {
        key: Some(v1::rotate_key_request::Key::KeyId(key.key_id.clone())),
        overlap_seconds: None,
    };
    let rotated = access.rotate_key(by(it.admin(), rotate)).await.unwrap().into_inner();
    for secret in [&made.secret, &rotated.secret] {
        let answer = it.call_as(secret, methods::operations::GET_STATS, Vec::new()).await;
        assert_eq!(refusal(answer), None, "both are live");
    }
    let listed = access.list_keys(by(it.admin(), v1::ListKeysRequest {})).await.unwrap().into_inner().keys;
    let shops: Vec<_> = listed.iter().filter(|key| key.name == "shop").collect();
    assert_eq!(shops.len(), 2);
    assert!(shops.iter().all(|key| key.role == "viewer" && key.last_use_time.is_some()), "{shops:?}");
    let old = listed.iter().find(|listed| listed.key_id == key.key_id).unwrap();
    assert!(old.expire_time.is_some(), "the old one ends after the overlap");

    let revoke = v1::RevokeKeyRequest { key: Some(KeyId(key.key_id)) };
    assert!(access.revoke_key(by(it.admin(), revoke.clone())).await.unwrap().into_inner().revoked);
    assert!(!access.revoke_key(by(it.admin(), revoke)).await.unwrap().into_inner().revoked);
    let refused = refusal(it.call_as(&made.secret, methods::operations::GET_STATS, Vec::new()).await);
    assert_eq!(refused, Some((Code::Unauthenticated, "CREDENTIALS_REFUSED".to_owned())));
}

#[tokio::test]
async fn json_asks_for_a_key_as_grpc_does() {
    let it = guarded(|_| {}).await;
    let get = async |key: Option<&str>, path: &str| {
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{key}\r\n");
        Http1::ask(it.server.running.address, request).await.status
    };
    assert_eq!(get(None, "/v1/stats").await, 401);
    assert_eq!(get(Some(it.admin()), "/v1/stats").await, 200);
    let viewer = it.roles[0].1.as_str();
    assert_eq!(get(Some(viewer), "/v1/users/1").await, 403);
    assert_eq!(get(None, "/openapi.json").await, 200, "the description is open");
}

#[tokio::test]
async fn a_model_is_loaded_from_the_open_folder_alone() {
    let it = guarded(|_| {}).await;
    let operator = it.roles[3].1.as_str();
    let load = async |folder: &std::path::Path| {
        let bundle_dir = folder.to_str().expect("a text").to_owned();
        let request = v1::LoadModelRequest { bundle_dir, registered: None }.encode_to_vec();
        refusal(it.call_as(operator, methods::operations::LOAD_MODEL, request).await)
    };
    let denied = Some((Code::PermissionDenied, "BUNDLE_NOT_PERMITTED".to_owned()));
    let bundles = it.server.data.path().join("bundles");
    let ours = bundles.join("ours");
    std::fs::create_dir_all(&ours).unwrap();
    assert_eq!(load(&common::fixture_bundle()).await, None, "the bundle of the start");
    assert_eq!(load(&ours).await, None, "it is looked at, and found to be none");
    for closed in [bundles.join("../"), "/etc".into(), "/nowhere".into(), bundles.join("missing")] {
        assert_eq!(load(&closed).await, denied, "{closed:?}");
    }
    std::os::unix::fs::symlink("/etc/passwd", ours.join("bundle.json")).unwrap();
    assert_eq!(load(&ours).await, denied, "a link out");
}

#[tokio::test]
async fn nobody_is_asked_where_auth_is_off() {
    let server = TestServer::start().await;
    server.operations().get_stats(v1::GetStatsRequest {}).await.unwrap();
    let mut access = AccessServiceClient::new(common::channel(&server.running).await);
    access.create_key(create("first", "admin")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_key_of_its_caller_is_revoked() {
    let it = guarded(|_| {}).await;
    let mut access = AccessServiceClient::new(it.channel.clone());
    let made = access.create_key(by(it.admin(), create("watcher", "recommender"))).await.expect("a key");
    let v1::CreateKeyResponse { key, secret } = made.into_inner();
    let watch = by(&secret, v1::WatchInteractionsRequest::default());
    let mut watched =
        it.server.interactions().watch_interactions(watch).await.expect("a stream").into_inner();
    let key = Some(KeyId(key.expect("it says which").key_id));
    access.revoke_key(by(it.admin(), v1::RevokeKeyRequest { key })).await.expect("a write");
    let ended = tokio::time::timeout(PATIENCE, watched.message()).await.expect("it ends in time");
    let status = ended.expect_err("its caller is known no more");
    let reason = status.get_details_error_info().map(|info| info.reason);
    assert_eq!((status.code(), reason.as_deref()), (Code::Unauthenticated, Some("CREDENTIALS_REFUSED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_node_revokes_is_soon_refused_by_the_other() {
    let Some(cluster) = shared_cql() else { return };
    let store = new_keyspace(&cluster, "").await;
    let start = async |auth| {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(&data);
        config.store.store = store.parse().expect("a good URL");
        config.store.sample_data = "none".into();
        config.security.auth = auth;
        TestServer::start_with(config, data).await
    };
    let [here, there] = [start(Switch::Off).await, start(Switch::On).await];
    let mut access = AccessServiceClient::new(common::channel(&here.running).await);
    let made = access.create_key(create("shop", "viewer")).await.expect("a key").into_inner();
    let code = async || {
        let asked = there.operations().get_stats(by(&made.secret, v1::GetStatsRequest {})).await;
        asked.err().map(|status| status.code())
    };
    until("the new key is accepted", PATIENCE, async || code().await.is_none()).await;
    let key = Some(KeyId(made.key.expect("it says which").key_id));
    assert!(access.revoke_key(v1::RevokeKeyRequest { key }).await.expect("a write").into_inner().revoked);
    until("the key is refused", PATIENCE, async || code().await == Some(Code::Unauthenticated)).await;
}

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
