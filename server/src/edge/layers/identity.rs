//! Who calls, and whether they may: asked of every call before anything of it is read.
//!
//! Health is open to everybody, and reflection where the settings say so; who calls the API shows a key. Whether it may
//! call the method is decided here, from the roles that the protos declare; bounds of its requests go on with the call
//! as [`Bounds`], to where requests are checked. What is refused is so whatever the call is about: the answer says
//! nothing of what there is.
//!
//! A stream lasts, so its caller is asked for again every two seconds, as [`Standing`] has it: one whose key is revoked,
//! whose token expires or whose session ends is sent nothing more, and read no further.
//!
//! People show a session in the place of a key, or their browser does in a cookie. Where nobody is asked who calls, they
//! are asked for by the calls alone that are about them.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, Either};
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Extensions, Request, Response};
use marquee_core::clock::now_ms;
use marquee_proto::methods::{self, Method, Role, Streaming};
use rustc_hash::FxHashSet;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::remainder::answered;
use super::{ConnectionInfo, Methods, Noted};
use crate::access::accounts::{Accounts, SessionId, SignedIn};
use crate::access::{Access, Identity, Permission, Refusal};
use crate::edge::ApiError;
use crate::edge::cookie::SessionCookie;

/// Carries a key beside `authorization`.
const API_KEY: &str = "x-api-key";
const SCHEME: &str = "bearer";

/// How often it is asked whether the caller of a stream is still who it was.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How the methods begin that roles are about.
const API: &str = "marquee.";
/// Those that ask who calls though the server does not.
const ABOUT_CALLERS: &str = "marquee.v1.AccountService/";
const REFLECTION: &str = "grpc.reflection.";

/// Who may ask which services there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflection {
    /// Everybody.
    On,
    /// Whoever shows a key.
    Authenticated,
    /// Nobody: it is not served.
    Off,
}

/// Lets those in who may.
#[derive(Clone)]
pub(crate) struct IdentityLayer {
    /// `None` where nobody is asked who calls.
    access: Option<Arc<Access>>,
    accounts: Arc<Accounts>,
    methods: Methods,
    /// The methods for whoever reaches the server.
    anyones: Arc<FxHashSet<&'static str>>,
    /// The methods whose calls last.
    streams: Arc<FxHashSet<&'static str>>,
    reflection: Reflection,
}

impl IdentityLayer {
    /// Asks `access`, if there is one, and `accounts` for a server with these methods.
    pub(crate) fn new(
        access: Option<Arc<Access>>,
        accounts: Arc<Accounts>,
        methods: Methods,
        reflection: Reflection,
    ) -> Self {
        let named = |is_one: fn(&Method) -> bool| {
            Arc::new(methods::ALL.into_iter().filter(is_one).map(Method::full_name).collect())
        };
        let anyones = named(|method| method.access.least == Role::Anyone);
        let streams = named(|method| method.streaming != Streaming::Neither);
        Self { access, accounts, methods, anyones, streams, reflection }
    }

    /// The method of a call that is looked at.
    fn looked_at(&self, request: &Request<Body>) -> Option<&'static str> {
        let method = self.methods.of_path(request.uri().path())?;
        let is_looked_at = match self.access {
            Some(_) if method.starts_with(API) => true,
            Some(_) => method.starts_with(REFLECTION) && self.reflection != Reflection::On,
            None => method.starts_with(ABOUT_CALLERS),
        };
        is_looked_at.then_some(method)
    }

    /// The request for a method, with what is known of its caller.
    async fn admit(&self, method: &'static str, mut request: Request<Body>) -> Result<Request<Body>, Turned> {
        let is_asked = self.access.is_some() && !self.anyones.contains(method);
        let shown = Shown::by(&request);
        let Caller { identity, signed_in } = match self.identify(&shown).await {
            Ok(caller) => caller,
            Err(ApiError::Unidentified(_)) if !is_asked => return Ok(request),
            Err(why) => return Err(Turned { body: request.into_body(), why, known: None }),
        };
        if let Some(signed_in) = signed_in {
            request.extensions_mut().insert(Signed(signed_in));
        }
        let is_bounded = is_asked && method.starts_with(API);
        let permission = if is_bounded { identity.may(method) } else { Permission::Free };
        match permission {
            Permission::Free => {}
            Permission::Within(bounds) => _ = request.extensions_mut().insert(bounds),
            Permission::Denied => {
                let why = ApiError::MethodNotPermitted { method };
                return Err(Turned { body: request.into_body(), why, known: Some(Known(identity)) });
            }
        }
        if let Some(noted) = request.extensions().get::<Noted>() {
            noted.set_caller(&identity);
        }
        if is_asked && self.streams.contains(method) {
            request.extensions_mut().insert(Standing::of(self.clone(), shown));
        }
        request.extensions_mut().insert(Known(identity));
        Ok(request)
    }

    async fn identify(&self, shown: &Shown) -> Result<Caller, ApiError> {
        match (shown, &self.access) {
            (Shown::Nothing(refusal), _) => Err((*refusal).into()),
            (Shown::Session(session), _) => {
                let signed_in = self.accounts.identify(session, now_ms()).await?;
                let identity = Arc::clone(&signed_in.identity);
                Ok(Caller { identity, signed_in: Some(signed_in) })
            }
            (Shown::Key(key), Some(access)) => {
                Ok(Caller { identity: access.identify(key, now_ms()).await?, signed_in: None })
            }
            (Shown::Certificate(name), Some(access)) => {
                Ok(Caller { identity: access.identify_certificate(name)?, signed_in: None })
            }
            (Shown::Key(_) | Shown::Certificate(_), None) => Err(Refusal::Nothing.into()),
        }
    }
}

