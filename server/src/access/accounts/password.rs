//! Passwords: hashed by Argon2id, a few at once.
//!
//! A hash takes 19 MiB and tens of milliseconds of a processor, which is its purpose. So a few are made at once, on
//! threads that may block, a few more wait, and whoever comes then is sent away.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use marquee_core::meters::Metric;
use marquee_core::metrics;
use opentelemetry::metrics::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AccountError;

/// What a hash costs, as OWASP has it: 19 MiB, passed over twice. The hash of an account that was made at another cost
/// is made anew when its owner signs in.
const PARAMS: Params = Params::DEFAULT;

/// A hash at that cost that no password has, for accounts that there are not.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes at once.
const AT_ONCE: usize = 2;

/// Hashes that wait for their turn.
const WAITING: usize = 32;

/// When whoever was sent away may come back.
const RETRY: Duration = Duration::from_secs(1);

/// Random bytes of a password that signs in once.
const ONE_TIME_BYTES: usize = 15;

metrics! {
    pub(crate) METRICS;
    PASSWORD_HASHES = Metric::counter(
        "marquee.access.password_hashes",
        "{hash}",
        &[],
        "Passwords that were hashed by Argon2id, to keep them or to check them",
    );
}

/// What is known of a password that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is right.
    Right,
    /// It is right, and the hash was made at another cost than hashes are today.
    RightAndOld,
    /// It is wrong.
    Wrong,
}

/// Hashes passwords.
pub(super) struct Passwords {
    /// Those that are let in.
    places: Arc<Semaphore>,
    /// Those of them whose turn it is.
    turns: Arc<Semaphore>,
    hashes: Counter<u64>,
    #[cfg(test)]
    pub(super) made: Arc<std::sync::atomic::AtomicUsize>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            hashes: PASSWORD_HASHES.u64_counter(),
            #[cfg(test)]
            made: Arc::default(),
        }
    }
}

impl Passwords {
    /// The hash to keep of a password.
    pub(super) async fn hash(&self, password: String) -> Result<String, AccountError> {
        self.work(move || {
            // Never with these parameters.
            hasher().hash_password(password.as_bytes()).map(|hash| hash.to_string()).unwrap_or_default()
        })
        .await
    }

    /// Whether the password is that of a hash. Where there is none it takes as long, and is not.
    pub(super) async fn check(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<Checked, AccountError> {
        self.work(move || {
            let hash = hash.as_deref().unwrap_or(NOBODYS);
            let is_right = hasher().verify_password(password.as_bytes(), hash).is_ok();
            match (is_right, is_old(hash)) {
                (false, _) => Checked::Wrong,
                (true, false) => Checked::Right,
                (true, true) => Checked::RightAndOld,
            }
        })
        .await
    }

    /// Does the work on a thread that may block, which keeps its place until it is done, whoever still waits for it.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let busy = || AccountError::Busy { retry_after: RETRY };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| busy())?;
        self.hashes.add(1, &[]);
        #[cfg(test)]
        self.made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let held: [OwnedSemaphorePermit; 2] = [place, turn];
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(held);
            done
        });
        working.await.map_err(|_| busy())
    }
}

/// A password that nobody guesses.
pub(super) fn one_time() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; ONE_TIME_BYTES]>())
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMS)
}

fn is_old(hash: &str) -> bool {
    let params = PasswordHash::new(hash).ok().and_then(|hash| Params::try_from(&hash).ok());
    let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    params.is_none_or(|params| cost(&params) != cost(&PARAMS))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let check =
            async |password: &str| passwords.check(password.to_owned(), Some(hash.clone())).await.unwrap();
        assert_eq!(check("correct horse").await, Checked::Right);
        assert_eq!(check("battery staple").await, Checked::Wrong);
    }

    #[tokio::test]
    async fn nobodys_password_is_checked_like_any_other() {
        let hash = PasswordHash::new(NOBODYS).unwrap();
        assert!(!is_old(NOBODYS), "it costs what others cost");
        assert_eq!(hash.hash.unwrap().len(), 32);
        let passwords = Passwords::default();
        assert_eq!(passwords.check("correct horse".to_owned(), None).await.unwrap(), Checked::Wrong);
        assert_eq!(passwords.made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_told() {
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        let hash = cheap.hash_password(b"correct horse").unwrap().to_string();
        let passwords = Passwords::default();
        assert_eq!(
            passwords.check("correct horse".to_owned(), Some(hash)).await.unwrap(),
            Checked::RightAndOld
        );
    }

    #[tokio::test]
    async fn few_passwords_are_hashed_at_once_and_few_wait() {
        let passwords = Passwords::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let mut works: Vec<_> = (0..AT_ONCE + WAITING)
            .map(|_| {
                let wait = Arc::clone(&wait);
                Box::pin(passwords.work(move || wait.lock().unwrap().recv().is_ok()))
            })
            .collect();
        for work in &mut works {
            assert!(futures::poll!(work).is_pending());
        }
        assert_eq!(passwords.made.load(Ordering::SeqCst), AT_ONCE);
        assert!(matches!(passwords.work(|| ()).await, Err(AccountError::Busy { .. })));
        for _ in 0..AT_ONCE + WAITING {
            go.send(()).unwrap();
        }
        assert!(futures::future::join_all(works).await.into_iter().all(Result::unwrap));
        assert!(passwords.work(|| ()).await.is_ok());
    }
}
