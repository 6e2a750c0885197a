//! Callers whom the name on their certificate says: which name has which role is a setting.
//!
//! A connection is let in with a certificate that an authority of the server's has signed; whose it is says its name.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ClaimRoles, Identity, Roles, UnknownRole};

/// A setting that gives a role that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--certificate-roles: {0}")]
pub struct CertificatesError(#[from] UnknownRole);

/// The callers by the names on their certificates.
#[derive(Debug, Default)]
pub struct Certificates(HashMap<String, Arc<Identity>>);

impl Certificates {
    /// Those that have these roles.
    ///
    /// # Errors
    /// [`CertificatesError`] when there is no such role.
    pub fn new(given: &ClaimRoles, roles: &Roles) -> Result<Self, CertificatesError> {
        let mut callers: HashMap<String, Vec<_>> = HashMap::new();
        for (name, role) in given.pairs() {
            callers.entry(name.clone()).or_default().push(Arc::clone(roles.find(role)?));
        }
        let identity = |(name, roles): (String, Vec<_>)| {
            (name.clone(), Arc::new(Identity { name, roles, user_id: None, has_account: false }))
        };
        Ok(Self(callers.into_iter().map(identity).collect()))
    }

    /// Whose certificate has this name.
    pub fn identify(&self, name: &str) -> Option<Arc<Identity>> {
        self.0.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    fn roles() -> Roles {
        ["viewer", "writer"]
            .map(|name| Role { name: name.to_owned(), ..Role::default() })
            .into_iter()
            .collect()
    }

    #[test]
    fn a_name_has_the_roles_that_it_is_given_and_another_one_none() {
        let given = "shop=viewer,shop=writer,page=viewer".parse().unwrap();
        let certificates = Certificates::new(&given, &roles()).unwrap();
        let of = |name: &str| {
            certificates
                .identify(name)
                .map(|it| it.roles.iter().map(|role| role.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(of("shop").unwrap(), ["viewer", "writer"]);
        assert_eq!(of("page").unwrap(), ["viewer"]);
        assert_eq!(of("viewer"), None, "a name is no role");
        assert!(Certificates::new(&ClaimRoles::default(), &roles()).unwrap().identify("shop").is_none());
    }

    #[test]
    fn a_role_that_there_is_not_is_refused() {
        let error = Certificates::new(&"shop=king".parse().unwrap(), &roles()).unwrap_err().to_string();
        assert_eq!(error, "--certificate-roles: \"king\" is no role; the roles are viewer, writer");
    }
}
