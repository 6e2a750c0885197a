//! Every unit gives the sums of plain arithmetic over numbers as they were written.

use proptest::prelude::*;

use super::*;
use crate::test_kit::numbers;

/// Whole numbers of `least` to `greatest`, those two among them.
fn whole(seed: u64, count: usize, least: i32, greatest: i32) -> Vec<i32> {
    let middle = (least + greatest) as f32 / 2.0;
    let numbers = numbers(seed, count, (greatest - least) as f32);
    numbers.into_iter().map(|number| ((number + middle).round() as i32).clamp(least, greatest)).collect()
}

/// The units of this machine, with their names.
fn units() -> Vec<(&'static str, Unit)> {
    let mut units = vec![("emulated", Unit::EMULATED)];
    match Unit::detect() {
        Ok(unit) => units.push(("amx", unit)),
        Err(why) => eprintln!("not on this machine: {why}"),
    }
    units
}

/// `rows` rows of `inner` numbers with 64 columns; steps behind them, where there are more, hold what must not count.
fn check(rows: usize, inner: usize, seed: u64) {
    let (a, b) = (whole(seed, rows * inner, -128, 127), whole(seed + 1, inner * COLUMNS, 0, 255));
    let starts = whole(seed + 2, rows, -1_000_000, 1_000_000);
    let mut left = Left::zeros(inner);
    for (row, start) in starts.iter().enumerate() {
        left.write_row(row, *start, a[row * inner..(row + 1) * inner].iter().map(|number| *number as i8));
    }
    let mut right = vec![[Line::filled(0xa5); LINES]; left.steps() + 3];
    for (at, number) in b.iter().enumerate() {
        let (k, column) = (at / COLUMNS, at % COLUMNS);
        let line = &mut right[k / STEP][column / LINE_COLUMNS];
        line.0[column % LINE_COLUMNS * STEP + k % STEP] = *number as u8;
    }
    for (name, unit) in units() {
        let (mut sums, mut calls) = ([[-1; COLUMNS]; ROWS], 0);
        unit.begin().products(&left, &right, &mut sums, || calls += 1);
        assert_eq!(calls, left.products(), "{name}");
        for (row, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                let products =
                    (0..inner).map(|k| a.get(row * inner + k).unwrap_or(&0) * b[k * COLUMNS + column]);
                let expected = starts.get(row).unwrap_or(&0) + products.sum::<i32>();
                assert_eq!(*sum, expected, "{name}, {rows} x {inner}, row {row}, column {column}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_unit_gives_the_sums_of_plain_arithmetic(rows in 0..=ROWS, inner in 1usize..300, seed: u64) {
        check(rows, inner, seed >> 1);
    }
}

#[test]
fn the_greatest_numbers_saturate_nothing() {
    let inner = 65_536;
    for number in [i8::MIN, i8::MAX] {
        let mut left = Left::zeros(inner);
        for row in 0..ROWS {
            left.write_row(row, 0, std::iter::repeat_n(number, inner));
        }
        let right = vec![[Line::filled(255); LINES]; left.steps()];
        for (name, unit) in units() {
            let mut sums = [[0; COLUMNS]; ROWS];
            unit.begin().products(&left, &right, &mut sums, || {});
            assert_eq!(sums, [[i32::from(number) * 255 * inner as i32; COLUMNS]; ROWS], "{name}");
        }
    }
}

#[test]
#[should_panic(expected = "a right side has whole tiles")]
fn a_right_side_that_is_too_short_is_refused() {
    let (left, right) = (Left::zeros(65), vec![[Line::filled(0); LINES]; 17]);
    Unit::EMULATED.begin().products(&left, &right, &mut [[0; COLUMNS]; ROWS], || {});
}
