//! Whether what others reach is closed to those it is not for.
//!
//! On this machine alone everything is open, so that a first try needs nothing. Beyond it a server needs TLS, its own
//! or a proxy's, and callers that say who they are. Who wants less must say so.

use std::net::SocketAddr;

use url::Url;

use super::{Config, Switch};

/// Why the server does not start with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exposed {
    /// Others reach the API, and it is not closed to them.
    #[error(
        "listen is {listen}, which others reach, without {lacking}; give {remedy}, or --insecure-open if whoever \
         reaches it may do everything, or listen on 127.0.0.1"
    )]
    Api {
        /// Where it listens.
        listen: SocketAddr,
        /// What lacks.
        lacking: &'static str,
        /// The settings that give it.
        remedy: &'static str,
    },
    /// One of two settings that are nothing alone.
    #[error("{given} is given without {lacking}; give both or neither")]
    Half {
        /// What is there.
        given: &'static str,
        /// What is not.
        lacking: &'static str,
    },
    /// What would be warned of otherwise.
    #[error("{0}; mend it, or leave out --strict-security")]
    Strict(String),
}

const TLS: &str = "--tls-cert and --tls-key (or --tls-terminated-by where a proxy ends TLS)";
const AUTH: &str = "--auth on";
const BOTH: &str = "--tls-cert and --tls-key (or --tls-terminated-by where a proxy ends TLS) and --auth on";

impl Config {
    /// What should be mended of who reaches what, in sentences for the log.
    ///
    /// # Errors
    /// [`Exposed`] when the server must not start so.
    pub(crate) fn exposure(&self) -> Result<Vec<String>, Exposed> {
        self.pairs()?;
        self.api()?;
        let warnings: Vec<String> = self.warnings().collect();
        match warnings.first() {
            Some(first) if self.security.strict_security => Err(Exposed::Strict(first.clone())),
            _ => Ok(warnings),
        }
    }

    /// Whether the API is reached from this machine alone, as far as the server can tell.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        is_of_this_machine(self.server.listen) && self.security.tls_terminated_by.is_none()
    }

    /// A certificate is nothing without its key, and authorities of callers nothing without both.
    fn pairs(&self) -> Result<(), Exposed> {
        let security = &self.security;
        let half = |given, lacking| Err(Exposed::Half { given, lacking });
        match (&security.tls_cert, &security.tls_key, &security.tls_client_ca) {
            (Some(_), None, _) => half("tls-cert", "tls-key"),
            (None, Some(_), _) => half("tls-key", "tls-cert"),
            (None, None, Some(_)) => half("tls-client-ca", "tls-cert"),
            (_, _, None) if !security.certificate_roles.is_none() => {
                half("certificate-roles", "tls-client-ca")
            }
            _ => Ok(()),
        }
    }

    fn api(&self) -> Result<(), Exposed> {
        let (listen, security) = (self.server.listen, &self.security);
        if is_of_this_machine(listen) || security.insecure_open {
            return Ok(());
        }
        let has_tls = security.tls_cert.is_some() || !security.tls_terminated_by.is_none();
        let (lacking, remedy) = match (has_tls, security.auth) {
            (true, Switch::On) => return Ok(()),
            (false, Switch::On) => ("TLS", TLS),
            (true, Switch::Off) => ("identity", AUTH),
            (false, Switch::Off) => ("TLS and identity", BOTH),
        };
        Err(Exposed::Api { listen, lacking, remedy })
    }

    fn warnings(&self) -> impl Iterator<Item = String> {
        let api = (self.security.insecure_open && !is_of_this_machine(self.server.listen)).then(|| {
            format!("whoever reaches {} may do everything, as insecure-open says", self.server.listen)
        });
        let metrics = self.telemetry.metrics_listen.filter(|listen| !is_of_this_machine(*listen));
        let metrics = metrics.map(|listen| {
            format!("metrics-listen is {listen}: whoever reaches it reads all metrics, without TLS")
        });
        let links = [("store", self.store.store.url()), ("cache", self.cache.cache.url())];
        let links = links.into_iter().filter_map(|(name, url)| {
            let host = other_host_in_plain_text(url?)?;
            Some(format!(
                "{name} is without TLS on {host}: whoever listens on the way reads and changes what it holds"
            ))
        });
        api.into_iter().chain(metrics).chain(links)
    }
}

fn is_of_this_machine(listen: SocketAddr) -> bool {
    listen.ip().to_canonical().is_loopback()
}

/// The first host of another machine to which this URL of Redis or CQL leads without TLS.
fn other_host_in_plain_text(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    // Several hosts are no URL of the standard; what stands behind them is the same for each.
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (hosts, behind) = rest.split_at(end);
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    let is_encrypted = scheme.starts_with("rediss") || {
        let url = Url::parse(&format!("{scheme}://host{behind}")).ok()?;
        url.query_pairs().any(|(name, value)| name == "tls" && value == "true")
    };
    let others = hosts.split(',').filter(|host| !is_this_machine(host));
    others.filter(|_| !is_encrypted).map(str::to_owned).next()
}

