//! The stages of a request's time, from the fields of `Timings`.

use crate::v1;

include!(concat!(env!("OUT_DIR"), "/timings.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_are_the_fields_in_their_order() {
        assert_eq!(v1::Timings::STAGES.first(), Some(&"profile"));
        assert_eq!(v1::Timings::STAGES.last(), Some(&"other"));
        let timings = v1::Timings::new(30, std::array::from_fn(|stage| stage as u32));
        assert_eq!((timings.total_us, timings.profile_us, timings.queue_us), (30, 0, 1));
        assert_eq!(timings.stages_us(), std::array::from_fn(|stage| stage as u32));
    }
}
