//! What the rules of a field accept, and how that is said to a person.

use super::Rules;

impl Rules {
    /// Whether the field's zero value is refused, so that it must be given.
    pub fn refuses_zero(&self) -> bool {
        self.required
            || self.min.is_some_and(|min| min > 0.0)
            || self.min_length.is_some_and(|least| least > 0)
    }

    /// What is accepted, as a person reads it: `1 to 500 movies`.
    pub fn accepted(&self) -> Option<String> {
        let range = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("{min} or more"),
            (None, Some(max)) => format!("{max} or less"),
            (None, None) => return self.length(),
        };
        let unit = self
            .unit
            .as_deref()
            .filter(|unit| *unit != "year")
            .map_or(String::new(), |unit| format!(" {unit}"));
        let step = self.step.map_or(String::new(), |step| format!(" in steps of {step}"));
        Some(format!("{range}{unit}{step}"))
    }

    fn length(&self) -> Option<String> {
        match (self.min_length, self.max_length) {
            (Some(least), Some(most)) => Some(format!("{least} to {most} characters")),
            (Some(least), None) => Some(format!("{least} characters or more")),
            (None, Some(most)) => Some(format!("at most {most} characters")),
            (None, None) => None,
        }
    }

    /// What is wrong with a number, if anything is.
    pub fn fault_of_number(&self, number: f64) -> Option<String> {
        let below = self.min.is_some_and(|min| number < min);
        let above = self.max.is_some_and(|max| number > max);
        let off_step = self.step.is_some_and(|step| (number / step).fract() != 0.0);
        if !(number.is_nan() || below || above || off_step) {
            return None;
        }
        let accepted = self.accepted().unwrap_or_else(|| "a number".to_owned());
        Some(format!("is {number}; {accepted} is accepted"))
    }

    /// What is wrong with a text, if anything is.
    pub fn fault_of_text(&self, text: &str) -> Option<String> {
        let count = text.chars().count();
        let short = self.min_length.is_some_and(|least| count < least as usize);
        let long = self.max_length.is_some_and(|most| count > most as usize);
        let accepted = self.length().filter(|_| short || long)?;
        Some(format!("has {count} characters; {accepted} are accepted"))
    }

    /// What is wrong with the number of elements, if anything is.
    pub(crate) fn fault_of_count(&self, count: usize) -> Option<String> {
        let most = self.max_items.filter(|most| count > *most as usize)?;
        Some(format!("has {count} elements; at most {most} are accepted"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rules;

    fn range(min: f64, max: f64) -> Rules {
        Rules { min: Some(min), max: Some(max), ..Rules::default() }
    }

    #[test]
    fn a_fault_says_what_was_given_and_what_is_accepted() {
        let rules = Rules { unit: Some("movies".into()), ..range(1.0, 500.0) };
        assert_eq!(rules.fault_of_number(501.0).unwrap(), "is 501; 1 to 500 movies is accepted");
        assert_eq!(rules.fault_of_number(500.0), None);
    }

    #[test]
    fn a_number_off_the_grid_is_a_fault() {
        let stars = Rules { step: Some(0.5), ..range(0.5, 5.0) };
        assert!(stars.fault_of_number(4.3).unwrap().contains("in steps of 0.5"));
        assert_eq!(stars.fault_of_number(4.5), None);
    }

    #[test]
    fn nan_is_never_in_range() {
        assert!(range(0.5, 5.0).fault_of_number(f64::NAN).is_some());
    }

    #[test]
    fn the_length_of_a_text_counts_characters_and_not_bytes() {
        let rules = Rules { min_length: Some(1), max_length: Some(3), ..Rules::default() };
        assert_eq!(rules.fault_of_text("äöü"), None);
        assert_eq!(rules.fault_of_text("äöüß").unwrap(), "has 4 characters; 1 to 3 characters are accepted");
    }
}
