//! People who sign in to nodes that share a CQL store and a Redis: what one node ends is over on the other, a Redis that
//! is gone signs nobody out, and of a person who has gone nothing is left in either.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::cql::{new_keyspace, shared_cql};
use common::nodes::{PATIENCE, until};
use common::redis::{RedisServer, shared_redis};
use common::{TestServer, config};
use fred::interfaces::ClientLike as _;
use fred::types::{ClusterHash, CustomCommand, Value as RedisValue};
use marquee_core::clock::now_ms;
use marquee_proto::v1;
use marquee_proto::v1::account_service_client::AccountServiceClient;
use marquee_server::access::Keys;
use marquee_server::app;
use marquee_server::config::{StoreUrl, Switch};
use marquee_store::OnDamage;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tonic::transport::Channel;
use tonic::{Code, Request};

const EMAIL: &str = "ada.lovelace@example.org";
const PASSWORD: &str = "correct horse battery";

/// Two nodes, their Redis, which nobody else uses, and what the nodes' store is called.
struct Nodes {
    here: TestServer,
    there: TestServer,
    redis: RedisServer,
    cluster: String,
    store: String,
    operator: String,
}

impl Nodes {
    /// `None` where there is no CQL server or no Redis, which is said aloud.
    async fn start() -> Option<Self> {
        let (cluster, _shared) = (shared_cql()?, shared_redis()?);
        let store = new_keyspace(&cluster, "").await;
        let redis = RedisServer::start();
        let operator = operators_key(&store).await;
        let node = async || {
            let data = tempfile::tempdir().expect("a temporary folder");
            let mut config = config(&data);
            config.store.store = store.parse().expect("a good URL");
            config.store.sample_data = "none".into();
            config.cache.cache = redis.url().parse().expect("a good URL");
            config.server.rate_limit = Some("1000/s".parse().expect("a rate"));
            config.security.auth = Switch::On;
            config.security.sign_up = Switch::On;
            TestServer::start_with(config, data).await
        };
        let (here, there) = (node().await, node().await);
        Some(Self { here, there, redis, cluster, store, operator })
    }

    async fn sign_up(&self) -> (v1::Account, String) {
        let request = v1::SignUpRequest { email: EMAIL.to_owned(), password: PASSWORD.to_owned() };
        let reply = accounts(&self.here).sign_up(request).await.expect("they may").into_inner();
        (reply.account.expect("an account"), reply.session.expect("a session").token)
    }
}

async fn operators_key(store: &str) -> String {
    let url: StoreUrl = store.parse().expect("a good URL");
    let store = app::open_store(&url, ".".as_ref(), OnDamage::Refuse).await.expect("the store opens");
    let roles = Arc::new(marquee_server::edge::OwnRoles::default().with_built_in());
    let keys = Arc::new(Keys::open(store, roles).await.expect("there are no keys yet"));
    let made = keys.create("ops".to_owned(), "operator".to_owned(), None, now_ms()).await;
    made.expect("the key is made").text
}

fn accounts(node: &TestServer) -> AccountServiceClient<Channel> {
    AccountServiceClient::new(node.channel())
}

/// A request by who shows this.
fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request
}