/// Whoever calls.
struct Caller {
    identity: Arc<Identity>,
    /// If it is a person.
    signed_in: Option<Arc<SignedIn>>,
}

/// What a caller shows.
enum Shown {
    Nothing(Refusal),
    Session(String),
    Key(String),
    Certificate(Arc<str>),
}

impl Shown {
    /// What the headers show, or else the cookie of a browser, or else the certificate.
    fn by(request: &Request<Body>) -> Self {
        let extensions = request.extensions();
        let certificate = extensions.get().and_then(ConnectionInfo::client_name);
        match (credentials(request.headers()), extensions.get(), certificate) {
            (Ok(text), ..) if SessionId::is_meant(text) => Self::Session(text.to_owned()),
            (Ok(text), ..) => Self::Key(text.to_owned()),
            (Err(Refusal::Nothing), Some(SessionCookie(text)), _) => Self::Session(text.clone()),
            (Err(Refusal::Nothing), None, Some(name)) => Self::Certificate(Arc::clone(name)),
            (Err(refusal), ..) => Self::Nothing(refusal),
        }
    }
}

/// Who calls, in the extensions of requests, and of the replies to them.
#[derive(Clone, Debug)]
pub(crate) struct Known(pub(crate) Arc<Identity>);

/// Asks whether whoever makes a call is still known.
type AskAgain = dyn Fn() -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync;

/// Whether the caller of a stream may go on with it, in the extensions of requests.
#[derive(Clone)]
pub(super) struct Standing(Arc<AskAgain>);

impl Standing {
    /// That of whoever shows this.
    fn of(layer: IdentityLayer, shown: Shown) -> Self {
        let shown = Arc::new(shown);
        Self::by(move || {
            let (layer, shown) = (layer.clone(), Arc::clone(&shown));
            Box::pin(async move {
                match layer.identify(&shown).await {
                    Err(ApiError::Unidentified(refusal)) => Err(refusal),
                    // Whoever cannot be asked for at this moment is not over.
                    Ok(_) | Err(_) => Ok(()),
                }
            })
        })
    }

    /// That which this says.
    pub(super) fn by(
        ask: impl Fn() -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }

    /// Waits until the caller is known no more; why.
    pub(super) async fn until_over(self) -> Refusal {
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            if let Err(refusal) = (self.0)().await {
                return refusal;
            }
        }
    }
}

/// The session of a person who calls, in the extensions of requests.
#[derive(Clone)]
struct Signed(Arc<SignedIn>);

/// Whoever made the call that has these extensions.
///
/// # Errors
/// [`ApiError::Unidentified`] when nobody knows.
pub(crate) fn caller_of(extensions: &Extensions) -> Result<Arc<Identity>, ApiError> {
    extensions.get().map(|Known(identity)| Arc::clone(identity)).ok_or_else(|| Refusal::Nothing.into())
}

/// The session by which a person made the call that has these extensions.
///
/// # Errors
/// [`ApiError::Unidentified`] when nobody knows who calls, [`ApiError::NotAPerson`] when it is a service.
pub(crate) fn session_of(extensions: &Extensions) -> Result<Arc<SignedIn>, ApiError> {
    caller_of(extensions)?;
    extensions.get().map(|Signed(signed_in)| Arc::clone(signed_in)).ok_or(ApiError::NotAPerson)
}

/// A call that is turned away.
struct Turned {
    body: Body,
    why: ApiError,
    known: Option<Known>,
}

/// What the caller shows: one key, whichever header it is in.
fn credentials(headers: &HeaderMap) -> Result<&str, Refusal> {
    let keys = headers.get_all(API_KEY).iter().map(|value| value.to_str().ok());
    let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().ok().and_then(bearer));
    let mut shown = keys.chain(bearers);
    let first = shown.next().ok_or(Refusal::Nothing)?.ok_or(Refusal::Unreadable)?;
    if shown.any(|other| other != Some(first)) {
        return Err(Refusal::Unreadable);
    }
    Ok(first)
}

/// What `Bearer KEY` says.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_start())
}

impl<S> Layer<S> for IdentityLayer {
    type Service = IdentityService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IdentityService { inner, layer: self.clone() }
    }
}

/// See [`IdentityLayer`].
#[derive(Clone)]
pub(crate) struct IdentityService<S> {
    inner: S,
    layer: IdentityLayer,
}

impl<S> Service<Request<Body>> for IdentityService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(method) = self.layer.looked_at(&request) else {
            return Either::Left(self.inner.call(request));
        };
        // This service and not its clone: it is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Either::Right(Box::pin(async move {
            let (known, answer) = match layer.admit(method, request).await {
                Ok(request) => (request.extensions().get::<Known>().cloned(), inner.call(request).await),
                Err(Turned { body, why, known }) => {
                    (known, answered(body, Status::from(why).into_http()).await)
                }
            };
            answer.map(|mut answer| {
                if let Some(known) = known {
                    answer.extensions_mut().insert(known);
                }
                answer
            })
        }))
    }
}
