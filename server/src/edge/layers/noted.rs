//! What becomes known of a call on its way in, for whoever records the call outside of those who find it out.

use std::sync::{Arc, OnceLock};

use marquee_core::domain::UserId;

use crate::access::Identity;

/// The notes of a call, in the extensions of its request.
#[derive(Clone)]
pub(crate) struct Noted(Arc<Notes>);

struct Notes {
    is_change: bool,
    caller: OnceLock<Arc<Identity>>,
    user_id: OnceLock<UserId>,
}

impl Noted {
    /// Of a call that is recorded whatever becomes of it, or only if it is refused.
    pub(super) fn of(is_change: bool) -> Self {
        Self(Arc::new(Notes { is_change, caller: OnceLock::new(), user_id: OnceLock::new() }))
    }

    /// Whether the call is recorded whatever becomes of it.
    pub(crate) fn is_change(&self) -> bool {
        self.0.is_change
    }

    /// Notes who calls.
    pub(super) fn set_caller(&self, caller: &Arc<Identity>) {
        let _is_first = self.0.caller.set(Arc::clone(caller));
    }

    /// Notes whom a message is about; the first one counts.
    pub(crate) fn set_user(&self, user_id: UserId) {
        let _is_first = self.0.user_id.set(user_id);
    }

    /// Who calls, if that is known.
    pub(super) fn caller(&self) -> Option<&Identity> {
        self.0.caller.get().map(Arc::as_ref)
    }

    /// Whom the call is about.
    pub(super) fn user(&self) -> Option<UserId> {
        self.0.user_id.get().copied()
    }
}
