//! People who sign in, through the socket: what they may do, how long, and what is left of them.

mod common;

use std::process::Command;
use std::sync::Arc;

use futures::TryStreamExt as _;
use marquee_core::clock::now_ms;
use marquee_proto::v1;
use marquee_proto::v1::account_service_client::AccountServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use marquee_server::access::Keys;
use marquee_server::app;
use marquee_server::config::{Config, StoreUrl, Switch};
use marquee_store::OnDamage;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use self::common::http1::{Http1, Reply};
use self::common::process::Process;
use self::common::{TestServer, config, sample_data};

const EMAIL: &str = "ada.lovelace@example.org";
const PASSWORD: &str = "correct horse battery";

/// Where the secret begins in a session's text.
const SECRET: usize = 24;

/// A server that asks who calls, where people may sign up.
struct Open {
    server: TestServer,
    operator: String,
}

async fn open(change: impl FnOnce(&mut Config)) -> Open {
    let data = sample_data().await;
    let mut config = config(&data);
    config.security.auth = Switch::On;
    config.security.sign_up = Switch::On;
    change(&mut config);
    let operator = operators_key(&data, &config).await;
    Open { server: TestServer::start_with(config, data).await, operator }
}

async fn operators_key(data: &TempDir, config: &Config) -> String {
    let store =
        app::open_store(&StoreUrl::redb(), data.path(), OnDamage::Refuse).await.expect("the store opens");
    let roles = Arc::new(config.security.roles.with_built_in());
    let keys = Arc::new(Keys::open(store, roles).await.expect("there are no keys yet"));
    let made = keys.create("ops".to_owned(), "operator".to_owned(), None, now_ms()).await;
    made.expect("the key is made").text
}

impl Open {
    fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.server.channel())
    }

    fn users(&self) -> UserServiceClient<Channel> {
        self.server.users()
    }

    async fn sign_up(&self, email: &str) -> (v1::Account, String) {
        let reply = self.accounts().sign_up(sign_up(email)).await.expect("they may").into_inner();
        (reply.account.expect("an account"), reply.session.expect("a session").token)
    }

    async fn who(&self, token: &str) -> Result<v1::WhoAmIResponse, Status> {
        let reply = self.accounts().who_am_i(by(token, v1::WhoAmIRequest {})).await;
        reply.map(tonic::Response::into_inner)
    }

    /// The answer to a request of HTTP/1.1 with these headers.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers = headers.collect::<Vec<_>>().concat();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        );
        Http1::ask(self.server.running.address, request).await
    }
}

fn sign_up(email: &str) -> v1::SignUpRequest {
    v1::SignUpRequest { email: email.to_owned(), password: PASSWORD.to_owned() }
}

fn sign_in(email: &str, password: &str) -> v1::SignInRequest {
    v1::SignInRequest { email: email.to_owned(), password: password.to_owned() }
}

/// A request by who shows this.
fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request
}

/// Code and reason of a refusal.
fn why<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("it is refused");
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    (status.code(), reason)
}

