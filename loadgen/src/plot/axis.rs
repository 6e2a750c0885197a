//! Axes: where a value stands between both ends, and what is written along them.

/// An axis of a plot.
#[derive(Clone, Debug)]
pub struct Axis {
    pub(super) label: String,
    scale: Scale,
    /// As (value, text); round numbers when absent.
    ticks: Option<Vec<(f64, String)>>,
    in_percent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Logarithmic,
}

impl Axis {
    /// Equal room for equal differences.
    pub(crate) fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), scale: Scale::Linear, ticks: None, in_percent: false }
    }

    /// Equal room for equal ratios, from one power of ten to another; values are above 0.
    pub fn logarithmic(label: &str) -> Self {
        Self { scale: Scale::Logarithmic, ..Self::linear(label) }
    }

    /// The axis of shares, 0 to 1, that are written in percent.
    #[must_use]
    pub fn in_percent(self) -> Self {
        Self { in_percent: true, ..self }
    }

    /// The axis with these texts at these values, and no others.
    #[must_use]
    pub(crate) fn with_ticks(self, ticks: Vec<(f64, String)>) -> Self {
        Self { ticks: Some(ticks), ..self }
    }

    /// From the smallest value to the largest.
    pub(super) fn across(&self, values: impl Iterator<Item = f64> + Clone) -> Ruler {
        let (low, high) = ends(values);
        match self.scale {
            Scale::Linear => {
                self.ruler(low, if high > low { high } else { low + 1.0 }, &round_ticks(low, high))
            }
            Scale::Logarithmic => self.decades(low, high),
        }
    }

    /// From zero, where the scale has it, to a round number above the largest value.
    pub(super) fn upright(&self, values: impl Iterator<Item = f64> + Clone) -> Ruler {
        let (low, high) = ends(values);
        match self.scale {
            Scale::Linear => {
                let ticks = round_ticks(0.0, high);
                self.ruler(0.0, ticks.last().map_or(high, |last| last.max(high)), &ticks)
            }
            Scale::Logarithmic => self.decades(low, high),
        }
    }

    fn decades(&self, low: f64, high: f64) -> Ruler {
        let first = low.log10().floor() as i32;
        let last = (high.log10().ceil() as i32).max(first + 1);
        let ticks: Vec<f64> = (first..=last).map(|exponent| 10_f64.powi(exponent)).collect();
        self.ruler(f64::from(first), f64::from(last), &ticks)
    }

    fn ruler(&self, first: f64, last: f64, ticks: &[f64]) -> Ruler {
        let text = |tick: f64| match (self.scale, self.in_percent) {
            (_, true) => format!("{}%", short(100.0 * tick)),
            (Scale::Linear, false) => number(tick),
            (Scale::Logarithmic, false) => short(tick),
        };
        let round = || ticks.iter().map(|tick| (*tick, text(*tick))).collect();
        let mut ruler = Ruler { scale: self.scale, first, last, ticks: Vec::new() };
        let ticks = self.ticks.clone().unwrap_or_else(round).into_iter();
        ruler.ticks = ticks
            .map(|(value, text)| (ruler.place(value), text))
            .filter(|(place, _)| (0.0..=1.0).contains(place))
            .collect();
        ruler
    }
}

/// An axis over the values of a plot.
pub(super) struct Ruler {
    scale: Scale,
    /// Both ends, as values of a linear and as exponents of a logarithmic scale.
    first: f64,
    last: f64,
    /// As (place, text).
    pub(super) ticks: Vec<(f64, String)>,
}

impl Ruler {
    /// Where a value stands between both ends, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Logarithmic { value.log10() } else { value };
        (value - self.first) / (self.last - self.first).max(1e-12)
    }
}

/// The smallest and the largest value; 1 and 1 of none.
fn ends(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (low, high) = (values.clone().reduce(f64::min), values.reduce(f64::max));
    (low.unwrap_or(1.0), high.unwrap_or(1.0))
}

/// Four to nine round numbers from at most `low` to at least `high`.
fn round_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low).max(1e-9) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    (first..=last).map(|index| index as f64 * step).collect()
}

/// A number as short as it can be said.
pub(super) fn number(value: f64) -> String {
    let digits = if value.abs() >= 100.0 || value == 0.0 {
        0
    } else if value.abs() >= 1.0 {
        1
    } else {
        (1.0 - value.abs().log10().floor()) as usize
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A power of ten as short as it can be said.
fn short(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", (value / 1e6).round())
    } else if value >= 1e3 {
        format!("{}k", (value / 1e3).round())
    } else {
        format!("{}", (value * 1e9).round() / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ruler: &Ruler) -> Vec<&str> {
        ruler.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(round_ticks(0.0, 9.3), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(number(0.25), "0.25");
        assert_eq!(number(1200.0), "1200");
        assert_eq!(number(2.0), "2");
    }

    #[test]
    fn an_upright_axis_begins_at_zero_and_ends_at_a_round_number() {
        let ruler = Axis::linear("ms").upright([3.0, 9.3].into_iter());
        assert_eq!((ruler.place(0.0), ruler.place(10.0)), (0.0, 1.0));
        assert_eq!(texts(&ruler), ["0", "2", "4", "6", "8", "10"]);
    }

    #[test]
    fn an_axis_across_has_its_ends_at_the_values_and_no_tick_beyond() {
        let ruler = Axis::linear("s").across([1.0, 9.0].into_iter());
        assert_eq!((ruler.place(1.0), ruler.place(9.0)), (0.0, 1.0));
        assert_eq!(texts(&ruler), ["2", "4", "6", "8"]);
    }

    #[test]
    fn a_logarithmic_axis_holds_all_values_between_powers_of_ten() {
        let ruler = Axis::logarithmic("movies").across([1000.0, 300_000.0].into_iter());
        assert_eq!(texts(&ruler), ["1k", "10k", "100k", "1M"]);
        assert_eq!((ruler.place(1000.0), ruler.place(1e6)), (0.0, 1.0));
        let shares = Axis::logarithmic("share").in_percent().upright([0.02, 0.5].into_iter());
        assert_eq!(texts(&shares), ["1%", "10%", "100%"]);
    }

    #[test]
    fn ticks_that_are_given_replace_the_round_ones() {
        let ticks = vec![(0.0, "none".to_owned()), (1.0, "half".to_owned()), (3.0, "beyond".to_owned())];
        let ruler = Axis::linear("").with_ticks(ticks).across([0.0, 2.0].into_iter());
        assert_eq!(ruler.ticks, [(0.0, "none".to_owned()), (0.5, "half".to_owned())]);
    }
}
