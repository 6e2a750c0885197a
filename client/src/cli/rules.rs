//! The option `(marquee.v1.rules)` of a field: what it accepts, and how that is said.

use prost_reflect::{DynamicMessage, ExtensionDescriptor, FieldDescriptor, Value};

/// The constraints of one field; the same ones that the server checks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rules {
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) step: Option<f64>,
    pub(super) max_items: Option<u32>,
    pub(super) min_length: Option<u32>,
    pub(super) max_length: Option<u32>,
    pub(super) unit: Option<String>,
    pub(super) default_value: Option<String>,
    pub(super) required: bool,
}

impl Rules {
    /// Reads the option of `field`.
    pub(super) fn of(field: &FieldDescriptor, extension: &ExtensionDescriptor) -> Self {
        let options = field.options();
        if !options.has_extension(extension) {
            return Self::default();
        }
        let option = options.get_extension(extension);
        let Some(rules) = option.as_message() else { return Self::default() };
        let number = |name| set_field(rules, name).and_then(|value| value.as_f64());
        let count = |name| set_field(rules, name).and_then(|value| value.as_u32());
        let text = |name| set_field(rules, name).and_then(|value| value.as_str().map(str::to_owned));
        Self {
            min: number("min"),
            max: number("max"),
            step: number("step"),
            max_items: count("max_items"),
            min_length: count("min_length"),
            max_length: count("max_length"),
            unit: text("unit"),
            default_value: text("default_value"),
            required: set_field(rules, "required").and_then(|value| value.as_bool()).unwrap_or(false),
        }
    }

    /// Whether the field's zero value is refused, so that it must be given.
    pub(super) fn refuses_zero(&self) -> bool {
        self.required
            || self.min.is_some_and(|min| min > 0.0)
            || self.min_length.is_some_and(|least| least > 0)
    }

    /// What is accepted, as a person reads it: `1 to 500 movies`.
    pub(super) fn accepted(&self) -> Option<String> {
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
    pub(super) fn fault_of_number(&self, number: f64) -> Option<String> {
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
    pub(super) fn fault_of_text(&self, text: &str) -> Option<String> {
        let count = text.chars().count();
        let short = self.min_length.is_some_and(|least| count < least as usize);
        let long = self.max_length.is_some_and(|most| count > most as usize);
        let accepted = self.length().filter(|_| short || long)?;
        Some(format!("has {count} characters; {accepted} are accepted"))
    }

    /// What is wrong with the number of elements, if anything is.
    pub(super) fn fault_of_count(&self, count: usize) -> Option<String> {
        let most = self.max_items.filter(|most| count > *most as usize)?;
        Some(format!("has {count} elements; at most {most} are accepted"))
    }
}

fn set_field(message: &DynamicMessage, name: &str) -> Option<Value> {
    if !message.has_field_by_name(name) {
        return None;
    }
    message.get_field_by_name(name).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

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
