//! How often somebody may try a password, or an address.
//!
//! Whoever guesses is held back by the network address it guesses from, and all who guess at one account together; but
//! its owner is not locked out by them. From where the owner has signed in before ([`Place::Known`]) the guesses of
//! others do not count, and a session is asked for no password. From elsewhere the owner shares the attempts that
//! strangers have at the account, of which one address can use up a third.

use std::time::Duration;

use crate::shared::limit::Limiter;

/// Passwords that are tried for one account from one network address.
const BY_ACCOUNT_AND_ORIGIN: &str = "20/m";

/// Passwords that are tried for one account from all addresses together from which nobody has signed in to it.
const BY_STRANGERS: &str = "60/m";

/// Attempts to sign in from one network address.
const BY_ORIGIN: &str = "60/m";

/// Accounts that are asked for from one network address.
const SIGN_UPS: &str = "60/h";

/// As the metrics name what is refused.
const SIGN_IN: &str = "marquee.v1.AccountService/SignIn";
const SIGN_UP: &str = "marquee.v1.AccountService/SignUp";

/// Where a password is tried from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The owner of the account has signed in from there.
    Known,
    /// From anywhere else.
    Strange,
}

/// Counts attempts at this node.
pub(super) struct Attempts {
    by_account_and_origin: Limiter,
    by_strangers: Limiter,
    by_session: Limiter,
    by_origin: Limiter,
    sign_ups: Limiter,
}

impl Default for Attempts {
    fn default() -> Self {
        let limiter = |rate: &str| Limiter::new(rate.parse().expect("it is a rate"), None);
        Self {
            by_account_and_origin: limiter(BY_ACCOUNT_AND_ORIGIN),
            by_strangers: limiter(BY_STRANGERS),
            by_session: limiter(BY_ACCOUNT_AND_ORIGIN),
            by_origin: limiter(BY_ORIGIN),
            sign_ups: limiter(SIGN_UPS),
        }
    }
}

impl Attempts {
    /// An attempt to sign in from there.
    pub(super) async fn sign_in(&self, origin: &str) -> Result<(), Duration> {
        self.by_origin.take(origin, SIGN_IN).await.map(drop)
    }

    /// A password for an account from there, by whatever names it; there need not be one.
    pub(super) async fn password(&self, account: &str, origin: &str, place: Place) -> Result<(), Duration> {
        self.by_account_and_origin.take(&format!("{account} {origin}"), SIGN_IN).await?;
        match place {
            Place::Known => Ok(()),
            Place::Strange => self.by_strangers.take(account, SIGN_IN).await.map(drop),
        }
    }

    /// The password of an account, from whoever has signed in to it.
    pub(super) async fn own_password(&self, account: &str) -> Result<(), Duration> {
        self.by_session.take(account, SIGN_IN).await.map(drop)
    }

    /// An account that is asked for from there.
    pub(super) async fn sign_up(&self, origin: &str) -> Result<(), Duration> {
        self.sign_ups.take(origin, SIGN_UP).await.map(drop)
    }
}
