//! Where the methods of an API stand in HTTP, as the protos say with the option `google.api.http`.
//!
//! [`Routes`] are all of them, looked up by verb and path. Of the option's language they read what an API of resources
//! needs: segments that are a text or a whole `{field}`, a custom verb such as `:activate` at the end, and a body that
//! is the whole message or none. What an API asks for beyond that is an error that names the method.
//!
//! How a path is read:
//! - It is split at `/` before it is decoded, so that `%2F` is a slash within a value.
//! - Texts of the template are compared as they are written; a `{field}` takes one segment, which is not empty.
//!   So `/v1/movies/` and `/v1//movies` are nothing.
//! - The text of a template goes before a `{field}` at the same place, and a template with a custom verb before
//!   one without: `/v1/models/a:activate` activates `a`. A value that ends as a custom verb does is written with `%3A`;
//!   every other `:` and `@` may stand as it is.
//!
//! ```
//! use marquee_proto::dynamic::PathTemplate;
//!
//! let path: PathTemplate = "/v1/models/{version}:activate".parse()?;
//! let captures = path.captures("/v1/models/two-tower%40small@1:activate").expect("it matches").expect("is UTF-8");
//! assert_eq!(captures, [("version", "two-tower@small@1".into())]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use prost_reflect::{DynamicMessage, Kind, MethodDescriptor, Value};

use super::{Api, is_well_known, percent};
use crate::Violation;

const OPTION: &str = "google.api.http";

/// The verbs that a method can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Reads.
    Get,
    /// Puts in place.
    Put,
    /// Does anything else.
    Post,
    /// Deletes.
    Delete,
    /// Changes a part.
    Patch,
}

impl Verb {
    const ALL: [Self; 5] = [Self::Get, Self::Put, Self::Post, Self::Delete, Self::Patch];

    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
        }
    }

    /// The field of `google.api.HttpRule`.
    fn field(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Delete => "delete",
            Self::Patch => "patch",
        }
    }

    /// Whether a request may have a body by the semantics of HTTP.
    fn takes_a_body(self) -> bool {
        !matches!(self, Self::Get | Self::Delete)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// There is none: what the path does not say stands in the query.
    None,
    /// The message, but for what the path says. There is no query.
    Message,
}

/// Values of a path: the field's name and the decoded text.
pub type Captures<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// One place of a method. A method may have several.
#[derive(Clone, Debug)]
pub struct HttpBinding {
    /// What is called.
    pub method: MethodDescriptor,
    /// How.
    pub verb: Verb,
    /// Where. Its variables are fields of the request, each without parts of its own.
    pub path: PathTemplate,
    /// With what.
    pub body: RequestBody,
}

/// Why the option of a method cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{method}: {fault}")]
pub struct BindingError {
    /// The full name of the method.
    pub method: String,
    /// What is wrong with its option.
    pub fault: BindingFault,
}

/// What is wrong with an option.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BindingFault {
    #[error("its google.api.http has none of get, put, post, delete and patch")]
    NoVerb,
    #[error("{0}")]
    Template(#[from] TemplateError),
    #[error("{path}: the request has no field {variable} of one number, text, bool or enum")]
    Variable { path: String, variable: String },
    #[error("body is {0:?}; \"*\" or nothing is supported")]
    Body(String),
    #[error("{0} has no body")]
    BodyOf(Verb),
    #[error("response_body is not supported")]
    ResponseBody,
    #[error("additional_bindings stand within additional_bindings")]
    Nested,
    #[error("a stream of requests has no place in HTTP")]
    ClientStream,
    #[error("{verb} {path} is a place of {other} too")]
    Taken { verb: Verb, path: String, other: String },
}

impl HttpBinding {
    /// The places of a method: that of the option and then its `additional_bindings`; none without the option.
    ///
    /// # Errors
    /// [`BindingError`] when the option says what is not supported.
    pub fn of(method: &MethodDescriptor) -> Result<Vec<Self>, BindingError> {
        let Some(rule) = rule_of(method) else { return Ok(Vec::new()) };
        bindings_of(method, &rule)
            .map_err(|fault| BindingError { method: method.full_name().to_owned(), fault })
    }

