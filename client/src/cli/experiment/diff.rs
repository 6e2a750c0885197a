//! How two definitions differ, field by field. Members of lists are known by their names, so that one that is put between
//! others changes nothing of these.

use std::collections::BTreeMap;

use serde_json::Value;

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The field, in dotted form: `arms[B].share`.
    pub(super) field: String,
    /// What it says; `None` where it is new.
    pub(super) before: Option<String>,
    /// What it will say; `None` where it goes.
    pub(super) after: Option<String>,
}

/// By what the members of a list are known.
const NAMES: [&str; 3] = ["name", "label", "kind"];

/// All fields that differ, in the order of their names.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let (before, after) = (fields(before), fields(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differs
        .map(|name| Difference {
            field: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

impl Difference {
    /// The line that tells of it.
    pub(super) fn line(&self) -> String {
        let Self { field, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => format!("  ~ {field}  {before} -> {after}"),
            (None, Some(after)) => format!("  + {field}  {after}"),
            (Some(before), None) => format!("  - {field}  {before}"),
            (None, None) => String::new(),
        }
    }
}

fn fields(value: &Value) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    add(&mut fields, "", value);
    fields
}

fn add(fields: &mut BTreeMap<String, String>, path: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                add(fields, &path, member);
            }
        }
        Value::Array(members) => match members.iter().map(named).collect::<Option<Vec<_>>>() {
            Some(named) if !named.is_empty() => {
                let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
                fields.insert(path.to_owned(), names.join(", "));
                for (name, member) in named {
                    add(fields, &format!("{path}[{name}]"), &member);
                }
            }
            _ if members.is_empty() => {}
            _ => {
                let texts: Vec<String> = members.iter().map(text).collect();
                fields.insert(path.to_owned(), texts.join(", "));
            }
        },
        // What is not said is there too, as empty texts and unspecified values.
        value => {
            let text = text(value);
            if !text.is_empty() && !text.ends_with("_UNSPECIFIED") {
                fields.insert(path.to_owned(), text);
            }
        }
    }
}

/// The name of a list's member, and what else there is of it.
fn named(member: &Value) -> Option<(&str, Value)> {
    let fields = member.as_object()?;
    let (key, name) = NAMES.iter().find_map(|key| Some((*key, fields.get(*key)?.as_str()?)))?;
    let others = fields.iter().filter(|(other, _)| *other != key);
    Some((name, others.map(|(name, value)| (name.clone(), value.clone())).collect()))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        differences(before, after).iter().map(Difference::line).collect()
    }

    #[test]
    fn what_is_new_what_goes_and_what_changes_is_told_apart() {
        let before = json!({"traffic": 0.1, "description": "Why"});
        let after = json!({"traffic": 0.5, "alpha": 0.01});
        assert_eq!(
            lines(&before, &after),
            ["  + alpha  0.01", "  - description  Why", "  ~ traffic  0.1 -> 0.5"]
        );
        assert!(lines(&after, &after).is_empty());
    }

    #[test]
    fn what_is_not_said_is_no_difference() {
        let after = json!({"description": "", "user_ids": [], "method": "METHOD_UNSPECIFIED"});
        assert!(lines(&json!({}), &after).is_empty());
    }

    #[test]
    fn members_of_lists_are_known_by_their_names() {
        let before = json!({"arms": [{"name": "A", "share": 0.5}, {"name": "B", "share": 0.5}]});
        let after = json!({"arms": [{"name": "A", "share": 0.5}, {"name": "C", "overrides": {"k": 5}},
                                    {"name": "B", "share": 0.5}]});
        assert_eq!(lines(&before, &after), ["  ~ arms  A, B -> A, C, B", "  + arms[C].overrides.k  5"]);
    }

    #[test]
    fn another_control_is_a_difference() {
        let of = |first: &str, second: &str| json!({"arms": [{"name": first}, {"name": second}]});
        assert_eq!(lines(&of("A", "B"), &of("B", "A")), ["  ~ arms  A, B -> B, A"]);
    }
}