/// The code of asking a node who this is; `None` for OK.
async fn who(node: &TestServer, token: &str) -> Option<Code> {
    let asked = accounts(node).who_am_i(by(token, v1::WhoAmIRequest {})).await;
    asked.err().map(|status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_of_one_node_is_soon_out_of_the_other() {
    let Some(it) = Nodes::start().await else { return };
    for everywhere in [false, true] {
        let token = if everywhere {
            let request = v1::SignInRequest { email: EMAIL.to_owned(), password: PASSWORD.to_owned() };
            let reply = accounts(&it.there).sign_in(request).await.expect("it is right").into_inner();
            reply.session.expect("a session").token
        } else {
            it.sign_up().await.1
        };
        for node in [&it.here, &it.there, &it.here] {
            assert_eq!(who(node, &token).await, None);
        }
        let request = by(&token, v1::SignOutRequest { everywhere: Some(everywhere) });
        accounts(&it.here).sign_out(request).await.expect("it is written");
        assert_eq!(who(&it.here, &token).await, Some(Code::Unauthenticated), "at once");
        let is_out = async || who(&it.there, &token).await == Some(Code::Unauthenticated);
        until("the other node refuses the session", PATIENCE, is_out).await;
        assert_eq!(who(&it.here, &token).await, Some(Code::Unauthenticated), "and never again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_gone_signs_nobody_out_or_in() {
    let Some(mut it) = Nodes::start().await else { return };
    let (_, token) = it.sign_up().await;
    assert_eq!(who(&it.there, &token).await, None);
    it.redis.kill();
    for node in [&it.here, &it.there] {
        assert_eq!(who(node, &token).await, None);
    }
    let request = by(&token, v1::SignOutRequest { everywhere: None });
    accounts(&it.there).sign_out(request).await.expect("it is written");
    let is_out = async || who(&it.here, &token).await == Some(Code::Unauthenticated);
    until("the other node refuses the session", PATIENCE, is_out).await;
    it.redis.start_again();
    assert_eq!(who(&it.here, &token).await, Some(Code::Unauthenticated));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_in_tables_and_redis_of_a_person_who_has_gone() {
    let Some(it) = Nodes::start().await else { return };
    let heat = v1::ImportMoviesRequest {
        movie: Some(6.into()),
        title: "Heat (1995)".to_owned(),
        ..v1::ImportMoviesRequest::default()
    };
    let movies = by(&it.operator, futures::stream::iter([heat]));
    it.here.catalog().import_movies(movies).await.expect("a write");
    let (account, token) = it.sign_up().await;
    let user_id = account.user_id;
    for node in [&it.here, &it.there] {
        let liked = v1::SetPreferencesRequest {
            user: Some(user_id.into()),
            preferences: Some(v1::Preferences::default()),
        };
        node.users().set_preferences(by(&token, liked)).await.expect("a write");
        let watched = v1::RecordInteractionRequest {
            user: Some(user_id.into()),
            movie: Some(6.into()),
            kind: v1::InteractionKind::View.into(),
            ..v1::RecordInteractionRequest::default()
        };
        node.interactions().record_interaction(by(&token, watched)).await.expect("a write");
        let subject = Some(v1::recommend_request::Subject::UserId(user_id));
        let asked = v1::RecommendRequest { subject, ..v1::RecommendRequest::default() };
        node.recommendation().recommend(by(&token, asked)).await.expect("an answer");
        // It may not, so that there is a record about this user.
        let user = Some(user_id.into());
        node.users().delete_user(by(&token, v1::DeleteUserRequest { user })).await.expect_err("no right");
    }
    let traces = traces_of(&account);
    let found = it.in_tables(&traces).await;
    assert!(found.len() >= 2, "what is looked for is found while it is there: {found:?}");
    let is_seen = async || !it.in_redis(&traces).await.is_empty();
    until("Redis holds something of it", PATIENCE, is_seen).await;

    let delete = async || {
        let request = by(&it.operator, v1::DeleteUserRequest { user: Some(user_id.into()) });
        it.there.users().delete_user(request).await.is_ok()
    };
    until("the user is deleted", PATIENCE, delete).await;
    assert_eq!(it.in_tables(&traces).await, BTreeMap::new());
    // What is remembered for a moment, a session and a caller's bucket, ends by itself.
    let is_gone = async || it.in_redis(&traces).await.is_empty();
    until("Redis holds nothing of it", PATIENCE, is_gone).await;
    assert_eq!(who(&it.here, &token).await, Some(Code::Unauthenticated));
}

/// How the email and the ids of a person may be written: as a text, and as bytes in hexadecimal.
fn traces_of(account: &v1::Account) -> Vec<Vec<u8>> {
    let v1::Account { account_id, email, user_id, .. } = account;
    let plain = [
        email.clone().into_bytes(),
        account_id.clone().into_bytes(),
        user_id.to_string().into_bytes(),
        user_id.to_le_bytes().to_vec(),
        user_id.to_be_bytes().to_vec(),
    ];
    let as_hex: Vec<_> = plain.iter().map(|bytes| hex::encode(bytes).into_bytes()).collect();
    plain.into_iter().chain(as_hex).collect()
}

fn has_any(bytes: &[u8], traces: &[Vec<u8>]) -> bool {
    traces.iter().any(|trace| bytes.windows(trace.len()).any(|window| window == trace))
}

impl Nodes {
    /// How many rows of each table have a trace.
    async fn in_tables(&self, traces: &[Vec<u8>]) -> BTreeMap<String, usize> {
        let nodes = self.cluster.trim_start_matches("scylla://").split(',');
        let session = SessionBuilder::new().known_nodes(nodes).build().await.expect("a session");
        let keyspace = self.store.rsplit('/').next().expect("a keyspace").split('?').next();
        let keyspace = keyspace.expect("a keyspace");
        let named = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let mut found = BTreeMap::new();
        for table in texts(&session, named, (keyspace,)).await {
            let rows = texts(&session, &format!("SELECT JSON * FROM {keyspace}.{table}"), ()).await;
            let rows = rows.iter().filter(|row| has_any(row.as_bytes(), traces)).count();
            if rows > 0 {
                found.insert(table, rows);
            }
        }
        found
    }

    /// The keys that have a trace in their name or in what they hold.
    async fn in_redis(&self, traces: &[Vec<u8>]) -> Vec<String> {
        let client = fred::types::Builder::from_config(
            fred::types::config::Config::from_url(&self.redis.url()).expect("a good URL"),
        );
        let client = client.build().expect("a client");
        client.init().await.expect("Redis answers");
        let ask = async |words: &[&str]| {
            let command = CustomCommand::new(words[0].to_owned(), ClusterHash::FirstKey, false);
            let arguments: Vec<String> = words[1..].iter().map(|&word| word.to_owned()).collect();
            client.custom::<RedisValue, String>(command, arguments).await.expect("Redis answers")
        };
        let mut found = Vec::new();
        for key in flat(ask(&["KEYS", "*"]).await) {
            let key = String::from_utf8(key).expect("names are texts");
            let kind = flat(ask(&["TYPE", &key]).await).concat();
            let held = match kind.as_slice() {
                b"string" => ask(&["GET", &key]).await,
                b"hash" => ask(&["HGETALL", &key]).await,
                b"stream" => ask(&["XRANGE", &key, "-", "+"]).await,
                // It has ended since.
                b"none" => continue,
                other => panic!("{key} is a {}", String::from_utf8_lossy(other)),
            };
            if has_any(key.as_bytes(), traces) || flat(held).iter().any(|held| has_any(held, traces)) {
                found.push(key);
            }
        }
        client.quit().await.expect("it ends");
        found
    }
}

/// All texts and numbers in a value of Redis.
fn flat(value: RedisValue) -> Vec<Vec<u8>> {
    match value {
        RedisValue::Array(values) => values.into_iter().flat_map(flat).collect(),
        RedisValue::Map(map) => {
            let pairs = map.inner().into_iter();
            pairs.flat_map(|(key, value)| [vec![key.as_bytes().to_vec()], flat(value)].concat()).collect()
        }
        RedisValue::Null => Vec::new(),
        other => match other.as_bytes() {
            Some(bytes) => vec![bytes.to_vec()],
            None => vec![other.as_bytes_str().map(|text| text.as_bytes().to_vec()).unwrap_or_default()],
        },
    }
}

/// The one column of each row.
async fn texts(
    session: &Session,
    query: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Vec<String> {
    let rows = session.query_unpaged(query, values).await.expect("a read").into_rows_result();
    let rows = rows.expect("there are rows");
    rows.rows::<(String,)>().expect("texts").map(|row| row.expect("a text").0).collect()
}