    fn from_rule(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Self, BindingFault> {
        if method.is_client_streaming() {
            return Err(BindingFault::ClientStream);
        }
        let (verb, path) = Verb::ALL
            .into_iter()
            .find_map(|verb| Some((verb, text(rule, verb.field())?)))
            .ok_or(BindingFault::NoVerb)?;
        let path: PathTemplate = path.parse()?;
        if let Some(variable) = path.variables().find(|variable| !is_scalar(method, variable)) {
            return Err(BindingFault::Variable { path: path.to_string(), variable: variable.to_owned() });
        }
        if text(rule, "response_body").is_some() {
            return Err(BindingFault::ResponseBody);
        }
        let body = match text(rule, "body").as_deref() {
            None => RequestBody::None,
            Some("*") if verb.takes_a_body() => RequestBody::Message,
            Some("*") => return Err(BindingFault::BodyOf(verb)),
            Some(other) => return Err(BindingFault::Body(other.to_owned())),
        };
        Ok(Self { method: method.clone(), verb, path, body })
    }
}

fn bindings_of(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Vec<HttpBinding>, BindingFault> {
    let mut bindings = vec![HttpBinding::from_rule(method, rule)?];
    for further in additional(rule) {
        if !additional(&further).is_empty() {
            return Err(BindingFault::Nested);
        }
        bindings.push(HttpBinding::from_rule(method, &further)?);
    }
    Ok(bindings)
}

/// The `google.api.HttpRule` of a method.
fn rule_of(method: &MethodDescriptor) -> Option<DynamicMessage> {
    let extension = method.parent_pool().get_extension_by_name(OPTION)?;
    let options = method.options();
    let rule = options.has_extension(&extension).then(|| options.get_extension(&extension))?;
    rule.as_message().cloned()
}

fn additional(rule: &DynamicMessage) -> Vec<DynamicMessage> {
    let Some(rules) = rule.get_field_by_name("additional_bindings") else { return Vec::new() };
    rules.as_list().into_iter().flatten().filter_map(Value::as_message).cloned().collect()
}

fn text(rule: &DynamicMessage, field: &str) -> Option<String> {
    let value = rule.get_field_by_name(field)?;
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn is_scalar(method: &MethodDescriptor, variable: &str) -> bool {
    method.input().get_field_by_name(variable).is_some_and(|field| {
        let has_one_text = match field.kind() {
            Kind::Message(message) => is_well_known(&message),
            _ => true,
        };
        !field.is_list() && !field.is_map() && has_one_text
    })
}

/// The form of a path: `/v1/models/{version}:activate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<Segment>,
    /// Without the colon.
    verb: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Variable(String),
}

/// Why a text is no path template that is supported.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum TemplateError {
    #[error("path {0:?} does not begin with /")]
    Relative(String),
    #[error(
        "path {path:?} has the segment {segment:?}; a text of letters, digits and -._~ or a whole {{field}} is supported"
    )]
    Segment { path: String, segment: String },
    #[error("path {path:?} has {variable} twice")]
    Twice { path: String, variable: String },
}

impl FromStr for PathTemplate {
    type Err = TemplateError;

    fn from_str(path: &str) -> Result<Self, TemplateError> {
        let inner = path.strip_prefix('/').ok_or_else(|| TemplateError::Relative(path.to_owned()))?;
        let (inner, verb) = match inner.rsplit_once(':') {
            Some((inner, verb)) => (inner, Some(verb)),
            None => (inner, None),
        };
        let segment_error =
            |segment: &str| TemplateError::Segment { path: path.to_owned(), segment: segment.to_owned() };
        let mut segments = Vec::new();
        for text in inner.split('/') {
            let segment = Segment::parse(text).ok_or_else(|| segment_error(text))?;
            if segments.contains(&segment) && matches!(segment, Segment::Variable(_)) {
                return Err(TemplateError::Twice { path: path.to_owned(), variable: text.to_owned() });
            }
            segments.push(segment);
        }
        if let Some(verb) = verb.filter(|verb| !is_literal(verb)) {
            return Err(segment_error(verb));
        }
        Ok(Self { segments, verb: verb.map(str::to_owned) })
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Variable(field) => write!(f, "/{{{field}}}")?,
            }
        }
        self.verb.iter().try_for_each(|verb| write!(f, ":{verb}"))
    }
}

