//! Plots as SVG, written by hand: a page or a picture with plots must open without a network and without scripts.
//!
//! ```
//! use marquee_loadgen::plot::{Axis, Kind, Plot, Series, picture};
//!
//! let plot = Plot {
//!     title: "cost by movies".to_owned(),
//!     x: Axis::logarithmic("movies"),
//!     y: Axis::logarithmic(""),
//!     kind: Kind::Dots,
//!     series: vec![Series::new("scan, ms", [(1e3, 0.02), (1e6, 7.0)])],
//! };
//! assert!(picture(&[plot]).starts_with("<svg xmlns="));
//! ```

mod axis;
mod drawing;

use std::fmt::Write as _;

pub use axis::Axis;
use drawing::{Drawing, Frame};

/// The style of all plots, for the page that they stand in.
pub const STYLE: &str = include_str!("style.css");

/// Colours that keep apart for the colour-blind (Okabe and Ito, the last one Tol's wine): one for each stage at least.
const COLOURS: [&str; 9] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f", "#882255"];

/// A plot in a page, as wide as the page.
const PAGE_WIDTH: f64 = 860.0;
const PAGE_HEIGHT: f64 = 300.0;
const PAGE_FRAME: Frame = Frame { left: 66.0, top: 16.0, width: 776.0, height: 240.0 };

/// A plot in a picture: its axes, and what is left and above.
const PANEL_FRAME: Frame = Frame { left: 58.0, top: 34.0, width: 360.0, height: 260.0 };
/// Room under the axes: the ticks and the label, then a line of legend for each series.
const PANEL_LABELS: f64 = 46.0;
const LEGEND_LINE: f64 = 16.0;

/// A point of a line, or where it would be.
type Point = (f64, Option<f64>);

/// A line of a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// From left to right; a point without a height is missing and breaks the line.
    pub points: Vec<Point>,
}

impl Series {
    /// A line through all these points.
    pub fn new(name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().map(|(x, y)| (x, Some(y))).collect();
        Self { name: name.to_owned(), points }
    }
}

/// How the lines of a plot are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines.
    Lines,
    /// Lines with a dot at each point.
    Dots,
    /// Dots alone.
    Points,
    /// Areas, one on top of the other.
    Stacked,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What stands above it in a picture. In a page it is the section's.
    pub title: String,
    /// What lies below.
    pub x: Axis,
    /// What stands at the left.
    pub y: Axis,
    /// How the lines are drawn.
    pub kind: Kind,
    /// The lines.
    pub series: Vec<Series>,
}

impl Plot {
    /// The plot as elements of an HTML page that has the [`STYLE`], with its legend.
    pub fn element(&self) -> String {
        let has_height = |series: &Series| series.points.iter().any(|point| point.1 > Some(0.0));
        if !self.series.iter().any(has_height) {
            return "<p class=\"none\">nothing to plot</p>".to_owned();
        }
        let drawn = self.draw(PAGE_FRAME);
        format!("<svg viewBox=\"0 0 {PAGE_WIDTH} {PAGE_HEIGHT}\" role=\"img\">{drawn}</svg>{}", self.legend())
    }

    fn draw(&self, frame: Frame) -> String {
        let lines = self.lines();
        let mut drawing = Drawing::new(frame, &self.x, &self.y, &lines);
        for (index, line) in lines.iter().enumerate().rev() {
            let colour = colour(index);
            match self.kind {
                Kind::Stacked => {
                    let below = index.checked_sub(1).map(|below| lines[below].as_slice());
                    drawing.area(line, below, colour);
                }
                Kind::Lines => drawing.path(line, colour),
                Kind::Points => drawing.dots(line, colour),
                Kind::Dots => {
                    drawing.path(line, colour);
                    drawing.dots(line, colour);
                }
            }
        }
        drawing.finish()
    }

    /// What is drawn for each series; of stacked ones, raised by those before it.
    fn lines(&self) -> Vec<Vec<Point>> {
        let mut floor: Vec<f64> = Vec::new();
        let raised = |series: &Series| {
            floor.resize(series.points.len(), 0.0);
            let points = series.points.iter().zip(&mut floor);
            points
                .map(|((x, y), floor)| {
                    *floor += y.unwrap_or(0.0);
                    (*x, y.map(|_| *floor))
                })
                .collect()
        };
        match self.kind {
            Kind::Stacked => self.series.iter().map(raised).collect(),
            _ => self.series.iter().map(|series| series.points.clone()).collect(),
        }
    }

