//! Mixed load for a long time: memory, open files and threads must be flat.
//!
//! Callers do the same things again and again, so that nothing has a reason to grow: what is written is written again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use marquee_proto::v1;
use marquee_proto::v1::catalog_service_client::CatalogServiceClient;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use marquee_proto::v1::user_service_client::UserServiceClient;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use super::writers::{Event, connected, import_movies};
use super::{Field, Row};
use crate::many_nodes::aims::Bound;
use crate::process::Process;
use crate::served::Server;

/// Callers at once.
const CALLERS: u64 = 4;
/// Users of each, and events of each user.
const USERS: u64 = 25;
const EVENTS: i64 = 40;
/// Times that the process is looked at.
const LOOKS: u32 = 240;
/// The part of the time that does not count, in which caches fill.
const WARM: f64 = 0.25;
/// How fast each may grow, an hour.
const MEMORY_MIB: f64 = 16.0;
const FILES: f64 = 2.0;
const THREADS: f64 = 1.0;

/// Loads a server for as long as the extent says.
///
/// # Errors
/// When the server does not start.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let server = field.launch(&folder.path().join("store"), &[]).start().await?;
    import_movies(&server).await?;
    let load = Load::start(&server).await?;
    let looks = looked(server.process(), field.extent.soak).await;
    let (calls, failed) = load.end().await?;
    let row = field.row(format!("mixed load of {CALLERS} callers for {:?}", field.extent.soak));
    let row = row.figure("calls", calls as f64).sees(
        "no call fails",
        failed.first().map_or_else(|| format!("{calls} calls"), |first| format!("{}: {first}", failed.len())),
        failed.is_empty(),
    );
    let row = grows(row, "memory", "memory_mib", "MiB", MEMORY_MIB, &looks, |look| look.memory_mib);
    let row = grows(row, "open files", "files", "", FILES, &looks, |look| look.files);
    Ok(vec![grows(row, "threads", "threads", "", THREADS, &looks, |look| look.threads)])
}

/// A look at the process.
#[derive(Clone, Copy, Debug)]
struct Look {
    hours: f64,
    memory_mib: Option<f64>,
    files: Option<f64>,
    threads: Option<f64>,
}

async fn looked(process: Process, time: Duration) -> Vec<Look> {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(time / LOOKS);
    let mut looks = Vec::new();
    while began.elapsed() < time {
        ticks.tick().await;
        looks.push(Look {
            hours: began.elapsed().as_secs_f64() / 3600.0,
            memory_mib: process.resident_mib(),
            files: process.open_files(),
            threads: process.threads(),
        });
    }
    looks
}

/// The row with how fast a figure grows after the warm-up, and where that lies with 95% certainty. It grows too fast when
/// all of that interval is beyond the bound.
fn grows(
    row: Row,
    what: &str,
    name: &str,
    unit: &str,
    most: f64,
    looks: &[Look],
    of: impl Fn(&Look) -> Option<f64>,
) -> Row {
    let end = looks.last().map_or(0.0, |look| look.hours);
    let counted = looks.iter().filter(|look| look.hours >= WARM * end);
    let points: Vec<(f64, f64)> = counted.filter_map(|look| Some((look.hours, of(look)?))).collect();
    let Some(slope) = Slope::of(&points) else {
        return row.sees(format!("{what} are flat"), "not known here", true);
    };
    let last = points.last().map_or(f64::NAN, |(_, value)| *value);
    let name_of = |part: &str| format!("{name}_{part}");
    row.figure(&name_of("last"), last)
        .figure(&name_of("slope_low"), slope.low)
        .figure(&name_of("slope_high"), slope.high)
        .timed(
            &format!(
                "{what} (last {last:.0}) grow by {:.2} an hour, between {:.2} and {:.2}; the least of it",
                slope.value, slope.low, slope.high
            ),
            &name_of("slope"),
            Bound::AtMost(most),
            unit,
            Some(slope.low),
        )
}

/// The slope of a line through points, with 95% certainty between its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slope {
    value: f64,
    low: f64,
    high: f64,
}

impl Slope {
    /// By least squares; `None` of less than three points.
    fn of(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        if points.len() < 3 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let value = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
        let residuals = points.iter().map(|point| (point.1 - y - value * (point.0 - x)).powi(2));
        let half = 1.96 * (residuals.sum::<f64>() / (count - 2.0) / spread).sqrt();
        Some(Self { value, low: value - half, high: value + half })
    }
}

/// The callers, until they are told to end.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<(usize, Vec<String>)>,
}

impl Load {
    async fn start(server: &Server) -> anyhow::Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        for caller in 0..CALLERS {
            let (channel, stop) = (connected(server).await?, Arc::clone(&stop));
            tasks.spawn(async move {
                let (mut calls, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::SeqCst) {
                    let user_id = 1 + caller * USERS + calls as u64 / 4 % USERS;
                    let called = call(&channel, user_id, calls).await;
                    calls += 1;
                    failed.extend(
                        called.err().map(|status| format!("{:?}: {}", status.code(), status.message())),
                    );
                }
                (calls, failed)
            });
        }
        Ok(Self { stop, tasks })
    }

    async fn end(mut self) -> anyhow::Result<(usize, Vec<String>)> {
        self.stop.store(true, Ordering::SeqCst);
        let (mut calls, mut failed) = (0, Vec::new());
        while let Some(caller) = self.tasks.join_next().await {
            let (of_caller, mut its_failures) = caller?;
            calls += of_caller;
            failed.append(&mut its_failures);
        }
        Ok((calls, failed))
    }
}

/// One call of four kinds in turn.
async fn call(channel: &Channel, user_id: u64, turn: usize) -> Result<(), Status> {
    match turn % 4 {
        0 => {
            let event = Event { user_id, number: turn as i64 % EVENTS };
            InteractionServiceClient::new(channel.clone()).record_interaction(event.request()).await?;
        }
        1 => {
            let subject = Some(Subject::UserId(user_id));
            let request = v1::RecommendRequest { subject, ..Default::default() };
            RecommendationServiceClient::new(channel.clone()).recommend(request).await?;
        }
        2 => {
            let request =
                v1::SearchMoviesRequest { query: format!("movie {}", turn % 500), ..Default::default() };
            CatalogServiceClient::new(channel.clone()).search_movies(request).await?;
        }
        _ => {
            let request = v1::ListHistoryRequest { user: Some(user_id.into()), ..Default::default() };
            UserServiceClient::new(channel.clone()).list_history(request).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_has_its_slope_for_certain() {
        let points: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), 5.0 + 2.0 * f64::from(x))).collect();
        let slope = Slope::of(&points).unwrap();
        assert!((slope.value - 2.0).abs() < 1e-9 && slope.high - slope.low < 1e-9, "{slope:?}");
        assert_eq!(Slope::of(&points[..2]), None);
    }

    #[test]
    fn what_shakes_without_a_trend_may_be_flat() {
        let points: Vec<(f64, f64)> = (0..40).map(|x| (f64::from(x), f64::from(x % 2))).collect();
        let slope = Slope::of(&points).unwrap();
        assert!(slope.low < 0.0 && slope.high > 0.0, "{slope:?}");
    }
}
