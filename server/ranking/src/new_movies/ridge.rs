//! Systems of equations with a positive matrix, in small steps.
//!
//! A library would be quicker, but not give way while it computes: a second of it, on the thread that idle time is left
//! to, would be a second without it.

/// Does the steps 0, 1, 2, …, in their order; each takes well under a millisecond, or a few where features are many.
pub type InSteps<'a> = &'a dyn Fn(usize, &mut (dyn FnMut(usize) + Send));

/// Solves `matrix * x = right` for each column of `right`, which becomes `x`.
///
/// `matrix` is n x n, symmetric and positive definite, of which the lower triangle is read, and is used up; `right` is
/// n x `width`. Both are row-major.
pub(super) fn solve(matrix: &mut [f64], right: &mut [f64], width: usize, in_steps: InSteps<'_>) {
    let size = right.len().checked_div(width).unwrap_or_default();
    let mut column = vec![0.0; size];
    in_steps(size, &mut |step| eliminate(matrix, right, &mut column, step, width));
    in_steps(size, &mut |step| substitute(matrix, right, size - 1 - step, width));
}

/// Makes the next column of the matrix's Cholesky factor, and takes it off what comes after it on both sides.
fn eliminate(matrix: &mut [f64], right: &mut [f64], column: &mut [f64], step: usize, width: usize) {
    let size = column.len();
    let pivot = matrix[step * size + step].sqrt();
    matrix[step * size + step] = pivot;
    let (done, rest) = right.split_at_mut((step + 1) * width);
    let solved = &mut done[step * width..];
    scale(solved, pivot.recip());
    for (row, right) in (step + 1..).zip(rest.chunks_exact_mut(width)) {
        let factor = matrix[row * size + step] / pivot;
        column[row] = factor;
        add(&mut matrix[row * size + step + 1..=row * size + row], -factor, &column[step + 1..=row]);
        matrix[row * size + step] = factor;
        add(right, -factor, solved);
    }
}

/// Solves for a row, and takes it off those before it.
fn substitute(factor: &[f64], right: &mut [f64], row: usize, width: usize) {
    let size = right.len() / width;
    let (before, rest) = right.split_at_mut(row * width);
    let solved = &mut rest[..width];
    let factors = &factor[row * size..=row * size + row];
    scale(solved, factors[row].recip());
    for (right, factor) in before.chunks_exact_mut(width).zip(factors) {
        add(right, -factor, solved);
    }
}

fn scale(numbers: &mut [f64], factor: f64) {
    for number in numbers {
        *number *= factor;
    }
}

/// Adds a multiple of one vector to another.
pub(super) fn add(to: &mut [f64], factor: f64, numbers: &[f64]) {
    for (sum, number) in to.iter_mut().zip(numbers) {
        *sum += factor * number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_solved_gives_the_right_side_again() {
        let (size, width) = (9, 2);
        let entry = |row: usize, column: usize| {
            let off = 1.0 / (2.0 + row.abs_diff(column) as f64);
            if row == column { 3.0 + row as f64 } else { off }
        };
        let matrix: Vec<f64> = (0..size * size).map(|place| entry(place / size, place % size)).collect();
        let right: Vec<f64> = (0..size * width).map(|place| (place as f64).sin()).collect();
        let mut solved = right.clone();
        let at_once = |steps: usize, step: &mut (dyn FnMut(usize) + Send)| (0..steps).for_each(step);
        solve(&mut matrix.clone(), &mut solved, width, &at_once);
        for (place, expected) in right.iter().enumerate() {
            let (row, column) = (place / width, place % width);
            let product: f64 =
                (0..size).map(|inner| matrix[row * size + inner] * solved[inner * width + column]).sum();
            assert!((product - expected).abs() < 1e-12, "{place}");
        }
    }

    #[test]
    fn of_nothing_nothing_is_solved() {
        solve(&mut [], &mut [], 3, &|steps, step| (0..steps).for_each(step));
        solve(&mut [], &mut [], 0, &|steps, step| (0..steps).for_each(step));
    }
}
