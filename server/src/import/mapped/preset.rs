//! Maps that need not be written: what lies in the folder of a system that is known says which column is what.
//!
//! The system is the one in Python that Marquee replaces, which keeps collections in `MongoDB`; `mongoexport` writes each as
//! a file of JSON. Its ratings and movies have the names of `MovieLens`; names beside them that are usual are known too, and
//! what is named otherwise a map of one's own says, line by line in the place of what was found.

use std::path::Path;

use toml::{Table, Value};

use super::column_map::ColumnMap;
use super::files::{Input, files};
use super::proposal::{Times, are_numbers, scale_of, times_of, values};
use super::records::{Sample, sample};
use crate::import::{ImportError, Units};

/// Rows that are looked at.
const LOOKED_AT: usize = 100;

/// Collections with events, the surest first.
const EVENTS: [&str; 2] = ["ratings", "interactions"];
/// The collection of movies.
const MOVIES: &str = "movies";

/// What a column is called, the surest first.
const USER: &[&str] = &["userId", "user_id", "user"];
const MOVIE: &[&str] = &["movieId", "movie_id", "movie", "item_id"];
const TIME: &[&str] = &["timestamp", "time", "created_at", "createdAt", "date", "ts"];
const RATING: &[&str] = &["rating", "score", "value"];
const TITLE: &[&str] = &["title", "name"];
const YEAR: &[&str] = &["year", "release_year"];
const GENRES: &[&str] = &["genres", "genre"];

/// The collections of a folder, as an import reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collections {
    /// Which column is what.
    pub map: ColumnMap,
    /// The same as it would be written.
    pub text: String,
    /// Files that are not read: users come with their ratings, and similar movies are found anew.
    pub left_out: Vec<String>,
}

/// Finds the collections in a folder, and what their columns are; what `own`, the text of a map, says goes before.
///
/// # Errors
/// [`ImportError`] when a collection is missing or cannot be read, or a column that is needed has another name.
pub fn collections(path: &Path, units: &Units, own: Option<&str>) -> Result<Collections, ImportError> {
    let inputs = files(path, None)?.inputs;
    let named = |names: &[&str]| {
        let found = names.iter().find_map(|name| inputs.iter().find(|input| collection(input) == *name));
        found.ok_or_else(|| ImportError::NoFiles {
            path: path.to_owned(),
            named: format!("{}.json", names[0]),
        })
    };
    let (events, movies) = (named(&EVENTS)?, named(&[MOVIES])?);
    let own: Table = own.map_or(Ok(Table::new()), ColumnMap::table)?;
    let text = merged(table_of(events, movies, units, &own)?, own).to_string();
    let left_out =
        inputs.iter().filter(|input| *input != events && *input != movies).map(Input::base_name).collect();
    Ok(Collections { map: ColumnMap::parse(&text)?, text, left_out })
}

/// Which collection a file is of: `ratings` of `ratings.json` and of `movie_recommendations.ratings.json`.
fn collection(input: &Input) -> String {
    let name = input.unpacked_name();
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    stem.rsplit('.').next().unwrap_or_default().to_owned()
}

