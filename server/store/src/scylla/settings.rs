//! Where the cluster is and how to speak to it, from one URL.

use std::time::Duration;

use marquee_core::tls::Trust;
use percent_encoding::percent_decode_str;
use scylla::statement::Consistency;

use crate::StoreError;

/// How long a statement may take when nothing is said; a request's deadline may end it sooner.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What `scylla://[user:password@]host[:port],host.../keyspace?option=value&...` says.
///
/// User and password are percent-decoded, so `%2F` stands for a slash. Options:
/// - `consistency` of user data: `local_quorum` if absent, `quorum`, `one`, `local_one`;
/// - `replication_factor` of a keyspace that the migration makes: 1 if absent; an existing keyspace
///   stays as it is;
/// - `timeout_ms` of a statement: 5000 if absent;
/// - `tls=true`: encrypted, the server's certificate signed by an authority that the system knows;
/// - `ca=FILE`: encrypted, the certificate signed by an authority in this PEM file.
#[derive(Clone, PartialEq, Eq)]
pub struct ScyllaSettings {
    pub(super) nodes: Vec<String>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) keyspace: String,
    pub(super) consistency: Consistency,
    pub(super) replication_factor: u32,
    pub(super) timeout: Duration,
    pub(super) trust: Option<Trust>,
}

impl ScyllaSettings {
    /// Reads the URL.
    ///
    /// # Errors
    /// [`StoreError::Open`] that names what is wrong; it never repeats a password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |what: &str| {
            StoreError::Open(format!(
                "{what}; write scylla://host[:port],host.../keyspace?consistency=quorum"
            ))
        };
        let rest = url.strip_prefix("scylla://").ok_or_else(|| wrong("the URL has another scheme"))?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, keyspace) = place.split_once('/').ok_or_else(|| wrong("the keyspace is missing"))?;
        let (credentials, nodes) = match authority.rsplit_once('@') {
            Some((credentials, nodes)) => {
                let pair = credentials.split_once(':').ok_or_else(|| wrong("the password is missing"))?;
                (Some((decoded(pair.0), decoded(pair.1))), nodes)
            }
            None => (None, authority),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if keyspace.is_empty() || keyspace.len() > 48 || !keyspace.chars().all(is_name) {
            return Err(wrong("a keyspace has 1 to 48 letters, digits and underscores"));
        }
        let mut settings = Self {
            nodes: nodes.split(',').filter(|node| !node.is_empty()).map(str::to_owned).collect(),
            credentials,
            keyspace: keyspace.to_owned(),
            consistency: Consistency::LocalQuorum,
            replication_factor: 1,
            timeout: TIMEOUT,
            trust: None,
        };
        if settings.nodes.is_empty() {
            return Err(wrong("no host is named"));
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            settings.set(option).map_err(|what| wrong(&what))?;
        }
        Ok(settings)
    }

    /// The nodes that are named, for messages.
    pub(super) fn names(&self) -> String {
        self.nodes.join(",")
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = || {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| format!("{name} is a number from 1"))
        };
        match (name, value) {
            ("consistency", "local_quorum") => self.consistency = Consistency::LocalQuorum,
            ("consistency", "quorum") => self.consistency = Consistency::Quorum,
            ("consistency", "local_one") => self.consistency = Consistency::LocalOne,
            ("consistency", "one") => self.consistency = Consistency::One,
            ("replication_factor", _) => self.replication_factor = number()?,
            ("timeout_ms", _) => self.timeout = Duration::from_millis(u64::from(number()?)),
            ("tls", "true") => self.trust = self.trust.take().or(Some(Trust::System)),
            ("ca", path) => self.trust = Some(Trust::Authority(path.into())),
            ("consistency" | "tls", _) => return Err(format!("the option {option} is not known")),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

/// What to say of an option. One without a name is the end of a password that was not percent-encoded.
fn unknown(name: &str) -> String {
    if name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        format!("the option {name} is not known")
    } else {
        "an option is not known; percent-encode user and password".to_owned()
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl std::fmt::Debug for ScyllaSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.credentials.as_ref().map(|(user, _)| user);
        f.debug_struct("ScyllaSettings")
            .field("nodes", &self.nodes)
            .field("user", &user)
            .field("keyspace", &self.keyspace)
            .field("consistency", &self.consistency)
            .field("replication_factor", &self.replication_factor)
            .field("timeout", &self.timeout)
            .field("trust", &self.trust)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_hosts_keyspace_credentials_and_options() {
        let url = "scylla://me:se:cret@a:9042,b/movies?consistency=quorum&replication_factor=3";
        let settings = ScyllaSettings::parse(url).expect("a good URL");
        assert_eq!(settings.nodes, ["a:9042", "b"]);
        assert_eq!(settings.credentials, Some(("me".to_owned(), "se:cret".to_owned())));
        assert_eq!((settings.keyspace.as_str(), settings.replication_factor), ("movies", 3));
        assert_eq!(settings.consistency, Consistency::Quorum);
        assert!(!format!("{settings:?}").contains("cret"), "a password is never printed");
    }

    #[test]
    fn timeout_and_encryption_are_options() {
        let url = "scylla://me:a%2Fb@h/k?timeout_ms=250&tls=true&ca=/etc/ca.pem";
        let settings = ScyllaSettings::parse(url).expect("a good URL");
        assert_eq!(settings.credentials, Some(("me".to_owned(), "a/b".to_owned())));
        assert_eq!(settings.timeout, Duration::from_millis(250));
        assert_eq!(settings.trust, Some(Trust::Authority("/etc/ca.pem".into())));
        let settings = ScyllaSettings::parse("scylla://h/k?tls=true").expect("a good URL");
        assert_eq!((settings.timeout, settings.trust), (TIMEOUT, Some(Trust::System)));
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong() {
        for (url, what) in [
            ("redis://a/b", "another scheme"),
            ("scylla://a", "keyspace is missing"),
            ("scylla:///k", "no host"),
            ("scylla://a/k;drop", "letters, digits"),
            ("scylla://me@a/k", "password is missing"),
            ("scylla://a/k?consistency=some", "consistency=some is not known"),
            ("scylla://a/k?replication_factor=0", "number from 1"),
            ("scylla://a/k?timeout_ms=soon", "number from 1"),
            ("scylla://a/k?tls=maybe", "tls=maybe is not known"),
            ("scylla://a/k?password=SECRET", "the option password is not known"),
            ("scylla://me:a/k?SECRET@h/k", "percent-encode"),
            ("scylla://me:SEC/RET@h/k", "letters, digits"),
        ] {
            let error = ScyllaSettings::parse(url).expect_err(url).to_string();
            assert!(!error.contains("SEC") && !error.contains("RET"), "{url}: {error}");
            assert!(error.contains(what), "{url}: {error}");
        }
    }
}
