//! Addresses that accounts are found by.

use sha2::{Digest as _, Sha256};

/// Most bytes of an address (RFC 5321).
const MAX_BYTES: usize = 254;

/// Most bytes before the at sign.
const MAX_LOCAL_BYTES: usize = 64;

/// An address in the one form that it is kept in: trimmed, in small letters. Mail servers do not tell capitals from
/// small letters, so two accounts must not be told apart by them either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The address in a text; `None` for what is none. Whether mail arrives there is not asked.
    pub fn parse(text: &str) -> Option<Self> {
        let address = text.trim().to_lowercase();
        let (local, domain) = address.rsplit_once('@')?;
        let is_text = |part: &str| !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@');
        let is_domain = domain.split('.').all(|label| !label.is_empty());
        let is_short = address.len() <= MAX_BYTES && local.len() <= MAX_LOCAL_BYTES;
        let is_address = !local.is_empty() && is_text(local) && is_text(domain) && is_domain && is_short;
        is_address.then_some(Self(address))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the account is found by: the text itself stands in the account alone.
    pub(super) fn hash(&self) -> String {
        hex::encode(Sha256::digest(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Email::parse(text).map(|email| email.as_str().to_owned())
    }

    #[test]
    fn an_address_is_kept_in_one_form() {
        for text in ["ada@example.org", " Ada@Example.ORG ", "ADA@EXAMPLE.org\n"] {
            assert_eq!(parsed(text).as_deref(), Some("ada@example.org"));
        }
        assert_eq!(parsed("ada+films@localhost").as_deref(), Some("ada+films@localhost"));
    }

    #[test]
    fn what_is_no_address_is_none() {
        let long = format!("{}@example.org", "a".repeat(65));
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a@b@c",
            "a da@example.org",
            "ada@example..org",
            "a\0@b",
            &long,
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_address_is_its_own_form(text in "\\PC{0,20}@\\PC{0,20}") {
            if let Some(email) = Email::parse(&text) {
                proptest::prop_assert_eq!(Email::parse(email.as_str()), Some(email));
            }
        }
    }
}
