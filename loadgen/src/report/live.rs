//! The view on the terminal while a run goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::drive::Tick;

/// Lines of a plain log are this far apart.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// How the view is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// A line that changes on a terminal, a log line now and then elsewhere.
    Auto,
    /// Nothing.
    None,
}

/// The view of one run.
#[derive(Debug)]
pub struct Live {
    bar: ProgressBar,
    style: Style,
    warmup: Duration,
    last_line: Duration,
}

impl Live {
    /// For a run that lasts `length`, `warmup` included.
    pub fn new(style: Style, warmup: Duration, length: Duration) -> Self {
        let target = match style {
            Style::Auto => ProgressDrawTarget::stderr(),
            Style::None => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(length.as_secs().max(1)), target);
        let template = "{elapsed_precise} {bar:24} {percent:>3}%  {msg}";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self { bar, style, warmup, last_line: Duration::ZERO }
    }

    /// Shows what happened in the last second.
    pub fn show(&mut self, tick: Tick) {
        let phase = if tick.elapsed < self.warmup { "warm-up  " } else { "" };
        let words = format!(
            "{phase}{:>7}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  errors {:>5}  in flight {:>5}",
            tick.answers, tick.p50_ms, tick.p99_ms, tick.errors, tick.in_flight
        );
        self.bar.set_position(tick.elapsed.as_secs());
        if self.bar.is_hidden() {
            if self.style == Style::Auto && tick.elapsed >= self.last_line + PLAIN_EVERY {
                self.last_line = tick.elapsed;
                eprintln!("{:>6.0} s  {words}", tick.elapsed.as_secs_f64());
            }
        } else {
            self.bar.set_message(words);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
