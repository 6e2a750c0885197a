//! More calls than the server can answer: what of its capacity is left, and whether answers come in time.
//!
//! The generator is on the same cores, so a call that is refused costs answers at both ends. The part of the
//! processors that the refusals take is taken off what is expected; where the calls are dear and few, it is little.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use marquee_engine::Bundle;
use marquee_loadgen::workload::{Preencoded, Workload};

use super::{Field, Row};
use crate::loops::WARMUP;
use crate::many_nodes::aims::Bound;
use crate::requests::workload;
use crate::served::{Arrivals, Server, Shape};

/// The model whose answers are cheap, from the root of the repository.
const SMALL: &str = "onnx/bundles/movielens-small";
/// Requests that the generator goes round; the server can remember all their vectors.
const REQUESTS: u64 = 2048;
/// Callers that show the capacity.
const CALLERS: u32 = 64;
/// A deadline that no full answer can meet.
const HOPELESS: Duration = Duration::from_millis(1);

/// An overload, and what is to be left.
struct Overload {
    what: &'static str,
    options: &'static [&'static str],
    /// How much more than the capacity is sent.
    times: f64,
    deadline: Duration,
    /// The part that is to be left of the capacity less what the refusals cost.
    goodput: f64,
}

const CHEAP: Overload = Overload {
    what: "cheap calls, 2.5 times the capacity",
    options: &["--vector-cache-mib", "64"],
    times: 2.5,
    deadline: Duration::from_millis(50),
    goodput: 0.7,
};

/// The small model answers so fast that the generator has no processor time for this flood: half of the capacity goes
/// into sending and refusing. It is measured so that what is left is seen.
const CHEAPEST: Overload =
    Overload { what: "the cheapest calls, 1.2 times the capacity", times: 1.2, ..CHEAP };

/// One worker holds the capacity down, so that the generator has the processor time for ten times as many.
const FEW_WORKERS: Overload = Overload {
    what: "calls to one worker, 10 times the capacity",
    options: &["--vector-cache-mib", "0", "--workers", "1"],
    times: 10.0,
    deadline: Duration::from_millis(250),
    goodput: 0.85,
};

const FULL: Overload = Overload {
    what: "full calls, 10 times the capacity",
    options: &["--vector-cache-mib", "0"],
    times: 10.0,
    deadline: Duration::from_millis(250),
    goodput: 0.9,
};

/// Overloads the server with cheap calls on both models, and with calls that cost an encoding on the large one.
///
/// # Errors
/// When a server does not start, or there is no large model and none can be made.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let (small, large) = (PathBuf::from(SMALL), field.measured.folder()?);
    Ok(vec![
        field.row_of(CHEAP.what, CHEAP.run(field, &large).await),
        field.row_of(CHEAPEST.what, CHEAPEST.run(field, &small).await),
        field.row_of(FEW_WORKERS.what, FEW_WORKERS.run(field, &large).await),
        field.row_of(FULL.what, FULL.run(field, &large).await),
    ])
}

impl Overload {
    async fn run(&self, field: &Field, bundle: &Path) -> anyhow::Result<Row> {
        let requests = workload(&Bundle::open(bundle)?, field.seed)?;
        let requests = Arc::new(Workload::Preencoded(Box::new(Preencoded::new(requests, REQUESTS))));
        let server = Server::start(&field.binary, bundle, self.options).await?;
        let calm = Shape {
            arrivals: Arrivals::Callers(CALLERS),
            warmup: WARMUP,
            time: Duration::from_secs(3),
            count: None,
        };
        // Cheap are calls whose vectors are remembered.
        server.drive(&requests, Shape { count: Some(REQUESTS), ..calm }).await?;
        let capacity = server.drive(&requests, calm).await?;
        let flood = |deadline| {
            let rate = self.times * capacity.per_second;
            Shape { arrivals: Arrivals::Open { rate, deadline: Some(deadline) }, ..calm }
        };
        let flooded = server.drive(&requests, flood(self.deadline)).await?;
        let refused = server.drive(&requests, flood(HOPELESS)).await?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let us = refused.rejection_cpu_us().unwrap_or_default();
        let rest = 1.0 - flooded.errors_per_second * us / 1e6 / cores;
        let goodput = flooded.per_second / (capacity.per_second * rest);
        let deadline_ms = self.deadline.as_secs_f64() * 1e3;
        let row = field
            .row(self.what)
            .within(
                "of what refusals leave of the capacity",
                "overload_goodput",
                Bound::AtLeast(self.goodput),
                "",
                Some(goodput),
            )
            .within("p99", "overload_p99_ms", Bound::AtMost(deadline_ms), "ms", Some(flooded.p99_ms));
        Ok(row
            .figure("overload_rejection_us", us)
            .figure("overload_capacity_per_s", capacity.per_second)
            .figure("overload_sent_per_s", flooded.per_second + flooded.errors_per_second)
            .figure("overload_goodput_per_s", flooded.per_second))
    }
}
