//! Plots as SVG, written by hand: a page with plots must open without a network and without scripts.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 44.0;
/// Colours that keep apart for the colour-blind (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f"];

/// A line of a plot; points that are missing break it.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// How the lines of a plot are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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
pub(super) struct Plot<'a> {
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) kind: Kind,
    pub(super) series: Vec<Series>,
    /// Ticks of the x axis as (place, text); round numbers when absent.
    pub(super) x_ticks: Option<Vec<(f64, String)>>,
}

/// From values to places on the page.
struct Scale {
    x: (f64, f64),
    y_max: f64,
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        let share = (value - self.x.0) / (self.x.1 - self.x.0).max(1e-12);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.y_max.max(1e-12) * (HEIGHT - TOP - BOTTOM)
    }
}

impl Plot<'_> {
    /// The plot as an `<svg>` element, with its legend.
    pub(super) fn svg(&self) -> String {
        let lines = if self.kind == Kind::Stacked { self.stacked() } else { self.plain() };
        let points = || lines.iter().flatten();
        let low = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let high = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let top = points().filter_map(|point| point.1).fold(0.0, f64::max);
        if !low.is_finite() || top <= 0.0 {
            return "<p class=\"none\">nothing to plot</p>".to_owned();
        }
        let y_ticks = round_ticks(0.0, top);
        let y_max = y_ticks.last().copied().unwrap_or(top).max(top);
        let scale = Scale { x: (low, if high > low { high } else { low + 1.0 }), y_max };
        let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
        self.axes(&mut out, &scale, &y_ticks);
        for (index, line) in lines.iter().enumerate().rev() {
            let colour = COLOURS[index % COLOURS.len()];
            match self.kind {
                Kind::Stacked => {
                    let below = index.checked_sub(1).map(|below| lines[below].as_slice());
                    area(&mut out, &scale, line, below, colour);
                }
                Kind::Lines => path(&mut out, &scale, line, colour),
                Kind::Points => dots(&mut out, &scale, line, colour),
                Kind::Dots => {
                    path(&mut out, &scale, line, colour);
                    dots(&mut out, &scale, line, colour);
                }
            }
        }
        out.push_str("</svg>");
        out + &self.legend()
    }

    fn plain(&self) -> Vec<Vec<(f64, Option<f64>)>> {
        self.series.iter().map(|series| series.points.clone()).collect()
    }

    /// Each line raised by those before it.
    fn stacked(&self) -> Vec<Vec<(f64, Option<f64>)>> {
        let mut floor: Vec<f64> = Vec::new();
        self.series
            .iter()
            .map(|series| {
                floor.resize(series.points.len(), 0.0);
                series
                    .points
                    .iter()
                    .zip(&mut floor)
                    .map(|((x, y), floor)| {
                        *floor += y.unwrap_or(0.0);
                        (*x, y.map(|_| *floor))
                    })
                    .collect()
            })
            .collect()
    }

    fn axes(&self, out: &mut String, scale: &Scale, y_ticks: &[f64]) {
        let bottom = HEIGHT - BOTTOM;
        for tick in y_ticks {
            let y = scale.y(*tick);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                number(*tick)
            );
        }
        let round = || {
            let ticks = round_ticks(scale.x.0, scale.x.1).into_iter();
            ticks.map(|tick| (tick, number(tick))).collect()
        };
        let ticks = self.x_ticks.clone().unwrap_or_else(round);
        for (place, text) in ticks.iter().filter(|tick| tick.0 >= scale.x.0 && tick.0 <= scale.x.1) {
            let x = scale.x(*place);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
                bottom + 17.0
            );
        }
        let _ = write!(
            out,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text class=\"x label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"x label\" transform=\"translate(15 {:.1}) rotate(-90)\">{}</text>",
            WIDTH - RIGHT,
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
            HEIGHT - 6.0,
            escape(self.x_label),
            TOP + (bottom - TOP) / 2.0,
            escape(self.y_label)
        );
    }

    fn legend(&self) -> String {
        if self.series.len() < 2 {
            return String::new();
        }
        let mut out = "<p class=\"legend\">".to_owned();
        for (index, series) in self.series.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let _ = write!(out, "<span><i style=\"background:{colour}\"></i>{}</span>", escape(&series.name));
        }
        out + "</p>"
    }
}