/// Whether `HOST[:PORT]` is this machine.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: std::net::IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    /// What the settings of these options come to: `ok`, or what lacks.
    fn outcome(options: &[&str]) -> String {
        match crate::config::tests::config_of(options).exposure() {
            Ok(warnings) if warnings.is_empty() => "ok".to_owned(),
            Ok(warnings) => format!("warned: {}", warnings.join("; ")),
            Err(error) => error.to_string(),
        }
    }

    const OPEN: &str = "0.0.0.0:50051";
    const TLS: &[&str] = &["--tls-cert", "c.pem", "--tls-key", "k.pem"];
    const PROXY: &[&str] = &["--tls-terminated-by", "10.0.0.0/8"];
    const AUTH: &[&str] = &["--auth", "on"];

    #[test]
    fn beyond_this_machine_tls_and_identity_are_required() {
        const NONE: &[&str] = &[];
        for (listen, tls, auth, result) in [
            ("127.0.0.1:50051", NONE, NONE, "ok"),
            ("[::1]:50051", NONE, NONE, "ok"),
            ("[::ffff:127.0.0.1]:50051", NONE, NONE, "ok"),
            (":50051", TLS, NONE, "ok"),
            (OPEN, NONE, NONE, "without TLS and identity;"),
            ("192.0.2.7:50051", NONE, NONE, "without TLS and identity;"),
            ("[::]:50051", NONE, AUTH, "without TLS;"),
            (OPEN, NONE, AUTH, "without TLS;"),
            (OPEN, TLS, NONE, "without identity;"),
            (OPEN, PROXY, NONE, "without identity;"),
            (OPEN, TLS, AUTH, "ok"),
            (OPEN, PROXY, AUTH, "ok"),
        ] {
            let found = outcome(&[&["--listen", listen], tls, auth].concat());
            assert!(found.contains(result), "{listen} {tls:?} {auth:?}: {found}");
        }
    }

    #[test]
    fn what_lacks_is_one_sentence_that_says_the_ways_out() {
        assert_eq!(
            outcome(&["--listen", OPEN]),
            "listen is 0.0.0.0:50051, which others reach, without TLS and identity; give --tls-cert and --tls-key (or \
             --tls-terminated-by where a proxy ends TLS) and --auth on, or --insecure-open if whoever reaches it may do \
             everything, or listen on 127.0.0.1"
        );
    }

    #[test]
    fn a_server_that_is_open_on_purpose_starts_and_says_so() {
        let open = ["--listen", OPEN, "--insecure-open"];
        assert!(outcome(&open).starts_with("warned: whoever reaches 0.0.0.0:50051"));
        assert_eq!(outcome(&["--insecure-open"]), "ok");
        let strict = outcome(&[&open[..], &["--strict-security"]].concat());
        assert!(strict.ends_with("mend it, or leave out --strict-security"), "{strict}");
    }

    #[test]
    fn half_a_pair_is_refused_and_the_other_half_named() {
        for (options, why) in [
            (&["--tls-cert", "c.pem"][..], "tls-cert is given without tls-key;"),
            (&["--tls-key", "k.pem"], "tls-key is given without tls-cert;"),
            (&["--tls-client-ca", "ca.pem"], "tls-client-ca is given without tls-cert;"),
        ] {
            assert!(outcome(options).starts_with(why), "{options:?}");
        }
    }

    #[test]
    fn metrics_and_links_that_others_can_read_are_warned_of_and_refused_where_security_is_strict() {
        for (options, about) in [
            (["--metrics-listen", "0.0.0.0:9090"], "metrics-listen is 0.0.0.0:9090"),
            (
                ["--cache", "redis://u:SECRET@redis.example:6379/0"],
                "cache is without TLS on redis.example:6379",
            ),
            (["--cache", "redis-cluster://127.0.0.1:1,10.0.0.2:2"], "cache is without TLS on 10.0.0.2:2"),
            (["--store", "scylla://u:p@[2001:db8::1]:9042/ks"], "store is without TLS on [2001:db8::1]:9042"),
            (["--store", "scylla://a,b/ks?tls=false"], "store is without TLS on a"),
        ] {
            let warned = outcome(&options);
            assert!(warned.starts_with(&format!("warned: {about}")), "{warned}");
            assert!(!warned.contains("SECRET"), "{warned}");
            let strict = outcome(&[&options[..], &["--strict-security"]].concat());
            assert!(strict.starts_with(about), "{strict}");
        }
        for options in [
            ["--metrics-listen", ":9090"],
            ["--cache", "rediss://redis.example:6379"],
            ["--cache", "redis://localhost:6379"],
            ["--cache", "redis://[::1]:6379/0?namespace=a"],
            ["--store", "scylla://127.0.0.1:9042,localhost/ks"],
            ["--store", "scylla://a,b/ks?consistency=one&tls=true"],
        ] {
            assert_eq!(outcome(&[&options[..], &["--strict-security"]].concat()), "ok", "{options:?}");
        }
    }
}
