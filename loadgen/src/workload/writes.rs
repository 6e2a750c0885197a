//! Which calls change what a Marquee server holds: load that writes is asked for, never met by surprise.
//!
//! The protos say it, by `idempotency_level`: whatever is not marked NO_SIDE_EFFECTS counts as a write, so a
//! call that is added to them later does too. Calls of other servers are theirs to judge.

use marquee_proto::methods::{IdempotencyLevel, Method};

/// Whether requests along `path`, such as `/marquee.v1.UserService/DeleteUser`, may change what a Marquee
/// server holds.
pub fn writes(path: &str) -> bool {
    Method::of_path(path).is_some_and(|method| method.idempotency != IdempotencyLevel::NoSideEffects)
}

#[cfg(test)]
mod tests {
    use super::super::Rpc;
    use super::*;

    #[test]
    fn of_the_calls_that_the_generator_knows_the_two_that_record_are_writes() {
        let writing: Vec<&str> =
            Rpc::ALL.into_iter().filter(|rpc| writes(rpc.path())).map(Rpc::name).collect();
        assert_eq!(writing, ["RecordInteraction", "RecordInteractions"]);
    }

    #[test]
    fn what_a_template_may_call_beyond_them_is_judged_too() {
        for path in [
            "/marquee.v1.CatalogService/ImportMovies",
            "/marquee.v1.OperationsService/ActivateModel",
            "/marquee.v1.OperationsService/LoadModel",
            "/marquee.v1.OperationsService/UnloadModel",
            "/marquee.v1.UserService/DeleteUser",
            "/marquee.v1.UserService/RegisterUser",
            "/marquee.v1.UserService/SetPreferences",
        ] {
            assert!(writes(path), "{path}");
        }
        assert!(!writes("/marquee.v1.InteractionService/WatchInteractions"));
    }

    #[test]
    fn calls_of_other_servers_are_not_judged() {
        assert!(!writes("/inference.GRPCInferenceService/ModelInfer"));
        assert!(!writes("/recommend"));
    }
}