fn table_of(events: &Input, movies: &Input, units: &Units, own: &Table) -> Result<Table, ImportError> {
    let own_items = own.get("items").and_then(Value::as_table);
    let of_events = Found { input: events, sample: sample(events, LOOKED_AT)?, own: Some(own) };
    let of_movies = Found { input: movies, sample: sample(movies, LOOKED_AT)?, own: own_items };
    let mut table = Table::new();
    let (user, time) = (of_events.needed("user", USER)?, of_events.needed("time", TIME)?);
    let item = of_events.needed("item", MOVIE)?;
    if let Some(Times::Counted(unit)) = times_of(&of_events.values(&time), units) {
        table.insert("time_unit".to_owned(), unit.symbol().into());
    }
    for (name, column) in [("user_ids", &user), ("item_ids", &item)] {
        if are_numbers(&of_events.values(column)) {
            table.insert(name.to_owned(), "number".into());
        }
    }
    let value = of_events.column("value", RATING);
    let scale = value.as_deref().and_then(|column| scale_of(&of_events.values(column)));
    table.extend(
        scale.filter(|scale| *scale > 5.0).map(|scale| ("value_scale".to_owned(), Value::from(scale as i64))),
    );
    for (name, column) in [("user", Some(user)), ("item", Some(item)), ("time", Some(time)), ("value", value)]
    {
        table.extend(column.map(|column| (name.to_owned(), Value::from(column))));
    }
    let pattern = |input: &Input| Value::from(glob::Pattern::escape(&input.base_name()));
    table.insert("files".to_owned(), pattern(events));
    let mut items = Table::new();
    items.insert("files".to_owned(), pattern(movies));
    items.insert("item".to_owned(), of_movies.needed("item", MOVIE)?.into());
    for (name, names) in [("title", TITLE), ("year", YEAR), ("genres", GENRES)] {
        items.extend(of_movies.column(name, names).map(|column| (name.to_owned(), Value::from(column))));
    }
    table.insert("items".to_owned(), Value::Table(items));
    Ok(table)
}

/// What is found, with what a person says in its place.
fn merged(mut found: Table, own: Table) -> Table {
    for (name, value) in own {
        match (found.get_mut(&name), value) {
            (Some(Value::Table(items)), Value::Table(own)) => items.extend(own),
            (_, value) => _ = found.insert(name, value),
        }
    }
    found
}

/// The first rows of a collection, and what a person says of its columns.
struct Found<'a> {
    input: &'a Input,
    sample: Sample,
    own: Option<&'a Table>,
}

