//! Tokens of an identity provider (JWT), signed by the keys of a set (JWKS) that lies in a file or behind a URL.
//!
//! RS256, ES256 and EdDSA alone are taken, each by a key that is of that kind: a token cannot choose how it is checked.
//! Issuer, audience, expiry and `nbf` are checked, and a token has to have all but the last. What was checked once is
//! remembered until it expires or the keys change, since a signature costs more than the rest of a call.
//!
//! Keys are read again from time to time, and when a token names one that is not there, so that the first token after a
//! rotation is taken; seldom, since anybody can name keys that there are not. What cannot be read changes nothing.

mod set;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use marquee_core::domain::{TimeMs, UserId};
use marquee_core::meters::{Label, Metric};
use marquee_core::metrics;
use marquee_core::tls::{TlsError, Trust};
use opentelemetry::metrics::Counter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::set::HeldKey;
use self::source::Reader;
pub use self::source::{KeySource, KeySourceError};
use super::{Identity, Refusal, Roles, UnknownRole};

/// How often a file of keys is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// When keys that could not be read are tried again, and how often at most tokens by unknown keys have them read.
const AGAIN: Duration = Duration::from_secs(10);

/// Tokens that are remembered.
const REMEMBERED: usize = 10_000;

/// Most letters of a caller's name.
const MAX_NAME: usize = 200;

const OUTCOME: Label = Label::one_of("outcome", &["changed", "same", "failed"]);

metrics! {
    pub(crate) METRICS;
    READS = Metric::counter(
        "marquee.access.jwt_key_reads",
        "{read}",
        &[OUTCOME],
        "Times that the keys of tokens were read, by whether they were others, the same, or could not be read, in which \
         case those from before stay",
    );
}

/// What tokens have to be like.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// Where the set of public keys is.
    pub keys: KeySource,
    /// Whose signature counts on the certificate of a URL.
    pub trust: Trust,
    /// How often a URL is asked again.
    pub refresh: Duration,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The `aud` of tokens.
    pub audience: String,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// The claim that gives roles.
    pub role_claim: String,
    /// Which of its values gives which role.
    pub roles: ClaimRoles,
    /// The claim that names the caller's own user, if one does.
    pub user_claim: Option<String>,
}

/// Why tokens cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The settings leave out what tokens are for.
    #[error("--jwt-keys needs --jwt-issuer and --jwt-audience: tokens for others must not be taken")]
    Incomplete,
    /// The file cannot be read.
    #[error(
        "the keys of tokens cannot be read from {0}: {1}; give a JWK set with an RSA, P-256 or Ed25519 key"
    )]
    Keys(KeySource, String),
    /// The authorities cannot be used.
    #[error("{0}; correct --jwt-keys-ca")]
    Authority(#[from] TlsError),
    /// A value gives a role that there is not.
    #[error("--jwt-roles: {0}")]
    UnknownRole(#[from] UnknownRole),
}

/// Which value of a claim gives which role; none for values that are names of roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRoles(Vec<(String, String)>);

/// A text that gives no roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no roles of claims")]
pub struct ClaimRolesError;

impl ClaimRoles {
    /// Whether nothing is given.
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The values, each with a role that it gives.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }

    fn role_of<'a>(&'a self, value: &'a str) -> Option<&'a str> {
        if self.0.is_empty() {
            return Some(value);
        }
        self.0.iter().find(|(of, _)| of == value).map(|(_, role)| role.as_str())
    }
}

impl fmt::Display for ClaimRoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let pairs: Vec<_> = self.0.iter().map(|(value, role)| format!("{value}={role}")).collect();
        f.write_str(&pairs.join(","))
    }
}

impl FromStr for ClaimRoles {
    type Err = ClaimRolesError;

    fn from_str(text: &str) -> Result<Self, ClaimRolesError> {
        if text == "none" {
            return Ok(Self::default());
        }
        let pair = |pair: &str| {
            let (value, role) = pair.trim().split_once('=')?;
            (!value.is_empty() && !role.is_empty()).then(|| (value.to_owned(), role.to_owned()))
        };
        text.split(',').map(pair).collect::<Option<_>>().map(Self).ok_or(ClaimRolesError)
    }
}

/// The keys in force, and what was checked with them.
struct Held {
    text: Vec<u8>,
    keys: Vec<HeldKey>,
    checked: Cache<[u8; 32], Checked>,
}

