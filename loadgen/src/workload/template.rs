//! Requests to servers that are not Marquee: a template in TOML, filled with the same users and histories.
//!
//! ```toml
//! protocol = "grpc"                     # or "http"
//! method = "/inference.GRPCInferenceService/ModelInfer"
//! protos = ["kserve.proto"]             # or descriptor_set = "service.bin"; Marquee's own when absent
//! request = """{"model_name": "sasrec", "inputs": [{"name": "items", "datatype": "INT64",
//!   "shape": [1, "{history_length}"], "contents": {"int64_contents": "{history}"}}]}"""
//! ```
//!
//! In `request`, a text that is just `{user}`, `{movie}`, `{index}`, `{history}` or `{history_length}`
//! becomes a number or a list; inside a longer text they become words. An HTTP template has `verb`, `path`
//! and `[headers]`.
//!
//! Bodies are encoded before the run and repeated in turn: JSON is too slow to make while measuring.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::Deserialize;
use serde_json::Value;

use super::draw::cancel_after;
use super::{Cancellation, Population, WorkloadError, request_random};
use crate::wire::{Dialect, HttpVersion, Prepared, Route, WireError};

/// Bodies made ahead when the template does not say how many.
const DEFAULT_VARIANTS: u64 = 4096;

/// The protocol of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// gRPC.
    Grpc,
    /// HTTP with a JSON body.
    Http,
}

impl Kind {
    fn dialect(self) -> Dialect {
        match self {
            Self::Grpc => Dialect::GRPC,
            Self::Http => Dialect::HTTP,
        }
    }
}

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateFile {
    protocol: Kind,
    /// The call's name in reports; the last part of its path when absent.
    name: Option<String>,
    /// gRPC: `/package.Service/Method`.
    method: Option<String>,
    /// gRPC: a `FileDescriptorSet`, relative to the template.
    descriptor_set: Option<PathBuf>,
    /// gRPC: proto files to compile instead, relative to the template's folder.
    #[serde(default)]
    protos: Vec<PathBuf>,
    /// HTTP: the verb; POST when absent.
    verb: Option<String>,
    /// HTTP: the path and query.
    path: Option<String>,
    /// Headers of every request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The request as JSON.
    request: String,
    /// How many different bodies are made.
    variants: Option<u64>,
}

/// Requests from a template.
pub struct Template {
    name: String,
    dialect: Dialect,
    route: Route,
    bodies: Vec<Bytes>,
    seed: u64,
    cancellation: Cancellation,
}

