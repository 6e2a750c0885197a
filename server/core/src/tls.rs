//! Encrypted connections to other servers: whose signature on their certificate counts.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Who may sign the certificate of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that the system knows.
    System,
    /// Those in a PEM file.
    Authority(PathBuf),
}

/// The PEM file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate {path} cannot be used: {why}")]
pub struct TlsError {
    path: String,
    why: String,
}

impl Trust {
    /// How a client connects that trusts these.
    ///
    /// # Errors
    /// [`TlsError`] when the PEM file cannot be read or holds no certificate.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::Authority(path) => {
                let wrong = |why: String| TlsError { path: path.display().to_string(), why };
                let certificates =
                    CertificateDer::pem_file_iter(path).map_err(|why| wrong(why.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|why| wrong(why.to_string()))?;
                    roots.add(certificate).map_err(|why| wrong(why.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("there is none in it".to_owned()));
                }
            }
        }
        Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
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
    fn the_authorities_of_the_system_need_no_file() {
        assert!(Trust::System.client_config().is_ok());
    }
}
