//! What is recorded of calls, through the socket.

mod common;

use std::sync::Arc;

use futures::TryStreamExt as _;
use marquee_core::clock::now_ms;
use marquee_proto::methods::{access, interaction, operations, user};
use marquee_proto::v1;
use marquee_proto::v1::access_service_client::AccessServiceClient;
use marquee_proto::v1::audit_service_client::AuditServiceClient;
use marquee_server::access::Keys;
use marquee_server::app;
use marquee_server::config::{Config, StoreUrl, Switch};
use marquee_store::{DocumentKind, OnDamage, Store};
use tempfile::TempDir;
use tonic::{Code, Request};

use self::common::{TestServer, config, sample_data};

/// Whom the sample has.
const USER: u64 = 2;

/// A server that asks who calls and records it, and a key of each of two roles.
struct Audited {
    server: TestServer,
    admin: String,
    viewer: String,
    /// Of a role that may delete its own user, of which there is none.
    bounded: String,
}

async fn open(data: &TempDir) -> Arc<dyn Store> {
    app::open_store(&StoreUrl::redb(), data.path(), OnDamage::Refuse).await.expect("the store opens")
}

async fn audited() -> Audited {
    let data = sample_data().await;
    let config = asking(&data);
    let roles = Arc::new(config.security.roles.with_built_in());
    let keys = Arc::new(Keys::open(open(&data).await, roles).await.expect("there are no keys yet"));
    let make = async |role: &str| {
        keys.create(role.to_owned(), role.to_owned(), None, now_ms()).await.expect("the key is made").text
    };
    let (admin, viewer, bounded) = (make("admin").await, make("viewer").await, make("bounded").await);
    drop(keys);
    Audited { server: TestServer::start_with(config, data).await, admin, viewer, bounded }
}

fn asking(data: &TempDir) -> Config {
    let mut config = config(data);
    config.security.auth = Switch::On;
    config.security.roles = "bounded:UserService/DeleteUser,own_user".parse().expect("a role");
    config
}

/// A request by a key.
fn by<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !key.is_empty() {
        request.metadata_mut().insert("x-api-key", key.parse().expect("a header"));
    }
    request.metadata_mut().insert("x-request-id", "order-66".parse().expect("a header"));
    request
}

fn key(name: &str) -> v1::CreateKeyRequest {
    v1::CreateKeyRequest { name: name.to_owned(), role: "viewer".to_owned(), lifetime_seconds: None }
}

fn all() -> v1::ListAuditRecordsRequest {
    v1::ListAuditRecordsRequest::default()
}

impl Audited {
    async fn page(&self, request: v1::ListAuditRecordsRequest) -> v1::ListAuditRecordsResponse {
        let mut audit = AuditServiceClient::new(self.server.channel());
        audit.list_audit_records(by(&self.admin, request)).await.expect("a page").into_inner()
    }

    async fn records(&self) -> Vec<v1::AuditRecord> {
        self.page(all()).await.records
    }

    async fn create(&self, name: &str) {
        let mut access = AccessServiceClient::new(self.server.channel());
        access.create_key(by(&self.admin, key(name))).await.expect("a key");
    }

    async fn delete(&self, user_id: u64) {
        let request = v1::DeleteUserRequest { user: Some(user_id.into()) };
        self.server.users().delete_user(by(&self.admin, request)).await.expect("a deletion");
    }

    /// Somebody who may not deletes a user.
    async fn refused(&self) {
        let request = v1::DeleteUserRequest { user: Some(USER.into()) };
        let refused = self.server.users().delete_user(by(&self.viewer, request)).await.expect_err("no right");
        assert_eq!(refused.code(), Code::PermissionDenied);
    }

    /// The same server after a restart.
    async fn restarted(self) -> Self {
        let TestServer { running, data, .. } = self.server;
        running.stop().await.expect("it ends");
        let config = asking(&data);
        Self { server: TestServer::start_with(config, data).await, ..self }
    }
}

/// What a record says, but for when.
fn said(record: &v1::AuditRecord) -> (&str, &str, &str, u64) {
    (&record.caller, &record.method, &record.outcome, record.calls)
}

