//! A reply as tables and lines, made from its descriptor alone.
//!
//! A list of messages becomes a table with a column for each field that is set anywhere; everything
//! else becomes a line `name  value`.

use marquee_core::text::printable;
use marquee_proto::dynamic::{enum_value_name, is_well_known};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

use super::columns::{self, Column, Content};
use super::layout::{beside_names, shorten};

/// How deep a row is searched for tables of its own.
const DEEPEST: usize = 3;

/// The whole reply, in lines of `width` cells. Where each row of a list is a reply of its own, it is
/// headed by the part of `request` that it answers. Of lists that are empty only the first is named, and only where all
/// are.
pub(super) fn render(message: &DynamicMessage, request: Option<&DynamicMessage>, width: usize) -> String {
    if let Some(inner) = only_message(message) {
        return render(&inner, request, width);
    }
    let (tables, lines): (Vec<_>, Vec<_>) = message.descriptor().fields().partition(is_message_list);
    let rendered = tables.iter().filter_map(|field| match message.get_field(field).as_list() {
        Some([]) | None => None,
        Some(rows) => Some(render_list(field, rows, request, width)),
    });
    let mut parts: Vec<String> = rendered.collect();
    if let Some(first) = tables.first().filter(|_| parts.is_empty()) {
        parts.push(format!("no {}", first.name().replace('_', " ")));
    }
    let lines: Vec<(String, String)> = lines.iter().filter_map(|field| line(message, field)).collect();
    if !lines.is_empty() {
        parts.push(beside_names(&lines, width));
    }
    parts.join("\n\n")
}

/// The content of a message that is nothing but one message, or one of several that exclude each other.
fn only_message(message: &DynamicMessage) -> Option<DynamicMessage> {
    let descriptor = message.descriptor();
    let first = descriptor.fields().next()?;
    let only = if descriptor.fields().len() == 1 {
        first
    } else {
        let oneof = first.containing_oneof()?;
        let exclude_each_other =
            descriptor.fields().all(|field| field.containing_oneof().as_ref() == Some(&oneof));
        message.fields().map(|(field, _)| field).next().filter(|_| exclude_each_other)?
    };
    let value = message.get_field(&only);
    value.as_message().filter(|inner| !only.is_list() && !is_well_known(&inner.descriptor())).cloned()
}

fn is_message_list(field: &FieldDescriptor) -> bool {
    field.is_list() && matches!(field.kind(), Kind::Message(inner) if !is_well_known(&inner))
}

