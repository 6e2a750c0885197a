//! A map that a file's header and first rows suggest, to begin from.

use std::fmt::Write as _;
use std::path::Path;

use marquee_core::domain::whole_number;

use super::files::files;
use super::records::{Sample, sample};
use crate::import::units::decimal;
use crate::import::{ImportError, TimeUnit, Units};

/// Rows that are looked at.
const LOOKED_AT: usize = 100;

/// Files of a folder that are looked at.
const FILES: usize = 50;

/// What a column may be.
struct Role {
    /// The words that its name then has, the surest first.
    words: &'static [&'static str],
    /// Those that it then lacks.
    never: &'static [&'static str],
}

const USER_WORDS: &[&str] =
    &["user", "listener", "customer", "viewer", "reader", "member", "account", "person", "who"];
const USER: Role = Role { words: USER_WORDS, never: &["agent"] };
const ITEM: Role = Role {
    words: &[
        "item", "movie", "film", "podcast", "show", "book", "isbn", "song", "track", "episode", "product",
        "sku", "content",
    ],
    never: USER_WORDS,
};
const TIME: Role = Role {
    words: &["timestamp", "time", "date", "when", "at", "ts"],
    never: &["birth", "release", "duration"],
};
const VALUE: Role = Role { words: &["rating", "stars", "score", "value"], never: &[] };
const TITLE: Role = Role { words: &["title", "name"], never: USER_WORDS };
const GENRES: Role = Role { words: &["genre", "category", "categories"], never: USER_WORDS };

/// The words that say beside a role that a column names one.
const NAMING: &[&str] = &["id", "key", "uuid", "slug", "number", "code"];

/// A word that a longer name may hold anywhere has as many letters.
const LONG: usize = 4;

/// Scales that ratings are known to have.
const SCALES: [f64; 3] = [5.0, 10.0, 100.0];

/// The text of a map for what lies at a path. Of a folder it is for the file with the most that events need.
///
/// # Errors
/// [`ImportError`] when it cannot be read.
pub fn propose(path: &Path, units: &Units) -> Result<String, ImportError> {
    let (mut proposals, mut fault) = (Vec::new(), None);
    for input in files(path, None)?.inputs.into_iter().take(FILES) {
        match sample(&input, LOOKED_AT) {
            Ok(sample) => proposals.push((input, Roles::of(&sample, units), sample)),
            Err(error) => fault = Some(error),
        }
    }
    // What cannot be read is of no importance beside what can.
    if let Some(error) = fault.filter(|_| proposals.is_empty()) {
        return Err(error);
    }
    // Of equal ones the first by name.
    let best =
        (0..proposals.len()).rev().max_by_key(|place| proposals[*place].1.needed()).unwrap_or_default();
    let (input, roles, sample) = &proposals[best];
    let mut text = format!("# Proposed by the columns of {}: {}\n", input.name(), sample.columns.join(", "));
    roles.write(&mut text, sample, units);
    let others = proposals.iter().filter(|(_, _, other)| other.columns != sample.columns);
    let others: Vec<_> = others.map(|(other, _, _)| other.base_name()).collect();
    if !others.is_empty() {
        line(&mut text, "files", &input.base_name());
        _ = writeln!(text, "# of other columns, such as those of [items] may be: {}", others.join(", "));
    }
    Ok(text)
}

/// Which column is what, by their places.
struct Roles {
    user: Option<usize>,
    item: Option<usize>,
    time: Option<usize>,
    value: Option<usize>,
    title: Option<usize>,
    genres: Option<usize>,
}

impl Roles {
    fn of(sample: &Sample, units: &Units) -> Self {
        let mut taken = Vec::new();
        let user = column(sample, &USER, &mut taken, |_| true);
        let time = column(sample, &TIME, &mut taken, |values| times_of(values, units).is_some());
        let value = column(sample, &VALUE, &mut taken, |values| scale_of(values).is_some());
        let title = column(sample, &TITLE, &mut taken, |_| true);
        let genres = column(sample, &GENRES, &mut taken, |_| true);
        let item = column(sample, &ITEM, &mut taken, |_| true);
        Self { user, item, time, value, title, genres }
    }

    /// How much of what events need is there.
    fn needed(&self) -> usize {
        [self.user, self.item, self.time].iter().flatten().count()
    }

