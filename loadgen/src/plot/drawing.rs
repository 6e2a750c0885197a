//! Axes and lines of one plot, at their places on the page.

use std::fmt::Write as _;

use super::axis::{Axis, Ruler, number};
use super::{Point, escape};

/// Where a plot stands on the page, without what is written around it.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Frame {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// How far the label of the x axis stands below it, and that of the y axis left of it.
const X_LABEL: f64 = 38.0;
const Y_LABEL: f64 = 51.0;

/// A plot that is drawn.
pub(super) struct Drawing {
    frame: Frame,
    x: Ruler,
    y: Ruler,
    out: String,
}

impl Drawing {
    /// Axes that hold all lines.
    pub(super) fn new(frame: Frame, x: &Axis, y: &Axis, lines: &[Vec<Point>]) -> Self {
        let points = || lines.iter().flatten();
        let (across, upright) =
            (x.across(points().map(|point| point.0)), y.upright(points().filter_map(|point| point.1)));
        let mut drawing = Self { frame, x: across, y: upright, out: String::new() };
        drawing.axes(&x.label, &y.label);
        drawing
    }

    /// The elements of SVG.
    pub(super) fn finish(self) -> String {
        self.out
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let Frame { left, width, height, .. } = self.frame;
        (left + width * self.x.place(x), self.frame.bottom() - height * self.y.place(y))
    }

    fn axes(&mut self, x_label: &str, y_label: &str) {
        let Frame { left, top, width, height } = self.frame;
        let (right, bottom) = (self.frame.right(), self.frame.bottom());
        for (place, text) in &self.y.ticks {
            let y = bottom - height * place;
            let _ = write!(
                self.out,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                left - 8.0,
                y + 4.0,
                escape(text)
            );
        }
        for (place, text) in &self.x.ticks {
            let x = left + width * place;
            let _ = write!(
                self.out,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 17.0,
                escape(text)
            );
        }
        let _ = write!(
            self.out,
            "<line class=\"axis\" x1=\"{left}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text class=\"x label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"x label\" transform=\"translate({:.1} {:.1}) rotate(-90)\">{}</text>",
            left + width / 2.0,
            bottom + X_LABEL,
            escape(x_label),
            left - Y_LABEL,
            top + height / 2.0,
            escape(y_label)
        );
    }

    /// A line, broken where points are missing.
    pub(super) fn path(&mut self, line: &[Point], colour: &str) {
        let mut drawing = false;
        let mut places = String::new();
        for (x, y) in line {
            if let Some(y) = y {
                let command = if drawing { 'L' } else { 'M' };
                let (x, y) = self.at(*x, *y);
                let _ = write!(places, "{command}{x:.1} {y:.1}");
            }
            drawing = y.is_some();
        }
        let _ = write!(self.out, "<path class=\"line\" stroke=\"{colour}\" d=\"{places}\"/>");
    }

    /// A dot at each point, which says its values.
    pub(super) fn dots(&mut self, line: &[Point], colour: &str) {
        for (x, y) in line.iter().filter_map(|(x, y)| y.map(|y| (*x, y))) {
            let (left, top) = self.at(x, y);
            let _ = write!(
                self.out,
                "<circle cx=\"{left:.1}\" cy=\"{top:.1}\" r=\"3.5\" fill=\"{colour}\"><title>{}, {}</title></circle>",
                number(x),
                number(y)
            );
        }
    }

    /// The area between a line and the one below it, or the axis.
    pub(super) fn area(&mut self, line: &[Point], below: Option<&[Point]>, colour: &str) {
        let mut places = String::new();
        for (x, y) in line.iter().filter_map(|(x, y)| y.map(|y| (*x, y))) {
            let command = if places.is_empty() { 'M' } else { 'L' };
            let (x, y) = self.at(x, y);
            let _ = write!(places, "{command}{x:.1} {y:.1}");
        }
        for (index, (x, y)) in line.iter().enumerate().rev() {
            if y.is_some() {
                let floor = below.and_then(|below| below[index].1).unwrap_or(0.0);
                let (x, y) = self.at(*x, floor);
                let _ = write!(places, "L{x:.1} {y:.1}");
            }
        }
        let _ = write!(self.out, "<path class=\"area\" fill=\"{colour}\" d=\"{places}Z\"/>");
    }
}
