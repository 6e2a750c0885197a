//! Encrypted connections: the server's certificate and key, and whose certificates callers may show.
//!
//! All that the files say stands in one configuration of rustls, which is swapped whole when they change, so that a
//! new certificate never meets an old key and authorities that are taken away are gone. A connection keeps what it
//! was made with until it ends. Files that cannot be used, such as a pair of which one half is written, change
//! nothing: the log says so once, and what was in force stays.
//!
//! The files are looked at from time to time and not watched: Kubernetes swaps a link two folders above them, which
//! no watch of theirs tells.

mod files;
mod handshake;
mod name;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use marquee_core::clock::now_ms;
use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use opentelemetry::metrics::{Counter, Gauge};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

pub use files::TlsError;
pub(crate) use files::{ClientAuthorities, TlsFiles};
use files::{Digest, Loaded};
pub(super) use handshake::{NoTls, client_name};

const OUTCOME: Label = Label::one_of("outcome", &["ok", "failed", "timeout", "plain"]);
const RELOAD: Label = Label::one_of("outcome", &["ok", "refused"]);

metrics! {
    pub(crate) METRICS;
    EXPIRY = Metric::gauge(
        "marquee.tls.certificate_expiry",
        "s",
        &[],
        "Unix time at which the server's certificate ends",
    );
    RELOADS = Metric::counter(
        "marquee.tls.reloads",
        "{reload}",
        &[RELOAD],
        "Times that other files were found, by whether they could be used",
    );
    HANDSHAKES = Metric::counter(
        "marquee.tls.handshakes",
        "{handshake}",
        &[OUTCOME],
        "Handshakes of TLS: those that ended well, failed, took longer than `handshake-timeout`, or were none because \
         the caller spoke without TLS",
    );
}

/// Whether a caller must show a certificate where authorities for them are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is served without.
    Required,
    /// One that is shown is checked.
    Optional,
}

/// What the server shows and asks for at a handshake.
pub(crate) struct Tls {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
    metrics: Metrics,
}

/// What was found at the last look: the digest of what the files hold, or why they cannot be read.
type Found = Result<Digest, TlsError>;

impl Tls {
    /// What the files say, and what was found in them.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be used.
    pub(crate) fn load(files: TlsFiles) -> Result<(Arc<Self>, Followed), TlsError> {
        let contents = files.read()?;
        let current = ArcSwap::from_pointee(files.load(&contents)?);
        let tls = Arc::new(Self { files, current, metrics: Metrics::new() });
        tls.say_expiry();
        Ok((Arc::clone(&tls), Followed { tls, found: Ok(contents.digest()) }))
    }

    /// When the certificate in force ends, in seconds of Unix time.
    pub(crate) fn not_after(&self) -> i64 {
        self.current.load().not_after
    }

    fn say_expiry(&self) {
        let not_after = self.not_after();
        self.metrics.expiry.record(not_after.max(0) as u64, &[]);
        if not_after < now_ms() / 1000 {
            let certificate = self.files.certificate.display();
            tracing::warn!(%certificate, "the server's certificate has expired: callers refuse it; renew it");
        }
    }
}

/// When the certificate in these files ends, in seconds of Unix time, if they can be served with.
///
/// # Errors
/// [`TlsError`] when they cannot.
pub(crate) fn certificate_ends(files: &TlsFiles) -> Result<i64, TlsError> {
    Ok(files.load(&files.read()?)?.not_after)
}

/// Takes over what changes in the files.
pub(crate) struct Followed {
    tls: Arc<Tls>,
    found: Found,
}

impl Followed {
    /// Looks at the files once an `interval`, for ever.
    pub(crate) async fn run(mut self, interval: Duration) {
        loop {
            sleep(interval).await;
            self = match spawn_blocking(move || self.look()).await {
                Ok(followed) => followed,
                Err(error) => {
                    tracing::error!(%error, "certificates are followed no more; restart the server to renew them");
                    return;
                }
            };
        }
    }

    /// Takes over what the files hold, if it is not what they held at the last look.
    fn look(mut self) -> Self {
        let files = &self.tls.files;
        let contents = files.read();
        let found = contents.as_ref().map(files::Contents::digest).map_err(Clone::clone);
        if found == self.found {
            return self;
        }
        self.found = found;
        match contents.and_then(|contents| files.load(&contents)) {
            Ok(loaded) => {
                tracing::info!(not_after = loaded.not_after, "new certificates are in force");
                self.tls.current.store(Arc::new(loaded));
                self.tls.metrics.reloads.add(1, &[RELOAD.is("ok")]);
                self.tls.say_expiry();
            }
            Err(error) => {
                self.tls.metrics.reloads.add(1, &[RELOAD.is("refused")]);
                tracing::error!(%error, "new certificates cannot be used: those from before stay in force");
            }
        }
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

struct Metrics {
    expiry: Gauge<u64>,
    reloads: Counter<u64>,
    handshakes: Counter<u64>,
}

impl Metrics {
    fn new() -> Self {
        Self {
            expiry: EXPIRY.u64_gauge(),
            reloads: RELOADS.u64_counter(),
            handshakes: HANDSHAKES.u64_counter(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
