//! What is looked at, a function each.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_engine::{Bundle, runtime};
use marquee_store::{RedbStore, Store, StoreError, backup};
use rustix::fs::statvfs;
use tokio::net::TcpListener;

use super::Finding;
use crate::access::Tokens;
use crate::app;
use crate::config::Config;
use crate::edge::tls::certificate_ends;

/// Less free space than this stops a store that has to write its journals anew.
const LEAST_FREE: u64 = 64 << 20;
/// Less than this, or than a tenth, is soon full.
const LITTLE_FREE: u64 = 1 << 30;

/// Clocks that differ by more than the first are worth a look, by more than the second wrong.
const SKEW_MS: i64 = 1_000;
const WRONG_MS: i64 = 60_000;

/// When this program was made the year was not before.
const FIRST_SANE_MS: TimeMs = 1_767_225_600_000;

const DAY_SECONDS: i64 = 24 * 3600;
/// A certificate that ends so soon should have been renewed.
const RENEWAL_DAYS: i64 = 14;

/// Whether the store opens, what it holds, and what time it has.
pub(super) async fn store(config: &Config) -> Vec<Finding> {
    let data_dir = &config.store.data_dir;
    if config.store.store.url().is_none() {
        if !RedbStore::is_in(data_dir) {
            let says = format!("there is none in {} yet; the first start makes it", data_dir.display());
            return vec![Finding::ok("store", says)];
        }
        if RedbStore::is_in_use(data_dir) {
            let says = format!("a server has {} open; ask it by `marquee-server health`", data_dir.display());
            return vec![Finding::warn("store", says)];
        }
    }
    match app::open_store(&config.store.store, data_dir, config.on_damage).await {
        Ok(store) => opened(store.as_ref()).await.unwrap_or_else(|error| vec![failed(&error)]),
        Err(error) => vec![failed(&error)],
    }
}

fn failed(error: &StoreError) -> Finding {
    Finding::fail("store", error.to_string())
}

async fn opened(store: &dyn Store) -> Result<Vec<Finding>, StoreError> {
    let stats = store.stats().await?;
    let mut findings = Vec::new();
    if backup::is_half_restored(store).await? {
        let says = "holds a part of a backup only; run `marquee-server restore` with the same backup again";
        findings.push(Finding::fail("store", says));
    } else {
        let says = format!(
            "{} opens: {} users, {} interactions, {} movies",
            store.name(),
            stats.users,
            stats.interactions,
            stats.movies
        );
        findings.push(Finding::ok("store", says));
    }
    if let Some(time_ms) = store.clock_ms().await? {
        findings.push(compare("store clock", time_ms, now_ms()));
    }
    Ok(findings)
}

/// Whether others would reach what is not for them, which keeps a server from starting.
pub(super) fn exposure(config: &Config) -> Vec<Finding> {
    match config.exposure() {
        Err(error) => vec![Finding::fail("exposure", error.to_string())],
        Ok(warnings) if warnings.is_empty() => {
            vec![Finding::ok("exposure", "others reach what is for them alone")]
        }
        Ok(warnings) => warnings.into_iter().map(|warning| Finding::warn("exposure", warning)).collect(),
    }
}

/// Whether the volume of the data folder has room.
pub(super) fn disk(config: &Config) -> Option<Finding> {
    if config.store.store.url().is_some() {
        return None;
    }
    let folder = config.store.data_dir.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    Some(match statvfs(folder) {
        Ok(volume) => room(folder, volume.f_bavail * volume.f_frsize, volume.f_blocks * volume.f_frsize),
        Err(error) => Finding::warn("disk", format!("{}: {error}", folder.display())),
    })
}

fn room(folder: &Path, free: u64, all: u64) -> Finding {
    let says = format!("{} MiB of {} are free at {}", free >> 20, all >> 20, folder.display());
    if free < LEAST_FREE {
        Finding::fail("disk", format!("{says}; give the volume room, the store refuses writes otherwise"))
    } else if free < LITTLE_FREE || free < all / 10 {
        Finding::warn("disk", format!("{says}; give the volume room before it is full"))
    } else {
        Finding::ok("disk", says)
    }
}

/// Whether this machine has a time that can be.
pub(super) fn clock() -> Finding {
    let now_ms = now_ms();
    if now_ms < FIRST_SANE_MS {
        Finding::fail("clock", format!("it is {now_ms} ms after 1970 here; set the clock of this machine"))
    } else {
        Finding::ok("clock", "this machine has a time that can be")
    }
}

/// Whether another clock goes as this one does.
pub(super) fn compare(check: &'static str, theirs: TimeMs, ours: TimeMs) -> Finding {
    let ahead = theirs.saturating_sub(ours);
    let says = format!("it is {ahead} ms ahead of this machine's");
    match ahead.saturating_abs() {
        0..=SKEW_MS => Finding::ok(check, says),
        ..=WRONG_MS => Finding::warn(check, format!("{says}; let both follow the same time servers")),
        _ => {
            Finding::fail(check, format!("{says}; set the clocks, and let both follow the same time servers"))
        }
    }
}

