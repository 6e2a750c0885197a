//! The metrics: what each is called, counts and is labelled with, said once.
//!
//! Every instrument is made from a [`Metric`], and those of a module stand together in
//! [`metrics!`](crate::metrics); clippy refuses an instrument that is made from a meter directly. The page
//! `server/METRICS.md` is held to the same values.
//!
//! Names are `marquee.<area>.<what>`, those of the semantic conventions aside. The unit is the instrument's and
//! no part of its name: Prometheus gets it appended. Instruments belong to the meter provider that is global
//! when they are made.

use std::fmt;

use opentelemetry::metrics::{
    AsyncInstrument, Counter, Gauge, Histogram, Meter, ObservableCounter, ObservableGauge, UpDownCounter,
};
use opentelemetry::{KeyValue, Value, global};

/// Upper bounds of the buckets of durations, from 0.1 ms to 10 s: the smallest lets a cached answer be told from an encoded
/// one.
pub const LATENCY_BUCKETS_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A sum that grows and shrinks.
    UpDownCounter,
    /// A value of now.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub fn prometheus(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter | Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "up-down counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// The values that a label may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelValues {
    /// These.
    OneOf(&'static [&'static str]),
    /// What is described so, such as "the method as `package.Service/Method`".
    Any(&'static str),
}

/// A label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub key: &'static str,
    /// What it may say.
    pub values: LabelValues,
}

impl Label {
    /// A label with a closed set of values.
    pub const fn one_of(key: &'static str, values: &'static [&'static str]) -> Self {
        Self { key, values: LabelValues::OneOf(values) }
    }

    /// A label with values that are described so.
    pub const fn any(key: &'static str, what: &'static str) -> Self {
        Self { key, values: LabelValues::Any(what) }
    }

    /// The label with a value.
    pub fn is(&self, value: impl Into<Value>) -> KeyValue {
        let value = value.into();
        if let LabelValues::OneOf(values) = self.values {
            debug_assert!(values.contains(&&*value.as_str()), "{} is not {value}", self.key);
        }
        KeyValue::new(self.key, value)
    }
}

/// One metric.
///
/// ```
/// use marquee_core::meters::{Label, Metric};
///
/// const CACHE: Label = Label::one_of("cache", &["profile", "vector"]);
///
/// marquee_core::metrics! {
///     pub METRICS;
///     EXPIRED = Metric::counter("marquee.cache.expired", "{entry}", &[CACHE], "Entries that grew too old");
/// }
///
/// EXPIRED.u64_counter().add(1, &[CACHE.is("profile")]);
/// assert_eq!(METRICS[0].prometheus(), "marquee_cache_expired_total");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `marquee.<area>.<what>`, or a name of the semantic conventions.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In UCUM: `s`, `By`, `1` for a ratio, `{call}` for a count of calls, `{call}/s` for their rate.
    pub unit: &'static str,
    /// The labels of its series.
    pub labels: &'static [Label],
    /// What an operator reads from it.
    pub description: &'static str,
}

/// Makes the constructors of the kinds.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $kind:expr;)+) => {
        $($(#[$doc])*
        pub const fn $name(
            name: &'static str,
            unit: &'static str,
            labels: &'static [Label],
            description: &'static str,
        ) -> Self {
            Self { name, kind: $kind, unit, labels, description }
        })+
    };
}

