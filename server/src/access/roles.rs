//! Roles: which methods a caller may call, and within which bounds its requests have to stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use marquee_core::domain::UserId;
use rustc_hash::FxHashSet;

/// What a request asks for that a role may bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// To be about this user.
    User(UserId),
    /// So many movies or users.
    K(u32),
    /// This version of a model; empty for the active one.
    Model(&'a str),
}

/// Bounds of requests; all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// They name no user but the caller's own.
    pub own_user: bool,
    /// They want so many at most.
    pub max_k: Option<u32>,
    /// They name no version of a model but these; the active one is always free. None for any.
    pub models: Vec<String>,
}

impl Conditions {
    /// Whether every request passes.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn allow(&self, own: Option<UserId>, asked: Asked<'_>) -> bool {
        match asked {
            Asked::User(user_id) => !self.own_user || own == Some(user_id),
            Asked::K(k) => self.max_k.is_none_or(|most| k <= most),
            Asked::Model(version) => {
                version.is_empty() || self.models.is_empty() || self.models.iter().any(|it| it == version)
            }
        }
    }
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// The methods that it may call, as `package.Service/Method`.
    pub methods: FxHashSet<&'static str>,
    /// The bounds of its requests.
    pub conditions: Conditions,
}

impl Role {
    /// Whether it may call a method.
    pub fn has(&self, method: &str) -> bool {
        self.methods.contains(method)
    }
}

/// All roles by name.
#[derive(Clone, Debug, Default)]
pub struct Roles(BTreeMap<String, Arc<Role>>);

impl Roles {
    /// The role of a name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Arc<Role>> {
        self.0.get(name)
    }

    /// The role of a name that must be one.
    ///
    /// # Errors
    /// [`UnknownRole`] when it is none.
    pub fn find(&self, name: &str) -> Result<&Arc<Role>, UnknownRole> {
        let unknown = || UnknownRole { name: name.to_owned(), known: self.0.keys().cloned().collect() };
        self.get(name).ok_or_else(unknown)
    }
}

/// A name that no role has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no role; the roles are {}", known.join(", "))]
pub struct UnknownRole {
    /// The name.
    pub name: String,
    /// Those that roles have.
    pub known: Vec<String>,
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().map(|role| (role.name.clone(), Arc::new(role))).collect())
    }
}

/// The bounds of one caller's requests of one method: those of any of its roles.
#[derive(Clone, Debug)]
pub struct Bounds {
    any_of: Arc<[Arc<Role>]>,
    own: Option<UserId>,
}

impl Bounds {
    /// The bounds of these roles, for a caller who owns this user.
    pub(super) fn new(any_of: Vec<Arc<Role>>, own: Option<UserId>) -> Self {
        Self { any_of: any_of.into(), own }
    }

    /// Whether a request stays within them; `asked` hands all that it asks for to the function that it is given.
    pub fn hold(&self, asked: impl Fn(&mut dyn FnMut(Asked<'_>))) -> bool {
        self.any_of.iter().any(|role| {
            let mut holds = true;
            asked(&mut |one| holds &= role.conditions.allow(self.own, one));
            holds
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(conditions: &[Conditions], own: Option<UserId>) -> Bounds {
        let role =
            |conditions: &Conditions| Arc::new(Role { conditions: conditions.clone(), ..Role::default() });
        Bounds::new(conditions.iter().map(role).collect(), own)
    }

    fn hold(bounds: &Bounds, asked: &[Asked<'_>]) -> bool {
        bounds.hold(|visit| asked.iter().for_each(|one| visit(*one)))
    }

    #[test]
    fn own_user_is_no_other_and_without_one_none_at_all() {
        let own_user = [Conditions { own_user: true, ..Conditions::default() }];
        let mine = bounds(&own_user, Some(7));
        assert!(hold(&mine, &[Asked::User(7), Asked::K(500)]));
        assert!(!hold(&mine, &[Asked::User(7), Asked::User(8)]));
        assert!(hold(&bounds(&own_user, None), &[Asked::K(1)]));
        assert!(!hold(&bounds(&own_user, None), &[Asked::User(7)]));
    }

    #[test]
    fn a_request_keeps_all_bounds_of_one_of_the_roles() {
        let few = Conditions { max_k: Some(10), ..Conditions::default() };
        let pinned = Conditions { models: vec!["a@1".to_owned()], max_k: Some(20), ..Conditions::default() };
        let both = bounds(&[few, pinned], None);
        assert!(hold(&both, &[Asked::K(10), Asked::Model("b@1")]));
        assert!(hold(&both, &[Asked::K(20), Asked::Model("a@1")]));
        assert!(hold(&both, &[Asked::K(20), Asked::Model("")]));
        assert!(!hold(&both, &[Asked::K(20), Asked::Model("b@1")]));
        assert!(!hold(&both, &[Asked::K(21)]));
    }
}