fn refusal(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn nobody_signs_up_where_the_settings_do_not_say_so() {
    let it = open(|config| config.security.sign_up = Config::default().security.sign_up).await;
    let refused = it.accounts().sign_up(sign_up(EMAIL)).await;
    assert_eq!(why(refused), refusal(Code::FailedPrecondition, "SIGN_UP_OFF"));
}

#[tokio::test]
async fn a_person_signs_up_uses_what_is_theirs_and_goes() {
    let it = open(|_| {}).await;
    let (account, token) = it.sign_up(" Ada.Lovelace@Example.ORG").await;
    assert_eq!(account.email, EMAIL);
    let who = it.who(&token).await.unwrap();
    assert_eq!(who.name, format!("account-{}", account.account_id));
    assert_eq!((who.roles, who.user_id), (vec!["person".to_owned()], Some(account.user_id)));
    assert_eq!(who.account.unwrap().email, EMAIL);

    let mut interactions = it.server.interactions();
    let rate = |user_id: u64| v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::Rating.into(),
        rating: Some(4.5),
        time: None,
    };
    interactions.record_interaction(by(&token, rate(account.user_id))).await.unwrap();
    let denied = refusal(Code::PermissionDenied, "REQUEST_NOT_PERMITTED");
    assert_eq!(why(interactions.record_interaction(by(&token, rate(1))).await), denied);
    for (user_id, expected) in [(account.user_id, None), (1, Some(denied.clone())), (999_999, Some(denied))] {
        let user = Some(user_id.into());
        let answer = it.users().get_user(by(&token, v1::GetUserRequest { user })).await;
        assert_eq!(answer.err().map(|status| why::<()>(Err(status))), expected);
        let answer =
            it.users().export_user(by(&token, v1::ExportUserRequest { user: Some(user_id.into()) })).await;
        assert_eq!(answer.err().map(|status| why::<()>(Err(status))), expected);
    }
    let register = v1::RegisterUserRequest { user: Some(account.user_id.into()) };
    let denied = refusal(Code::PermissionDenied, "METHOD_NOT_PERMITTED");
    assert_eq!(why(it.users().register_user(by(&token, register)).await), denied);

    it.accounts().sign_out(by(&token, v1::SignOutRequest { everywhere: Some(false) })).await.unwrap();
    assert_eq!(why(it.who(&token).await), refusal(Code::Unauthenticated, "SESSION_OVER"));
    let reply = it.accounts().sign_in(sign_in(EMAIL, PASSWORD)).await.unwrap().into_inner();
    assert!(!reply.must_change_password);
    let token = reply.session.unwrap().token;

    let wrong = v1::DeleteAccountRequest { password: "wrong horse".to_owned() };
    let refused = it.accounts().delete_account(by(&token, wrong)).await;
    assert_eq!(why(refused), refusal(Code::PermissionDenied, "WRONG_PASSWORD"));
    let delete = v1::DeleteAccountRequest { password: PASSWORD.to_owned() };
    let deleted = it.accounts().delete_account(by(&token, delete)).await.unwrap().into_inner();
    assert_eq!(deleted.deleted_interactions, 1);
    assert_eq!(why(it.who(&token).await), refusal(Code::Unauthenticated, "SESSION_OVER"));
    let get = v1::GetUserRequest { user: Some(account.user_id.into()) };
    let gone = it.users().get_user(by(&it.operator, get)).await;
    assert_eq!(why(gone), refusal(Code::NotFound, "UNKNOWN_USER"));
}

