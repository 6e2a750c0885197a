//! Encrypted connections to other servers: whose signature on their certificate counts, and what they are shown.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Who may sign the certificate of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that the system knows.
    System,
    /// Those in a PEM file.
    Authority(PathBuf),
}

/// What a server is shown that wants to know who calls: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and behind it those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The PEM file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate {path} cannot be used: {why}")]
pub struct TlsError {
    path: String,
    why: String,
}

impl TlsError {
    fn of(path: &Path, why: &dyn ToString) -> Self {
        Self { path: path.display().to_string(), why: why.to_string() }
    }
}

impl Trust {
    /// How a client connects that trusts these.
    ///
    /// # Errors
    /// [`TlsError`] when the PEM file cannot be read or holds no certificate.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        Ok(ClientConfig::builder().with_root_certificates(self.roots()?).with_no_client_auth())
    }

    /// How a client connects that trusts these, and shows a certificate.
    ///
    /// # Errors
    /// [`TlsError`] when a PEM file cannot be read or is not what it should be.
    pub fn client_config_showing(&self, client: &ClientCertificate) -> Result<ClientConfig, TlsError> {
        let chain = certificates(&client.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&client.key);
        let key = key.map_err(|error| TlsError::of(&client.key, &error))?;
        let builder = ClientConfig::builder().with_root_certificates(self.roots()?);
        builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::of(&client.certificate, &error))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::Authority(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| TlsError::of(path, &error))?;
                }
            }
        }
        Ok(roots)
    }
}

/// The certificates of a file, one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |why: &dyn ToString| TlsError::of(path, why);
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
    if certificates.is_empty() { Err(wrong(&"there is none in it")) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_has_no_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no certificate\n").unwrap();
        for path in [empty, folder.path().join("missing.pem")] {
            let error = Trust::Authority(path.clone()).client_config().unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_certificate_to_show_that_cannot_be_used_is_named() {
        let client = ClientCertificate { certificate: "missing.pem".into(), key: "missing-key.pem".into() };
        let error = Trust::System.client_config_showing(&client).unwrap_err().to_string();
        assert!(error.contains("missing.pem"), "{error}");
    }

    #[test]
    fn the_authorities_of_the_system_need_no_file() {
        assert!(Trust::System.client_config().is_ok());
    }
}
