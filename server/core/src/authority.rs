//! A certificate authority of one's own, for development and tests: whoever trusts it trusts what it signs.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

const DAY: Duration = Duration::from_hours(24);

/// How long an authority is good for.
const AUTHORITY_DAYS: u32 = 3650;

/// How long what it signs should be good for: longer ones are refused by some browsers.
pub const PAIR_DAYS: u32 = 397;

/// An authority and its key.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be called.
    Server,
    /// To call.
    Client,
}

/// The certificate cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate can be made: {0}")]
pub struct AuthorityError(String);

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

impl Authority {
    /// A new authority of this name, good for ten years.
    ///
    /// # Errors
    /// [`AuthorityError`] when the system gives no random numbers.
    pub fn new(name: &str) -> Result<Self, AuthorityError> {
        let mut params = params(name, &[], in_days(AUTHORITY_DAYS))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority and its key.
    pub fn pair(&self) -> Pair {
        Pair { certificate: self.certificate.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// A pair for `name` and, as DNS names or addresses, `others`, which is good until then.
    ///
    /// # Errors
    /// [`AuthorityError`] when one of `others` is no name.
    pub fn sign(
        &self,
        purpose: Purpose,
        name: &str,
        others: &[&str],
        until: SystemTime,
    ) -> Result<Pair, AuthorityError> {
        let mut params = params(name, others, until)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// So many days from now.
pub fn in_days(days: u32) -> SystemTime {
    SystemTime::now() + days * DAY
}

/// What all certificates have. They are good from a while ago, as clocks differ.
fn params(name: &str, others: &[&str], until: SystemTime) -> Result<CertificateParams, AuthorityError> {
    let others: Vec<String> = others.iter().map(|&other| other.to_owned()).collect();
    let mut params = CertificateParams::new(others)?;
    params.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.not_before = (until.min(SystemTime::now()) - DAY).into();
    params.not_after = until.into();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_pem_and_no_two_are_alike() {
        let authority = Authority::new("Test").unwrap();
        let sign = || authority.sign(Purpose::Server, "a", &["localhost", "127.0.0.1"], in_days(1)).unwrap();
        let (one, other) = (sign(), sign());
        assert!(one.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(one.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!((one.certificate, one.key), (other.certificate, other.key));
    }

    #[test]
    fn what_is_no_name_is_an_error() {
        let authority = Authority::new("Test").unwrap();
        assert!(authority.sign(Purpose::Server, "a", &["b\u{fc}cher"], in_days(1)).is_err());
    }
}
