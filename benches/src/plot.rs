//! Plots on two logarithmic scales, as SVG that needs nothing else.

use std::fmt::{self, Write as _};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 34.0;
/// Room under a panel: its ticks, and a line of legend for each series.
const TICKS: f64 = 38.0;
const LEGEND_LINE: f64 = 16.0;
/// Colours that keep apart for the colour-blind (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f"];

/// A line with a dot at each point; both coordinates are above 0.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// Lines over common axes.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What stands above.
    pub title: String,
    /// What the x axis counts.
    pub x_label: String,
    /// Whether x is a share, to be written in percent.
    pub x_is_share: bool,
    /// The lines.
    pub series: Vec<Series>,
}

/// The panels side by side, as one document.
pub fn svg(panels: &[Panel]) -> String {
    let lines = panels.iter().map(|panel| panel.series.len()).max().unwrap_or_default();
    let width = LEFT + panels.len() as f64 * (WIDTH + LEFT);
    let height = TOP + HEIGHT + TICKS + (lines as f64 + 1.0) * LEGEND_LINE;
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' \
         font-family='sans-serif' font-size='11'>\n<rect width='100%' height='100%' fill='white'/>\n"
    );
    for (nth, panel) in panels.iter().enumerate() {
        let left = LEFT + nth as f64 * (WIDTH + LEFT);
        Drawing { panel, left, x: panel.range(|point| point.0), y: panel.range(|point| point.1) }
            .draw(&mut out)
            .expect("writing to a string does not fail");
    }
    out + "</svg>\n"
}

impl Panel {
    /// The decades that hold all values of a coordinate.
    fn range(&self, of: impl Fn(&(f64, f64)) -> f64) -> Decades {
        let values = || self.series.iter().flat_map(|series| &series.points).map(&of);
        let least = values().fold(f64::INFINITY, f64::min);
        let most = values().fold(f64::MIN_POSITIVE, f64::max);
        let first = least.min(most).log10().floor() as i32;
        Decades { first, last: (most.log10().ceil() as i32).max(first + 1) }
    }
}

/// A range between two powers of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decades {
    first: i32,
    last: i32,
}

impl Decades {
    /// Where a value stands between both ends, 0 to 1.
    fn place(self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|exponent| 10_f64.powi(exponent))
    }
}

struct Drawing<'a> {
    panel: &'a Panel,
    left: f64,
    x: Decades,
    y: Decades,
}

impl Drawing<'_> {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.left + WIDTH * self.x.place(x), TOP + HEIGHT * (1.0 - self.y.place(y)))
    }

    fn draw(&self, out: &mut String) -> fmt::Result {
        let (left, bottom) = (self.left, TOP + HEIGHT);
        writeln!(
            out,
            "<text x='{left}' y='20' font-weight='bold'>{}</text>\
             <rect x='{left}' y='{TOP}' width='{WIDTH}' height='{HEIGHT}' fill='none' stroke='#888'/>",
            self.panel.title
        )?;
        self.axes(out)?;
        writeln!(
            out,
            "<text x='{}' y='{}' text-anchor='middle'>{}</text>",
            left + WIDTH / 2.0,
            bottom + 30.0,
            self.panel.x_label
        )?;
        for (nth, series) in self.panel.series.iter().enumerate() {
            let colour = COLOURS[nth % COLOURS.len()];
            self.line(out, series, colour)?;
            let y = bottom + TICKS + (nth as f64 + 0.7) * LEGEND_LINE;
            writeln!(
                out,
                "<rect x='{left}' y='{}' width='14' height='4' fill='{colour}'/><text x='{}' y='{y}'>{}</text>",
                y - 6.0,
                left + 20.0,
                series.name
            )?;
        }
        Ok(())
    }

    fn axes(&self, out: &mut String) -> fmt::Result {
        let (left, bottom) = (self.left, TOP + HEIGHT);
        for tick in self.y.ticks() {
            let y = TOP + HEIGHT * (1.0 - self.y.place(tick));
            writeln!(
                out,
                "<line x1='{left}' x2='{}' y1='{y:.1}' y2='{y:.1}' stroke='#ddd'/>\
                 <text x='{}' y='{:.1}' text-anchor='end'>{}</text>",
                left + WIDTH,
                left - 5.0,
                y + 4.0,
                short(tick)
            )?;
        }
        for tick in self.x.ticks() {
            let x = left + WIDTH * self.x.place(tick);
            let text = if self.panel.x_is_share { format!("{}%", short(100.0 * tick)) } else { short(tick) };
            writeln!(
                out,
                "<line x1='{x:.1}' x2='{x:.1}' y1='{TOP}' y2='{bottom}' stroke='#ddd'/>\
                 <text x='{x:.1}' y='{}' text-anchor='middle'>{text}</text>",
                bottom + 15.0
            )?;
        }
        Ok(())
    }

    fn line(&self, out: &mut String, series: &Series, colour: &str) -> fmt::Result {
        let points: Vec<(f64, f64)> = series.points.iter().map(|point| self.at(*point)).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        writeln!(
            out,
            "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>",
            path.join(" ")
        )?;
        for (x, y) in points {
            writeln!(out, "<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{colour}'/>")?;
        }
        Ok(())
    }
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

    #[test]
    fn the_scales_hold_all_points() {
        let series = Series { name: "a".into(), points: vec![(1000.0, 0.02), (1_000_000.0, 7.0)] };
        let panel =
            Panel { title: String::new(), x_label: String::new(), x_is_share: false, series: vec![series] };
        assert_eq!(panel.range(|point| point.0), Decades { first: 3, last: 6 });
        assert_eq!(panel.range(|point| point.1), Decades { first: -2, last: 1 });
        let picture = svg(&[panel]);
        assert!(picture.contains(">1M<") && picture.contains(">0.01<"), "{picture}");
    }

    #[test]
    fn a_panel_without_points_is_drawn() {
        let panel =
            Panel { title: String::new(), x_label: String::new(), x_is_share: true, series: Vec::new() };
        assert!(svg(&[panel]).ends_with("</svg>\n"));
    }
}