#[tokio::test]
async fn a_change_and_a_refusal_are_one_record_each_and_a_read_is_none() {
    let it = audited().await;
    it.create("shop").await;
    let model = it.server.operations().list_models(by(&it.viewer, v1::ListModelsRequest {})).await;
    let version = model.expect("a reply").into_inner().models.remove(0).version;
    let target = Some(v1::activate_model_request::Target::Version(version));
    let request = v1::ActivateModelRequest { target };
    it.server.operations().activate_model(by(&it.admin, request)).await.expect("it is loaded");
    it.delete(USER).await;
    it.refused().await;
    let records = it.records().await;
    assert_eq!(
        records.iter().map(said).collect::<Vec<_>>(),
        [
            ("viewer", user::DELETE_USER.full_name(), "PERMISSION_DENIED", 1),
            ("admin", user::DELETE_USER.full_name(), "OK", 1),
            ("admin", operations::ACTIVATE_MODEL.full_name(), "OK", 1),
            ("admin", access::CREATE_KEY.full_name(), "OK", 1),
        ]
    );
    assert!(records.iter().all(|record| record.origin == "peer-127.0.0.1"), "{records:?}");
    assert!(records.iter().all(|record| record.request_id == "order-66"), "{records:?}");
    assert!(!records[1].user_pseudonym.is_empty() && records[3].user_pseudonym.is_empty(), "{records:?}");
}

#[tokio::test]
async fn a_change_that_fails_is_recorded_with_its_code() {
    let it = audited().await;
    it.create("shop").await;
    let mut access = AccessServiceClient::new(it.server.channel());
    access.create_key(by(&it.admin, key("shop"))).await.unwrap_err();
    let outcomes: Vec<_> = it.records().await.into_iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes, ["ALREADY_EXISTS", "OK"]);
}