fn path(out: &mut String, scale: &Scale, line: &[(f64, Option<f64>)], colour: &str) {
    let mut drawing = false;
    let mut places = String::new();
    for (x, y) in line {
        if let Some(y) = y {
            let command = if drawing { 'L' } else { 'M' };
            let _ = write!(places, "{command}{:.1} {:.1}", scale.x(*x), scale.y(*y));
        }
        drawing = y.is_some();
    }
    let _ = write!(out, "<path class=\"line\" stroke=\"{colour}\" d=\"{places}\"/>");
}

fn dots(out: &mut String, scale: &Scale, line: &[(f64, Option<f64>)], colour: &str) {
    for (x, y) in line {
        if let Some(y) = y {
            let _ = write!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"><title>{}, {}</title></circle>",
                scale.x(*x),
                scale.y(*y),
                number(*x),
                number(*y)
            );
        }
    }
}

/// The area between a line and the one below it, or the axis.
fn area(
    out: &mut String,
    scale: &Scale,
    line: &[(f64, Option<f64>)],
    below: Option<&[(f64, Option<f64>)]>,
    colour: &str,
) {
    let mut places = String::new();
    let mut first = true;
    for (x, y) in line.iter().filter_map(|(x, y)| y.map(|y| (x, y))) {
        let _ = write!(places, "{}{:.1} {:.1}", if first { 'M' } else { 'L' }, scale.x(*x), scale.y(y));
        first = false;
    }
    for (index, (x, y)) in line.iter().enumerate().rev() {
        if y.is_some() {
            let floor = below.and_then(|below| below[index].1).unwrap_or(0.0);
            let _ = write!(places, "L{:.1} {:.1}", scale.x(*x), scale.y(floor));
        }
    }
    let _ = write!(out, "<path class=\"area\" fill=\"{colour}\" d=\"{places}Z\"/>");
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
fn number(value: f64) -> String {
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

/// Text that is safe within HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(kind: Kind) -> String {
        let series = |name: &str, ys: [Option<f64>; 3]| Series {
            name: name.to_owned(),
            points: ys.into_iter().enumerate().map(|(x, y)| (x as f64, y)).collect(),
        };
        let series =
            vec![series("a<b", [Some(1.0), None, Some(3.0)]), series("c", [Some(1.0), Some(2.0), Some(2.0)])];
        Plot { x_label: "s", y_label: "ms", kind, series, x_ticks: None }.svg()
    }

    #[test]
    fn a_missing_point_breaks_the_line() {
        let svg = plot(Kind::Lines);
        let broken = svg.split("<path").last().unwrap();
        assert_eq!(broken.matches('M').count(), 2, "{svg}");
    }

    #[test]
    fn names_are_escaped() {
        assert!(plot(Kind::Lines).contains("a&lt;b"));
    }

    #[test]
    fn stacked_areas_stand_on_one_another() {
        let plot = Plot {
            x_label: "",
            y_label: "",
            kind: Kind::Stacked,
            series: vec![
                Series { name: "a".to_owned(), points: vec![(0.0, Some(1.0))] },
                Series { name: "b".to_owned(), points: vec![(0.0, Some(2.0))] },
            ],
            x_ticks: None,
        };
        assert_eq!(plot.stacked()[1], [(0.0, Some(3.0))]);
    }

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(round_ticks(0.0, 9.3), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(number(0.25), "0.25");
        assert_eq!(number(1200.0), "1200");
        assert_eq!(number(2.0), "2");
    }

    #[test]
    fn a_plot_of_nothing_says_so() {
        let plot = Plot { x_label: "", y_label: "", kind: Kind::Lines, series: vec![], x_ticks: None };
        assert!(plot.svg().contains("nothing to plot"));
    }
}