    fn legend(&self) -> String {
        if self.series.len() < 2 {
            return String::new();
        }
        let mut out = "<p class=\"legend\">".to_owned();
        for (index, series) in self.series.iter().enumerate() {
            let colour = colour(index);
            let _ = write!(out, "<span><i style=\"background:{colour}\"></i>{}</span>", escape(&series.name));
        }
        out + "</p>"
    }

    /// The plot with its title above and its legend below, as a part of a picture.
    fn panel(&self, frame: Frame) -> String {
        let mut out = format!(
            "<text class=\"title\" x=\"{}\" y=\"{}\">{}</text>",
            frame.left,
            frame.top - 14.0,
            escape(&self.title)
        );
        out.push_str(&self.draw(frame));
        for (index, series) in self.series.iter().enumerate() {
            let y = frame.bottom() + PANEL_LABELS + (index as f64 + 0.7) * LEGEND_LINE;
            let _ = write!(
                out,
                "<rect x=\"{}\" y=\"{:.1}\" width=\"14\" height=\"4\" fill=\"{}\"/><text x=\"{}\" y=\"{y:.1}\">{}</text>",
                frame.left,
                y - 6.0,
                colour(index),
                frame.left + 20.0,
                escape(&series.name)
            );
        }
        out
    }
}

/// The plots side by side, as an SVG document of its own.
pub fn picture(plots: &[Plot]) -> String {
    let Frame { left, width, .. } = PANEL_FRAME;
    let legend = plots.iter().map(|plot| plot.series.len()).max().unwrap_or_default();
    let all_width = left + plots.len() as f64 * (width + left);
    let all_height = PANEL_FRAME.bottom() + PANEL_LABELS + (legend as f64 + 1.0) * LEGEND_LINE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all_width} {all_height}\" \
         width=\"{all_width}\" height=\"{all_height}\">\n<style>{STYLE}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, plot) in plots.iter().enumerate() {
        let frame = Frame { left: left + index as f64 * (width + left), ..PANEL_FRAME };
        out.push_str(&plot.panel(frame));
        out.push('\n');
    }
    out + "</svg>\n"
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

/// Text that is safe within HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(kind: Kind) -> Plot {
        let series = |name: &str, ys: [Option<f64>; 3]| Series {
            name: name.to_owned(),
            points: ys.into_iter().enumerate().map(|(x, y)| (x as f64, y)).collect(),
        };
        let series =
            vec![series("a<b", [Some(1.0), None, Some(3.0)]), series("c", [Some(1.0), Some(2.0), Some(2.0)])];
        Plot { title: String::new(), x: Axis::linear("s"), y: Axis::linear("ms"), kind, series }
    }

    #[test]
    fn a_missing_point_breaks_the_line() {
        let element = plot(Kind::Lines).element();
        let broken = element.split("<path").last().unwrap();
        assert_eq!(broken.matches('M').count(), 2, "{element}");
    }

    #[test]
    fn names_are_escaped() {
        assert!(plot(Kind::Lines).element().contains("a&lt;b"));
        assert!(picture(&[plot(Kind::Lines)]).contains("a&lt;b"));
    }

    #[test]
    fn stacked_areas_stand_on_one_another() {
        let series = vec![Series::new("a", [(0.0, 1.0)]), Series::new("b", [(0.0, 2.0)])];
        let plot = Plot { series, ..plot(Kind::Stacked) };
        assert_eq!(plot.lines()[1], [(0.0, Some(3.0))]);
    }

    #[test]
    fn a_plot_of_nothing_says_so_in_a_page_and_has_its_axes_in_a_picture() {
        let plot = Plot { series: vec![], ..plot(Kind::Lines) };
        assert!(plot.element().contains("nothing to plot"));
        assert!(picture(&[plot]).ends_with("</svg>\n"));
    }

    #[test]
    fn the_plots_of_a_picture_stand_side_by_side() {
        let costs = || Plot {
            x: Axis::logarithmic("movies"),
            y: Axis::logarithmic(""),
            series: vec![Series::new("scan, ms", [(1e3, 0.01), (1e6, 10.0)])],
            ..plot(Kind::Dots)
        };
        let picture = picture(&[costs(), costs()]);
        assert!(picture.contains("viewBox=\"0 0 894 "), "{picture}");
        assert!(picture.contains("d=\"M58.0 294.0L418.0 34.0\""), "{picture}");
        assert!(picture.contains("d=\"M476.0 294.0L836.0 34.0\""), "{picture}");
    }
}
