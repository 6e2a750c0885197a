//! From PEM files to a configuration of rustls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

use super::ClientAuth;
use super::name::not_after;

/// What tells the contents of the files from others.
pub(super) type Digest = [u8; 32];

/// The files that say how connections are encrypted.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// The server's certificate, and behind it those that lead to its authority.
    pub(crate) certificate: PathBuf,
    /// The certificate's key.
    pub(crate) key: PathBuf,
    /// Whose certificates callers may show; `None` where none are asked for.
    pub(crate) clients: Option<ClientAuthorities>,
    /// The protocols that are spoken, best first, as ALPN names them.
    pub(crate) protocols: &'static [&'static str],
}

/// Who signs the certificates of callers.
#[derive(Clone, Debug)]
pub(crate) struct ClientAuthorities {
    /// Their certificates.
    pub(crate) file: PathBuf,
    /// Whether a caller must have one.
    pub(crate) auth: ClientAuth,
}

/// Why the files cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file holds nothing of use.
    #[error("{path} holds no {what} as PEM that can be used: {why}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The certificate is of another key.
    #[error("the certificate {certificate} and the key {key} are no pair: {why}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        why: String,
    },
}

/// What the files hold.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

/// What the files say.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// When the certificate ends, in seconds of Unix time.
    pub(super) not_after: i64,
}

impl Contents {
    pub(super) fn digest(&self) -> Digest {
        let mut sha = Sha256::new();
        for part in [&self.certificate, &self.key].into_iter().chain(&self.authorities) {
            sha.update((part.len() as u64).to_le_bytes());
            sha.update(part);
        }
        sha.finalize().into()
    }
}

impl TlsFiles {
    /// What the files hold now.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| TlsError::Read { path: path.to_owned(), why: error.to_string() })
        };
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            authorities: self.clients.as_ref().map(|clients| read(&clients.file)).transpose()?,
        })
    }

    /// What these contents of the files say.
    pub(super) fn load(&self, contents: &Contents) -> Result<Loaded, TlsError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let wrong_key = |why: &dyn ToString| TlsError::Pem {
            path: self.key.clone(),
            what: "private key",
            why: why.to_string(),
        };
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| wrong_key(&error))?;
        let not_after = chain.first().and_then(not_after).ok_or_else(|| TlsError::Pem {
            path: self.certificate.clone(),
            what: "certificate",
            why: "it is no X.509".to_owned(),
        })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong_key(&error))?;
        let builder = match self.clients.as_ref().zip(contents.authorities.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((clients, pem)) => builder.with_client_cert_verifier(clients.verifier(pem, provider)?),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Pair {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            why: error.to_string(),
        })?;
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Loaded { config: Arc::new(config), not_after })
    }
}

impl ClientAuthorities {
    fn verifier(
        &self,
        pem: &[u8],
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let wrong = |why: String| TlsError::Pem { path: self.file.clone(), what: "authority", why };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.file, pem)? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match self.auth {
            ClientAuth::Required => builder,
            ClientAuth::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|error| wrong(error.to_string()))
    }
}

/// The certificates of a file, one at least.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: String| TlsError::Pem { path: path.to_owned(), what: "certificate", why };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(certificates) }
}
