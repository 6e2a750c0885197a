//! How alike two movies are: by their vectors, and by their genres.

/// Running sums of an inner product; as many as two registers of any machine hold.
const LANES: usize = 16;

/// The inner product of two vectors of one length, in the order of sums that vector registers like.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

/// The Jaccard similarity of two lists without repeats. Two empty ones are alike.
pub fn jaccard(one: &[u32], other: &[u32]) -> f64 {
    let both = one.iter().filter(|genre| other.contains(genre)).count();
    let either = one.len() + other.len() - both;
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_counts_every_number_once() {
        let numbers: Vec<f32> = (0..37_u16).map(f32::from).collect();
        assert!((dot(&numbers, &[1.0; 37]) - 666.0).abs() < 1e-3);
    }
}