/// Makes the instruments that a caller records with.
macro_rules! instruments {
    ($($(#[$doc:meta])* $name:ident: $instrument:ty, $kind:expr;)+) => {
        $($(#[$doc])*
        pub fn $name(&self) -> $instrument {
            self.meter($kind).$name(self.name).with_unit(self.unit).with_description(self.description).build()
        })+
    };
}

/// Makes the instruments that are read when somebody collects.
macro_rules! observed_instruments {
    ($($(#[$doc:meta])* $name:ident: $instrument:ident<$number:ty>, $kind:expr;)+) => {
        $($(#[$doc])*
        pub fn $name(
            &self,
            read: impl Fn(&dyn AsyncInstrument<$number>) + Send + Sync + 'static,
        ) -> $instrument<$number> {
            let meter = self.meter($kind);
            let builder = meter.$name(self.name).with_unit(self.unit).with_description(self.description);
            builder.with_callback(read).build()
        })+
    };
}

impl Metric {
    constructors! {
        /// Describes a counter.
        counter = Kind::Counter;
        /// Describes a sum that grows and shrinks.
        up_down_counter = Kind::UpDownCounter;
        /// Describes a value of now.
        gauge = Kind::Gauge;
        /// Describes a distribution.
        histogram = Kind::Histogram;
    }

    instruments! {
        /// Counts whole things.
        u64_counter: Counter<u64>, Kind::Counter;
        /// Counts parts, such as seconds.
        f64_counter: Counter<f64>, Kind::Counter;
        /// Counts what comes and goes.
        i64_up_down_counter: UpDownCounter<i64>, Kind::UpDownCounter;
        /// Shows a value.
        u64_gauge: Gauge<u64>, Kind::Gauge;
        /// Shows a value that is no whole number.
        f64_gauge: Gauge<f64>, Kind::Gauge;
    }

    observed_instruments! {
        /// Shows the whole numbers that are read.
        u64_observable_gauge: ObservableGauge<u64>, Kind::Gauge;
        /// Shows the numbers that are read.
        f64_observable_gauge: ObservableGauge<f64>, Kind::Gauge;
        /// Shows the counts that are read.
        u64_observable_counter: ObservableCounter<u64>, Kind::Counter;
        /// Shows the sums of parts, such as seconds, that are read.
        f64_observable_counter: ObservableCounter<f64>, Kind::Counter;
    }

    /// The distribution of whole numbers over these upper bounds.
    pub fn u64_histogram(&self, bounds: &[f64]) -> Histogram<u64> {
        let meter = self.meter(Kind::Histogram);
        let builder = meter.u64_histogram(self.name).with_unit(self.unit);
        builder.with_description(self.description).with_boundaries(bounds.to_vec()).build()
    }

    /// The distribution of numbers over these upper bounds.
    pub fn f64_histogram(&self, bounds: &[f64]) -> Histogram<f64> {
        let meter = self.meter(Kind::Histogram);
        let builder = meter.f64_histogram(self.name).with_unit(self.unit);
        builder.with_description(self.description).with_boundaries(bounds.to_vec()).build()
    }

    /// The distribution of durations, from 0.1 ms to 10 s in the same buckets everywhere, so that those of all areas
    /// compare.
    pub fn seconds(&self) -> Histogram<f64> {
        debug_assert_eq!(self.unit, "s", "{}", self.name);
        self.f64_histogram(&LATENCY_BUCKETS_SECONDS)
    }

    /// Its name in Prometheus text.
    pub fn prometheus(&self) -> String {
        let name = self.name.replace('.', "_");
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            "1" => "_ratio",
            "{call}/s" => "_per_second",
            _ => "",
        };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{name}{unit}{total}")
    }

    #[expect(clippy::disallowed_methods, reason = "this is where instruments are made")]
    fn meter(&self, kind: Kind) -> Meter {
        debug_assert_eq!(self.kind, kind, "{}", self.name);
        global::meter("marquee")
    }
}

/// Defines a module's [metrics](crate::meters::Metric) and, under the name that stands first, the list of all of them.
#[macro_export]
macro_rules! metrics {
    ($visibility:vis $list:ident; $($name:ident = $metric:expr;)+) => {
        $(const $name: $crate::meters::Metric = $metric;)+
        /// All metrics of this module.
        $visibility const $list: &[$crate::meters::Metric] = &[$($name),+];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = Label::one_of("outcome", &["hit", "miss"]);

    #[test]
    fn prometheus_gets_the_unit_and_the_word_total_appended() {
        let busy = Metric::counter("marquee.engine.worker.busy", "s", &[], "");
        assert_eq!(busy.prometheus(), "marquee_engine_worker_busy_seconds_total");
        let open = Metric::up_down_counter("marquee.connections.open", "{connection}", &[], "");
        assert_eq!(open.prometheus(), "marquee_connections_open");
    }

    #[test]
    #[should_panic(expected = "outcome is not perhaps")]
    fn a_value_that_the_label_does_not_name_is_found_by_any_test_that_records_it() {
        let _label = LABEL.is("perhaps");
    }
}
