//! Effects and their intervals, drawn with letters: one scale for all, on which 0 is marked; and how a figure went.

/// An effect and where it may be, as shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    pub(super) estimate: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// What all effects are drawn on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    least: f64,
    most: f64,
    cells: usize,
}

impl Scale {
    /// The scale of this many cells, at least two, that has room for all of these and for 0; `None` of none.
    pub(super) fn of(effects: impl Iterator<Item = Effect>, cells: usize) -> Option<Self> {
        let mut scale = Self { least: 0.0, most: 0.0, cells: cells.max(2) };
        for effect in effects {
            scale.least = scale.least.min(effect.lower);
            scale.most = scale.most.max(effect.upper);
        }
        (scale.most > scale.least).then_some(scale)
    }

    fn place(&self, value: f64) -> usize {
        let share = (value - self.least) / (self.most - self.least);
        (share * (self.cells - 1) as f64).round() as usize
    }

    /// The interval as a line, the estimate as a dot in it.
    pub(super) fn draw(&self, effect: Effect) -> String {
        let (from, to) = (self.place(effect.lower), self.place(effect.upper));
        let (dot, zero) = (self.place(effect.estimate), self.place(0.0));
        let letter = |cell: usize| match cell {
            cell if cell == dot => '●',
            cell if cell == zero => '│',
            cell if (from..=to).contains(&cell) => '─',
            _ => ' ',
        };
        (0..self.cells).map(letter).collect::<String>().trim_end().to_owned()
    }

    /// The line below: what its ends and its 0 are.
    pub(super) fn axis(&self) -> String {
        let zero = self.place(0.0);
        let (least, most) = (percent(self.least), percent(self.most));
        let left = if zero > least.len() { format!("{least:zero$}") } else { " ".repeat(zero) };
        let right = self.cells.saturating_sub(zero + 1);
        let most = if right > most.len() { format!("{most:>right$}") } else { String::new() };
        format!("{left}0{most}").trim_end().to_owned()
    }
}

/// A share as a signed percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:+.1}%", share * 100.0)
}

const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How a figure went, a letter for each value: from the least of them to the greatest.
pub(super) fn sparkline(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let height = |value: &f64| {
        if most <= least {
            return HEIGHTS[HEIGHTS.len() / 2];
        }
        let share = (value - least) / (most - least);
        HEIGHTS[(share * (HEIGHTS.len() - 1) as f64).round() as usize]
    };
    values.iter().map(height).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(lower: f64, estimate: f64, upper: f64) -> Effect {
        Effect { estimate, lower, upper }
    }

    #[test]
    fn an_interval_is_a_line_with_a_dot_on_a_scale_with_0() {
        let effects = [effect(-0.1, 0.0, 0.1), effect(0.05, 0.08, 0.1)];
        let scale = Scale::of(effects.into_iter(), 21).unwrap();
        assert_eq!(scale.draw(effects[0]), "──────────●──────────");
        assert_eq!(scale.draw(effects[1]), "          │    ───●──");
        assert_eq!(scale.axis(), "-10.0%    0    +10.0%");
    }

    #[test]
    fn an_end_of_the_scale_without_room_is_not_named() {
        let effect = effect(0.1, 0.2, 0.3);
        let scale = Scale::of([effect].into_iter(), 11).unwrap();
        assert_eq!((&*scale.draw(effect), &*scale.axis()), ("│  ────●───", "0    +30.0%"));
        assert!(Scale::of(std::iter::empty(), 11).is_none());
    }

    #[test]
    fn a_sparkline_reaches_from_the_least_to_the_greatest() {
        assert_eq!(sparkline(&[0.0, 0.5, 1.0, -1.0]), "▅▆█▁");
        assert_eq!(sparkline(&[0.3]), "▅");
        assert_eq!(sparkline(&[]), "");
    }
}
