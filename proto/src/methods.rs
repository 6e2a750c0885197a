//! The methods of the API, as the protos declare them.
//!
//! ```
//! use marquee_proto::methods::{self, catalog};
//!
//! assert_eq!(catalog::GET_MOVIE.path, "/marquee.v1.CatalogService/GetMovie");
//! assert!(methods::ALL.contains(&catalog::GET_MOVIE));
//! ```

pub use prost_types::method_options::IdempotencyLevel;

pub use crate::v1::Role;

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The path of its calls, such as `/marquee.v1.CatalogService/GetMovie`.
    pub path: &'static str,
    /// Its service, such as `marquee.v1.CatalogService`.
    pub service: &'static str,
    /// Its own name, such as `GetMovie`.
    pub name: &'static str,
    /// Whose messages are a stream.
    pub streaming: Streaming,
    /// Whether a call may change something, and whether two change more than one.
    pub idempotency: IdempotencyLevel,
    /// Who may call it.
    pub access: Access,
}

/// Who may call a method, where the server asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The least role that may.
    pub least: Role,
    /// Whether people may who have signed in, for their own user.
    pub person: bool,
}

/// Whose messages are a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// Nobody's: one request, one reply.
    Neither,
    /// The caller's.
    Requests,
    /// The server's.
    Replies,
    /// The caller's and the server's.
    Both,
}

impl Method {
    /// The method whose calls have this path, if it is one of the API's.
    pub fn of_path(path: &str) -> Option<Self> {
        ALL.into_iter().find(|method| method.path == path)
    }

    /// Whether it changes what is not its caller's alone (movies, rules, models, rights, users as a whole), or deletes
    /// something, of which nothing else is left: what is recorded keeps a record of itself.
    pub fn is_change(self) -> bool {
        let is_others =
            self.idempotency != IdempotencyLevel::NoSideEffects && self.access.least > Role::Writer;
        is_others || self.name.starts_with("Delete")
    }

    /// The method as telemetry names it: `marquee.v1.CatalogService/GetMovie`.
    pub const fn full_name(self) -> &'static str {
        self.path.split_at(1).1
    }
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_what_its_proto_declares() {
        let expected = Method {
            path: "/marquee.v1.RecommendationService/RecommendStream",
            service: "marquee.v1.RecommendationService",
            name: "RecommendStream",
            streaming: Streaming::Both,
            idempotency: IdempotencyLevel::NoSideEffects,
            access: Access { least: Role::Recommender, person: true },
        };
        assert_eq!(recommendation::RECOMMEND_STREAM, expected);
        assert_eq!(catalog::IMPORT_MOVIES.streaming, Streaming::Requests);
        assert_eq!(interaction::WATCH_INTERACTIONS.streaming, Streaming::Replies);
        assert_eq!(user::DELETE_USER.idempotency, IdempotencyLevel::Idempotent);
        assert_eq!(user::DELETE_USER.access, Access { least: Role::Operator, person: false });
        // Repeated after it succeeded, it is NOT_FOUND.
        assert_eq!(operations::UNLOAD_MODEL.idempotency, IdempotencyLevel::IdempotencyUnknown);
    }

    #[test]
    fn a_change_is_what_operators_and_admins_alone_may_do_and_what_deletes() {
        for change in [
            user::DELETE_USER,
            account::DELETE_ACCOUNT,
            interaction::DELETE_INTERACTION,
            access::CREATE_KEY,
            operations::ACTIVATE_MODEL,
            catalog::IMPORT_MOVIES,
            catalog::UPDATE_MOVIES,
            catalog::DELETE_MOVIES,
        ] {
            assert!(change.is_change(), "{}", change.name);
        }
        for other in [
            user::REGISTER_USER,
            access::LIST_KEYS,
            interaction::RECORD_INTERACTION,
            audit::LIST_AUDIT_RECORDS,
            audit::EXPORT_AUDIT_RECORDS,
        ] {
            assert!(!other.is_change(), "{}", other.name);
        }
    }

    #[test]
    fn a_method_is_found_by_its_path() {
        assert_eq!(Method::of_path("/marquee.v1.UserService/GetUser"), Some(user::GET_USER));
        assert_eq!(Method::of_path("/grpc.health.v1.Health/Check"), None);
        assert_eq!(user::GET_USER.full_name(), "marquee.v1.UserService/GetUser");
    }
}
