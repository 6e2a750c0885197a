//! `marquee.v1.AccessService`.

use std::sync::Arc;
use std::time::Duration;

use marquee_core::clock::now_ms;
use marquee_core::domain::TimeMs;
use marquee_proto::v1;
use marquee_proto::v1::access_service_server::AccessService;
use tonic::{Request, Response, Status};

use crate::access::{Key, KeyError, Keys, NewKey, UsedKey};
use crate::edge::{ApiError, convert, valid};

/// How long an old key goes on when a request does not say how long.
const DEFAULT_OVERLAP_SECONDS: u32 = 86_400;

/// The service.
pub(crate) struct AccessApi {
    keys: Arc<Keys>,
}

impl AccessApi {
    /// The service over the keys.
    pub(crate) fn new(keys: Arc<Keys>) -> Self {
        Self { keys }
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let v1::CreateKeyRequest { name, role, lifetime_seconds } = valid(request)?;
        let lifetime = lifetime_seconds.map(seconds);
        let NewKey { key, text } = self.keys.create(name, role, lifetime, now_ms()).await.map_err(refused)?;
        Ok(Response::new(v1::CreateKeyResponse { key: Some(shown(key, None)), secret: text }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        valid(request)?;
        let keys = self.keys.list(now_ms()).await.map_err(ApiError::from)?;
        let keys = keys.into_iter().map(|UsedKey { key, used_ms }| shown(key, used_ms)).collect();
        Ok(Response::new(v1::ListKeysResponse { keys }))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        use v1::rotate_key_request::Key::KeyId;
        let v1::RotateKeyRequest { key, overlap_seconds } = valid(request)?;
        let key_id = key.map_or_else(String::new, |KeyId(key_id)| key_id);
        let overlap = seconds(overlap_seconds.unwrap_or(DEFAULT_OVERLAP_SECONDS));
        let NewKey { key, text } = self.keys.rotate(key_id, overlap, now_ms()).await.map_err(refused)?;
        Ok(Response::new(v1::RotateKeyResponse { key: Some(shown(key, None)), secret: text }))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        use v1::revoke_key_request::Key::KeyId;
        let key_id = valid(request)?.key.map_or_else(String::new, |KeyId(key_id)| key_id);
        let revoked = self.keys.revoke(key_id, now_ms()).await.map_err(refused)?;
        Ok(Response::new(v1::RevokeKeyResponse { revoked }))
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Why a key is refused, by its field.
fn refused(error: KeyError) -> ApiError {
    match error {
        KeyError::UnknownRole(unknown) => ApiError::invalid("role", format!("is wrong: {unknown}")),
        KeyError::Store(error) => error.into(),
        KeyError::NameTaken(_)
        | KeyError::TwoLive(_)
        | KeyError::UnknownKey(_)
        | KeyError::TooMany
        | KeyError::Changed => error.into(),
    }
}

fn shown(key: Key, used_ms: Option<TimeMs>) -> v1::Key {
    let Key { id, name, role, created_ms, expires_ms, .. } = key;
    v1::Key {
        key_id: id,
        name,
        role,
        create_time: Some(convert::timestamp(created_ms)),
        expire_time: expires_ms.map(convert::timestamp),
        last_use_time: used_ms.map(convert::timestamp),
    }
}
