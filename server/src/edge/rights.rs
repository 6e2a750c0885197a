//! Roles of what the protos declare: those that come with the server, and those of its settings.
//!
//! A role of one's own is written as `NAME:RIGHT,RIGHT;NAME:...`, where a right is a method (`Service/Method`, or
//! `Service/*`), or a condition: `own_user`, `max_k=N`, `model=VERSION`.

use std::fmt;
use std::str::FromStr;

use marquee_proto::methods::{self, Method};
use marquee_proto::{Named, Names, v1};

use crate::access::{Asked, Bounds, Conditions, Role, Roles};

/// The roles that come with the server, least first, but for that of people.
const LADDER: [v1::Role; 5] =
    [v1::Role::Viewer, v1::Role::Recommender, v1::Role::Writer, v1::Role::Operator, v1::Role::Admin];

/// The role of people who have signed in.
pub(crate) const PERSON: &str = "person";

/// Longest name of a role, as the request's field has it.
const MAX_NAME: usize = 100;

/// Roles of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRoles {
    text: String,
    roles: Vec<Role>,
}

/// A text that says no roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no roles")]
pub struct OwnRolesError;

impl OwnRoles {
    /// These and the roles that come with the server.
    pub fn with_built_in(&self) -> Roles {
        built_in().chain(self.roles.iter().cloned()).collect()
    }
}

impl fmt::Display for OwnRoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "none" } else { &self.text })
    }
}

impl FromStr for OwnRoles {
    type Err = OwnRolesError;

    fn from_str(text: &str) -> Result<Self, OwnRolesError> {
        if text == "none" {
            return Ok(Self::default());
        }
        let roles: Vec<Role> = text.split(';').map(read).collect::<Option<_>>().ok_or(OwnRolesError)?;
        let is_taken = |name: &str| built_in().any(|role| role.name == name);
        let twice =
            |(place, role): (usize, &Role)| roles[..place].iter().any(|other| other.name == role.name);
        if roles.iter().any(|role| is_taken(&role.name)) || roles.iter().enumerate().any(twice) {
            return Err(OwnRolesError);
        }
        Ok(Self { text: text.to_owned(), roles })
    }
}

/// The roles that come with the server.
fn built_in() -> impl Iterator<Item = Role> {
    let ladder = LADDER.into_iter().map(|role| {
        let methods = methods::ALL.into_iter().filter(move |method| method.access.least <= role);
        // Who may not ask about users may not name one either.
        let conditions = Conditions { own_user: role == v1::Role::Viewer, ..Conditions::default() };
        Role { name: name_of(role), methods: methods.map(Method::full_name).collect(), conditions }
    });
    let is_peoples = |method: &Method| method.access.person || method.access.least == v1::Role::Anyone;
    let methods = methods::ALL.into_iter().filter(is_peoples);
    let person = Role {
        name: PERSON.to_owned(),
        methods: methods.map(Method::full_name).collect(),
        conditions: Conditions { own_user: true, ..Conditions::default() },
    };
    ladder.chain([person])
}

fn name_of(role: v1::Role) -> String {
    role.as_str_name().trim_start_matches("ROLE_").to_lowercase()
}

/// One role; `None` for what is none.
fn read(text: &str) -> Option<Role> {
    let (name, rights) = text.split_once(':')?;
    let name = name.trim();
    let mut role = Role { name: name.to_owned(), ..Role::default() };
    for right in rights.split(',') {
        grant(&mut role, right.trim())?;
    }
    let is_role = !name.is_empty() && name.len() <= MAX_NAME && !role.methods.is_empty();
    is_role.then_some(role)
}

/// Adds a right to a role; `None` for what is none, or is said already.
fn grant(role: &mut Role, right: &str) -> Option<()> {
    let conditions = &mut role.conditions;
    match right.split_once('=') {
        Some(("max_k", most)) => conditions.max_k.replace(most.parse().ok()?).is_none().then_some(()),
        Some(("model", version)) if !version.is_empty() => {
            conditions.models.push(version.to_owned());
            Some(())
        }
        Some(_) => None,
        None if right == "own_user" => (!std::mem::replace(&mut conditions.own_user, true)).then_some(()),
        None => {
            let methods: Vec<_> = methods_of(right).collect();
            let is_some = !methods.is_empty();
            role.methods.extend(methods);
            is_some.then_some(())
        }
    }
}