/// Whether the model's bundle is whole.
pub(super) fn model(config: &Config) -> Finding {
    let bundle = match app::find_model(config) {
        Ok((folder, _)) => Bundle::open(&folder),
        Err(error) => return Finding::fail("model", error.to_string()),
    };
    match bundle {
        Ok(bundle) => Finding::ok(
            "model",
            format!("{} with {} movies, in {}", bundle.version(), bundle.items(), bundle.folder().display()),
        ),
        Err(error) => Finding::fail("model", error.to_string()),
    }
}

/// Whether ONNX Runtime is loaded.
pub(super) fn runtime() -> Finding {
    match runtime::init().and_then(|_| runtime::library()) {
        Ok(library) => Finding::ok("onnx runtime", library.to_string()),
        Err(error) => Finding::fail("onnx runtime", error.to_string()),
    }
}

/// Whether what is to be listened on is free.
pub(super) async fn ports(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    match tokio::net::lookup_host(config.server.listen.to_string()).await {
        Ok(addresses) => {
            if let Some(address) = addresses.into_iter().next() {
                findings.push(port("listen", address).await);
            }
        }
        Err(error) => {
            findings.push(Finding::fail(
                "listen",
                format!("{}: {error}; correct --listen", config.server.listen),
            ));
        }
    }
    if let Some(address) = config.telemetry.metrics_listen {
        findings.push(port("metrics port", address).await);
    }
    findings
}

async fn port(check: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Finding::warn(check, format!("{address} is taken: by a server that runs, or choose another"))
        }
        Err(error) => Finding::fail(check, format!("{address}: {error}; choose another address")),
    }
}

/// Whether the server's certificate can be used, and for how long.
pub(super) fn certificate(config: &Config) -> Option<Finding> {
    let files = config.security.tls_files(config.server.http_gateway)?;
    Some(match certificate_ends(&files) {
        Ok(ends) => lifetime(ends, now_ms() / 1_000),
        Err(error) => Finding::fail("certificate", error.to_string()),
    })
}

/// Whether the keys of an identity provider's tokens can be read.
pub(super) async fn token_keys(config: &Config) -> Option<Finding> {
    const CHECK: &str = "token keys";
    let options = match config.security.token_options() {
        Ok(options) => options?,
        Err(error) => return Some(Finding::fail(CHECK, error.to_string())),
    };
    let keys = options.keys.clone();
    let tokens = match Tokens::open(options, Arc::new(config.security.roles.with_built_in())).await {
        Ok(tokens) => tokens,
        Err(error) => return Some(Finding::fail(CHECK, error.to_string())),
    };
    Some(match tokens.look().await {
        Ok(()) => Finding::ok(CHECK, format!("read from {keys}")),
        Err(why) => Finding::warn(CHECK, format!("{keys}: {why}; no token is taken until it can be read")),
    })
}

fn lifetime(ends: i64, now: i64) -> Finding {
    let days = (ends - now).div_euclid(DAY_SECONDS);
    if ends <= now {
        Finding::fail("certificate", format!("it ended {} days ago; renew it", -days))
    } else if days < RENEWAL_DAYS {
        Finding::warn("certificate", format!("it ends in {days} days; renew it"))
    } else {
        Finding::ok("certificate", format!("it is good for {days} days"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_server_that_would_not_start_is_not_well() {
        let mut config = Config::default();
        assert_eq!(exposure(&config)[0].level, Level::Ok);
        config.server.listen = "0.0.0.0:50051".parse().unwrap();
        let found = exposure(&config);
        assert_eq!(found[0].level, Level::Fail);
        assert!(found[0].says.contains("--insecure-open"), "{}", found[0].says);
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let levels = [0, 1_000, -1_001, 60_000, -60_001, i64::MAX]
            .map(|by| compare("c", 5 + by.min(1 << 60), 5).level);
        assert_eq!(levels, [Level::Ok, Level::Ok, Level::Warn, Level::Warn, Level::Fail, Level::Fail]);
    }

    #[test]
    fn a_disk_is_full_before_it_is() {
        let level = |free, all| room(Path::new("/"), free, all).level;
        assert_eq!(level(LEAST_FREE - 1, 1 << 40), Level::Fail);
        assert_eq!(level(LITTLE_FREE - 1, 1 << 30), Level::Warn);
        assert_eq!(level(LITTLE_FREE, 11 * LITTLE_FREE), Level::Warn);
        assert_eq!(level(LITTLE_FREE, 10 * LITTLE_FREE), Level::Ok);
    }

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let levels = [-1, 0, 1, 14 * DAY_SECONDS - 1, 14 * DAY_SECONDS]
            .map(|left| lifetime(1_000 + left, 1_000).level);
        assert_eq!(levels, [Level::Fail, Level::Fail, Level::Warn, Level::Warn, Level::Ok]);
    }

    #[tokio::test]
    async fn a_port_is_free_or_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(port("listen", address).await.level, Level::Warn);
        drop(listener);
        assert_eq!(port("listen", address).await.level, Level::Ok);
        let elsewhere = "192.0.2.1:1".parse().unwrap();
        assert_eq!(port("listen", elsewhere).await.level, Level::Fail);
    }
}
