//! `marquee.v1.ModelService`.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use marquee_core::clock::{MAX_CLOCK_SKEW, millis, now_ms};
use marquee_core::domain::TimeMs;
use marquee_engine::{Before, Engine, ModelState};
use marquee_proto::v1;
use marquee_proto::v1::model_service_server::ModelService;
use marquee_proto::v1::upload_model_request::Part as Sent;
use prost_types::Timestamp;
use serde_json::{Map, Value};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::activation::Activations;
use crate::edge::page::List;
use crate::edge::stream::{Keep, in_chunks};
use crate::edge::{ApiError, checked, convert, valid};
use crate::registry::{NewVersion, Part, Registered, Registry, RegistryError, Role, Upload, Wanted};

/// Versions on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 50;

/// Bytes of files that are written at once.
const WRITTEN_AT_ONCE: usize = 4 << 20;

/// What a message takes of that at the least.
const LEAST_WEIGHT: usize = 1 << 10;

/// How long an upload may be silent: another one waits for it.
const SILENCE: Duration = Duration::from_mins(1);

/// The service.
pub(crate) struct ModelApi {
    registry: Arc<Registry>,
    engine: Arc<Engine>,
    activations: Arc<Activations>,
}

impl ModelApi {
    /// The service over the versions that are kept, some of which the engine has loaded.
    pub(crate) fn new(registry: Arc<Registry>, engine: Arc<Engine>, activations: Arc<Activations>) -> Self {
        Self { registry, engine, activations }
    }

    fn shown(&self, version: &Registered) -> v1::ModelVersion {
        let (summary, training) = (&version.summary, version.summary.training());
        let loaded = loaded(&self.engine, version);
        let metrics =
            summary.metrics().iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        v1::ModelVersion {
            name: version.name.clone(),
            version: version.version.clone(),
            model_version: summary.version(),
            seal: summary.seal().to_owned(),
            create_time: Some(convert::timestamp(version.created_ms)),
            size_bytes: version.bytes,
            items: summary.items() as u32,
            dimension: summary.dimension() as u32,
            maximum_length: summary.maximum_length() as u32,
            metrics: metrics.collect(),
            training_data: text_of(training, "data"),
            training_data_sha256: text_of(training, "data_sha256"),
            parent_version: version.parent.clone().unwrap_or_default(),
            warm_start: text_of(training, "warm_start"),
            tags: version.tags.clone().into_iter().collect(),
            loaded: loaded.is_some(),
            active: loaded == Some(ModelState::Active),
            rollback_target: is_gone_back_to(&self.engine, version),
        }
    }
}

/// What a version does on this node, if it is loaded.
fn loaded(engine: &Engine, version: &Registered) -> Option<ModelState> {
    let models = engine.models();
    let model = models.iter().find(|model| model.bundle().seal() == version.summary.seal())?;
    Some(engine.state(model))
}

/// Whether a version is what this node goes back to.
fn is_gone_back_to(engine: &Engine, version: &Registered) -> bool {
    engine.before() == Before::Active(version.summary.version())
}

fn text_of(training: &Map<String, Value>, name: &str) -> String {
    training.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Does what waits for the disk where that may be.
async fn on_disk<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(call).await;
    Ok(done.map_err(|panic| Status::internal(panic.to_string()))?.map_err(refused)?)
}

/// Why the registry does not do something, by its field.
pub(super) fn refused(error: RegistryError) -> ApiError {
    match error {
        RegistryError::Fault(fault) => ApiError::invalid(field_of(fault.part()), fault.to_string()),
        error => error.into(),
    }
}

fn field_of(part: Part) -> &'static str {
    match part {
        Part::Name => "upload.name",
        Part::Parent => "upload.parent_version",
        Part::FileName => "file.name",
        Part::Content => "file.content",
    }
}

/// The messages, which end with an error when none comes for too long.
fn in_time(incoming: Streaming<v1::UploadModelRequest>) -> impl Stream<Item = Result<Sent, Status>> + Unpin {
    let messages = stream::unfold(Some(incoming), |incoming| async move {
        let mut incoming = incoming?;
        let next = match timeout(SILENCE, incoming.next()).await {
            Err(_) => return Some((Err(ApiError::UploadStalled.into()), None)),
            Ok(next) => next?,
        };
        let sent = next.and_then(|message| {
            let missing = || ApiError::invalid("upload", "must be there, or file");
            Ok(checked(message)?.part.ok_or_else(missing)?)
        });
        Some((sent, Some(incoming)))
    });
    Box::pin(messages)
}

/// When a bundle was made, as its upload says; now where that says nothing.
fn made_at(time: Option<&Timestamp>) -> Result<TimeMs, ApiError> {
    const FIELD: &str = "upload.create_time";
    let Some(time) = time else { return Ok(now_ms()) };
    let created_ms = convert::time_ms(FIELD, time)?;
    if !(0..=now_ms().saturating_add(millis(MAX_CLOCK_SKEW))).contains(&created_ms) {
        let described = "must not be before 1970, nor ahead of the server's clock; look at both clocks";
        return Err(ApiError::invalid(FIELD, described));
    }
    Ok(created_ms)
}

/// A bundle that is being taken.
#[derive(Default)]
struct Taking {
    upload: Option<Upload>,
    /// The version that it turned out to be.
    known: Option<Registered>,
}

impl Keep<v1::ModelFile> for Taking {
    fn weight(file: &v1::ModelFile) -> usize {
        file.content.len().max(LEAST_WEIGHT)
    }

