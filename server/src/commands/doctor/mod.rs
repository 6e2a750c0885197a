//! `doctor`: looks at all that a server with these settings needs, one line each, and says what to do.
//!
//! It changes nothing but what a start would: an embedded store that was not closed well is brought to order as it is
//! opened. Beside a server that runs it says what that one holds, and does not disturb it.

mod checks;
mod redis;

use std::fmt;

use clap::Args;
use marquee_core::text::printable;
use serde::Serialize;

use super::{Layers, Outcome};
use crate::config::Config;

/// The options of `doctor`.
#[derive(Args)]
pub(super) struct DoctorArgs {
    /// Print the findings as one JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    layers: Layers,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// The server does its work, and somebody should know.
    Warn,
    /// The server does not start, or not with all of it.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// What was found of one thing, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    says: String,
}

impl Finding {
    fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, says: says.into() }
    }

    fn warn(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, says: says.into() }
    }

    fn fail(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, level: Level::Fail, says: says.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:4}  {:12}  {}", self.level, self.check, printable(&self.says))
    }
}

/// Something is so wrong that the server will not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{0} of what a server needs is missing; what to do stands beside each fail")]
struct Unwell(usize);

/// Looks at everything and says it.
pub(super) async fn run(args: DoctorArgs) -> Outcome {
    let findings = examine(&args.layers.resolve()?).await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            println!("{finding}");
        }
    }
    match findings.iter().filter(|finding| finding.level == Level::Fail).count() {
        0 => Ok(()),
        fails => Err(Unwell(fails).into()),
    }
}

async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = checks::exposure(config);
    findings.extend(checks::store(config).await);
    findings.extend(checks::disk(config));
    findings.extend(redis::check(config).await);
    findings.push(checks::clock());
    findings.push(checks::model(config));
    findings.push(checks::runtime());
    findings.extend(checks::ports(config).await);
    findings.extend(checks::certificate(config));
    findings.extend(checks::token_keys(config).await);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_one_object() {
        let finding = Finding::fail("store", "it is\nmissing");
        let line = finding.to_string();
        assert!(line.starts_with("fail  store         it is") && !line.contains('\n'), "{line}");
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(json, serde_json::json!({"check": "store", "level": "fail", "says": "it is\nmissing"}));
    }
}
