//! Logs, traces and metrics.
//!
//! Logs go to standard error, as text on a terminal and as JSON otherwise; only a terminal gets colours,
//! and none where `NO_COLOR` is set. Metrics are OpenTelemetry
//! instruments, read by Prometheus where `--metrics-listen` is set and exported by OTLP, with the
//! traces, where the standard `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

mod exemplars;
mod exposition;
mod lines;
mod metrics;
mod process;
mod samples;

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::sync::Arc;

use marquee_core::meters::Metric;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use exemplars::Exemplars;
pub(crate) use exposition::{is_ready, serve_metrics};
use lines::{PrintableFields, PrintableJson};
pub use metrics::{Protocol, RpcMetrics};
pub(crate) use process::Usage as ProcessUsage;
#[cfg(test)]
pub(crate) use samples::SAMPLED;
pub(crate) use samples::{Calls, Figures, PAST, Samples};

/// The metrics of calls and of the process.
pub(crate) fn metrics() -> impl Iterator<Item = &'static Metric> {
    metrics::METRICS.iter().chain(process::METRICS)
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The OTLP exporter refuses its settings.
    #[error("the OTLP exporter cannot be built: {0}; check the OTEL_* variables")]
    Exporter(String),
    /// The Prometheus reader refuses its settings.
    #[error("the Prometheus reader cannot be built: {0}")]
    Prometheus(String),
    /// The port of the metrics cannot be opened.
    #[error("metrics cannot be served at {address}: {source}; choose another --metrics-listen")]
    Listen {
        /// The address that was asked for.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Everything that must be flushed before the process ends.
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    meter: SdkMeterProvider,
    registry: prometheus::Registry,
    exemplars: Option<Arc<Exemplars>>,
}

impl Telemetry {
    /// Sets up the logs, the meter and, where an OTLP endpoint is named, the exporters. `level` is the least that is
    /// logged unless `RUST_LOG` says otherwise.
    ///
    /// Must be called within a tokio runtime, once a process.
    ///
    /// # Errors
    /// [`TelemetryError`] when an exporter refuses its settings.
    pub fn start(format: LogFormat, level: Level) -> Result<Self, TelemetryError> {
        let otlp = std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some();
        let resource = Resource::builder().with_service_name("marquee-server").build();
        let registry = prometheus::Registry::new();
        let meter = meter_provider(&registry, resource.clone(), otlp)?;
        let tracer = if otlp { Some(tracer_provider(resource)?) } else { None };

        global::set_meter_provider(meter.clone());
        process::observe();
        global::set_text_map_propagator(TraceContextPropagator::new());
        start_logs(format, level, tracer.as_ref());
        let exemplars = tracer.is_some().then(Arc::default);
        Ok(Self { tracer, meter, registry, exemplars })
    }

    /// Where traces of calls are noted for Prometheus; `None` where none are exported.
    pub(crate) fn exemplars(&self) -> Option<Arc<Exemplars>> {
        self.exemplars.clone()
    }

    /// What Prometheus reads.
    pub fn registry(&self) -> prometheus::Registry {
        self.registry.clone()
    }

    /// Sends what is still held back. Blocks for as long as the exporters need.
    pub fn flush(self) {
        if let Some(tracer) = self.tracer
            && let Err(error) = tracer.shutdown()
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
        if let Err(error) = self.meter.shutdown() {
            tracing::warn!(%error, "the last metrics were not exported");
        }
    }
}

fn meter_provider(
    registry: &prometheus::Registry,
    resource: Resource,
    otlp: bool,
) -> Result<SdkMeterProvider, TelemetryError> {
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .map_err(|error| TelemetryError::Prometheus(error.to_string()))?;
    let mut builder = SdkMeterProvider::builder().with_resource(resource).with_reader(reader);
    if otlp {
        let exporter = opentelemetry_otlp::MetricExporter::builder()
            .with_tonic()
            .build()
            .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        builder = builder.with_periodic_exporter(exporter);
    }
    Ok(builder.build())
}

fn tracer_provider(resource: Resource) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()
        .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

fn start_logs(format: LogFormat, level: Level, tracer: Option<&SdkTracerProvider>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter_from(level)));
    let spans =
        tracer.map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("marquee-server")));
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let colours = in_colours(terminal, std::env::var_os("NO_COLOR").as_deref());
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(colours);
    let lines = if json {
        lines.json().with_writer(|| PrintableJson(std::io::stderr())).boxed()
    } else {
        lines.fmt_fields(PrintableFields).with_writer(std::io::stderr).boxed()
    };
    let done = tracing_subscriber::registry().with(filter).with(spans).with(lines).try_init();
    if done.is_err() {
        tracing::debug!("a log subscriber is set already");
    }
}

/// What is logged from a level on. The CQL driver logs each failed attempt as an error; the store says once what it
/// means. ONNX Runtime tells of itself at `INFO`.
fn filter_from(level: Level) -> String {
    format!("{level},ort={},scylla=off", level.min(Level::WARN))
}

/// Whether text is written in colours: on a terminal whose user has not set `NO_COLOR` (no-color.org).
fn in_colours(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_that_of_all_modules_but_the_loud_ones() {
        assert_eq!(filter_from(Level::ERROR), "ERROR,ort=ERROR,scylla=off");
        assert_eq!(filter_from(Level::DEBUG), "DEBUG,ort=WARN,scylla=off");
    }

    #[test]
    fn colours_are_for_terminals_whose_user_wants_them() {
        assert!(in_colours(true, None));
        assert!(in_colours(true, Some(OsStr::new(""))));
        assert!(!in_colours(true, Some(OsStr::new("1"))));
        assert!(!in_colours(false, None));
    }
}
