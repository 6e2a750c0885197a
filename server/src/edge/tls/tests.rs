//! From files to what is in force, and from handshakes to what is known of a caller.

use std::path::Path;
use std::time::{Duration, SystemTime};

use marquee_core::authority::{Authority, Pair, Purpose, in_days};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsConnector, server::TlsStream};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// A folder with a server's pair of an authority of its own, and that of its callers.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new("Test").unwrap() };
        files.write(&files.sign(in_days(1)));
        std::fs::write(files.path("ca.pem"), files.authority.pair().certificate).unwrap();
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, until: SystemTime) -> Pair {
        self.authority.sign(Purpose::Server, "server", &["localhost"], until).unwrap()
    }

    fn write(&self, pair: &Pair) {
        std::fs::write(self.path("server.pem"), &pair.certificate).unwrap();
        std::fs::write(self.path("server-key.pem"), &pair.key).unwrap();
    }

    fn named(&self, clients: Option<ClientAuth>) -> TlsFiles {
        TlsFiles {
            certificate: self.path("server.pem"),
            key: self.path("server-key.pem"),
            clients: clients.map(|auth| ClientAuthorities { file: self.path("ca.pem"), auth }),
            protocols: &["h2", "http/1.1"],
        }
    }

    fn load(&self, clients: Option<ClientAuth>) -> Result<(Arc<Tls>, Followed), TlsError> {
        Tls::load(self.named(clients))
    }

    fn refusal(&self) -> String {
        let error = self.load(None).err().unwrap().to_string();
        assert!(error.contains(self.folder.path().to_str().unwrap()), "{error}");
        error
    }
}

