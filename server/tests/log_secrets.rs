//! What a server says at its most verbose, searched for what must not be told: keys, tokens, sessions, passwords and
//! emails, whichever way they came and whatever became of the call.

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use marquee_core::clock::now_ms;
use marquee_proto::v1;
use marquee_proto::v1::access_service_client::AccessServiceClient;
use marquee_proto::v1::account_service_client::AccountServiceClient;
use marquee_proto::v1::audit_service_client::AuditServiceClient;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use self::common::http1::{Http1, Reply};
use self::common::process::Process;

const EMAIL: &str = "ada.lovelace@example.org";
const PASSWORD: &str = "correct horse battery";
const WRONG: &str = "wrong horse battery";
const NEW: &str = "newer horse battery";

/// The last letters of a secret, which are never part of a name.
const TAIL: usize = 40;

/// An identity provider with one key.
struct Provider(EncodingKey);

impl Provider {
    /// A new one, whose set of keys is written to a file.
    fn new(file: &Path) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("a pair");
        let key = EncodingKey::from_ed_der(pair.as_ref());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).expect("a public key");
        let set = serde_json::to_vec(&JwkSet { keys: vec![jwk] }).expect("it is JSON");
        std::fs::write(file, set).expect("the folder is ours");
        Self(key)
    }

    /// A token that ends in so many seconds.
    fn token(&self, audience: &str, seconds: i64) -> String {
        let claims = json!({
            "sub": "provider-subject", "iss": "https://id.example.org", "aud": audience, "role": "operator",
            "exp": now_ms() / 1_000 + seconds,
        });
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &self.0).expect("it is signed")
    }
}

/// What is called, and every secret that came of it.
struct Suite {
    channel: Channel,
    server: Process,
    secrets: Vec<String>,
}

fn by<T>(secret: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {secret}").parse().expect("a header"));
    request
}

impl Suite {
    fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel.clone())
    }

    fn keep(&mut self, secret: impl Into<String>) -> String {
        let secret = secret.into();
        self.secrets.push(secret.clone());
        secret
    }

    /// The answer to a request of HTTP/1.1 with these header lines.
    async fn ask(&self, line: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n{body}"
        );
        Http1::ask(self.server.address, request).await
    }

    /// Everything that people do.
    async fn people(&mut self, operator: &str) {
        let mut accounts = self.accounts();
        let credentials = |password: &str| (EMAIL.to_owned(), password.to_owned());
        let sign_up = |(email, password)| v1::SignUpRequest { email, password };
        let sign_in = |(email, password)| v1::SignInRequest { email, password };
        let reply = accounts.sign_up(sign_up(credentials(PASSWORD))).await.expect("they may").into_inner();
        let first = self.keep(reply.session.expect("a session").token);
        accounts.sign_up(sign_up(credentials(PASSWORD))).await.expect_err("it is taken");
        accounts.sign_in(sign_in(credentials(WRONG))).await.expect_err("it is wrong");
        let reply = accounts.sign_in(sign_in(credentials(PASSWORD))).await.expect("it is right").into_inner();
        let second = self.keep(reply.session.expect("a session").token);
        for token in [&first, &second] {
            accounts.who_am_i(by(token, v1::WhoAmIRequest {})).await.expect("they are in");
        }
        accounts.sign_out(by(&first, v1::SignOutRequest::default())).await.expect("they were in");
        accounts.who_am_i(by(&first, v1::WhoAmIRequest {})).await.expect_err("they are out");
        let change = |current: &str| v1::ChangePasswordRequest {
            current_password: current.to_owned(),
            new_password: NEW.to_owned(),
        };
        accounts.change_password(by(&second, change(WRONG))).await.expect_err("it is wrong");
        let reply = accounts.change_password(by(&second, change(PASSWORD))).await.expect("it is right");
        let third = self.keep(reply.into_inner().session.expect("a session").token);

        let body = json!({ "email": EMAIL, "password": NEW }).to_string();
        let reply = self.ask("POST /v1/account:signIn", "", &body).await;
        let fourth = self.keep(reply.json()["session"]["token"].as_str().expect("a token"));
        for headers in [
            format!("cookie: marquee_session={fourth}\r\n"),
            format!("cookie: a=b; marquee_session={fourth}x\r\n"),
            format!("x-api-key: {fourth}\r\n"),
            format!("authorization: Basic {fourth}\r\n"),
            format!("authorization: Bearer {fourth}\r\nx-api-key: {third}\r\n"),
        ] {
            self.ask("GET /v1/account", &headers, "").await;
        }
        self.ask("POST /v1/account:signIn", "", &body.replace(':', ";")).await;
        self.ask("POST /v1/account:signIn", "", &format!("{{\"email\": [\"{EMAIL}\"]}}")).await;
        self.ask("POST /v1/account:signIn", "", &format!("{{\"{EMAIL}\": \"{NEW}\"}}")).await;
        self.ask("POST /marquee.v1.AccountService/SignIn", "", &format!("{{\"password\": {body}}}")).await;

        let account = Some(v1::reset_password_request::Account::Email(EMAIL.to_owned()));
        let reset = accounts.reset_password(by(operator, v1::ResetPasswordRequest { account })).await;
        let one_time = self.keep(reset.expect("they may").into_inner().one_time_password);
        accounts.sign_in(sign_in(credentials(&one_time))).await.expect("it signs in once");
        let again = accounts.sign_in(sign_in(credentials(&one_time))).await.expect_err("and once alone");
        assert_eq!(again.code(), Code::Unauthenticated);
        let account = Some(v1::link_user_request::Account::Email(EMAIL.to_owned()));
        let link = v1::LinkUserRequest { account, user: Some(7.into()) };
        accounts.link_user(by(operator, link)).await.expect_err("there is no such user");
    }

    /// Everything that is done with keys.
    async fn keys(&mut self, admin: &str) {
        let mut access = AccessServiceClient::new(self.channel.clone());
        let create = || v1::CreateKeyRequest {
            name: "shop".to_owned(),
            role: "viewer".to_owned(),
            lifetime_seconds: None,
        };
        let made = access.create_key(by(admin, create())).await.expect("it is made").into_inner();
        let shop = self.keep(made.secret);
        access.create_key(by(admin, create())).await.expect_err("it has one");
        access.create_key(by(&shop, create())).await.expect_err("it may not");
        access.list_keys(by(admin, v1::ListKeysRequest {})).await.expect("they may");
        let key_id = made.key.expect("it says which").key_id;
        let key = Some(v1::rotate_key_request::Key::KeyId(key_id.clone()));
        let rotate = v1::RotateKeyRequest { key, overlap_seconds: None };
        let rotated = access.rotate_key(by(admin, rotate)).await.expect("it is rotated").into_inner();
        let newer = self.keep(rotated.secret);
        let key = Some(v1::revoke_key_request::Key::KeyId(key_id));
        access.revoke_key(by(admin, v1::RevokeKeyRequest { key })).await.expect("it is revoked");
        for key in [&shop, &newer, &format!("{newer}x"), &newer[1..].to_owned()] {
            _ = access.list_keys(by(key, v1::ListKeysRequest {})).await.expect_err("none may");
            self.ask("GET /v1/keys", &format!("x-api-key: {key}\r\n"), "").await;
            self.ask("GET /v1/genres", &format!("authorization: bearer {key}\r\n"), "").await;
        }
    }

    /// Calls by tokens of a provider, right and wrong ones.
    async fn tokens(&mut self, provider: &Provider) {
        let mut interactions = InteractionServiceClient::new(self.channel.clone());
        for (token, is_right) in [
            (provider.token("marquee", 600), true),
            (provider.token("marquee", -600), false),
            (provider.token("other", 600), false),
            (format!("{}x", provider.token("marquee", 600)), false),
        ] {
            let token = self.keep(token);
            let bad = v1::RecordInteractionRequest::default();
            let refused =
                interactions.record_interaction(by(&token, bad)).await.expect_err("it says nothing");
            assert_eq!(refused.code() != Code::Unauthenticated, is_right, "{refused}");
            self.ask("GET /v1/genres", &format!("authorization: Bearer {token}\r\n"), "").await;
        }
    }
}

