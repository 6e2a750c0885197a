use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{EncodingKey, encode};
use marquee_core::authority::{Authority, Purpose, in_days};
use marquee_core::clock::now_ms;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::access::{Permission, Role};

const METHOD: &str = "a.Service/Read";

/// A provider's private key, and its public one.
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn ed(id: &'static str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        Self { id, algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(key.as_ref()) }
    }

    fn ec(id: &'static str) -> Self {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let key = EncodingKey::from_ec_der(key.unwrap().as_ref());
        Self { id, algorithm: Algorithm::ES256, key }
    }

    fn public(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        jwk
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

struct Fixture {
    tokens: Arc<Tokens>,
    folder: TempDir,
}

impl Fixture {
    async fn new(signers: &[&Signer]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        publish(&folder, signers);
        let keys = KeySource::File(folder.path().join("keys.json"));
        Self { tokens: tokens(keys, Trust::System).await, folder }
    }

    async fn who(&self, token: &str) -> Result<Arc<Identity>, Refusal> {
        self.tokens.identify(token, now_ms()).await
    }
}

async fn tokens(keys: KeySource, trust: Trust) -> Arc<Tokens> {
    let options = TokenOptions {
        keys,
        trust,
        refresh: Duration::from_mins(5),
        issuer: "https://id.example.org".to_owned(),
        audience: "marquee".to_owned(),
        leeway: Duration::from_secs(30),
        role_claim: "groups".to_owned(),
        roles: "staff=reader".parse().unwrap(),
        user_claim: Some("uid".to_owned()),
    };
    let methods = [METHOD].into_iter().collect();
    let reader = Role { name: "reader".to_owned(), methods, ..Role::default() };
    let roles: Roles = [reader].into_iter().collect();
    Arc::new(Tokens::open(options, Arc::new(roles)).await.unwrap())
}

fn set(signers: &[&Signer]) -> Vec<u8> {
    let set = JwkSet { keys: signers.iter().map(|signer| signer.public()).collect() };
    serde_json::to_vec(&set).unwrap()
}

fn publish(folder: &TempDir, signers: &[&Signer]) {
    std::fs::write(folder.path().join("keys.json"), set(signers)).unwrap();
}

/// Claims of a token that is right, with these in their place.
fn claims(changed: &Value) -> Value {
    let now = now_ms() / 1_000;
    let mut claims = json!({
        "sub": "ada", "iss": "https://id.example.org", "aud": ["marquee", "other"], "exp": now + 600,
        "groups": ["staff", "unknown"], "uid": "7",
    });
    claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[tokio::test]
async fn a_token_of_the_provider_says_who_calls_and_what_they_may() {
    for signer in [Signer::ed("a"), Signer::ec("b")] {
        let it = Fixture::new(&[&signer]).await;
        let token = signer.sign(&claims(&json!({})));
        for _checked_and_remembered in 0..2 {
            let identity = it.who(&token).await.unwrap();
            assert_eq!((identity.name.as_str(), identity.user_id), ("ada", Some(7)));
            assert!(matches!(identity.may(METHOD), Permission::Free));
        }
        let nobody = it.who(&signer.sign(&claims(&json!({"groups": ["reader"]})))).await.unwrap();
        assert!(matches!(nobody.may(METHOD), Permission::Denied), "only what is given a role has one");
    }
}

#[tokio::test]
async fn what_is_not_for_us_or_not_for_now_is_refused() {
    let signer = Signer::ed("a");
    let it = Fixture::new(&[&signer]).await;
    let now = now_ms() / 1_000;
    for (changed, expected) in [
        (json!({"exp": now - 31}), Refusal::Expired),
        (json!({"exp": null}), Refusal::Unknown),
        (json!({"nbf": now + 60}), Refusal::Unknown),
        (json!({"iss": "https://evil.example.org"}), Refusal::Unknown),
        (json!({"iss": null}), Refusal::Unknown),
        (json!({"aud": "other"}), Refusal::Unknown),
        (json!({"aud": null}), Refusal::Unknown),
        (json!({"sub": null}), Refusal::Unknown),
        (json!({"sub": ""}), Refusal::Unknown),
    ] {
        assert_eq!(it.who(&signer.sign(&claims(&changed))).await.unwrap_err(), expected, "{changed}");
    }
    assert!(
        it.who(&signer.sign(&claims(&json!({"exp": now - 10})))).await.is_ok(),
        "clocks may differ a little"
    );
    assert!(it.who(&signer.sign(&claims(&json!({"nbf": now + 10})))).await.is_ok());
}

#[tokio::test]
async fn a_token_cannot_choose_how_it_is_checked() {
    let signer = Signer::ed("a");
    let it = Fixture::new(&[&signer]).await;
    let right = signer.sign(&claims(&json!({})));
    let (signed, signature) = right.rsplit_once('.').unwrap();
    let payload = signed.split_once('.').unwrap().1;
    let public = it.tokens.held.load().text.clone();
    let confused = encode(
        &Header::new(Algorithm::HS256),
        &claims(&json!({})),
        &EncodingKey::from_secret(&public).unwrap(),
    );
    assert_eq!(it.who(&confused.unwrap()).await.unwrap_err(), Refusal::Unknown, "a public key is no secret");
    // {"alg":"none"}
    for unsigned in
        [format!("eyJhbGciOiJub25lIn0.{payload}."), format!("eyJhbGciOiJub25lIn0.{payload}.{signature}")]
    {
        assert!(it.who(&unsigned).await.is_err());
    }
    let other = Signer::ed("a");
    assert_eq!(
        it.who(&other.sign(&claims(&json!({})))).await.unwrap_err(),
        Refusal::Unknown,
        "another key by the same name"
    );
    for broken in ["", "a.b.c", "..", signed, &format!("{right}x")] {
        assert!(it.who(broken).await.is_err(), "{broken:?}");
    }
}

#[tokio::test]
async fn keys_change_with_the_file_and_one_that_is_gone_is_refused() {
    let [old, new] = [Signer::ed("old"), Signer::ed("new")];
    let it = Fixture::new(&[&old]).await;
    let token = old.sign(&claims(&json!({})));
    assert!(it.who(&token).await.is_ok());
    publish(&it.folder, &[&old, &new]);
    it.tokens.look().await.unwrap();
    assert!(it.who(&token).await.is_ok() && it.who(&new.sign(&claims(&json!({})))).await.is_ok());
    publish(&it.folder, &[&new]);
    it.tokens.look().await.unwrap();
    assert_eq!(it.who(&token).await.unwrap_err(), Refusal::Unknown, "what was remembered is forgotten");
    std::fs::write(it.folder.path().join("keys.json"), "{").unwrap();
    assert!(it.tokens.look().await.is_err());
    assert!(it.who(&new.sign(&claims(&json!({})))).await.is_ok(), "what cannot be read changes nothing");
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_time() {
    let signer = Signer::ed("a");
    let it = Fixture::new(&[&signer]).await;
    let token = signer.sign(&claims(&json!({})));
    assert!(it.who(&token).await.is_ok());
    let after_the_leeway = now_ms() + 631_000;
    assert_eq!(it.tokens.identify(&token, after_the_leeway).await.unwrap_err(), Refusal::Expired);
}

/// A provider that publishes its keys over TLS, or says something else.
struct Provider {
    says: Arc<ArcSwap<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
    url: String,
    trust: Trust,
    _folder: TempDir,
    _serving: AbortOnDropHandle<()>,
}

impl Provider {
    async fn new(signers: &[&Signer]) -> Self {
        let authority = Authority::new("Test").unwrap();
        let pair = authority.sign(Purpose::Server, "id", &["localhost"], in_days(1)).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority.pair().certificate).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let says = Arc::new(ArcSwap::from_pointee(published(signers)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (reply, count) = (Arc::clone(&says), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let Ok(mut connection) = acceptor.accept(connection).await else { continue };
                let mut request = [0; 4096];
                let read = connection.read(&mut request).await.unwrap();
                assert!(request[..read].starts_with(b"GET /keys?of=a HTTP/1.1\r\nhost: localhost:"));
                count.fetch_add(1, Ordering::SeqCst);
                _ = connection.write_all(&reply.load()).await;
                _ = connection.shutdown().await;
            }
        });
        Self {
            says,
            asked,
            url: format!("https://localhost:{port}/keys?of=a"),
            trust: Trust::Authority(file),
            _folder: folder,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    async fn tokens(&self) -> Arc<Tokens> {
        tokens(self.url.parse().unwrap(), self.trust.clone()).await
    }

    fn publish(&self, signers: &[&Signer]) {
        self.says.store(Arc::new(published(signers)));
    }

    fn say(&self, reply: impl Into<Vec<u8>>) {
        self.says.store(Arc::new(reply.into()));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The reply with these keys.
fn published(signers: &[&Signer]) -> Vec<u8> {
    let set = set(signers);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", set.len());
    [head.as_bytes(), &set].concat()
}

async fn who(tokens: &Arc<Tokens>, token: &str) -> Result<String, Refusal> {
    tokens.identify(token, now_ms()).await.map(|identity| identity.name.clone())
}

/// As if the keys had not been read for long.
async fn later(tokens: &Tokens) {
    tokens.asked.lock().await.at = None;
}

#[tokio::test]
async fn a_key_that_the_provider_has_changed_to_is_taken_at_its_first_token() {
    let [old, new] = [Signer::ed("old"), Signer::ec("new")];
    let provider = Provider::new(&[&old]).await;
    let tokens = provider.tokens().await;
    assert_eq!(who(&tokens, &old.sign(&claims(&json!({})))).await, Ok("ada".to_owned()));
    provider.publish(&[&old, &new]);
    later(&tokens).await;
    assert_eq!(who(&tokens, &new.sign(&claims(&json!({})))).await, Ok("ada".to_owned()));
    assert_eq!(who(&tokens, &old.sign(&claims(&json!({})))).await, Ok("ada".to_owned()));
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn keys_that_there_are_not_have_the_provider_asked_seldom() {
    let [known, stranger] = [Signer::ed("known"), Signer::ed("stranger")];
    let provider = Provider::new(&[&known]).await;
    let tokens = provider.tokens().await;
    later(&tokens).await;
    let token = stranger.sign(&claims(&json!({})));
    let asking = (0..50).map(|_| who(&tokens, &token));
    let answers = futures::future::join_all(asking).await;
    assert!(answers.iter().all(|answer| *answer == Err(Refusal::Unknown)));
    assert_eq!(provider.asked(), 2, "once at the start and once for all of them");
}

#[tokio::test]
async fn who_goes_away_in_between_does_not_use_up_the_one_read() {
    let [old, new] = [Signer::ed("old"), Signer::ed("new")];
    let provider = Provider::new(&[&old]).await;
    let tokens = provider.tokens().await;
    provider.publish(&[&new]);
    later(&tokens).await;
    let token = new.sign(&claims(&json!({})));
    {
        let mut gone = std::pin::pin!(who(&tokens, &token));
        assert!(futures::poll!(&mut gone).is_pending());
    }
    assert_eq!(who(&tokens, &token).await, Ok("ada".to_owned()));
}

#[tokio::test]
async fn what_a_provider_says_that_is_no_set_changes_nothing() {
    let signer = Signer::ed("a");
    let provider = Provider::new(&[&signer]).await;
    let tokens = provider.tokens().await;
    let token = signer.sign(&claims(&json!({})));
    let long = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b' '; 300 << 10]].concat();
    let moved = b"HTTP/1.1 302 Found\r\nlocation: https://evil.example.org/\r\ncontent-length: 0\r\n\r\n";
    for (reply, why) in [
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_vec(), "it answers 500"),
        (moved.to_vec(), "name the place itself"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}".to_vec(), "none that can be used"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec(), "keys"),
        (long, "length limit exceeded"),
        (b"what?".to_vec(), ""),
        (Vec::new(), ""),
    ] {
        provider.say(reply);
        let error = tokens.look().await.unwrap_err();
        assert!(error.contains(why), "{error}");
        assert_eq!(who(&tokens, &token).await, Ok("ada".to_owned()));
    }
    provider.publish(&[&signer]);
    tokens.look().await.unwrap();
    assert!(!tokens.asked.lock().await.failed);
}

#[tokio::test]
async fn a_provider_that_is_away_at_the_start_is_asked_again_by_the_first_token() {
    let signer = Signer::ed("a");
    let provider = Provider::new(&[&signer]).await;
    provider.say("HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n");
    let tokens = provider.tokens().await;
    let token = signer.sign(&claims(&json!({})));
    assert_eq!(who(&tokens, &token).await, Err(Refusal::Unknown));
    provider.publish(&[&signer]);
    later(&tokens).await;
    assert_eq!(who(&tokens, &token).await, Ok("ada".to_owned()));
}

#[tokio::test]
async fn a_provider_is_who_its_authority_says() {
    let signer = Signer::ed("a");
    let (provider, other) = (Provider::new(&[&signer]).await, Provider::new(&[&signer]).await);
    let tokens = tokens(provider.url.parse().unwrap(), other.trust.clone()).await;
    assert_eq!(who(&tokens, &signer.sign(&claims(&json!({})))).await, Err(Refusal::Unknown));
    assert_eq!(provider.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let error = tokens(url.parse().unwrap(), Trust::System).await.look().await.unwrap_err();
    assert_eq!(error, "there is no answer within 5 s");
}

proptest::proptest! {
    #[test]
    fn no_text_is_taken_for_a_token(text in "[A-Za-z0-9_.-]{0,200}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let refused = runtime.block_on(async {
            let signer = Signer::ed("a");
            Fixture::new(&[&signer]).await.who(&text).await.is_err()
        });
        proptest::prop_assert!(refused);
    }
}
