//! The public keys of a provider, as a JWK set says them.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};

/// A public key, and the one way in which it checks.
pub(super) struct HeldKey {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl HeldKey {
    /// A key of the set, if it is one to check signatures with.
    fn of(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return None,
        };
        let says_so = jwk.common.key_algorithm.is_none_or(|said| said == KeyAlgorithm::from(algorithm));
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| says_so && signs)?;
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key })
    }

    /// Whether it may have signed what has this header.
    pub(super) fn may_have_signed(&self, header: &Header) -> bool {
        let is_named = header.kid.is_none() || self.id.is_none() || self.id == header.kid;
        self.algorithm == header.alg && is_named
    }
}

/// The keys of a set that can be used, one at least.
///
/// # Errors
/// Why there are none.
pub(super) fn read(text: &[u8]) -> Result<Vec<HeldKey>, String> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let keys: Vec<_> = set.keys.iter().filter_map(HeldKey::of).collect();
    if keys.is_empty() { Err("it has none that can be used".to_owned()) } else { Ok(keys) }
}