impl Held {
    /// None, and none that a text says.
    fn nothing() -> Self {
        Self { text: Vec::new(), keys: Vec::new(), checked: Cache::new(REMEMBERED) }
    }

    /// Those of a text.
    fn read(text: Vec<u8>) -> Result<Self, String> {
        Ok(Self { keys: set::read(&text)?, text, ..Self::nothing() })
    }
}

/// A token that was right.
#[derive(Clone)]
struct Checked {
    identity: Arc<Identity>,
    /// From when on it is refused, leeway included.
    end_ms: TimeMs,
}

/// What is known of the last read of the keys.
#[derive(Default)]
struct Asked {
    at: Option<Instant>,
    failed: bool,
}

/// Why a token is not taken.
enum NotTaken {
    /// It is refused.
    Refused(Refusal),
    /// It names a key that is not there.
    UnknownKey,
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotTaken> for Refusal {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Refused(refusal) => refusal,
            NotTaken::UnknownKey => Self::Unknown,
        }
    }
}

/// Recognises callers by their tokens. All methods may be called from many tasks at once.
pub struct Tokens {
    options: TokenOptions,
    roles: Arc<Roles>,
    reader: Reader,
    held: ArcSwap<Held>,
    /// Held while the keys are read.
    asked: Mutex<Asked>,
    reads: Counter<u64>,
}

impl Tokens {
    /// Reads the keys. A URL that does not answer does not keep a server from its start: until it does no token is taken.
    ///
    /// # Errors
    /// [`TokensError`] when a file has none, the authorities cannot be used, or a role is unknown.
    pub async fn open(options: TokenOptions, roles: Arc<Roles>) -> Result<Self, TokensError> {
        for (_, role) in &options.roles.0 {
            roles.find(role)?;
        }
        let reader = Reader::new(options.keys.clone(), &options.trust)?;
        let (held, asked) = (ArcSwap::from_pointee(Held::nothing()), Mutex::default());
        let tokens = Self { options, roles, reader, held, asked, reads: READS.u64_counter() };
        match (tokens.look().await, &tokens.options.keys) {
            (Err(why), KeySource::File(_)) => Err(TokensError::Keys(tokens.options.keys, why)),
            (Ok(()) | Err(_), _) => Ok(tokens),
        }
    }

    /// Who shows this token at this time.
    ///
    /// # Errors
    /// [`Refusal`] for a text that is no token, and one that is not accepted.
    pub async fn identify(self: &Arc<Self>, text: &str, now_ms: TimeMs) -> Result<Arc<Identity>, Refusal> {
        let held = self.held.load_full();
        match self.identify_by(&held, text, now_ms) {
            Err(NotTaken::UnknownKey) if self.others_than(&held).await => {
                Ok(self.identify_by(&self.held.load(), text, now_ms)?)
            }
            answer => Ok(answer?),
        }
    }

    /// Who shows this token, by these keys.
    fn identify_by(&self, held: &Held, text: &str, now_ms: TimeMs) -> Result<Arc<Identity>, NotTaken> {
        let hash: [u8; 32] = Sha256::digest(text).into();
        if let Some(checked) = held.checked.get(&hash) {
            return if now_ms < checked.end_ms { Ok(checked.identity) } else { Err(Refusal::Expired.into()) };
        }
        let claims = self.check(&held.keys, text)?;
        let identity = Arc::new(self.identity(&claims).ok_or(Refusal::Unknown)?);
        let end_ms = end_of(&claims, self.options.leeway);
        held.checked.insert(hash, Checked { identity: Arc::clone(&identity), end_ms });
        Ok(identity)
    }

    /// Takes over another set of keys whenever there is one, until it is aborted.
    pub async fn follow(self: Arc<Self>) {
        let every = match self.options.keys {
            KeySource::File(_) => LOOK_EVERY,
            KeySource::Url(_) => self.options.refresh,
        };
        loop {
            let failed = self.asked.lock().await.failed;
            tokio::time::sleep(if failed { AGAIN.min(every) } else { every }).await;
            _ = self.look().await;
        }
    }

