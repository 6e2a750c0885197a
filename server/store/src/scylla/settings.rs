//! Where the cluster is and how to speak to it, from one URL.

use std::time::Duration;

use marquee_core::tls::Trust;
use percent_encoding::percent_decode_str;
use scylla::statement::Consistency;
use url::Url;

use crate::StoreError;

/// How long a statement may take when nothing is said; a request's deadline may end it sooner.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What `scylla://[user:password@]host[:port],host.../keyspace?option=value&...` says.
///
/// User, password and options are percent-decoded, so `%2F` stands for a slash; in options `+` is a space. Options:
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
        let (url, others) = hosts_apart(url);
        let url =
            Url::parse(&url).map_err(|why| wrong(&format!("{why}; percent-encode user and password")))?;
        if url.scheme() != "scylla" {
            return Err(wrong("the URL has another scheme"));
        }
        if url.fragment().is_some() {
            return Err(wrong("# ends the URL; percent-encode it as %23"));
        }
        let first =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host is named"))?;
        let first = url.port().map_or_else(|| first.to_owned(), |port| format!("{first}:{port}"));
        let keyspace = url.path().trim_start_matches('/');
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if keyspace.is_empty() {
            return Err(wrong("the keyspace is missing"));
        }
        if keyspace.len() > 48 || !keyspace.chars().all(is_name) {
            return Err(wrong("a keyspace has 1 to 48 letters, digits and underscores"));
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (_, None) => return Err(wrong("the password is missing")),
            (user, Some(password)) => Some((decoded(user), decoded(password))),
        };
        let mut settings = Self {
            nodes: [first].into_iter().chain(others).collect(),
            credentials,
            keyspace: keyspace.to_owned(),
            consistency: Consistency::LocalQuorum,
            replication_factor: 1,
            timeout: TIMEOUT,
            trust: None,
        };
        for (name, value) in url.query_pairs() {
            settings.set(&name, &value).map_err(|what| wrong(&what))?;
        }
        Ok(settings)
    }

    /// The nodes that are named, for messages.
    pub(super) fn names(&self) -> String {
        self.nodes.join(",")
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
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
            ("consistency" | "tls", _) => return Err(format!("the option {name}={value} is not known")),
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

/// The URL with its first host alone, and the other hosts: a list of them is no URL's.
fn hosts_apart(url: &str) -> (String, Vec<String>) {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |length| start + length);
    let start = url[start..end].rfind('@').map_or(start, |user| start + user + 1);
    let mut hosts = url[start..end].split(',').filter(|host| !host.is_empty());
    let first = hosts.next().unwrap_or_default();
    (format!("{}{first}{}", &url[..start], &url[end..]), hosts.map(str::to_owned).collect())
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
    fn odd_characters_are_kept_or_percent_decoded() {
        let url = "scylla://m%40e:p@ss;w,%C3%B6r:d@[::1]:9042,b:1/k?ca=/a%2Bb%26c.pem";
        let settings = ScyllaSettings::parse(url).expect("a good URL");
        assert_eq!(settings.credentials, Some(("m@e".to_owned(), "p@ss;w,ör:d".to_owned())));
        assert_eq!(settings.nodes, ["[::1]:9042", "b:1"]);
        assert_eq!(settings.trust, Some(Trust::Authority("/a+b&c.pem".into())));
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
            ("scylla://me:SEC/RET@h/k", "percent-encode"),
            ("scylla://a:x,b/k", "invalid port"),
            ("scylla://a/k?ca=/a#b.pem", "percent-encode"),
            ("scylla://a/k#other", "percent-encode"),
            ("a:9042,b/k", "another scheme"),
            ("hosts", "relative URL"),
        ] {
            let error = ScyllaSettings::parse(url).expect_err(url).to_string();
            assert!(!error.contains("SEC") && !error.contains("RET"), "{url}: {error}");
            assert!(error.contains(what), "{url}: {error}");
        }
    }
}