fn remove(path: impl AsRef<Path>) {
    std::fs::remove_file(path).unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_reason() {
    let files = Files::new();
    let pair = files.sign(in_days(1));
    std::fs::write(files.path("server.pem"), &pair.certificate).unwrap();
    assert!(files.refusal().contains("are no pair"));
    std::fs::write(files.path("server-key.pem"), &pair.key[..40]).unwrap();
    assert!(files.refusal().contains("holds no private key"));
    std::fs::write(files.path("server.pem"), &pair.certificate[..200]).unwrap();
    assert!(files.refusal().contains("holds no certificate"));
    std::fs::write(files.path("server.pem"), "").unwrap();
    assert!(files.refusal().contains("there is none in it"));
    remove(files.path("server.pem"));
    assert!(files.refusal().contains("cannot be read"));
}

#[test]
fn a_new_pair_is_taken_over_and_a_half_written_one_once_refused() {
    let files = Files::new();
    let (tls, followed) = files.load(None).unwrap();
    let first = tls.current.load_full();
    let followed = followed.look();
    assert!(Arc::ptr_eq(&first, &tls.current.load_full()), "nothing has changed");

    let pair = files.sign(in_days(2));
    std::fs::write(files.path("server.pem"), &pair.certificate).unwrap();
    let found = followed.found.clone();
    let followed = followed.look();
    assert!(Arc::ptr_eq(&first, &tls.current.load_full()), "half a pair is none");
    assert_ne!(followed.found, found, "it is looked at once");

    files.write(&pair);
    let followed = followed.look();
    let second = tls.current.load_full();
    assert!(!Arc::ptr_eq(&first, &second), "the whole pair is in force");

    remove(files.path("server-key.pem"));
    let followed = followed.look();
    assert!(followed.found.is_err());
    assert!(Arc::ptr_eq(&second, &tls.current.load_full()), "what was there stays");
    files.write(&pair);
    drop(followed.look());
    assert!(!Arc::ptr_eq(&second, &tls.current.load_full()));
}

#[test]
fn a_link_that_is_swapped_is_followed() {
    let files = Files::new();
    for (folder, pair) in [("one", files.sign(in_days(1))), ("two", files.sign(in_days(2)))] {
        std::fs::create_dir(files.path(folder)).unwrap();
        std::fs::write(files.path(folder).join("tls.crt"), &pair.certificate).unwrap();
        std::fs::write(files.path(folder).join("tls.key"), &pair.key).unwrap();
    }
    let link = |folder: &str| {
        std::os::unix::fs::symlink(files.path(folder), files.path("new")).unwrap();
        std::fs::rename(files.path("new"), files.path("data")).unwrap();
    };
    link("one");
    let (certificate, key) = (files.path("data/tls.crt"), files.path("data/tls.key"));
    let (tls, followed) = Tls::load(TlsFiles { certificate, key, ..files.named(None) }).unwrap();
    let first = tls.current.load_full();
    link("two");
    drop(followed.look());
    assert!(!Arc::ptr_eq(&first, &tls.current.load_full()));
}

#[test]
fn an_expired_certificate_is_used_and_its_end_known() {
    let files = Files::new();
    let ended = SystemTime::now() - Duration::from_hours(1);
    files.write(&files.sign(ended));
    let named = files.named(None);
    let loaded = named.load(&named.read().unwrap()).unwrap();
    let ended = ended.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(loaded.not_after as u64, ended);
    assert!(files.load(None).is_ok());
}

/// A caller of these versions, who shows a pair or none.
fn caller(
    files: &Files,
    versions: &[&'static SupportedProtocolVersion],
    pair: Option<&Pair>,
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let authority = files.authority.pair().certificate;
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
    let config = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// What the server makes of a caller, and whether the caller reads what it says then.
async fn shake(tls: &Arc<Tls>, caller: TlsConnector) -> (Result<TlsStream<TcpStream>, NoTls>, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let calling = async {
        let mut stream = caller.connect(ServerName::try_from("localhost").unwrap(), socket).await.ok()?;
        let mut said = [0; 2];
        stream.read_exact(&mut said).await.ok()
    };
    let serving = async {
        let mut shaken = tls.handshake(accepted, LIMIT).await;
        if let Ok(stream) = &mut shaken {
            stream.write_all(b"hi").await.unwrap();
        }
        shaken
    };
    let (said, shaken) = tokio::join!(calling, serving);
    (shaken, said.is_some())
}

async fn named_as(tls: &Arc<Tls>, caller: TlsConnector) -> Option<String> {
    let (shaken, _) = shake(tls, caller).await;
    client_name(&shaken.unwrap()).map(|name| name.to_string())
}

#[tokio::test]
async fn both_versions_that_are_sound_are_spoken() {
    let files = Files::new();
    let (tls, _followed) = files.load(None).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (shaken, said) = shake(&tls, caller(&files, &[version], None)).await;
        let stream = shaken.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert!(said);
        assert_eq!(client_name(&stream), None);
    }
}

#[tokio::test]
async fn a_caller_is_who_its_certificate_names() {
    let files = Files::new();
    let (tls, _followed) = files.load(Some(ClientAuth::Required)).unwrap();
    let name = async |name: &str, others: &[&str]| {
        let pair = files.authority.sign(Purpose::Client, name, others, in_days(1)).unwrap();
        named_as(&tls, caller(&files, rustls::ALL_VERSIONS, Some(&pair))).await
    };
    assert_eq!(name("checkout", &["other.example"]).await.as_deref(), Some("checkout"));
    assert_eq!(
        name("", &["127.0.0.1", "checkout.shop.example"]).await.as_deref(),
        Some("checkout.shop.example")
    );
    assert_eq!(name("", &["127.0.0.1"]).await, None);
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_served_where_none_is_required() {
    let files = Files::new();
    let without = || caller(&files, rustls::ALL_VERSIONS, None);
    let (required, _followed) = files.load(Some(ClientAuth::Required)).unwrap();
    let (shaken, said) = shake(&required, without()).await;
    assert_eq!((shaken.err(), said), (Some(NoTls::Failed), false));
    let (optional, _followed) = files.load(Some(ClientAuth::Optional)).unwrap();
    assert_eq!(named_as(&optional, without()).await, None);
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_for_servers_or_that_has_ended_is_refused() {
    let files = Files::new();
    let other = Authority::new("Test").unwrap().sign(Purpose::Client, "a", &[], in_days(1)).unwrap();
    let server = files.sign(in_days(1));
    let ended = SystemTime::now() - Duration::from_hours(1);
    let ended = files.authority.sign(Purpose::Client, "a", &[], ended).unwrap();
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let (tls, _followed) = files.load(Some(auth)).unwrap();
        for pair in [&other, &server, &ended] {
            let (shaken, said) = shake(&tls, caller(&files, rustls::ALL_VERSIONS, Some(pair))).await;
            assert_eq!((shaken.err(), said), (Some(NoTls::Failed), false));
        }
    }
}

/// What a caller without TLS reads who says this.
async fn answer_to(words: &[u8]) -> Vec<u8> {
    let files = Files::new();
    let (tls, _followed) = files.load(None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    socket.write_all(words).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let calling = async {
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        drop(socket);
        answer
    };
    let (answer, shaken) = tokio::join!(calling, tls.handshake(accepted, LIMIT));
    assert_eq!(shaken.err(), Some(NoTls::Plain));
    answer
}

#[tokio::test]
async fn who_speaks_http_1_without_tls_is_told_so() {
    let answer = String::from_utf8(answer_to(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("https://"), "{body}");
}

#[tokio::test]
async fn who_speaks_http_2_without_tls_is_told_so() {
    let answer = answer_to(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let (ours, theirs) = tokio::io::duplex(1024);
    let (_sender, connection) = h2::client::handshake(theirs).await.unwrap();
    let (_, mut ours) = tokio::io::split(ours);
    ours.write_all(&answer).await.unwrap();
    let error = connection.await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INADEQUATE_SECURITY));
    assert!(error.to_string().contains("https://"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_has_the_time_of_a_handshake() {
    let files = Files::new();
    let (tls, _followed) = files.load(None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    assert_eq!(tls.handshake(accepted, LIMIT).await.err(), Some(NoTls::Timeout));
}