impl PathTemplate {
    /// The fields that a path says, in its order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(field) => Some(field.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The values that `path` has, which is without a query; `None` where it has another form.
    ///
    /// # Errors
    /// The [`Violation`] of a field whose text cannot be decoded.
    pub fn captures<'a>(&'a self, path: &'a str) -> Option<Result<Captures<'a>, Violation>> {
        let path = self.without_verb(path)?;
        let matches = path.split('/').count() == self.segments.len() && self.matches(path);
        matches.then(|| self.decoded(path))
    }

    /// The path within its first slash and before the custom verb.
    fn without_verb<'a>(&self, path: &'a str) -> Option<&'a str> {
        let path = path.strip_prefix('/')?;
        match &self.verb {
            Some(verb) => path.strip_suffix(verb.as_str())?.strip_suffix(':'),
            None => Some(path),
        }
    }

    /// Whether a path with as many segments has this form.
    fn matches(&self, path: &str) -> bool {
        self.segments.iter().zip(path.split('/')).all(|(segment, text)| match segment {
            Segment::Literal(literal) => literal == text,
            Segment::Variable(_) => !text.is_empty(),
        })
    }

    fn decoded<'a>(&'a self, path: &'a str) -> Result<Captures<'a>, Violation> {
        let mut captures = Vec::new();
        for (segment, text) in self.segments.iter().zip(path.split('/')) {
            if let Segment::Variable(field) = segment {
                let value = percent::decoded(text).map_err(|error| Violation {
                    field: field.clone(),
                    description: format!("{error}; it stands in the path"),
                })?;
                captures.push((field.as_str(), value));
            }
        }
        Ok(captures)
    }

    /// Templates with the same form match the same paths. The order of forms is that in which they are tried.
    fn form(&self) -> Form {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => (Rank::Literal, text.clone()),
            Segment::Variable(_) => (Rank::Variable, String::new()),
        });
        (segments.collect(), std::cmp::Reverse(self.verb.clone()))
    }
}

type Form = (Vec<(Rank, String)>, std::cmp::Reverse<Option<String>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Literal,
    Variable,
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(field) => is_identifier(field).then(|| Self::Variable(field.to_owned())),
            None => is_literal(text).then(|| Self::Literal(text.to_owned())),
        }
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a path needs no escapes for it. Callers resolve `.` and `..` before they send them.
fn is_literal(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !["", ".", ".."].contains(&text) && text.bytes().all(is_unreserved)
}

/// What stands where a request goes.
#[derive(Debug)]
pub enum Found<'a> {
    /// A method.
    Binding(&'a HttpBinding, Captures<'a>),
    /// Methods for these verbs alone, which are sorted.
    OtherVerbs(Vec<Verb>),
    /// Nothing.
    Nothing,
}

/// The places of all methods of an API.
#[derive(Debug, Default)]
pub struct Routes {
    /// By number of segments. A place has the same form for all its verbs; the first form that a path has is its.
    places: HashMap<usize, Vec<Place>>,
    bindings: Vec<HttpBinding>,
}

#[derive(Debug)]
struct Place {
    path: PathTemplate,
    /// Indices of `bindings`, in the order of their verbs.
    bindings: Vec<usize>,
}

impl Routes {
    /// Those of every method of `api`.
    ///
    /// # Errors
    /// [`BindingError`] of the first method whose option is not supported, or that has a place of another one.
    pub fn of(api: &Api) -> Result<Self, BindingError> {
        let mut bindings = Vec::new();
        for service in api.services() {
            for method in service.methods() {
                bindings.extend(HttpBinding::of(&method)?);
            }
        }
        Self::new(bindings)
    }

