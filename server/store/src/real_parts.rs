//! Real servers that tests ask for, whose addresses are in the environment (`deploy/services up` prints them).

use std::io::Write as _;

/// The address in this variable; without one the test says that it is skipped, which under `CI=true` is a failure.
pub(crate) fn address(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok();
    if address.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{variable} is not set in CI");
        // Not `eprintln!`, which the test harness keeps to itself.
        writeln!(std::io::stderr(), "skipped: {variable} is not set; export $(deploy/services up)")
            .expect("standard error is open");
    }
    address
}
