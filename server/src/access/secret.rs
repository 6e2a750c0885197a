//! The text of an API key: `mq_`, an id by which it is recognised, `_`, and 256 random bits.
//!
//! Of the bits the server keeps a hash alone. They are random, so a plain SHA-256 is enough: there is nothing to guess.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "mq_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// What is kept of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(pub(super) [u8; 32]);

impl Hash {
    /// Of the text of a secret.
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether it is this secret's, in a time that does not say how much of it is right.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }
}

/// A new secret: 256 random bits as text.
pub(super) fn random() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>())
}

/// Whether a text may be a secret.
pub(super) fn is_secret(text: &str) -> bool {
    text.len() == (SECRET_BYTES * 8).div_ceil(6)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A new key: its id and its whole text.
pub(super) fn generate() -> (String, String) {
    let id = hex::encode(rand::random::<[u8; ID_BYTES]>());
    let text = format!("{PREFIX}{id}_{}", random());
    (id, text)
}

/// Whether a text begins as keys do, and as no token can.
pub(super) fn is_like_a_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The id and the secret in a key's text; `None` for what is no key.
pub(super) fn parse(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_id = id.len() == 2 * ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && is_secret(secret)).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back_and_known_by_its_hash_alone() {
        let (id, text) = generate();
        let (read_id, secret) = parse(&text).unwrap();
        assert_eq!(read_id, id);
        let hash = Hash::of(secret);
        assert!(hash.is_of(secret));
        let (_, other) = generate();
        assert!(!hash.is_of(parse(&other).unwrap().1));
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let (_, text) = generate();
        for wrong in [
            "",
            "mq_",
            "mq__",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}A"),
            &text.replace("mq_", "mq-"),
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_key_or_none(text in "\\PC{0,80}") {
            if let Some((id, secret)) = parse(&text) {
                proptest::prop_assert_eq!(format!("mq_{id}_{secret}"), text);
            }
        }
    }
}