/// Rows as a table; rows that are replies, or have tables themselves, as blocks, one below the other.
fn render_list(
    field: &FieldDescriptor,
    rows: &[Value],
    request: Option<&DynamicMessage>,
    width: usize,
) -> String {
    let rows: Vec<&DynamicMessage> = rows.iter().filter_map(Value::as_message).collect();
    let are_replies = matches!(field.kind(), Kind::Message(row) if is_reply(&row));
    if !are_replies && !rows.iter().any(|row| has_table(row)) {
        return columns::draw(&columns_of(&rows), width);
    }
    let asked = request.map(|request| asked_for(request, rows.len())).unwrap_or_default();
    let blocks = rows.iter().enumerate().map(|(index, row)| {
        let asked = asked.get(index).map_or(String::new(), |asked| format!(": {}", inline(asked)));
        let heading = format!("{}[{index}]{asked}", field.name());
        format!("{}\n{}", shorten(&heading, width), render(row, None, width))
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

/// The messages of the request's list with one element for each of so many replies.
fn asked_for(request: &DynamicMessage, replies: usize) -> Vec<DynamicMessage> {
    let lists = request.fields().filter(|(field, _)| is_message_list(field));
    let elements = lists.filter_map(|(_, value)| value.as_list().filter(|list| list.len() == replies));
    elements.take(1).flatten().filter_map(Value::as_message).cloned().collect()
}

/// Whether a row has a reply of its own inside, which may be one with tables.
fn is_reply(row: &MessageDescriptor) -> bool {
    row.fields().any(|field| {
        let inner = match field.kind() {
            Kind::Message(inner) if !field.is_list() && !field.is_map() => inner,
            _ => return false,
        };
        !is_well_known(&inner) && holds_list(&inner, DEEPEST)
    })
}

/// Whether there is something in a list of this row.
fn has_table(row: &DynamicMessage) -> bool {
    row.fields()
        .any(|(field, value)| is_message_list(&field) && value.as_list().is_some_and(|rows| !rows.is_empty()))
}

fn holds_list(row: &MessageDescriptor, depth: usize) -> bool {
    row.fields().any(|field| {
        is_message_list(&field)
            || matches!(field.kind(), Kind::Message(inner)
                if depth > 0 && !field.is_map() && !is_well_known(&inner) && holds_list(&inner, depth - 1))
    })
}

/// A column for each field that is set in any row.
fn columns_of(rows: &[&DynamicMessage]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        for (name, content, text) in cells_of(row) {
            let at = columns.iter().position(|column| column.name == name).unwrap_or_else(|| {
                columns.push(Column { name, content, cells: vec![String::new(); rows.len()] });
                columns.len() - 1
            });
            columns[at].cells[index] = text;
        }
    }
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    columns
}

/// The fields of a row, those of nested messages included, under their own names where these are free.
fn cells_of(row: &DynamicMessage) -> Vec<(String, Content, String)> {
    let mut cells: Vec<(String, Content, String)> = Vec::new();
    for field in row.descriptor().fields() {
        let value = row.get_field(&field);
        let is_absent = field.supports_presence() && !row.has_field(&field);
        match value.as_ref() {
            Value::Message(inner) if !is_well_known(&inner.descriptor()) => {
                if !is_absent {
                    for (name, content, text) in cells_of(inner) {
                        let is_taken = cells.iter().any(|(taken, ..)| *taken == name);
                        let name = if is_taken { format!("{}.{name}", field.name()) } else { name };
                        cells.push((name, content, text));
                    }
                }
            }
            value => {
                let text = if is_absent { String::new() } else { text(value, &field) };
                cells.push((field.name().to_owned(), content_of(&field), text));
            }
        }
    }
    cells
}

fn content_of(field: &FieldDescriptor) -> Content {
    match field.kind() {
        _ if field.is_list() || field.is_map() => Content::List,
        Kind::String => Content::Text,
        Kind::Enum(_) | Kind::Message(_) | Kind::Bool | Kind::Bytes => Content::Word,
        _ => Content::Number,
    }
}

fn line(message: &DynamicMessage, field: &FieldDescriptor) -> Option<(String, String)> {
    if field.supports_presence() && !message.has_field(field) {
        return None;
    }
    let text = text(message.get_field(field).as_ref(), field);
    (!text.is_empty()).then(|| (field.name().to_owned(), text))
}

/// A value as a person reads it.
fn text(value: &Value, field: &FieldDescriptor) -> String {
    match value {
        Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
        Value::I32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F32(number) => decimal(f64::from(*number)),
        Value::F64(number) => decimal(*number),
        Value::String(text) => printable(text).into_owned(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(descriptor)
                if *number == 0 && descriptor.default_value().name().ends_with("UNSPECIFIED") =>
            {
                String::new()
            }
            Kind::Enum(descriptor) => descriptor
                .get_value(*number)
                .map_or_else(|| number.to_string(), |value| enum_value_name(&descriptor, value.name())),
            _ => number.to_string(),
        },
        Value::Message(inner) if is_well_known(&inner.descriptor()) => well_known(inner),
        Value::Message(inner) => inline(inner),
        Value::List(list) => list.iter().map(|value| text(value, field)).collect::<Vec<_>>().join(", "),
        Value::Map(map) => {
            let mut entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{} {}", key_text(key), text(value, field))).collect();
            entries.sort();
            entries.join(", ")
        }
    }
}

/// A nested message on one line, without what is zero.
fn inline(message: &DynamicMessage) -> String {
    let fields = message.fields().map(|(field, value)| format!("{} {}", field.name(), text(value, &field)));
    fields.collect::<Vec<_>>().join(", ")
}

fn well_known(message: &DynamicMessage) -> String {
    match serde_json::to_value(message) {
        Ok(serde_json::Value::String(text)) => printable(&text).into_owned(),
        Ok(json) => printable(&json.to_string()).into_owned(),
        Err(_) => String::new(),
    }
}

/// At most four decimals, and no zeros at the end.
fn decimal(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => printable(key).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use marquee_proto::v1;
    use prost_reflect::DescriptorPool;
    use prost_reflect::prost::Message;

    use super::*;

    fn rendered<M: Message>(message: &M, name: &str) -> String {
        let pool = DescriptorPool::decode(marquee_proto::DESCRIPTOR_SET).unwrap();
        let descriptor = pool.get_message_by_name(name).unwrap();
        render(&DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).unwrap(), None, 80)
    }

    #[test]
    fn a_list_is_a_table_and_the_rest_are_lines() {
        let movie = |movie_id, title: &str, score| v1::Recommendation {
            movie_id,
            title: title.into(),
            score,
            genres: vec!["Action".into(), "Sci-Fi".into()],
            source: v1::Source::Model.into(),
            ..Default::default()
        };
        let reply = v1::RecommendResponse {
            recommendations: vec![movie(2571, "Matrix, The (1999)", 1.25), movie(1, "Toy Story (1995)", 0.5)],
            model_version: "m-1".into(),
            method: v1::Method::Exact.into(),
            source: v1::Source::Model.into(),
            timings: Some(v1::Timings { total_us: 900, encode_us: 900, ..Default::default() }),
            ..Default::default()
        };
        let expected = "
MOVIE_ID  TITLE               SCORE  GENRES          SOURCE
    2571  Matrix, The (1999)   1.25  Action, Sci-Fi  model
       1  Toy Story (1995)      0.5  Action, Sci-Fi  model

model_version           m-1
method                  exact
source                  model
timings                 total_us 900, encode_us 900
ignored_history_movies  0";
        assert_eq!(format!("\n{}", rendered(&reply, "marquee.v1.RecommendResponse")), expected);
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(
            rendered(&v1::SearchMoviesResponse::default(), "marquee.v1.SearchMoviesResponse"),
            "no movies"
        );
    }

    #[test]
    fn the_fields_of_a_nested_message_are_columns() {
        let time = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
        let interaction = Some(v1::Interaction {
            user: Some(1.into()),
            movie: Some(2.into()),
            kind: 1,
            rating: Some(4.5),
            time,
        });
        let reply = v1::ListHistoryResponse {
            interactions: vec![v1::HistoryEntry {
                interaction,
                title: "Jumanji (1995)".into(),
                ..v1::HistoryEntry::default()
            }],
            ..Default::default()
        };
        let text = rendered(&reply, "marquee.v1.ListHistoryResponse");
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["1", "2", "rating", "4.5", "1970-01-01T00:00:00Z", "Jumanji", "(1995)"]);
    }

    #[test]
    fn outcomes_are_blocks_though_none_has_a_table() {
        let error = v1::CallError { code: 3, message: "k is 0".into(), field: "k".into() };
        let outcome = v1::recommend_outcome::Outcome::Error(error);
        let outcomes = vec![v1::RecommendOutcome { outcome: Some(outcome) }];
        assert_eq!(
            rendered(&v1::RecommendBatchResponse { outcomes }, "marquee.v1.RecommendBatchResponse"),
            "outcomes[0]\ncode     3\nmessage  k is 0\nfield    k"
        );
    }

    fn similar(title: &str) -> v1::Recommendation {
        let similar_to = Some(v1::SimilarTo {
            movie_id: 6,
            title: "Heat (1995)".into(),
            cosine: 0.5,
            ..v1::SimilarTo::default()
        });
        v1::Recommendation { movie_id: 1, title: title.into(), similar_to, ..Default::default() }
    }

    #[test]
    fn rows_that_have_tables_are_blocks() {
        let because = v1::Because {
            movie_id: 6,
            title: "Heat (1995)".into(),
            score_drop: 0.25,
            rank_drop: 2,
            ..v1::Because::default()
        };
        let movie = v1::Recommendation { because: vec![because], ..similar("Casino (1995)") };
        let text = rendered(
            &v1::SimilarMoviesResponse { movies: vec![movie], ..Default::default() },
            "marquee.v1.SimilarMoviesResponse",
        );
        let expected = "
movies[0]
MOVIE_ID  TITLE        SCORE_DROP  RANK_DROP
       6  Heat (1995)        0.25          2

movie_id    1
title       Casino (1995)
score       0
similar_to  movie_id 6, title Heat (1995), cosine 0.5";
        assert_eq!(format!("\n{text}"), expected);
    }

    #[test]
    fn a_nested_field_whose_name_is_taken_is_called_after_where_it_stands() {
        let movies = vec![similar("Casino (1995)"), similar("Ronin (1998)")];
        let reply = v1::SimilarMoviesResponse { movies, ..Default::default() };
        let text = rendered(&reply, "marquee.v1.SimilarMoviesResponse");
        let expected = "
MOVIE_ID  TITLE          SCORE  SIMILAR_TO.MOVIE_ID  SIMILAR_TO.TITLE  COSINE
       1  Casino (1995)      0                    6  Heat (1995)          0.5
       1  Ronin (1998)       0                    6  Heat (1995)          0.5";
        assert_eq!(format!("\n{text}"), expected);
    }

    #[test]
    fn columns_stand_in_the_order_of_the_proto_whatever_the_first_row_lacks() {
        let movie = |movie_id, year| v1::Movie { movie_id, year, ratings: 1, ..Default::default() };
        let reply = v1::SearchMoviesResponse {
            movies: vec![movie(1, None), movie(2, Some(1995))],
            ..Default::default()
        };
        let text = rendered(&reply, "marquee.v1.SearchMoviesResponse");
        assert_eq!(text, "MOVIE_ID  YEAR  RATINGS\n       1              1\n       2  1995        1");
    }

    #[test]
    fn a_title_cannot_command_the_terminal() {
        let title = "\u{1b}[31mRed\n\u{9b}2J\u{202e}deR";
        let movie = v1::Movie { title: title.into(), genres: vec![title.into()], ..Default::default() };
        let text = rendered(&v1::GetMovieResponse { movie: Some(movie) }, "marquee.v1.GetMovieResponse");
        assert_eq!(text.matches(r"\u{1b}[31mRed\n\u{9b}2J\u{202e}deR").count(), 2, "{text:?}");
        assert!(!text.replace('\n', "").contains(marquee_core::text::is_command), "{text:?}");
    }
}
