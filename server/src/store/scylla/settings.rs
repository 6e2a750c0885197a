//! Where the cluster is and how to speak to it, from one URL.

use scylla::statement::Consistency;

use crate::store::StoreError;

/// What `scylla://[user:password@]host[:port],host.../keyspace?option=value&...` says.
///
/// Options: `consistency` of user data (`local_quorum` if absent, `quorum`, `one`, `local_one`),
/// `replication_factor` of a keyspace that is made by the migration (1 if absent; an existing
/// keyspace stays as it is).
#[derive(Clone, PartialEq, Eq)]
pub struct ScyllaSettings {
    pub(super) nodes: Vec<String>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) keyspace: String,
    pub(super) consistency: Consistency,
    pub(super) replication_factor: u8,
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
                (Some((pair.0.to_owned(), pair.1.to_owned())), nodes)
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
        };
        if settings.nodes.is_empty() {
            return Err(wrong("no host is named"));
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("consistency", "local_quorum")) => settings.consistency = Consistency::LocalQuorum,
                Some(("consistency", "quorum")) => settings.consistency = Consistency::Quorum,
                Some(("consistency", "local_one")) => settings.consistency = Consistency::LocalOne,
                Some(("consistency", "one")) => settings.consistency = Consistency::One,
                Some(("replication_factor", factor)) => {
                    let number = factor.parse().ok().filter(|number| *number > 0);
                    settings.replication_factor =
                        number.ok_or_else(|| wrong("replication_factor is a number from 1"))?;
                }
                _ => return Err(wrong(&format!("the option {option} is not known"))),
            }
        }
        Ok(settings)
    }
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
    fn a_wrong_url_says_what_is_wrong() {
        for (url, what) in [
            ("redis://a/b", "another scheme"),
            ("scylla://a", "keyspace is missing"),
            ("scylla:///k", "no host"),
            ("scylla://a/k;drop", "letters, digits"),
            ("scylla://me@a/k", "password is missing"),
            ("scylla://a/k?consistency=some", "consistency=some is not known"),
            ("scylla://a/k?replication_factor=0", "number from 1"),
        ] {
            let error = ScyllaSettings::parse(url).expect_err(url).to_string();
            assert!(error.contains(what), "{url}: {error}");
        }
    }
}