/// A first key, made while no server runs.
fn first_key(data: &Path, said: &mut String) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_marquee-server"))
        .args(["access", "create-key", "admin", "--role", "admin", "--sample-data", "none"])
        .args(["--log-level", "trace", "--data-dir"])
        .arg(data)
        .env("RUST_LOG", "trace")
        .output()
        .expect("the binary starts");
    assert!(made.status.success());
    said.push_str(&String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("a text").trim().to_owned()
}

#[tokio::test]
async fn nothing_that_a_server_says_has_a_secret_or_an_email_in_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let mut said = String::new();
    let admin = first_key(&path("data"), &mut said);
    let provider = Provider::new(&path("keys.json"));
    let keys = path("keys.json");
    let options = [
        ["--auth", "on"],
        ["--sign-up", "on"],
        ["--log-format", "text"],
        ["--jwt-issuer", "https://id.example.org"],
        ["--jwt-audience", "marquee"],
        ["--jwt-keys", keys.to_str().expect("a text")],
    ];
    let server = Process::start(&path("data"), &path("log"), options.as_flattened()).await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).expect("an address");
    let channel = channel.connect().await.expect("it listens");
    let mut it = Suite { channel, server, secrets: vec![admin.clone()] };
    it.people(&admin).await;
    it.keys(&admin).await;
    it.tokens(&provider).await;
    let mut audit = AuditServiceClient::new(it.channel.clone());
    let listed = audit.list_audit_records(by(&admin, v1::ListAuditRecordsRequest::default())).await;
    write!(said, "{:?}", listed.expect("they may").into_inner()).expect("memory");
    it.server.end();

    said.push_str(&std::fs::read_to_string(path("log")).expect("a log"));
    for known in
        ["AccountService/SignIn", "AccessService/RotateKey", "RecordInteraction", " TRACE ", "ListGenres"]
    {
        assert!(said.contains(known), "{known} is not in the log: nothing is scanned");
    }
    let tails = it.secrets.iter().map(|secret| &secret[secret.len().saturating_sub(TAIL)..]);
    for secret in tails.chain([EMAIL, PASSWORD, WRONG, NEW, "argon2id"]) {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
