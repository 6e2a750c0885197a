//! A reply as tables and lines, made from its descriptor alone.
//!
//! A list of messages becomes a table with a column for each field that is set anywhere; everything
//! else becomes a line `name  value`.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};

use super::flags::{enum_value_name, is_well_known};

/// The whole reply.
pub(super) fn render(message: &DynamicMessage) -> String {
    if let Some(inner) = only_message(message) {
        return render(&inner);
    }
    let (tables, lines): (Vec<_>, Vec<_>) = message.descriptor().fields().partition(is_message_list);
    let mut parts: Vec<String> = tables
        .iter()
        .map(|field| match message.get_field(field).as_list() {
            Some([]) | None => format!("no {}", field.name().replace('_', " ")),
            Some(rows) => render_list(field.name(), rows),
        })
        .collect();
    let lines: Vec<(String, String)> = lines.iter().filter_map(|field| line(message, field)).collect();
    if !lines.is_empty() {
        parts.push(align(&lines));
    }
    parts.join("\n\n")
}

/// The content of a reply that is nothing but one message.
fn only_message(message: &DynamicMessage) -> Option<DynamicMessage> {
    let descriptor = message.descriptor();
    let mut fields = descriptor.fields();
    let only = fields.next().filter(|_| fields.len() == 0)?;
    let value = message.get_field(&only);
    value.as_message().filter(|inner| !only.is_list() && !is_well_known(&inner.descriptor())).cloned()
}

fn is_message_list(field: &FieldDescriptor) -> bool {
    field.is_list() && matches!(field.kind(), Kind::Message(inner) if !is_well_known(&inner))
}

/// Rows as a table; rows that hold tables themselves one below the other.
fn render_list(name: &str, rows: &[Value]) -> String {
    let rows: Vec<&DynamicMessage> = rows.iter().filter_map(Value::as_message).collect();
    if rows.iter().any(|row| holds_list(row)) {
        let blocks = rows.iter().enumerate().map(|(index, row)| format!("{name}[{index}]\n{}", render(row)));
        return blocks.collect::<Vec<_>>().join("\n\n");
    }
    let cells: Vec<Vec<(String, Cell)>> = rows.iter().map(|row| cells_of(row)).collect();
    let mut columns: Vec<(&str, bool)> = Vec::new();
    for (column, cell) in cells.iter().flatten() {
        if !cell.text.is_empty() && columns.iter().all(|(known, _)| known != column) {
            columns.push((column, cell.number));
        }
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(column, _)| column.to_uppercase()));
    for row in &cells {
        let cell = |(column, _): &(&str, bool)| {
            row.iter().find(|(name, _)| name == column).map_or(String::new(), |(_, cell)| cell.text.clone())
        };
        table.add_row(columns.iter().map(cell));
    }
    for (index, (_, number)) in columns.iter().enumerate() {
        if let (true, Some(column)) = (number, table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn holds_list(row: &DynamicMessage) -> bool {
    row.fields().any(|(field, value)| {
        is_message_list(&field)
            || value
                .as_message()
                .is_some_and(|inner| !is_well_known(&inner.descriptor()) && holds_list(inner))
    })
}

struct Cell {
    text: String,
    number: bool,
}

/// The fields of a row, those of nested messages included, under their own names.
fn cells_of(row: &DynamicMessage) -> Vec<(String, Cell)> {
    let mut cells = Vec::new();
    for field in row.descriptor().fields() {
        if field.supports_presence() && !row.has_field(&field) {
            continue;
        }
        match row.get_field(&field).as_ref() {
            Value::Message(inner) if !is_well_known(&inner.descriptor()) => cells.extend(cells_of(inner)),
            value => {
                let number = !field.is_list()
                    && !matches!(field.kind(), Kind::String | Kind::Enum(_) | Kind::Message(_) | Kind::Bool);
                cells.push((field.name().to_owned(), Cell { text: text(value, &field), number }));
            }
        }
    }
    cells
}

fn line(message: &DynamicMessage, field: &FieldDescriptor) -> Option<(String, String)> {
    if field.supports_presence() && !message.has_field(field) {
        return None;
    }
    let text = text(message.get_field(field).as_ref(), field);
    (!text.is_empty()).then(|| (field.name().to_owned(), text))
}

fn align(lines: &[(String, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.iter().map(|(name, text)| format!("{name:width$}  {text}")).collect::<Vec<_>>().join("\n")
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
        Value::String(text) => text.clone(),
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
        Ok(serde_json::Value::String(text)) => text,
        Ok(json) => json.to_string(),
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
        MapKey::String(key) => key.clone(),
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
        render(&DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).unwrap())
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
            ignored_history_movies: 0,
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
        let interaction = Some(v1::Interaction { user_id: 1, movie_id: 2, kind: 1, rating: Some(4.5), time });
        let reply = v1::ListHistoryResponse {
            interactions: vec![v1::HistoryEntry { interaction, title: "Jumanji (1995)".into() }],
            ..Default::default()
        };
        let text = rendered(&reply, "marquee.v1.ListHistoryResponse");
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["1", "2", "rating", "4.5", "1970-01-01T00:00:00Z", "Jumanji", "(1995)"]);
    }
}
