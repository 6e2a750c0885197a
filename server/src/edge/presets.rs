//! Named objectives: what requests mean that name one, and do not say it themselves.
//!
//! Written as `NAME:KNOB=VALUE,KNOB=VALUE;NAME:...`, where a knob is a field of `RecommendRequest` and takes what that
//! takes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use marquee_proto::v1;
use marquee_ranking::Knobs;

use super::{ApiError, checked, convert};

/// The preset of requests that name none.
const DEFAULT: &str = "default";

/// Longest name, as the request's field has it.
const MAX_NAME: usize = 100;

/// Objectives by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presets {
    text: String,
    by_name: BTreeMap<String, Knobs>,
    none: Knobs,
}

/// A text that says no presets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no presets")]
pub struct PresetsError;

impl Presets {
    /// What the preset says, that called `default` for an empty name.
    ///
    /// # Errors
    /// [`ApiError`] for a name that none has.
    pub(super) fn of(&self, name: &str) -> Result<&Knobs, ApiError> {
        match self.by_name.get(if name.is_empty() { DEFAULT } else { name }) {
            Some(knobs) => Ok(knobs),
            None if name.is_empty() => Ok(&self.none),
            None => Err(ApiError::invalid("preset", self.known(name))),
        }
    }

    /// What `KNOB=VALUE,KNOB=VALUE` says; `None` for what is not a knob or not its value.
    pub(crate) fn knobs(text: &str) -> Option<Knobs> {
        let subject = Some(v1::recommend_request::Subject::UserId(1));
        let mut request = v1::RecommendRequest { subject, ..Default::default() };
        for knob in text.split(',') {
            let (knob, value) = knob.split_once('=')?;
            set(&mut request, knob.trim(), value.trim())?;
        }
        Some(convert::knobs(&checked(request).ok()?))
    }

    fn known(&self, name: &str) -> String {
        let names: Vec<_> = self.by_name.keys().map(String::as_str).collect();
        match names.as_slice() {
            [] => format!("is {name:?}, and the server has no presets"),
            names => format!("is {name:?}, which is none of the server's: {}", names.join(", ")),
        }
    }
}

impl fmt::Display for Presets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "none" } else { &self.text })
    }
}

impl FromStr for Presets {
    type Err = PresetsError;

    fn from_str(text: &str) -> Result<Self, PresetsError> {
        if text == "none" {
            return Ok(Self::default());
        }
        let mut presets = Self { text: text.to_owned(), ..Self::default() };
        for preset in text.split(';') {
            let (name, knobs) = read(preset).ok_or(PresetsError)?;
            if presets.by_name.insert(name, knobs).is_some() {
                return Err(PresetsError);
            }
        }
        Ok(presets)
    }
}

/// One preset, held to the rules of a request's fields.
fn read(preset: &str) -> Option<(String, Knobs)> {
    let (name, knobs) = preset.split_once(':')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.len() <= MAX_NAME;
    Some((name.to_owned(), Presets::knobs(knobs).filter(|_| is_name)?))
}

/// Sets one knob; `None` for what is not one, is said already, or not its value.
fn set(request: &mut v1::RecommendRequest, knob: &str, value: &str) -> Option<()> {
    let place = match knob {
        "diversity" => &mut request.diversity,
        "calibration" => &mut request.calibration,
        "popularity_weight" => &mut request.popularity_weight,
        "first_events_popularity" => &mut request.first_events_popularity,
        "freshness_weight" => &mut request.freshness_weight,
        "freshness_half_life" => &mut request.freshness_half_life,
        "rating_weight" => &mut request.rating_weight,
        _ => return set_count(request, knob, value),
    };
    place.is_none().then(|| value.parse().ok())?.map(|value| *place = Some(value))
}

fn set_count(request: &mut v1::RecommendRequest, knob: &str, value: &str) -> Option<()> {
    let place = match knob {
        "candidates_limit" => &mut request.candidates_limit,
        "max_per_genre" => &mut request.max_per_genre,
        "new_movie_slots" => &mut request.new_movie_slots,
        _ => return None,
    };
    place.is_none().then(|| value.parse().ok())?.map(|value| *place = Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "default:diversity=0.25,calibration=0.35; new : freshness_weight=1, max_per_genre=5,\
                       new_movie_slots=1";

    #[test]
    fn a_request_without_a_name_takes_the_default_if_there_is_one() {
        let presets: Presets = TWO.parse().unwrap();
        assert_eq!(presets.of("").unwrap().diversity, Some(0.25));
        assert_eq!(presets.of("new").unwrap().max_per_genre, Some(5));
        assert_eq!(presets.of("new").unwrap().new_movie_slots, Some(1));
        assert_eq!(Presets::default().of("").unwrap(), &Knobs::default());
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_there_are() {
        let presets: Presets = TWO.parse().unwrap();
        let refused = presets.of("old").unwrap_err().to_string();
        assert_eq!(refused, "preset is \"old\", which is none of the server's: default, new");
        let refused = Presets::default().of("old").unwrap_err().to_string();
        assert_eq!(refused, "preset is \"old\", and the server has no presets");
    }

    #[test]
    fn presets_are_held_to_the_rules_of_requests() {
        for wrong in [
            "",
            "home",
            "home:",
            ":diversity=1",
            "home:diversity",
            "home:diversity=2",
            "home:diversity=-0.1",
            "home:diversity=NaN",
            "home:k=5",
            "home:max_per_genre=0",
            "home:new_movie_slots=6",
            "home:diversity=0.1,diversity=0.2",
            "a:diversity=1;a:diversity=0",
        ] {
            assert_eq!(wrong.parse::<Presets>(), Err(PresetsError), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [TWO, "none"] {
            let presets: Presets = text.parse().unwrap();
            assert_eq!(presets.to_string().parse::<Presets>().unwrap(), presets);
        }
    }
}
