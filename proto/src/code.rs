//! gRPC's statuses by the names that its specification gives them.

use tonic::Code;

/// The names by number.
pub const CODE_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a status: `INVALID_ARGUMENT`, where tonic's `Display` has a sentence.
pub const fn code_name(code: Code) -> &'static str {
    CODE_NAMES[code as usize]
}

#[cfg(test)]
mod tests {
    use heck::ToShoutySnakeCase as _;

    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        for number in 0..=16 {
            let code = Code::from_i32(number);
            assert_eq!(code_name(code), format!("{code:?}").to_shouty_snake_case());
        }
    }
}
