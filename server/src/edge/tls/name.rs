//! What a certificate says: when it ends, and whose it is.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// When the certificate ends, in seconds of Unix time; `None` for what is no certificate.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The name of the subject: its common name, or else the first DNS name or URI among its other names, such as the
/// SPIFFE id of a workload.
pub(super) fn subject_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let common = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
    let common = common.filter(|name| !name.is_empty()).map(str::to_owned);
    common.or_else(|| {
        let others = certificate.subject_alternative_name().ok()??;
        others.value.general_names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
    })
}