impl Found<'_> {
    /// The column that is said to be this, or the first of these names that one has.
    fn column(&self, what: &str, names: &[&str]) -> Option<String> {
        let said = self.own.and_then(|own| own.get(what)).and_then(Value::as_str);
        let found = || names.iter().copied().find(|name| self.place(name).is_some());
        said.or_else(found).map(str::to_owned)
    }

    fn needed(&self, what: &str, names: &[&str]) -> Result<String, ImportError> {
        self.column(what, names).ok_or_else(|| ImportError::Column {
            file: self.input.name(),
            missing: names[0].to_owned(),
            found: self.sample.columns.join(", "),
        })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.sample.columns.iter().position(|column| column == name)
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.place(name).map(|place| values(&self.sample, place)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use marquee_core::clock::EventTimes;
    use marquee_core::domain::Rating;

    use super::*;
    use crate::import::mapped::look::look;
    use crate::import::mapped::{IdKind, Look};

    const MOVIES_OF_EXPORT: &str = "{\"_id\":{\"$oid\":\"65a0\"},\"movieId\":1,\"title\":\"Toy Story (1995)\",\
        \"genres\":\"Adventure|Comedy\",\"year\":1995.0}\n\
        {\"_id\":{\"$oid\":\"65a1\"},\"movieId\":6,\"title\":\"Heat\",\"genres\":[\"Crime\"],\"year\":{\"$numberInt\":\"1995\"}}\n";

    fn units() -> Units {
        Units::of_movielens(EventTimes::at(1_800_000_000_000, Duration::ZERO))
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn looked(folder: &tempfile::TempDir, map: &ColumnMap) -> Look {
        look(folder.path(), map, units()).unwrap()
    }

    #[test]
    fn collections_as_mongoexport_writes_them_need_no_map() {
        let ratings = "{\"_id\":{\"$oid\":\"65b0\"},\"userId\":7,\"movieId\":1,\"rating\":4.5,\"timestamp\":964982703}\n\
            {\"_id\":{\"$oid\":\"65b1\"},\"userId\":{\"$numberLong\":\"8\"},\"movieId\":{\"$numberInt\":\"6\"},\
            \"rating\":{\"$numberDouble\":\"3.0\"},\"timestamp\":{\"$numberInt\":\"964982931\"}}\n";
        let folder = folder(&[
            ("ratings.json", ratings),
            ("movies.json", MOVIES_OF_EXPORT),
            ("users.json", "{\"_id\":{\"$oid\":\"65c0\"},\"userId\":7}\n"),
            ("similar.json", "{\"movieId\":1,\"similar\":[6]}\n"),
        ]);
        let Collections { map, left_out, .. } = collections(folder.path(), &units(), None).unwrap();
        assert_eq!(left_out, ["similar.json", "users.json"]);
        assert_eq!((map.user_ids, map.item_ids), (IdKind::Number, IdKind::Number));
        let look = looked(&folder, &map);
        assert_eq!((look.events, look.users, look.items(), look.left_out.rows), (2, 2, 2, 0));
        assert_eq!((look.first[1].user.as_str(), look.first[1].item.as_str()), ("8", "6"));
        assert_eq!(
            (look.first[1].time_ms, look.first[1].rating.map(Rating::stars)),
            (964_982_931_000, Some(3.0))
        );
        let title = |item: &str| look.items[item].title.clone().unwrap();
        assert_eq!((title("1"), title("6")), ("Toy Story (1995)".to_owned(), "Heat (1995)".to_owned()));
        assert_eq!(look.items["1"].genres, ["Adventure", "Comedy"]);
    }

    #[test]
    fn other_usual_names_are_known_and_keys_stay_keys() {
        let interactions = "[{\"user_id\":{\"$oid\":\"65c0\"},\"movie_id\":\"heat-1995\",\
            \"created_at\":{\"$date\":{\"$numberLong\":\"964982703123\"}}},\n\
            {\"user_id\":{\"$oid\":\"65c1\"},\"movie_id\":\"heat-1995\",\"created_at\":{\"$date\":\"2000-07-30T18:45:03Z\"}}]";
        let folder = folder(&[
            ("db.interactions.json", interactions),
            ("db.movies.json", "{\"movie_id\":\"heat-1995\",\"name\":\"Heat\"}"),
        ]);
        let found = collections(folder.path(), &units(), None).unwrap();
        assert_eq!(found.map.user_ids, IdKind::Key);
        let look = looked(&folder, &found.map);
        assert_eq!((look.events, look.users, look.left_out.rows), (2, 2, 0));
        assert_eq!((look.first[0].user.as_str(), look.first[0].time_ms), ("65c0", 964_982_703_123));
    }

    #[test]
    fn what_is_named_otherwise_a_map_says() {
        let ratings = "{\"who\":{\"id\":\"anna\"},\"movieId\":1,\"stars\":9,\"timestamp\":964982703}\n";
        let folder = folder(&[("ratings.jsonl", ratings), ("movies.jsonl", MOVIES_OF_EXPORT)]);
        let refused = collections(folder.path(), &units(), None).unwrap_err().to_string();
        assert!(refused.contains("no column \"userId\"") && refused.contains("who"), "{refused}");
        let own = "user = \"who.id\"\nvalue = \"stars\"\nvalue_scale = 10\n[items]\ntitle = \"movieId\"\n";
        let found = collections(folder.path(), &units(), Some(own)).unwrap();
        let look = looked(&folder, &found.map);
        assert_eq!(
            (look.first[0].user.as_str(), look.first[0].rating.map(Rating::stars)),
            ("anna", Some(4.5))
        );
        assert_eq!(look.items["6"].title.as_deref(), Some("6 (1995)"));
        assert_eq!(ColumnMap::parse(&found.text).unwrap(), found.map, "as it is written it says the same");
    }

    #[test]
    fn a_collection_that_is_not_there_is_named() {
        let folder = folder(&[("movies.json", MOVIES_OF_EXPORT)]);
        let refused = collections(folder.path(), &units(), None).unwrap_err().to_string();
        assert!(refused.contains("ratings.json"), "{refused}");
    }
}
