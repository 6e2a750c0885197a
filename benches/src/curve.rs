//! Costs by size, and how fast they grow: the exponent e of cost = c * size^e.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table};
use marquee_loadgen::plot::{Axis, Kind, Plot, Series};

/// What something costs at several sizes.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Curve {
    /// What it is, unit included.
    pub name: String,
    /// As (size, cost), by ascending size.
    pub points: Vec<(usize, f64)>,
}

impl Curve {
    /// The exponent that fits the points best, by least squares of the logarithms; `None` for fewer than two
    /// sizes. 0 is independent of the size, 1 is in proportion to it.
    pub fn exponent(&self) -> Option<f64> {
        let logarithms: Vec<(f64, f64)> = self
            .points
            .iter()
            .filter(|(size, cost)| *size > 0 && *cost > 0.0)
            .map(|(size, cost)| ((*size as f64).ln(), cost.ln()))
            .collect();
        let count = logarithms.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| logarithms.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
        let square: f64 = logarithms.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let product: f64 = logarithms.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        (square > 0.0).then(|| product / square)
    }
}

/// Curves over one kind of size.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Growth {
    /// What grows.
    pub of: &'static str,
    /// What it costs.
    pub curves: Vec<Curve>,
}

impl Growth {
    /// Nothing measured yet.
    pub fn new(of: &'static str) -> Self {
        Self { of, curves: Vec::new() }
    }

    /// Adds what `name` costs at a size that is above those before.
    pub fn add(&mut self, name: &str, size: usize, cost: f64) {
        let point = (size, cost);
        match self.curves.iter_mut().find(|curve| curve.name == name) {
            Some(curve) => curve.points.push(point),
            None => self.curves.push(Curve { name: name.to_owned(), points: vec![point] }),
        }
    }

    /// One line a curve: its costs, then the exponent.
    pub fn table(&self) -> Table {
        let sizes: BTreeSet<usize> =
            self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.0).collect();
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
        let header = std::iter::once(format!("by {}", self.of)).chain(sizes.iter().map(usize::to_string));
        table.set_header(header.chain(["exponent".to_owned()]));
        for curve in &self.curves {
            let cost = |size: &usize| curve.points.iter().find(|point| point.0 == *size).map(|point| point.1);
            let costs = sizes.iter().map(|size| cost(size).map_or_else(String::new, figure));
            let exponent = curve.exponent().map_or_else(String::new, |exponent| format!("{exponent:.2}"));
            table.add_row(std::iter::once(curve.name.clone()).chain(costs).chain([exponent]));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// The curves on two logarithmic scales, the exponents in the legend.
    pub fn plot(&self) -> Plot {
        let series = self.curves.iter().map(|curve| {
            let name = match curve.exponent() {
                Some(exponent) => format!("{}, exponent {exponent:.2}", curve.name),
                None => curve.name.clone(),
            };
            Series::new(&name, curve.points.iter().map(|(size, cost)| (*size as f64, *cost)))
        });
        Plot {
            title: format!("cost by {}", self.of),
            x: Axis::logarithmic(self.of),
            y: Axis::logarithmic(""),
            kind: Kind::Dots,
            series: series.collect(),
        }
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    let digits = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(cost: impl Fn(f64) -> f64) -> Curve {
        let sizes = [10, 100, 1000];
        Curve { name: "a".into(), points: sizes.map(|size| (size, cost(size as f64))).into() }
    }

    #[test]
    fn the_exponent_of_a_power_is_found() {
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-9;
        assert!(near(curve(|size| 3.0 * size).exponent(), 1.0));
        assert!(near(curve(f64::sqrt).exponent(), 0.5));
        assert!(near(curve(|_| 7.0).exponent(), 0.0));
    }

    #[test]
    fn one_size_has_no_exponent() {
        assert_eq!(Curve { name: "a".into(), points: vec![(10, 1.0)] }.exponent(), None);
    }

    #[test]
    fn figures_have_three_digits_that_count() {
        assert_eq!([0.012_345, 1.234, 123.4, 12_345.0].map(figure), ["0.0123", "1.23", "123", "12345"]);
    }
}