#[tokio::test]
async fn an_unknown_account_and_a_wrong_password_get_the_same_answer() {
    let it = open(|_| {}).await;
    it.sign_up(EMAIL).await;
    let mut answers = Vec::new();
    for (email, password) in [(EMAIL, "wrong horse"), ("eve@example.org", PASSWORD), ("no address", PASSWORD)]
    {
        let status = it.accounts().sign_in(sign_in(email, password)).await.unwrap_err();
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(answers[0].0, Code::Unauthenticated);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn another_password_ends_every_other_session() {
    let it = open(|_| {}).await;
    let (_, old) = it.sign_up(EMAIL).await;
    let change = v1::ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "staple battery".to_owned(),
    };
    let changed = it.accounts().change_password(by(&old, change)).await.unwrap().into_inner();
    assert_eq!(why(it.who(&old).await), refusal(Code::Unauthenticated, "SESSION_OVER"));
    assert!(it.who(&changed.session.unwrap().token).await.is_ok());
    let refused = it.accounts().sign_in(sign_in(EMAIL, PASSWORD)).await;
    assert_eq!(why(refused), refusal(Code::Unauthenticated, "SIGN_IN_REFUSED"));
}

#[tokio::test]
async fn an_operator_resets_a_password_and_links_a_user() {
    let it = open(|_| {}).await;
    let (account, token) = it.sign_up(EMAIL).await;
    let named = Some(v1::reset_password_request::Account::Email(EMAIL.to_owned()));
    let reset = v1::ResetPasswordRequest { account: named };
    let denied = refusal(Code::PermissionDenied, "METHOD_NOT_PERMITTED");
    assert_eq!(why(it.accounts().reset_password(by(&token, reset.clone())).await), denied);
    let reset = it.accounts().reset_password(by(&it.operator, reset)).await.unwrap().into_inner();
    assert_eq!(why(it.who(&token).await), refusal(Code::Unauthenticated, "SESSION_OVER"));
    let reply = it.accounts().sign_in(sign_in(EMAIL, &reset.one_time_password)).await.unwrap().into_inner();
    assert!(reply.must_change_password);

    let link = |user_id: u64| v1::LinkUserRequest {
        account: Some(v1::link_user_request::Account::AccountId(account.account_id.clone())),
        user: Some(user_id.into()),
    };
    let unknown = it.accounts().link_user(by(&it.operator, link(999_999))).await;
    assert_eq!(why(unknown), refusal(Code::NotFound, "UNKNOWN_USER"));
    it.accounts().link_user(by(&it.operator, link(1))).await.unwrap();
    let token = reply.session.unwrap().token;
    let history = v1::ListHistoryRequest { user: Some(1.into()), ..Default::default() };
    it.users().list_history(by(&token, history)).await.expect("user 1 is theirs now");
}

#[tokio::test]
async fn a_service_is_told_who_it_is_and_has_no_session() {
    let it = open(|_| {}).await;
    let who = it.who(&it.operator).await.unwrap();
    assert_eq!((who.name.as_str(), who.roles, who.user_id), ("ops", vec!["operator".to_owned()], None));
    let out = it.accounts().sign_out(by(&it.operator, v1::SignOutRequest { everywhere: Some(true) })).await;
    assert_eq!(why(out), refusal(Code::FailedPrecondition, "NOT_A_PERSON"));
    let nobody = it.accounts().who_am_i(v1::WhoAmIRequest {}).await;
    assert_eq!(why(nobody), refusal(Code::Unauthenticated, "NO_CREDENTIALS"));
}

#[tokio::test]
async fn ids_of_people_are_taken_by_nobody() {
    let it = open(|config| config.security.auth = Switch::Off).await;
    let (account, _) = it.sign_up(EMAIL).await;
    let taken = account.user_id ^ 1;
    let invalid = refusal(Code::InvalidArgument, "INVALID_FIELD");
    let register = v1::RegisterUserRequest { user: Some(taken.into()) };
    assert_eq!(why(it.users().register_user(register).await), invalid);
    let preferences =
        v1::SetPreferencesRequest { user: Some(taken.into()), preferences: Some(v1::Preferences::default()) };
    assert_eq!(why(it.users().set_preferences(preferences).await), invalid);
    let interaction = |user_id: u64| v1::Interaction {
        user: Some(user_id.into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    let record = |user_id: u64| v1::RecordInteractionRequest {
        user: Some(user_id.into()),
        movie: Some(1.into()),
        kind: v1::InteractionKind::View.into(),
        ..Default::default()
    };
    let mut interactions = it.server.interactions();
    assert_eq!(why(interactions.record_interaction(record(taken)).await), invalid);
    interactions.record_interaction(record(account.user_id)).await.expect("there is such a user");
    let streamed = [taken, account.user_id, 7]
        .map(|user_id| v1::RecordInteractionsRequest { interaction: Some(interaction(user_id)) });
    let recorded =
        interactions.record_interactions(futures::stream::iter(streamed)).await.unwrap().into_inner();
    assert_eq!((recorded.accepted, recorded.rejected), (2, 1));
    assert_eq!((recorded.rejections[0].index, recorded.rejections[0].field.as_str()), (0, "user_id"));
}

#[tokio::test]
async fn accounts_work_where_nobody_is_asked_who_calls() {
    let it = open(|config| config.security.auth = Switch::Off).await;
    let (account, token) = it.sign_up(EMAIL).await;
    assert_eq!(it.who(&token).await.unwrap().user_id, Some(account.user_id));
    assert_eq!(why(it.who("ms_wrong").await), refusal(Code::Unauthenticated, "NO_CREDENTIALS"));
    it.server.operations().get_stats(by("ms_wrong", v1::GetStatsRequest {})).await.expect("nobody is asked");
    it.accounts().sign_out(by(&token, v1::SignOutRequest { everywhere: Some(true) })).await.unwrap();
    assert_eq!(why(it.who(&token).await), refusal(Code::Unauthenticated, "NO_CREDENTIALS"));
}

#[tokio::test]
async fn a_browser_keeps_the_session_in_a_cookie_that_counts_for_own_pages_alone() {
    let it = open(|config| config.server.cors_origins = "*".parse().expect("any")).await;
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    let reply = it.ask("POST /v1/account:signUp", &[], &credentials).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let set = reply.header("set-cookie").to_owned();
    let token = reply.json()["session"]["token"].as_str().unwrap().to_owned();
    let attributes: Vec<_> = set.split("; ").collect();
    assert_eq!(attributes[0], format!("marquee_session={token}"));
    assert_eq!(attributes[1..], ["Path=/", "Max-Age=7776000", "HttpOnly", "SameSite=Lax"]);

    let cookie = ("cookie", attributes[0]);
    let own = ("origin", "http://localhost");
    let evil = ("origin", "https://evil.example");
    let get = async |headers: &[(&str, &str)]| it.ask("GET /v1/account", headers, &Value::Null).await.status;
    assert_eq!(get(&[cookie]).await, 200);
    assert_eq!(get(&[cookie, own]).await, 200);
    assert_eq!(get(&[cookie, evil]).await, 401);
    assert_eq!(get(&[cookie, ("sec-fetch-site", "cross-site")]).await, 401);
    assert_eq!(get(&[]).await, 401);

    let user_id = it.who(&token).await.unwrap().user_id.unwrap();
    let liked = json!({ "preferences": { "genres": ["Comedy"] } });
    let line = format!("PUT /v1/users/{user_id}/preferences");
    let put = async |headers: &[(&str, &str)]| it.ask(&line, headers, &liked).await.status;
    assert_eq!(put(&[cookie]).await, 401, "nobody says that it is an own page");
    assert_eq!(put(&[cookie, evil]).await, 401);
    assert_eq!(put(&[cookie, ("origin", "null")]).await, 401);
    assert_eq!(put(&[cookie, ("sec-fetch-site", "same-site")]).await, 401);
    assert_eq!(put(&[cookie, own, ("sec-fetch-site", "cross-site")]).await, 401);
    assert_eq!(put(&[cookie, own]).await, 200);
    assert_eq!(put(&[cookie, ("sec-fetch-site", "same-origin")]).await, 200);

    let out = it.ask("POST /v1/account:signOut", &[cookie, evil], &json!({})).await;
    assert_eq!(out.status, 401, "nobody is signed out by a page of others");
    let out = it.ask("POST /v1/account:signOut", &[cookie, own], &json!({})).await;
    assert_eq!(
        (out.status, out.header("set-cookie")),
        (200, "marquee_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
    );
    assert_eq!(get(&[cookie]).await, 401);
    let reply = it.accounts().sign_in(sign_in(EMAIL, PASSWORD)).await.unwrap();
    assert!(reply.metadata().get("set-cookie").is_none(), "gRPC has no cookies");
}

#[tokio::test]
async fn a_cookie_behind_tls_is_for_tls_alone() {
    let it =
        open(|config| config.security.tls_terminated_by = "127.0.0.0/8".parse().expect("a network")).await;
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    let reply = it.ask("POST /v1/account:signUp", &[], &credentials).await;
    assert!(reply.header("set-cookie").ends_with("; SameSite=Lax; Secure"), "{}", reply.header("set-cookie"));
}

#[tokio::test]
async fn everything_that_is_held_of_a_user_is_told_without_secrets() {
    let it = open(|_| {}).await;
    let (account, token) = it.sign_up(EMAIL).await;
    let mut interactions = it.server.interactions();
    for movie_id in [1, 2, 3] {
        let record = v1::RecordInteractionRequest {
            user: Some(account.user_id.into()),
            movie: Some(movie_id.into()),
            kind: v1::InteractionKind::View.into(),
            ..Default::default()
        };
        interactions.record_interaction(by(&token, record)).await.unwrap();
    }
    let export = v1::ExportUserRequest { user: Some(account.user_id.into()) };
    let stream = it.users().export_user(by(&token, export)).await.unwrap().into_inner();
    let lines: Vec<String> = stream.map_ok(|reply| reply.line).try_collect().await.unwrap();
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    let expected =
        ["profile", "statistics", "interaction", "interaction", "interaction", "account", "session"];
    assert_eq!(kinds, expected);
    assert_eq!(lines[0]["user_id"], account.user_id.to_string());
    assert_eq!(lines[1]["interactions"], 3);
    assert_eq!(lines[4]["title"], "Toy Story (1995)");
    assert_eq!(lines[5]["email"], EMAIL);
    let all = serde_json::to_string(&lines).unwrap();
    assert!(!all.contains("argon2") && !all.contains(&token[SECRET..]), "{all}");
    let plain = v1::ExportUserRequest { user: Some(1.into()) };
    let stream = it.users().export_user(by(&it.operator, plain)).await.unwrap().into_inner();
    let lines: Vec<String> = stream.map_ok(|reply| reply.line).try_collect().await.unwrap();
    assert!(
        lines.len() > 2 && lines.iter().all(|line| !line.contains("\"account\"")),
        "they have no account"
    );
    let unknown = v1::ExportUserRequest { user: Some(999_999.into()) };
    let refused = it.users().export_user(by(&it.operator, unknown)).await.map(|_| ());
    assert_eq!(why(refused), refusal(Code::NotFound, "UNKNOWN_USER"));
}

#[tokio::test]
async fn nothing_is_left_in_files_and_log_of_a_person_who_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let mut server = Process::start(&data, &log, &["--auth", "on", "--sign-up", "on"]).await;
    let channel =
        Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
    let mut accounts = AccountServiceClient::new(channel.clone());
    let reply = accounts.sign_up(sign_up(EMAIL)).await.unwrap().into_inner();
    let (account, token) = (reply.account.unwrap(), reply.session.unwrap().token);
    let liked = v1::SetPreferencesRequest {
        user: Some(account.user_id.into()),
        preferences: Some(v1::Preferences::default()),
    };
    UserServiceClient::new(channel).set_preferences(by(&token, liked)).await.unwrap();
    let delete = v1::DeleteAccountRequest { password: PASSWORD.to_owned() };
    accounts.delete_account(by(&token, delete)).await.unwrap();
    server.end();

    let compacted = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args(["compact", "--data-dir"])
        .arg(&data)
        .status();
    assert!(compacted.expect("the binary starts").success());
    let user_id = account.user_id.to_string();
    let traces: [&[u8]; 5] = [
        EMAIL.as_bytes(),
        account.account_id.as_bytes(),
        &account.user_id.to_le_bytes(),
        &account.user_id.to_be_bytes(),
        user_id.as_bytes(),
    ];
    let has = |bytes: &[u8], trace: &[u8]| bytes.windows(trace.len()).any(|window| window == trace);
    for file in std::fs::read_dir(&data).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for trace in traces {
            assert!(!has(&bytes, trace), "{} has {trace:?}", path.display());
        }
    }
    let log = std::fs::read(&log).unwrap();
    assert!(!has(&log, traces[0]) && !has(&log, traces[4]));
}