    fn new(bindings: Vec<HttpBinding>) -> Result<Self, BindingError> {
        let mut order: Vec<usize> = (0..bindings.len()).collect();
        order.sort_by_cached_key(|&index| (bindings[index].path.form(), bindings[index].verb, index));
        let mut routes = Self::default();
        for index in order {
            let binding = &bindings[index];
            let places = routes.places.entry(binding.path.segments.len()).or_default();
            match places.last_mut().filter(|place| place.path.form() == binding.path.form()) {
                Some(place) => {
                    if let Some(&other) =
                        place.bindings.iter().find(|&&other| bindings[other].verb == binding.verb)
                    {
                        return Err(taken(binding, &bindings[other]));
                    }
                    place.bindings.push(index);
                }
                None => places.push(Place { path: binding.path.clone(), bindings: vec![index] }),
            }
        }
        Ok(Self { bindings, ..routes })
    }

    /// All of them, in the order of the services, their methods and the bindings of each.
    pub fn bindings(&self) -> &[HttpBinding] {
        &self.bindings
    }

    /// What stands at `path`, which is without a query, for `verb`, such as `GET`.
    ///
    /// # Errors
    /// The [`Violation`] of a field whose text cannot be decoded.
    pub fn find<'a>(&'a self, verb: &str, path: &'a str) -> Result<Found<'a>, Violation> {
        let Some(place) = self.place(path) else { return Ok(Found::Nothing) };
        let bindings = place.bindings.iter().map(|&index| &self.bindings[index]);
        match bindings.clone().find(|binding| binding.verb.as_str() == verb) {
            Some(binding) => {
                let captures = binding.path.captures(path).expect("its place has its form")?;
                Ok(Found::Binding(binding, captures))
            }
            None => Ok(Found::OtherVerbs(bindings.map(|binding| binding.verb).collect())),
        }
    }

    fn place(&self, path: &str) -> Option<&Place> {
        let segments = path.bytes().filter(|&byte| byte == b'/').count();
        let places = self.places.get(&segments)?;
        places.iter().find(|place| place.path.without_verb(path).is_some_and(|path| place.path.matches(path)))
    }
}