    async fn keep(&mut self, chunk: Vec<v1::ModelFile>) -> Result<(), Status> {
        let Some(mut upload) = self.upload.take() else { return Ok(()) };
        let (upload, known) = on_disk(move || {
            for file in chunk {
                if let Some(known) = upload.write(&file.name, &file.content)? {
                    return Ok((None, Some(known)));
                }
            }
            Ok((Some(upload), None))
        })
        .await?;
        (self.upload, self.known) = (upload, known);
        // What is kept already needs no more of the stream.
        if self.known.is_some() { Err(Status::already_exists("the bundle is kept already")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl ModelService for ModelApi {
    async fn upload_model(
        &self,
        request: Request<Streaming<v1::UploadModelRequest>>,
    ) -> Result<Response<v1::UploadModelResponse>, Status> {
        let mut incoming = in_time(request.into_inner());
        let Some(Sent::Upload(new)) = incoming.next().await.transpose()? else {
            return Err(ApiError::invalid("upload", "must come first").into());
        };
        let created_ms = made_at(new.create_time.as_ref())?;
        let parent = Some(new.parent_version).filter(|parent| !parent.is_empty());
        let new = NewVersion { name: new.name, parent, tags: new.tags.into_iter().collect() };
        let registry = Arc::clone(&self.registry);
        let upload = on_disk(move || registry.begin(new)).await?;
        let files = incoming.map(|sent| match sent? {
            Sent::File(file) => Ok(file),
            Sent::Upload(_) => Err(ApiError::invalid("upload", "came already; files follow it").into()),
        });
        let mut taking = Taking { upload: Some(upload), known: None };
        let ended = in_chunks(files, WRITTEN_AT_ONCE, &mut taking).await;
        let (version, created) = match (taking.known, taking.upload) {
            (Some(known), _) => (known, false),
            (None, Some(upload)) => {
                ended?;
                on_disk(move || upload.finish(created_ms)).await?
            }
            (None, None) => {
                return Err(ended.err().unwrap_or_else(|| Status::internal("the upload is gone")));
            }
        };
        Ok(Response::new(v1::UploadModelResponse { version: Some(self.shown(&version)), created }))
    }

    async fn list_model_versions(
        &self,
        request: Request<v1::ListModelVersionsRequest>,
    ) -> Result<Response<v1::ListModelVersionsResponse>, Status> {
        let mut request = valid(request)?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListModelVersions", &request);
        let after = list.versions_after(&page_token)?;
        let wanted = wanted(request);
        let registry = Arc::clone(&self.registry);
        let mut versions = on_disk(move || registry.list(&wanted, after.as_ref(), page_size + 1)).await?;
        let is_last = versions.len() <= page_size;
        versions.truncate(page_size);
        let next = versions.last().filter(|_| !is_last).map(|last| list.versions_token(&last.place()));
        Ok(Response::new(v1::ListModelVersionsResponse {
            versions: versions.iter().map(|version| self.shown(version)).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn get_model_version(
        &self,
        request: Request<v1::GetModelVersionRequest>,
    ) -> Result<Response<v1::GetModelVersionResponse>, Status> {
        let v1::GetModelVersionRequest { name, version } = valid(request)?;
        let registry = Arc::clone(&self.registry);
        let (version, card) = on_disk(move || {
            let version = registry.get(&name, &version)?;
            let card = registry.card(&version)?;
            Ok((version, card))
        })
        .await?;
        Ok(Response::new(v1::GetModelVersionResponse {
            version: Some(self.shown(&version)),
            model_card: card.unwrap_or_default(),
        }))
    }

    async fn tag_model_version(
        &self,
        request: Request<v1::TagModelVersionRequest>,
    ) -> Result<Response<v1::TagModelVersionResponse>, Status> {
        let v1::TagModelVersionRequest { name, version, tags, removed_tags } = valid(request)?;
        let registry = Arc::clone(&self.registry);
        let tags = tags.into_iter().collect();
        let version = on_disk(move || registry.tag(&name, &version, tags, &removed_tags)).await?;
        Ok(Response::new(v1::TagModelVersionResponse { version: Some(self.shown(&version)) }))
    }

    async fn delete_model_version(
        &self,
        request: Request<v1::DeleteModelVersionRequest>,
    ) -> Result<Response<v1::DeleteModelVersionResponse>, Status> {
        let v1::DeleteModelVersionRequest { name, version } = valid(request)?;
        let (registry, engine) = (Arc::clone(&self.registry), Arc::clone(&self.engine));
        let noted = self.activations.role_of(&name, &version).await.map_err(ApiError::from)?;
        let role = move |version: &Registered| {
            if loaded(&engine, version) == Some(ModelState::Active) {
                return Some(Role::Active);
            }
            noted.or_else(|| is_gone_back_to(&engine, version).then_some(Role::Before))
        };
        let version = on_disk(move || registry.delete(&name, &version, role)).await?;
        Ok(Response::new(v1::DeleteModelVersionResponse { version: Some(self.shown(&version)) }))
    }
}

fn wanted(request: v1::ListModelVersionsRequest) -> Wanted {
    let v1::ListModelVersionsRequest { name, tag, .. } = request;
    let tag = (!tag.is_empty()).then(|| match tag.split_once('=') {
        Some((tag, value)) => (tag.to_owned(), Some(value.to_owned())),
        None => (tag, None),
    });
    Wanted { name: Some(name).filter(|name| !name.is_empty()), tag }
}