/// The methods that `Service/Method` or `Service/*` means.
fn methods_of(right: &str) -> impl Iterator<Item = &'static str> {
    methods::ALL.into_iter().map(Method::full_name).filter(move |name| {
        let name = name.trim_start_matches("marquee.v1.");
        let of_service = right.strip_suffix('*').filter(|service| service.ends_with('/'));
        of_service.map_or(name == right, |service| name.starts_with(service))
    })
}

/// Whether a request stays within bounds.
pub(super) fn is_within(bounds: &Bounds, request: &impl Names) -> bool {
    bounds.hold(|visit| {
        request.names(&mut |named| {
            visit(match named {
                Named::User(user_id) => Asked::User(user_id),
                Named::K(k) => Asked::K(k),
                Named::Model(version) => Asked::Model(version),
            });
        });
    })
}

#[cfg(test)]
mod tests {
    use marquee_proto::methods::{access, catalog, operations, recommendation, user};

    use super::*;

    fn role(roles: &Roles, name: &str) -> Role {
        Role::clone(roles.get(name).unwrap())
    }

    #[test]
    fn each_role_may_what_those_before_it_may() {
        let roles = OwnRoles::default().with_built_in();
        let sets: Vec<_> = LADDER.map(|it| role(&roles, &name_of(it)).methods).into_iter().collect();
        for pair in sets.windows(2) {
            assert!(pair[0].is_subset(&pair[1]) && pair[0].len() < pair[1].len());
        }
        assert_eq!(sets[4].len(), methods::ALL.len());
        for (name, may, may_not) in [
            ("viewer", catalog::GET_MOVIE, recommendation::RECOMMEND),
            ("recommender", user::LIST_HISTORY, user::REGISTER_USER),
            ("writer", user::REGISTER_USER, user::DELETE_USER),
            ("operator", operations::ACTIVATE_MODEL, access::CREATE_KEY),
            ("person", recommendation::GET_HOME_ROWS, recommendation::ENCODE_HISTORY),
        ] {
            let role = role(&roles, name);
            assert!(role.has(may.full_name()) && !role.has(may_not.full_name()), "{name}");
        }
    }

    #[test]
    fn a_role_of_ones_own_has_the_methods_and_bounds_that_it_says() {
        let text = "bot:CatalogService/*,RecommendationService/Recommend,max_k=20,model=a@1,model=a@2; kiosk: RecommendationService/Recommend, own_user";
        let own: OwnRoles = text.parse().unwrap();
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        let roles = own.with_built_in();
        let bot = role(&roles, "bot");
        assert!(
            bot.has(catalog::IMPORT_MOVIES.full_name()) && bot.has(recommendation::RECOMMEND.full_name())
        );
        assert!(!bot.has(recommendation::RECOMMEND_BATCH.full_name()));
        assert_eq!((bot.conditions.max_k, bot.conditions.models.len()), (Some(20), 2));
        assert!(role(&roles, "kiosk").conditions.own_user);
    }

    #[test]
    fn what_is_no_role_is_refused() {
        for wrong in [
            "",
            "bot",
            "bot:",
            ":CatalogService/*",
            "bot:own_user",
            "bot:CatalogService",
            "bot:CatalogService/GetFilm",
            "bot:*",
            "bot:CatalogService/*,max_k=many",
            "bot:CatalogService/*,max_k=1,max_k=2",
            "bot:CatalogService/*,min_k=1",
            "admin:CatalogService/*",
            "person:CatalogService/*",
            "bot:CatalogService/*;bot:UserService/*",
        ] {
            assert_eq!(wrong.parse::<OwnRoles>(), Err(OwnRolesError), "{wrong:?}");
        }
    }
}
