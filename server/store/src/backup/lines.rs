//! A record as a line of JSON. What stands here is format 1, which every later program reads.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use marquee_core::attributes::{Attribute, AttributeValue};
use marquee_core::domain::{
    Interaction, Kind, MovieId, MovieRecord, Preferences, Rating, TimeMs, User, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{Content, DocumentKind, DocumentRecord, Record, RuleRecord, UserRecord};

/// What the lines of a part are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Section {
    Movies,
    Rules,
    Notes,
    Documents,
    Users,
}

impl Section {
    /// The name of its files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Movies => "movies",
            Self::Rules => "rules",
            Self::Notes => "notes",
            Self::Documents => "documents",
            Self::Users => "users",
        }
    }

    pub(super) fn of(record: &Record) -> Self {
        match record {
            Record::Movie(_) => Self::Movies,
            Record::Rule(_) => Self::Rules,
            Record::Note { .. } => Self::Notes,
            Record::Document(_) => Self::Documents,
            Record::User(_) => Self::Users,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MovieLine {
    movie_id: MovieId,
    title: String,
    genres: Vec<String>,
    imdb: Option<u32>,
    tmdb: Option<u32>,
    tags: Vec<(String, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(String, Value)>,
}

/// The value of an attribute.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(f64),
    Texts(Vec<String>),
}

impl Value {
    fn of(attribute: &Attribute) -> (String, Self) {
        let value = match &attribute.value {
            AttributeValue::Text(text) => Self::Text(text.clone()),
            AttributeValue::Number(number) => Self::Number(*number),
            AttributeValue::Texts(texts) => Self::Texts(texts.clone()),
        };
        (attribute.name.clone(), value)
    }

    fn of_name((name, value): (String, Self)) -> Attribute {
        let value = match value {
            Self::Text(text) => AttributeValue::Text(text),
            Self::Number(number) => AttributeValue::Number(number),
            Self::Texts(texts) => AttributeValue::Texts(texts),
        };
        Attribute { name, value }
    }
}

#[derive(Serialize, Deserialize)]
struct RuleLine {
    rule_id: String,
    body: Bytes,
}

#[derive(Serialize, Deserialize)]
struct NoteLine {
    key: String,
    value: Bytes,
}

#[derive(Serialize, Deserialize)]
struct DocumentLine {
    kind: String,
    part: String,
    key: String,
    value: Bytes,
    expires_ms: Option<TimeMs>,
}

#[derive(Serialize, Deserialize)]
struct UserLine {
    user_id: UserId,
    created_ms: TimeMs,
    genres: Vec<String>,
    movie_ids: Vec<MovieId>,
    events: Vec<EventLine>,
}

/// Time in milliseconds, movie, number of the kind, half stars or 0.
#[derive(Serialize, Deserialize)]
struct EventLine(TimeMs, MovieId, u8, u8);

/// Bytes, in base 64.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The line, its end included.
pub(super) fn encode(record: &Record) -> serde_json::Result<Vec<u8>> {
    let mut line = match record {
        Record::Movie(MovieRecord { movie_id, title, genres, imdb, tmdb, tags, key, attributes }) => {
            let (title, genres, tags, key) = (title.clone(), genres.clone(), tags.clone(), key.clone());
            serde_json::to_vec(&MovieLine {
                movie_id: *movie_id,
                title,
                genres,
                imdb: *imdb,
                tmdb: *tmdb,
                tags,
                key,
                attributes: attributes.iter().map(Value::of).collect(),
            })
        }
        Record::Rule(RuleRecord { rule_id, body }) => {
            serde_json::to_vec(&RuleLine { rule_id: rule_id.clone(), body: Bytes(body.clone()) })
        }
        Record::Note { key, value } => {
            serde_json::to_vec(&NoteLine { key: key.clone(), value: Bytes(value.clone()) })
        }
        Record::Document(DocumentRecord { kind, part, key, content }) => serde_json::to_vec(&DocumentLine {
            kind: kind.name().to_owned(),
            part: part.clone(),
            key: key.clone(),
            value: Bytes(content.value.clone()),
            expires_ms: content.expires_ms,
        }),
        Record::User(UserRecord { user, events }) => serde_json::to_vec(&UserLine {
            user_id: user.user_id,
            created_ms: user.created_ms,
            genres: user.preferences.genres.clone(),
            movie_ids: user.preferences.movie_ids.clone(),
            events: events.iter().map(EventLine::of).collect(),
        }),
    }?;
    line.push(b'\n');
    Ok(line)
}

/// The record of a line; a sentence says what is wrong with it.
pub(super) fn decode(section: Section, line: &str) -> Result<Record, String> {
    let said = |error: serde_json::Error| error.to_string();
    Ok(match section {
        Section::Movies => {
            let MovieLine { movie_id, title, genres, imdb, tmdb, tags, key, attributes } =
                serde_json::from_str(line).map_err(said)?;
            let attributes = attributes.into_iter().map(Value::of_name).collect();
            Record::Movie(MovieRecord { movie_id, title, genres, imdb, tmdb, tags, key, attributes })
        }
        Section::Rules => {
            let RuleLine { rule_id, body } = serde_json::from_str(line).map_err(said)?;
            Record::Rule(RuleRecord { rule_id, body: body.0 })
        }
        Section::Notes => {
            let NoteLine { key, value } = serde_json::from_str(line).map_err(said)?;
            Record::Note { key, value: value.0 }
        }
        Section::Documents => {
            let DocumentLine { kind, part, key, value, expires_ms } =
                serde_json::from_str(line).map_err(said)?;
            let unknown = || format!("documents of kind {kind} are of a newer program");
            let kind = DocumentKind::of_name(&kind).ok_or_else(unknown)?;
            let content = Content { value: value.0, expires_ms };
            Record::Document(DocumentRecord { kind, part, key, content })
        }
        Section::Users => {
            let UserLine { user_id, created_ms, genres, movie_ids, events } =
                serde_json::from_str(line).map_err(said)?;
            let user = User { user_id, created_ms, preferences: Preferences { genres, movie_ids } };
            let events = events.into_iter().map(|event| event.of_user(user_id)).collect::<Result<_, _>>()?;
            Record::User(UserRecord { user, events })
        }
    })
}

impl EventLine {
    fn of(event: &Interaction) -> Self {
        let half_stars = event.rating.map_or(0, Rating::half_stars);
        Self(event.time_ms, event.movie_id, event.kind as u8, half_stars)
    }

    fn of_user(self, user_id: UserId) -> Result<Interaction, String> {
        let Self(time_ms, movie_id, kind, half_stars) = self;
        let unknown = || format!("an event of user {user_id} is of kind {kind}, which a newer program knows");
        let kind = Kind::from_number(kind).ok_or_else(unknown)?;
        Ok(Interaction { user_id, movie_id, time_ms, kind, rating: Rating::from_half_stars(half_stars) })
    }
}
