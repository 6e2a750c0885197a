//! The text of a session: `ms_`, the id of its account, `_`, and 256 random bits.
//!
//! As of an API key, the server keeps a hash of the bits alone, by which the session is found.

use crate::access::secret::{self, Hash, is_secret};

const PREFIX: &str = "ms_";
const ID_BYTES: usize = 10;

/// A session that was shown, by what it is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// Its account.
    pub(super) account_id: String,
    /// The hash of its secret, in hexadecimal digits.
    pub(super) hash: String,
}

impl SessionId {
    /// A new session of an account, and its text.
    pub(super) fn new(account_id: &str) -> (Self, String) {
        let secret = secret::random();
        let text = format!("{PREFIX}{account_id}_{secret}");
        (Self { account_id: account_id.to_owned(), hash: hash_of(&secret) }, text)
    }

    /// The session of a text; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (account_id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_session = is_account_id(account_id) && is_secret(secret);
        is_session.then(|| Self { account_id: account_id.to_owned(), hash: hash_of(secret) })
    }

    /// Whether a text is meant to be a session, and no key.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }
}

/// An id that no account has.
pub(super) fn new_account_id() -> String {
    hex::encode(rand::random::<[u8; ID_BYTES]>())
}

fn is_account_id(text: &str) -> bool {
    text.len() == 2 * ID_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn hash_of(secret: &str) -> String {
    hex::encode(Hash::of(secret).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_session_is_read_back_and_no_two_are_alike() {
        let account_id = new_account_id();
        let (id, text) = SessionId::new(&account_id);
        assert_eq!(SessionId::parse(&text), Some(id.clone()));
        assert!(SessionId::is_meant(&text) && !text.contains(&id.hash));
        assert_ne!(SessionId::new(&account_id).0, id);
    }

    #[test]
    fn what_is_no_session_is_not_taken_for_one() {
        let (_, text) = SessionId::new(&new_account_id());
        for wrong in [
            "",
            "ms_",
            "ms__",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}A"),
            &text.replace("ms_", "mq_"),
            &text.to_uppercase(),
        ] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_session_or_none(text in "(ms_)?[0-9a-f]{18,22}_?[\\w-]{40,46}|\\PC{0,80}") {
            if let Some(id) = SessionId::parse(&text) {
                let secret = text.strip_prefix(&format!("ms_{}_", id.account_id)).unwrap();
                proptest::prop_assert_eq!(hash_of(secret), id.hash);
            }
        }
    }
}