impl Template {
    /// Reads the template and makes its bodies.
    ///
    /// # Errors
    /// [`WorkloadError::Template`] when a part is missing or the request does not fit its message, and
    /// [`WorkloadError::Number`] when the cancelled share is out of range.
    pub fn read(
        path: &Path,
        population: &Population,
        longest_history: usize,
        seed: u64,
        cancellation: Cancellation,
    ) -> Result<Self, WorkloadError> {
        let cancellation = cancellation.checked()?;
        let failed = |message: String| WorkloadError::Template { path: path.to_owned(), message };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let file: TemplateFile = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let request: Value = serde_json::from_str(&file.request)
            .map_err(|error| failed(format!("request is no JSON: {error}")))?;
        let draws_movies = ["{movie}", "{history}", "{history_length}"]
            .iter()
            .any(|placeholder| file.request.contains(placeholder));
        if draws_movies && population.catalogue().is_none() {
            return Err(WorkloadError::NoMovies("the template"));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let route = file.route().map_err(failed)?;
        let input = match file.protocol {
            Kind::Grpc => Some(file.input(folder).map_err(failed)?),
            Kind::Http => None,
        };
        let bodies = (0..file.variants.unwrap_or(DEFAULT_VARIANTS).max(1))
            .map(|index| {
                let filled = fill(&request, population, longest_history, seed, index);
                encode(input.as_ref(), filled).map_err(|message| failed(format!("request: {message}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let last = route.path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Self {
            name: file.name.unwrap_or(last),
            dialect: file.protocol.dialect(),
            route,
            bodies,
            seed,
            cancellation,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The same requests over this version of HTTP; over HTTP/1.1 without one, but for gRPC.
    ///
    /// # Errors
    /// [`WireError`] when the template is gRPC and the version is HTTP/1.1.
    pub fn over(self, http: Option<HttpVersion>) -> Result<Self, WireError> {
        Ok(Self { dialect: Dialect::new(self.dialect.protocol(), http)?, ..self })
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn route(&self) -> Route {
        self.route.clone()
    }

    pub(super) fn prepare(&self, index: u64) -> Prepared {
        let body = self.bodies[(index % self.bodies.len() as u64) as usize].clone();
        let cancel_after = cancel_after(&mut request_random(self.seed, index), self.cancellation);
        Prepared { call: 0, body, cancel_after }
    }
}

impl TemplateFile {
    fn route(&self) -> Result<Route, String> {
        let mut route = match self.protocol {
            Kind::Grpc => Route::post(
                self.method.clone().ok_or("method is missing; write method = \"/package.Service/Method\"")?,
            ),
            Kind::Http => {
                let verb = self.verb.as_deref().unwrap_or("POST");
                let mut route = Route::post(self.path.clone().ok_or("path is missing")?);
                route.method = verb.parse().map_err(|_| format!("'{verb}' is no HTTP verb"))?;
                route
            }
        };
        for (name, value) in &self.headers {
            let name: http::HeaderName = name.parse().map_err(|_| format!("'{name}' is no header"))?;
            let value = value.parse().map_err(|_| format!("the value of {name} is no header value"))?;
            route.headers.insert(name, value);
        }
        Ok(route)
    }

    /// The message that the method takes.
    fn input(&self, folder: &Path) -> Result<MessageDescriptor, String> {
        let pool = self.pool(folder)?;
        let method = self.method.as_deref().unwrap_or_default().trim_start_matches('/');
        let (service, name) =
            method.split_once('/').ok_or_else(|| format!("'{method}' is no /package.Service/Method"))?;
        let service = pool.get_service_by_name(service).ok_or_else(|| format!("no service {service}"))?;
        let found = service.methods().find(|method| method.name() == name);
        found
            .map(|method| method.input())
            .ok_or_else(|| format!("no method {name} in {}", service.full_name()))
    }

    fn pool(&self, folder: &Path) -> Result<DescriptorPool, String> {
        if let Some(set) = &self.descriptor_set {
            let bytes =
                std::fs::read(folder.join(set)).map_err(|error| format!("{}: {error}", set.display()))?;
            DescriptorPool::decode(bytes.as_slice()).map_err(|error| error.to_string())
        } else if self.protos.is_empty() {
            DescriptorPool::decode(marquee_proto::DESCRIPTOR_SET).map_err(|error| error.to_string())
        } else {
            let mut compiler = protox::Compiler::new([folder]).map_err(|error| error.to_string())?;
            compiler.include_imports(true);
            compiler.open_files(&self.protos).map_err(|error| error.to_string())?;
            DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice())
                .map_err(|error| error.to_string())
        }
    }
}

fn encode(input: Option<&MessageDescriptor>, request: Value) -> Result<Bytes, String> {
    let Some(descriptor) = input else { return Ok(Bytes::from(request.to_string())) };
    let message =
        DynamicMessage::deserialize(descriptor.clone(), request).map_err(|error| error.to_string())?;
    let mut body = BytesMut::with_capacity(5 + message.encoded_len());
    body.put_u8(0);
    body.put_u32(message.encoded_len() as u32);
    message.encode_raw(&mut body);
    Ok(body.freeze())
}

/// The request with its placeholders drawn, request number `index`.
fn fill(request: &Value, population: &Population, longest_history: usize, seed: u64, index: u64) -> Value {
    let mut random = request_random(seed, index);
    let user = population.user(&mut random);
    let movie = population.catalogue().map_or(0, |movies| movies.draw(&mut random));
    let history = population
        .catalogue()
        .map_or_else(Vec::new, |_| population.history(&mut random, longest_history).movie_ids);
    let values = [
        ("{user}", Value::from(user)),
        ("{movie}", Value::from(movie)),
        ("{index}", Value::from(index)),
        ("{history_length}", Value::from(history.len())),
        ("{history}", Value::from(history)),
    ];
    substitute(request, &values)
}

fn substitute(value: &Value, values: &[(&str, Value)]) -> Value {
    match value {
        Value::String(text) => {
            if let Some((_, value)) = values.iter().find(|(name, _)| text == name) {
                return value.clone();
            }
            let replaced = values
                .iter()
                .fold(text.clone(), |text, (name, value)| text.replace(name, &value.to_string()));
            Value::String(replaced)
        }
        Value::Array(list) => list.iter().map(|value| substitute(value, values)).collect(),
        Value::Object(map) => {
            map.iter().map(|(name, value)| (name.clone(), substitute(value, values))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use marquee_proto::v1;
    use prost::Message as _;

    use super::super::{Catalogue, UserRange};
    use super::*;

    const LONGEST: usize = 40;

    fn population() -> Population {
        let movies = (1..=500).map(|id| (id, 1.0, String::new())).collect();
        let users = UserRange { first: 1, last: 9 };
        Population::new(users, 0.0, Some(Catalogue::new(movies).unwrap())).unwrap()
    }

    fn read(text: &str) -> Result<Template, WorkloadError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Template::read(file.path(), &population(), LONGEST, 1, Cancellation::default())
    }

    #[test]
    fn a_grpc_template_makes_messages_of_its_method() {
        let template = read(
            "protocol = 'grpc'\nmethod = '/marquee.v1.RecommendationService/Recommend'\n\
             request = '{\"history\": {\"movie_ids\": \"{history}\"}, \"k\": 5}'",
        )
        .unwrap();
        let request = v1::RecommendRequest::decode(&template.prepare(3).body[5..]).unwrap();
        assert_eq!(request.k, Some(5));
        let Some(v1::recommend_request::Subject::History(history)) = request.subject else {
            panic!("the template has a history")
        };
        assert!((19..=LONGEST).contains(&history.movie_ids.len()));
        assert_eq!(template.name(), "Recommend");
    }

    #[test]
    fn a_cancelled_share_that_is_none_is_refused() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/triton.toml");
        for share in [2.0, -1.0, f64::NAN] {
            let cancellation = Cancellation { share, ..Cancellation::default() };
            let refused = Template::read(&path, &population(), LONGEST, 1, cancellation);
            assert!(matches!(refused, Err(WorkloadError::Number { .. })), "{share}");
        }
    }

    #[test]
    fn an_inference_servers_shape_says_how_long_the_history_is() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/triton.toml");
        let template = Template::read(&path, &population(), LONGEST, 1, Cancellation::default()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let input = toml::from_str::<TemplateFile>(&text).unwrap().input(path.parent().unwrap()).unwrap();
        let lengths: Vec<usize> =
            (0..50).map(|index| history_length(&input, &template.prepare(index))).collect();
        assert!(lengths.iter().any(|length| *length != lengths[0]), "{lengths:?}");
    }

    /// The length that both tensors of a request in the KServe form have, contents and shape alike.
    fn history_length(input: &MessageDescriptor, prepared: &Prepared) -> usize {
        let message = DynamicMessage::decode(input.clone(), &prepared.body[5..]).unwrap();
        let request = serde_json::to_value(message).unwrap();
        let tensor = |name: &str| {
            let mut tensors = request["inputs"].as_array().unwrap().iter();
            tensors.find(|tensor| tensor["name"] == name).unwrap()
        };
        let length = tensor("items")["contents"]["int64Contents"].as_array().unwrap().len();
        assert_eq!(tensor("items")["shape"], serde_json::json!(["1", length.to_string()]));
        assert_eq!(tensor("lengths")["contents"]["intContents"], serde_json::json!([length]));
        length
    }

    #[test]
    fn an_http_template_makes_json() {
        let template = read(
            "protocol = 'http'\npath = '/recommend'\n\
             request = '{\"user\": \"{user}\", \"text\": \"user {user}, {index}\"}'",
        )
        .unwrap();
        let body: Value = serde_json::from_slice(&template.prepare(7).body).unwrap();
        assert!((1..=9).contains(&body["user"].as_u64().unwrap()));
        assert_eq!(body["text"], format!("user {}, 7", body["user"]));
    }

    #[test]
    fn proto_files_beside_the_template_are_compiled() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("echo.proto"),
            "syntax = \"proto3\"; package t; message M { uint64 id = 1; } service S { rpc Echo(M) returns (M); }",
        )
        .unwrap();
        let path = folder.path().join("echo.toml");
        std::fs::write(
            &path,
            "protocol = 'grpc'\nmethod = '/t.S/Echo'\nprotos = ['echo.proto']\nrequest = '{\"id\": 150}'",
        )
        .unwrap();
        let template = Template::read(&path, &population(), LONGEST, 1, Cancellation::default()).unwrap();
        assert_eq!(&template.prepare(0).body[..], [0, 0, 0, 0, 3, 8, 150, 1]);
    }

    #[test]
    fn a_field_that_the_message_lacks_is_named() {
        let error = read(
            "protocol = 'grpc'\nmethod = '/marquee.v1.CatalogService/GetMovie'\nrequest = '{\"film\": 1}'",
        )
        .err()
        .unwrap();
        assert!(error.to_string().contains("film"), "{error}");
    }
}