    /// Whether there are other keys than these, which are read anew for that if nobody had them read lately.
    async fn others_than(self: &Arc<Self>, held: &Arc<Held>) -> bool {
        let (tokens, held) = (Arc::clone(self), Arc::clone(held));
        // It is read to its end: whoever goes away in between must not have used up the time for all others.
        let reading = tokio::spawn(async move {
            let mut asked = tokens.asked.lock().await;
            let is_another = || !Arc::ptr_eq(&held, &tokens.held.load());
            if !is_another() && asked.at.is_none_or(|at| at.elapsed() >= AGAIN) {
                _ = tokens.read(&mut asked).await;
            }
            is_another()
        });
        reading.await.unwrap_or(false)
    }

    /// Takes over the keys if they are not those in force.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub(crate) async fn look(&self) -> Result<(), String> {
        self.read(&mut *self.asked.lock().await).await
    }

    async fn read(&self, asked: &mut Asked) -> Result<(), String> {
        asked.at = Some(Instant::now());
        let outcome = self.take_over().await;
        let said = match outcome {
            Ok(true) => "changed",
            Ok(false) => "same",
            Err(_) => "failed",
        };
        self.reads.add(1, &[OUTCOME.is(said)]);
        let failed_before = std::mem::replace(&mut asked.failed, outcome.is_err());
        let keys = &self.options.keys;
        match &outcome {
            Err(error) if failed_before => {
                tracing::debug!(%keys, error, "the keys of tokens stay as they were");
            }
            Err(error) => {
                tracing::warn!(%keys, error, "the keys of tokens cannot be read and stay as they were");
            }
            Ok(true) => tracing::info!(%keys, "other keys of tokens are in force"),
            Ok(false) if failed_before => tracing::info!(%keys, "the keys of tokens can be read again"),
            Ok(false) => {}
        }
        outcome.map(drop)
    }

    /// Whether other keys are in force now.
    async fn take_over(&self) -> Result<bool, String> {
        let text = self.reader.read().await?;
        if text == self.held.load().text {
            return Ok(false);
        }
        self.held.store(Arc::new(Held::read(text)?));
        Ok(true)
    }

    /// The claims of a token that one of these keys signed, and that is for us and for now.
    fn check(&self, keys: &[HeldKey], text: &str) -> Result<Map<String, Value>, NotTaken> {
        let header = decode_header(text).map_err(|_| Refusal::Unreadable)?;
        let mut may_be = keys.iter().filter(|key| key.may_have_signed(&header)).peekable();
        if may_be.peek().is_none() && is_taken(&header) {
            return Err(NotTaken::UnknownKey);
        }
        let mut refusal = Refusal::Unknown;
        for key in may_be {
            match decode(text, &key.key, &self.validation(key.algorithm)) {
                Ok(token) => return Ok(token.claims),
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                    refusal = Refusal::Expired;
                }
                Err(_) => {}
            }
        }
        Err(refusal.into())
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.options.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&[&self.options.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    /// Who the claims say it is; `None` where they name nobody.
    fn identity(&self, claims: &Map<String, Value>) -> Option<Identity> {
        let name = claims.get("sub")?.as_str()?;
        let values = match claims.get(&self.options.role_claim) {
            Some(Value::String(words)) => words.split_whitespace().collect(),
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let roles = values.into_iter().filter_map(|value| self.options.roles.role_of(value));
        let roles = roles.filter_map(|role| self.roles.get(role).cloned()).collect();
        let user_id = self.options.user_claim.as_ref().and_then(|claim| user_of(claims.get(claim)?));
        let is_name = !name.is_empty() && name.chars().count() <= MAX_NAME;
        is_name.then(|| Identity { name: name.to_owned(), roles, user_id, has_account: false })
    }
}

/// The user that a claim names, as a number or in digits.
fn user_of(claim: &Value) -> Option<UserId> {
    let user_id = claim.as_u64().or_else(|| claim.as_str()?.parse().ok())?;
    (user_id > 0).then_some(user_id)
}

fn end_of(claims: &Map<String, Value>, leeway: Duration) -> TimeMs {
    let seconds = claims.get("exp").and_then(Value::as_f64).unwrap_or_default() as TimeMs;
    let leeway = TimeMs::try_from(leeway.as_secs()).unwrap_or(TimeMs::MAX);
    seconds.saturating_add(leeway).saturating_mul(1_000)
}

/// Whether tokens with this header are taken at all, by whichever key.
fn is_taken(header: &Header) -> bool {
    matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA)
}