#[tokio::test]
async fn records_survive_a_restart_and_refusals_of_unknown_callers_are_summed() {
    let it = audited().await;
    it.create("shop").await;
    for _ in 0..3 {
        let refused = it.server.operations().get_stats(v1::GetStatsRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let it = it.restarted().await;
    let records = it.records().await;
    assert_eq!(
        records.iter().map(said).collect::<Vec<_>>(),
        [
            ("anonymous", operations::GET_STATS.full_name(), "UNAUTHENTICATED", 3),
            ("admin", access::CREATE_KEY.full_name(), "OK", 1),
        ]
    );
}

#[tokio::test]
async fn a_deleted_user_leaves_no_id_and_nothing_that_their_records_can_be_told_by() {
    let it = audited().await;
    let pseudonym = async || {
        let request = v1::DeleteUserRequest { user: Some(USER.into()) };
        let refused = it.server.users().delete_user(by(&it.bounded, request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        it.records().await.remove(0).user_pseudonym
    };
    let before = [pseudonym().await, pseudonym().await];
    assert!(!before[0].is_empty() && before[0] == before[1], "while there is the user they have one name");
    it.delete(USER).await;
    let deletion = it.records().await.remove(0).user_pseudonym;
    let after = pseudonym().await;
    assert!(before[0] != deletion && deletion != after && after != before[0], "nothing ties them together");
    let TestServer { running, data, .. } = it.server;
    running.stop().await.expect("it ends");
    let store = open(&data).await;
    let salts = store.documents().list(DocumentKind::AuditSalt, &USER.to_string(), None, 10, now_ms()).await;
    assert!(salts.expect("a list").is_empty());
}

#[tokio::test]
async fn records_are_filtered_and_come_in_pages() {
    let it = audited().await;
    for name in ["one", "two", "three", "four", "five"] {
        it.create(name).await;
    }
    it.refused().await;
    let count = async |request: v1::ListAuditRecordsRequest| it.page(request).await.records.len();
    assert_eq!(count(all()).await, 6);
    assert_eq!(count(v1::ListAuditRecordsRequest { caller: "viewer".to_owned(), ..all() }).await, 1);
    let method = "AccessService/CreateKey".to_owned();
    assert_eq!(count(v1::ListAuditRecordsRequest { method, ..all() }).await, 5);
    let method = user::DELETE_USER.full_name().to_owned();
    assert_eq!(count(v1::ListAuditRecordsRequest { method, ..all() }).await, 1);
    assert_eq!(count(v1::ListAuditRecordsRequest { outcome: "OK".to_owned(), ..all() }).await, 5);
    let hour_ago = Some(prost_types::Timestamp { seconds: now_ms() / 1_000 - 3_600, nanos: 0 });
    assert_eq!(count(v1::ListAuditRecordsRequest { start_time: hour_ago, ..all() }).await, 6);
    assert_eq!(count(v1::ListAuditRecordsRequest { end_time: hour_ago, ..all() }).await, 0);

    let paged = v1::ListAuditRecordsRequest { page_size: Some(4), ..all() };
    let first = it.page(paged.clone()).await;
    let page_token = first.next_page_token;
    let second =
        it.page(v1::ListAuditRecordsRequest { page_token: page_token.clone(), ..paged.clone() }).await;
    let records: Vec<_> = first.records.into_iter().chain(second.records).collect();
    assert_eq!((records.len(), second.next_page_token.as_str()), (6, ""));
    assert_eq!(records, it.records().await);
    let mut audit = AuditServiceClient::new(it.server.channel());
    let elsewhere = v1::ListAuditRecordsRequest { page_token, caller: "admin".to_owned(), ..paged };
    let refused = audit.list_audit_records(by(&it.admin, elsewhere)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn records_of_one_user_are_found_by_id_or_pseudonym_and_exported() {
    let it = audited().await;
    it.create("shop").await;
    let request = v1::DeleteUserRequest { user: Some(USER.into()) };
    it.server.users().delete_user(by(&it.bounded, request)).await.expect_err("it may delete its own alone");
    let pseudonym = it.records().await.remove(0).user_pseudonym;
    for user in [
        v1::list_audit_records_request::User::UserId(USER),
        v1::list_audit_records_request::User::UserPseudonym(pseudonym.clone()),
    ] {
        let found = it.page(v1::ListAuditRecordsRequest { user: Some(user), ..all() }).await.records;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].user_pseudonym, pseudonym);
    }
    let other = v1::list_audit_records_request::User::UserId(USER + 1);
    assert_eq!(it.page(v1::ListAuditRecordsRequest { user: Some(other), ..all() }).await.records, []);

    let export = async |user: Option<v1::export_audit_records_request::User>| {
        let request = by(&it.admin, v1::ExportAuditRecordsRequest { user, ..Default::default() });
        let mut audit = AuditServiceClient::new(it.server.channel());
        let replies = audit.export_audit_records(request).await.expect("a stream").into_inner();
        let replies: Vec<_> = replies.try_collect().await.expect("its end");
        replies.into_iter().filter_map(|reply| reply.record).collect::<Vec<_>>()
    };
    assert_eq!(export(None).await, it.records().await);
    let user = v1::export_audit_records_request::User::UserId(USER);
    assert_eq!(export(Some(user)).await.len(), 1);
    let user = v1::export_audit_records_request::User::UserId(USER + 1);
    assert_eq!(export(Some(user)).await.len(), 0);
}

#[tokio::test]
async fn a_deleted_interaction_leaves_a_record_of_who_deleted_it() {
    let it = audited().await;
    let request = v1::DeleteInteractionRequest {
        user: Some(USER.into()),
        movie: Some(1.into()),
        time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    it.server.interactions().delete_interaction(by(&it.admin, request)).await.expect("none is no error");
    let records = it.records().await;
    let expected = ("admin", interaction::DELETE_INTERACTION.full_name(), "OK", 1);
    assert_eq!(records.iter().map(said).collect::<Vec<_>>(), [expected]);
    assert!(!records[0].user_pseudonym.is_empty(), "{records:?}");
}

#[tokio::test]
async fn records_are_for_admins() {
    let it = audited().await;
    let mut audit = AuditServiceClient::new(it.server.channel());
    let refused = audit.list_audit_records(by(&it.viewer, all())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn where_nobody_is_asked_changes_are_recorded_if_the_settings_say_so() {
    for (audit, expected) in [(None, 0), (Some(Switch::On), 1)] {
        let data = sample_data().await;
        let mut config = config(&data);
        config.security.audit = audit;
        let it = Audited {
            server: TestServer::start_with(config, data).await,
            admin: String::new(),
            viewer: String::new(),
            bounded: String::new(),
        };
        it.create("shop").await;
        let records = it.records().await;
        assert_eq!(records.len(), expected);
        assert!(records.iter().all(|record| record.caller == "anonymous"), "{records:?}");
    }
}
