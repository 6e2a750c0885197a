//! A map that a file's header and first rows suggest, to begin from.

use std::fmt::Write as _;
use std::path::Path;

use marquee_core::domain::whole_number;

use super::files::files;
use super::records::{Sample, sample};
use crate::import::{ImportError, TimeUnit, Units};

/// Rows that are looked at.
const LOOKED_AT: usize = 100;

/// What a column may be, and the words that its name then has, the surest first.
const USER: &[&str] =
    &["user", "listener", "customer", "viewer", "reader", "member", "account", "person", "who"];
const ITEM: &[&str] = &[
    "item", "movie", "film", "podcast", "show", "book", "isbn", "song", "track", "episode", "product", "sku",
    "content",
];
const TIME: &[&str] = &["timestamp", "time", "date", "when", "_at", "ts"];
const VALUE: &[&str] = &["rating", "stars", "score", "value"];
const TITLE: &[&str] = &["title", "name"];
const GENRES: &[&str] = &["genre", "category", "categories"];

/// Scales that ratings are known to have.
const SCALES: [f64; 3] = [5.0, 10.0, 100.0];

/// The text of a map for what lies at a path.
///
/// # Errors
/// [`ImportError`] when it cannot be read.
pub fn propose(path: &Path, units: &Units) -> Result<String, ImportError> {
    let input = files(path, None)?.swap_remove(0);
    let sample = sample(&input, LOOKED_AT)?;
    let mut taken = Vec::new();
    let mut text = format!("# Proposed by the columns of {}: {}\n", input.name(), sample.columns.join(", "));
    let mut line = |name: &str, value: &str| _ = writeln!(text, "{name} = {}", toml::Value::from(value));
    let time = column(&sample, TIME, &mut taken, |values| times_of(values, units).is_some());
    let value = column(&sample, VALUE, &mut taken, |values| scale_of(values).is_some());
    let title = column(&sample, TITLE, &mut taken, |_| true);
    let genres = column(&sample, GENRES, &mut taken, |_| true);
    let user = column(&sample, USER, &mut taken, |_| true);
    let item = column(&sample, ITEM, &mut taken, |_| true);
    for (name, found) in [("user", user), ("item", item), ("time", time)] {
        let value = found.map_or("", |place| &sample.columns[place]);
        line(name, value);
    }
    if let Some(Times::Counted(unit)) = time.and_then(|place| times_of(&values(&sample, place), units)) {
        line("time_unit", unit.symbol());
    }
    for (name, found) in [("value", value), ("title", title), ("genres", genres)] {
        if let Some(place) = found {
            line(name, &sample.columns[place]);
        }
    }
    if let Some(scale) =
        value.and_then(|place| scale_of(&values(&sample, place))).filter(|scale| *scale > 5.0)
    {
        _ = writeln!(text, "value_scale = {scale}");
    }
    for (name, found) in [("user_ids", user), ("item_ids", item)] {
        if found.is_some_and(|place| {
            values(&sample, place).iter().all(|text| whole_number::<u64>(text).is_some())
        }) {
            _ = writeln!(text, "# {name} = \"number\"  # they look like numbers; as keys they are safe too");
        }
    }
    Ok(text)
}

/// The first column that is not taken, whose name has one of these words and whose values fit.
fn column(
    sample: &Sample,
    words: &[&str],
    taken: &mut Vec<usize>,
    fits: impl Fn(&[&str]) -> bool,
) -> Option<usize> {
    let has = |place: usize, word: &str| sample.columns[place].to_lowercase().contains(word);
    let places = || 0..sample.columns.len();
    let found = words.iter().find_map(|word| {
        places().find(|place| !taken.contains(place) && has(*place, word) && fits(&values(sample, *place)))
    });
    taken.extend(found);
    found
}

/// The values of a column that are there.
fn values(sample: &Sample, place: usize) -> Vec<&str> {
    sample.rows.iter().map(|row| row[place].as_str()).filter(|text| !text.is_empty()).collect()
}

/// How times are written.
#[derive(Clone, Copy)]
enum Times {
    /// As text.
    Written,
    /// As numbers of this unit.
    Counted(TimeUnit),
}

/// How these values are times, if all of them are.
fn times_of(values: &[&str], units: &Units) -> Option<Times> {
    let reads = |time_unit: &TimeUnit| {
        let units = Units { time_unit: *time_unit, ..*units };
        !values.is_empty() && values.iter().all(|text| units.time(text).is_ok())
    };
    let unit = TimeUnit::ALL.into_iter().find(reads)?;
    let are_numbers = values.iter().any(|text| whole_number::<i64>(text).is_some());
    Some(if are_numbers { Times::Counted(unit) } else { Times::Written })
}

/// The scale within which all values are.
fn scale_of(values: &[&str]) -> Option<f64> {
    let numbers: Option<Vec<f64>> = values.iter().map(|text| text.parse().ok()).collect();
    let highest = numbers?.into_iter().reduce(f64::max)?;
    SCALES.into_iter().find(|scale| highest <= *scale)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use marquee_core::clock::EventTimes;

    use super::super::ColumnMap;
    use super::*;

    fn proposed(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plays.csv");
        fs::write(&path, text).unwrap();
        let units = Units::of_movielens(EventTimes::at(1_800_000_000_000, Duration::ZERO));
        propose(&path, &units).unwrap()
    }

    #[test]
    fn a_header_suggests_a_map() {
        let text = proposed(
            "listened_at,listener_id,podcast_slug,show_title,category,rating\n\
             1700000000000,anna,serial,Serial,Crime,8\n1700000001000,bert,radiolab,Radiolab,Science,10\n",
        );
        let map = ColumnMap::parse(&text).unwrap();
        assert_eq!(map.user.as_deref(), Some("listener_id"));
        assert_eq!(map.item.as_deref(), Some("podcast_slug"));
        assert_eq!(map.time.as_deref(), Some("listened_at"));
        assert_eq!(map.unit(), Ok(TimeUnit::Milliseconds));
        assert_eq!((map.title.as_deref(), map.genres.as_deref()), (Some("show_title"), Some("category")));
        assert_eq!((map.value.as_deref(), map.value_scale.map(u32::from)), (Some("rating"), Some(10)));
    }

    #[test]
    fn what_is_not_found_is_left_to_the_person() {
        let text = proposed("a,b\n1,2\n");
        assert!(text.contains("Proposed by the columns") && text.contains("user = \"\""), "{text}");
    }
}
