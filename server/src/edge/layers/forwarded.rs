//! Tells the layers within for whom a proxy calls.

use std::net::IpAddr;
use std::task::{Context, Poll};

use http::Request;
use tower::{Layer, Service};

use super::ConnectionInfo;
use crate::edge::Proxies;

/// The address for which a proxy calls that is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForwardedFor(pub(super) IpAddr);

/// See the module.
#[derive(Clone)]
pub(crate) struct ForwardedLayer(Proxies);

impl ForwardedLayer {
    /// These are believed.
    pub(crate) fn new(proxies: Proxies) -> Self {
        Self(proxies)
    }
}

impl<S> Layer<S> for ForwardedLayer {
    type Service = ForwardedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ForwardedService { inner, proxies: self.0.clone() }
    }
}

/// See [`ForwardedLayer`].
#[derive(Clone)]
pub(crate) struct ForwardedService<S> {
    inner: S,
    proxies: Proxies,
}

impl<S, B> Service<Request<B>> for ForwardedService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let peer = request.extensions().get().and_then(ConnectionInfo::peer);
        let caller = peer.and_then(|peer| self.proxies.caller_behind(peer.ip(), request.headers()));
        if let Some(address) = caller {
            request.extensions_mut().insert(ForwardedFor(address));
        }
        self.inner.call(request)
    }
}