fn taken(binding: &HttpBinding, other: &HttpBinding) -> BindingError {
    let fault = BindingFault::Taken {
        verb: binding.verb,
        path: binding.path.to_string(),
        other: other.method.full_name().to_owned(),
    };
    BindingError { method: binding.method.full_name().to_owned(), fault }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    fn template(path: &str) -> PathTemplate {
        path.parse().expect("a template")
    }

    fn captured(template_text: &str, path: &str) -> Option<Vec<(String, String)>> {
        let template = template(template_text);
        let captures = template.captures(path)?.expect("it can be decoded");
        Some(captures.into_iter().map(|(field, text)| (field.to_owned(), text.into_owned())).collect())
    }

    fn value(template: &str, path: &str) -> Option<String> {
        captured(template, path).map(|captures| captures[0].1.clone())
    }

    #[test]
    fn a_template_is_written_as_it_is_read() {
        for path in
            ["/v1", "/v1/movies:search", "/v1/models/{version}:activate", "/v1/users/{user_id}/preferences"]
        {
            assert_eq!(template(path).to_string(), path);
        }
        assert_eq!(template("/v1/{a}/{b}:c").variables().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_not_supported_is_no_template() {
        for path in [
            "",
            "v1",
            "/",
            "/v1/",
            "//",
            "/v1/*",
            "/v1/{a=*}",
            "/v1/{a=b/**}",
            "/v1/x{a}",
            "/v1/{a}x",
            "/v1/{}",
            "/v1/{a.b}",
            "/v1:",
            "/v1/a:b/c",
            "/v1/{a}:{b}",
            "/v1/%2F",
            "/v1/..",
            "/v1/{a}/{a}",
            "/v1/a b",
        ] {
            assert!(path.parse::<PathTemplate>().is_err(), "{path}");
        }
    }

    #[test]
    fn a_field_takes_one_segment_that_is_not_empty() {
        let movie = "/v1/movies/{movie_id}";
        assert_eq!(captured(movie, "/v1/movies/7"), Some(vec![("movie_id".to_owned(), "7".to_owned())]));
        for path in [
            "/v1/movies",
            "/v1/movies/",
            "/v1/movies/7/",
            "/v1//7",
            "//v1/movies/7",
            "/v1/movies/7/x",
            "",
            "x",
        ] {
            assert_eq!(captured(movie, path), None, "{path}");
        }
        assert_eq!(value("/v1/models/{version}:activate", "/v1/models/:activate"), None);
    }

    #[test]
    fn an_escaped_slash_is_part_of_the_value() {
        assert_eq!(value("/v1/models/{version}", "/v1/models/a%2Fb%2F").as_deref(), Some("a/b/"));
    }

    #[test]
    fn what_cannot_be_decoded_names_the_field() {
        let movie = template("/v1/movies/{movie_id}");
        for (path, reason) in [("/v1/movies/%zz", "hexadecimal"), ("/v1/movies/%ff", "UTF-8")] {
            let violation = movie.captures(path).unwrap().unwrap_err();
            assert_eq!(violation.field, "movie_id");
            assert!(violation.description.contains(reason), "{violation:?}");
        }
    }

    #[test]
    fn a_colon_is_part_of_a_value_unless_it_is_the_verb_of_the_template() {
        let plain = "/v1/models/{version}";
        let activate = "/v1/models/{version}:activate";
        assert_eq!(value(plain, "/v1/models/a:b@1").as_deref(), Some("a:b@1"));
        assert_eq!(value(activate, "/v1/models/a:b@1:activate").as_deref(), Some("a:b@1"));
        assert_eq!(value(activate, "/v1/models/a%3Aactivate"), None);
        assert_eq!(value(plain, "/v1/models/a%3Aactivate").as_deref(), Some("a:activate"));
        assert_eq!(value(activate, "/v1/models/a:deactivate"), None);
    }

    const SOURCE: &str = r#"
        syntax = "proto3";
        package test;
        import "google/api/annotations.proto";
        message Model { string version = 1; repeated string labels = 2; Model inner = 3; }
        service Models { METHODS }
    "#;

    const ANNOTATIONS: &str = r#"
        syntax = "proto3";
        package google.api;
        import "google/protobuf/descriptor.proto";
        message HttpRule {
          string selector = 1;
          oneof pattern {
            string get = 2; string put = 3; string post = 4; string delete = 5; string patch = 6;
            CustomHttpPattern custom = 8;
          }
          string body = 7;
          string response_body = 12;
          repeated HttpRule additional_bindings = 11;
        }
        message CustomHttpPattern { string kind = 1; string path = 2; }
        extend google.protobuf.MethodOptions { HttpRule http = 72295728; }
    "#;

    struct Sources(String);

    impl protox::file::FileResolver for Sources {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            match name {
                "test.proto" => protox::file::File::from_source(name, &self.0),
                "google/api/annotations.proto" => protox::file::File::from_source(name, ANNOTATIONS),
                _ => protox::file::GoogleFileResolver::new().open_file(name),
            }
        }
    }

    /// The routes of an API whose methods have these options.
    fn routes(options: &[&str]) -> Result<Routes, BindingError> {
        let methods = options.iter().enumerate().map(|(index, option)| {
            format!("rpc M{index}(Model) returns (Model) {{ option (google.api.http) = {{ {option} }}; }}\n")
        });
        routes_of(&methods.collect::<String>())
    }

    fn routes_of(methods: &str) -> Result<Routes, BindingError> {
        let source = SOURCE.replace("METHODS", methods);
        let mut compiler = protox::Compiler::with_file_resolver(Sources(source));
        compiler.include_imports(true).open_file("test.proto").expect("it compiles");
        let set = compiler.encode_file_descriptor_set();
        assert!(DescriptorPool::decode(set.as_slice()).is_ok());
        Routes::of(&Api::new(&[&set]).expect("a set of descriptors"))
    }

    fn models() -> Routes {
        routes(&[
            r#"get: "/v1/models""#,
            r#"get: "/v1/models/{version}""#,
            r#"post: "/v1/models:load" body: "*""#,
            r#"post: "/v1/models:activate" body: "*"
               additional_bindings { post: "/v1/models/{version}:activate" body: "*" }"#,
            r#"delete: "/v1/models/{version}""#,
            r#"get: "/v1/models/active""#,
        ])
        .expect("all are supported")
    }

    /// The method that stands there and its captures, or the verbs, or nothing.
    fn found(verb: &str, path: &str) -> String {
        let routes = models();
        match routes.find(verb, path).expect("it can be decoded") {
            Found::Binding(binding, captures) => {
                let values: Vec<_> =
                    captures.iter().map(|(field, text)| format!(" {field}={text}")).collect();
                format!("{}{}", binding.method.name(), values.concat())
            }
            Found::OtherVerbs(verbs) => verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(","),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_request_finds_its_method() {
        assert_eq!(found("GET", "/v1/models"), "M0");
        assert_eq!(found("GET", "/v1/models/a@1"), "M1 version=a@1");
        assert_eq!(found("DELETE", "/v1/models/a@1"), "M4 version=a@1");
        assert_eq!(found("POST", "/v1/models:load"), "M2");
        assert_eq!(found("POST", "/v1/models:activate"), "M3");
        assert_eq!(found("POST", "/v1/models/a@1:activate"), "M3 version=a@1");
    }

    #[test]
    fn a_text_goes_before_a_field_and_a_verb_before_none() {
        assert_eq!(found("GET", "/v1/models/active"), "M5");
        assert_eq!(found("DELETE", "/v1/models/active"), "GET");
        assert_eq!(found("GET", "/v1/models/a:activate"), "POST");
        assert_eq!(found("GET", "/v1/models/a%3Aactivate"), "M1 version=a:activate");
        assert_eq!(found("GET", "/v1/models/a:b"), "M1 version=a:b");
    }

    #[test]
    fn a_known_path_tells_its_verbs_and_an_unknown_one_nothing() {
        assert_eq!(found("POST", "/v1/models/a"), "GET,DELETE");
        assert_eq!(found("get", "/v1/models"), "GET");
        for path in ["", "/", "*", "/v1", "/v1/models/", "/v1/models:unload", "/v1/models/a/b", "/v1/Models"]
        {
            assert_eq!(found("GET", path), "nothing", "{path}");
        }
        assert_eq!(found("GET", &"/".repeat(1 << 20)), "nothing");
    }

    #[test]
    fn a_binding_says_what_its_body_is() {
        let routes = models();
        let bodies: Vec<_> = routes.bindings().iter().map(|binding| (binding.verb, binding.body)).collect();
        assert_eq!(bodies[0], (Verb::Get, RequestBody::None));
        assert_eq!(bodies[2], (Verb::Post, RequestBody::Message));
        assert_eq!(bodies.len(), 7);
    }

    #[test]
    fn an_option_that_is_not_supported_names_its_method() {
        for (option, fault) in [
            (r#"custom { kind: "HEAD" path: "/v1" }"#, "none of get, put"),
            (r#"get: "/v1/{version=a/*}""#, "whole {field}"),
            (r#"get: "/v1/{versoin}""#, "no field versoin"),
            (r#"get: "/v1/{labels}""#, "no field labels"),
            (r#"get: "/v1/{inner}""#, "no field inner"),
            (r#"post: "/v1" body: "inner""#, r#"body is "inner""#),
            (r#"get: "/v1" body: "*""#, "GET has no body"),
            (r#"get: "/v1" response_body: "inner""#, "response_body"),
            (r#"get: "/v1" additional_bindings { get: "/v2" additional_bindings { get: "/v3" } }"#, "within"),
        ] {
            let error = routes(&[option]).unwrap_err().to_string();
            assert!(error.starts_with("test.Models.M0: ") && error.contains(fault), "{error}");
        }
        let streaming = r#"rpc M(stream Model) returns (Model) { option (google.api.http) = {get: "/v1"}; }"#;
        assert_eq!(routes_of(streaming).unwrap_err().fault, BindingFault::ClientStream);
    }

    #[test]
    fn a_place_is_one_methods() {
        let error = routes(&[r#"get: "/v1/{version}""#, r#"get: "/v1/{version}""#]).unwrap_err();
        assert_eq!(error.to_string(), "test.Models.M1: GET /v1/{version} is a place of test.Models.M0 too");
    }

    #[test]
    fn an_api_without_the_option_has_no_places() {
        assert!(routes_of("rpc M(Model) returns (Model);").unwrap().bindings().is_empty());
    }
}
