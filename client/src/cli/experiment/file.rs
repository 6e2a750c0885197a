//! Definitions of experiments in a file of one's own.

use std::io::Read as _;

use marquee_proto::dynamic::{Api, JsonError, from_json};
use marquee_proto::v1;
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::super::exit::Failure;

/// The experiments of a file, all of which keep the rules of the protos.
pub(super) struct Definitions {
    api: &'static Api,
    values: Vec<Value>,
    /// The same as the server takes them, in the order of the file.
    pub(super) experiments: Vec<v1::Experiment>,
}

impl Definitions {
    /// Reads a file: TOML where its name ends so, else JSON.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be read, is neither, or holds something else.
    pub(super) fn read(path: &str, api: &'static Api) -> Result<Self, Failure> {
        let text = match path {
            "-" => {
                let mut text = String::new();
                let read = std::io::stdin().read_to_string(&mut text);
                read.map(|_| text).map_err(|error| Failure::Io("reading standard input", error))?
            }
            path => std::fs::read_to_string(path).map_err(|error| Failure::File(path.to_owned(), error))?,
        };
        let wrong = |error: String| Failure::Usage(format!("{path} {error}"));
        let is_toml = std::path::Path::new(path).extension().is_some_and(|extension| extension == "toml");
        let value = if is_toml {
            toml::from_str(&text).map_err(|error| wrong(format!("is no TOML: {error}")))?
        } else {
            serde_json::from_str(&text).map_err(|error| wrong(format!("is no JSON: {error}")))?
        };
        Self::of(value, api)
    }

    fn of(value: Value, api: &'static Api) -> Result<Self, Failure> {
        let values = several(value)?;
        let read = |value: &Value| {
            let request: v1::CreateExperimentRequest =
                message("CreateExperimentRequest", &json!({ "experiment": value }), api)?;
            let missing = || Failure::Usage("an experiment of the file says nothing".to_owned());
            request.experiment.ok_or_else(missing)
        };
        let experiments = values.iter().map(read).collect::<Result<_, Failure>>()?;
        Ok(Self { api, values, experiments })
    }

    /// The requests that ask how great each would have to be.
    ///
    /// # Errors
    /// [`Failure::Violations`] for what is out of range.
    pub(super) fn plans(
        self,
        effect: Option<f64>,
        power: Option<f64>,
        history_days: Option<u32>,
    ) -> Result<Vec<v1::PlanExperimentRequest>, Failure> {
        let Self { api, values, .. } = self;
        let asked =
            [("effect", json!(effect)), ("power", json!(power)), ("history_days", json!(history_days))];
        let request = |value: Value| {
            let said = asked.iter().filter(|(_, value)| !value.is_null());
            let mut fields: Map<String, Value> =
                said.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            fields.insert("experiment".to_owned(), value);
            message("PlanExperimentRequest", &Value::Object(fields), api)
        };
        values.into_iter().map(request).collect()
    }
}

/// The experiments that a file holds: a list, one that is alone, or what is below the one name or the other.
fn several(value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Object(mut fields) => match (fields.remove("experiments"), fields.remove("experiment")) {
            (Some(Value::Array(values)), None) => Ok(values),
            (None, Some(value)) => Ok(vec![value]),
            (None, None) => Ok(vec![Value::Object(fields)]),
            _ => Err(Failure::Usage("`experiments` of a file is a list of them".to_owned())),
        },
        _ => Err(Failure::Usage("a file holds an experiment, or a list of them".to_owned())),
    }
}

/// The message of this name that a value describes, if it keeps the rules.
fn message<M: Message + Default>(name: &str, value: &Value, api: &Api) -> Result<M, Failure> {
    let read = from_json(&descriptor(name, api), &value.to_string()).map_err(|error| match error {
        JsonError::Fields(violations) => Failure::Violations(violations),
        JsonError::Syntax { .. } => Failure::Usage(error.to_string()),
    })?;
    api.check(&read).map_err(Failure::Violations)?;
    M::decode(read.encode_to_vec().as_slice()).map_err(|error| Failure::Usage(error.to_string()))
}

/// A message of this name as one whose fields can be asked for.
pub(super) fn dynamic<M: Message>(name: &str, message: &M, api: &Api) -> DynamicMessage {
    DynamicMessage::decode(descriptor(name, api), message.encode_to_vec().as_slice())
        .expect("it is encoded by the same descriptors")
}

fn descriptor(name: &str, api: &Api) -> MessageDescriptor {
    api.pool()
        .get_message_by_name(&format!("marquee.v1.{name}"))
        .expect("the pool has all messages of the API")
}

#[cfg(test)]
mod tests {
    use super::super::super::served;
    use super::*;

    fn read(value: Value) -> Result<Vec<String>, Failure> {
        let api = Box::leak(Box::new(served()));
        let definitions = Definitions::of(value, api)?;
        Ok(definitions.experiments.into_iter().map(|experiment| experiment.name).collect())
    }

    fn experiment(name: &str) -> Value {
        json!({"name": name, "arms": [{"name": "A"}, {"name": "B"}], "goals": [{"name": "seen", "kinds": ["view"]}]})
    }

    #[test]
    fn a_file_holds_one_experiment_or_several() {
        assert_eq!(read(experiment("one")).unwrap(), ["one"]);
        assert_eq!(read(json!({"experiment": experiment("one")})).unwrap(), ["one"]);
        assert_eq!(read(json!([experiment("one"), experiment("two")])).unwrap(), ["one", "two"]);
        assert_eq!(read(json!({"experiments": [experiment("one")]})).unwrap(), ["one"]);
        assert_eq!(read(json!("one")).unwrap_err().exit_code(), 2);
        assert_eq!(read(json!({"experiments": 1})).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_field_of_a_file_that_breaks_a_rule_or_is_unknown_is_named() {
        let said = |value: Value| read(value).unwrap_err().message(&[]);
        assert!(said(json!({"name": "x", "trafic": 1})).contains("trafic"));
        assert!(said(json!({"name": "x", "traffic": 2})).contains("experiment.traffic"));
    }
}