    fn write(&self, text: &mut String, sample: &Sample, units: &Units) {
        let Self { user, item, time, value, title, genres } = *self;
        for (name, found) in [("user", user), ("item", item), ("time", time)] {
            line(text, name, found.map_or("", |place| &sample.columns[place]));
        }
        if let Some(Times::Counted(unit)) = time.and_then(|place| times_of(&values(sample, place), units)) {
            line(text, "time_unit", unit.symbol());
        }
        for (name, found) in [("value", value), ("title", title), ("genres", genres)] {
            if let Some(place) = found {
                line(text, name, &sample.columns[place]);
            }
        }
        let scale = value.and_then(|place| scale_of(&values(sample, place)));
        if let Some(scale) = scale.filter(|scale| *scale > 5.0) {
            _ = writeln!(text, "value_scale = {scale}");
        }
        for (name, found) in [("user_ids", user), ("item_ids", item)] {
            if found.is_some_and(|place| are_numbers(&values(sample, place))) {
                _ = writeln!(
                    text,
                    "# {name} = \"number\"  # they look like numbers; as keys they are safe too"
                );
            }
        }
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    _ = writeln!(text, "{name} = {}", toml::Value::from(value));
}

/// The column that is not taken, whose name says the most of the role and whose values fit: one that is named so, with or
/// without a word such as `id`; one that has such a word among others; one that holds it within another word.
fn column(
    sample: &Sample,
    role: &Role,
    taken: &mut Vec<usize>,
    fits: impl Fn(&[&str]) -> bool,
) -> Option<usize> {
    let names: Vec<Vec<String>> = sample.columns.iter().map(|name| words_of(name)).collect();
    let holds = |words: &[String], part: &str| {
        words.iter().any(|word| word == part || (part.len() >= LONG && word.contains(part)))
    };
    let is_open = |place: &usize| {
        !taken.contains(place)
            && !role.never.iter().any(|word| holds(&names[*place], word))
            && fits(&values(sample, *place))
    };
    let open: Vec<usize> = (0..names.len()).filter(is_open).collect();
    let is_named_so = |words: &[String], word: &str| {
        words.iter().any(|it| it == word)
            && words.iter().all(|it| it == word || NAMING.contains(&it.as_str()))
    };
    let has = |words: &[String], word: &str| words.iter().any(|it| it == word);
    let ways: [&Way; 3] = [&is_named_so, &has, &holds];
    let found = ways.iter().find_map(|way| {
        role.words.iter().find_map(|word| open.iter().copied().find(|place| way(&names[*place], word)))
    });
    taken.extend(found);
    found
}

/// Whether the words of a column's name have a word in a certain way.
type Way = dyn Fn(&[String], &str) -> bool;

/// The words of a column's name, in small letters: `listener_id` and `listenerId` have two.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (was_small && letter.is_uppercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
        was_small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The values of a column that are there.
pub(super) fn values(sample: &Sample, place: usize) -> Vec<&str> {
    sample.rows.iter().map(|row| row[place].as_str()).filter(|text| !text.is_empty()).collect()
}

/// How times are written.
#[derive(Clone, Copy)]
pub(super) enum Times {
    /// As text.
    Written,
    /// As numbers of this unit.
    Counted(TimeUnit),
}

/// How these values are times, if all of them are.
pub(super) fn times_of(values: &[&str], units: &Units) -> Option<Times> {
    let reads = |time_unit: &TimeUnit| {
        let units = Units { time_unit: *time_unit, ..*units };
        !values.is_empty() && values.iter().all(|text| units.time(text).is_ok())
    };
    let unit = TimeUnit::ALL.into_iter().find(reads)?;
    let are_numbers = values.iter().any(|text| whole_number::<i64>(text).is_some());
    Some(if are_numbers { Times::Counted(unit) } else { Times::Written })
}

/// Whether there are values and all of them are whole numbers.
pub(super) fn are_numbers(values: &[&str]) -> bool {
    !values.is_empty() && values.iter().all(|text| whole_number::<u64>(text).is_some())
}

/// The scale within which all values are.
pub(super) fn scale_of(values: &[&str]) -> Option<f64> {
    let numbers: Option<Vec<f64>> = values.iter().map(|text| decimal(text)).collect();
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

    /// What a header without rows suggests: user, item and title.
    fn named(header: &str) -> [Option<String>; 3] {
        let map: toml::Table = proposed(&format!("{header}\n")).parse().unwrap();
        let text = |name: &str| {
            map.get(name).and_then(|it| it.as_str()).filter(|it| !it.is_empty()).map(str::to_owned)
        };
        [text("user"), text("item"), text("title")]
    }

    #[test]
    fn a_column_is_chosen_by_the_words_of_its_name() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(named("username,movie_id,watchedAt"), [some("username"), some("movie_id"), None]);
        assert_eq!(named("username,user_id,title,film"), [some("user_id"), some("film"), some("title")]);
        assert_eq!(
            named("user_agent,userId,showName,showId"),
            [some("userId"), some("showId"), some("showName")]
        );
        assert_eq!(named("customer_name,product"), [some("customer_name"), some("product"), None]);
    }

    #[test]
    fn of_a_folder_the_file_with_events_is_chosen_and_the_others_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("README.txt"), "user, item, time\n").unwrap();
        fs::write(folder.path().join("books.csv"), "isbn,title\n1,A\n").unwrap();
        let sales = "customer;isbn;bought_at;stars\nanna;1;2026-01-01;4,5\n";
        fs::write(folder.path().join("sales.csv"), sales).unwrap();
        let units = Units::of_movielens(EventTimes::at(1_800_000_000_000, Duration::ZERO));
        let text = propose(folder.path(), &units).unwrap();
        let map = ColumnMap::parse(&text).unwrap();
        assert_eq!((map.user.as_deref(), map.item.as_deref()), (Some("customer"), Some("isbn")));
        assert_eq!((map.value.as_deref(), map.files.as_deref()), (Some("stars"), Some("sales.csv")));
        assert!(text.contains("books.csv") && !text.contains("README"), "{text}");
    }

    #[test]
    fn what_is_not_found_is_left_to_the_person() {
        let text = proposed("a,b\n1,2\n");
        assert!(text.contains("Proposed by the columns") && text.contains("user = \"\""), "{text}");
    }
}
