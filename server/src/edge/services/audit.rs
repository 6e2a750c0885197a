//! `marquee.v1.AuditService`.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, TryStreamExt as _, stream};
use marquee_core::clock::now_ms;
use marquee_core::domain::UserId;
use marquee_proto::v1;
use marquee_proto::v1::audit_service_server::AuditService;
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use crate::access::audit::{Audit, Filter, Page, Record, Trail};
use crate::edge::page::List;
use crate::edge::{ApiError, convert, valid};

/// Records on a page when a request does not say how many.
const DEFAULT_PAGE: u32 = 50;

/// How callers are shown whom nobody knows.
const ANONYMOUS: &str = "anonymous";

/// What the names of all methods begin with.
const PACKAGE: &str = "marquee.v1.";

/// The service.
pub(crate) struct AuditApi {
    trail: Arc<Trail>,
    audit: Option<Arc<Audit>>,
}

impl AuditApi {
    /// The service over a trail, and what records to it here.
    pub(crate) fn new(trail: Arc<Trail>, audit: Option<Arc<Audit>>) -> Self {
        Self { trail, audit }
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_records(
        &self,
        request: Request<v1::ListAuditRecordsRequest>,
    ) -> Result<Response<v1::ListAuditRecordsResponse>, Status> {
        let mut request = valid(request)?;
        let page_size = request.page_size.take().unwrap_or(DEFAULT_PAGE) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        let list = List::of("ListAuditRecords", &request);
        let after = list.records_after(&page_token)?;
        let Some(filter) = self.filter(Wanted::from(request)).await? else {
            return Ok(Response::new(v1::ListAuditRecordsResponse::default()));
        };
        let page = self.trail.list(&filter, after, page_size, now_ms()).await.map_err(ApiError::from)?;
        let Page { records, next } = page;
        Ok(Response::new(v1::ListAuditRecordsResponse {
            records: records.into_iter().map(shown).collect(),
            next_page_token: next.map(|after| list.records_token(&after)).unwrap_or_default(),
        }))
    }

    type ExportAuditRecordsStream =
        Pin<Box<dyn Stream<Item = Result<v1::ExportAuditRecordsResponse, Status>> + Send + 'static>>;

    async fn export_audit_records(
        &self,
        request: Request<v1::ExportAuditRecordsRequest>,
    ) -> Result<Response<Self::ExportAuditRecordsStream>, Status> {
        let request = valid(request)?;
        let Some(filter) = self.filter(Wanted::from(request)).await? else {
            return Ok(Response::new(Box::pin(stream::empty())));
        };
        let records = Arc::clone(&self.trail).export(filter, now_ms());
        let replies = records
            .map_ok(|record| v1::ExportAuditRecordsResponse { record: Some(shown(record)) })
            .map_err(|error| ApiError::from(error).into());
        Ok(Response::new(Box::pin(replies)))
    }
}

impl AuditApi {
    /// The filter of a request whose constraints hold, once all is written that was recorded before; `None` where it
    /// wants what there cannot be.
    async fn filter(&self, wanted: Wanted) -> Result<Option<Filter>, ApiError> {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        let named = |method: String| {
            if method.starts_with(PACKAGE) { method } else { format!("{PACKAGE}{method}") }
        };
        let mut filter = Filter {
            from_ms: wanted.start_time.map(|time| convert::time_ms("start_time", &time)).transpose()?,
            until_ms: wanted.end_time.map(|time| convert::time_ms("end_time", &time)).transpose()?,
            caller: said(wanted.caller).map(|caller| Some(caller).filter(|caller| caller != ANONYMOUS)),
            method: said(wanted.method).map(named),
            outcome: said(wanted.outcome),
            user: None,
        };
        if let Some(audit) = &self.audit {
            audit.written().await;
        }
        match wanted.whom {
            None => {}
            Some(Whom::Pseudonym(pseudonym)) => filter.user = Some(pseudonym),
            Some(Whom::User(user_id)) => {
                let Some(pseudonym) = self.trail.pseudonym_of(user_id, now_ms()).await? else {
                    return Ok(None);
                };
                filter.user = Some(pseudonym);
            }
        }
        Ok(Some(filter))
    }
}

/// Which records a request wants.
struct Wanted {
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
    caller: String,
    method: String,
    outcome: String,
    whom: Option<Whom>,
}

enum Whom {
    User(UserId),
    Pseudonym(String),
}

macro_rules! wanted {
    ($($request:ident of $user:path),+) => {$(
        impl From<v1::$request> for Wanted {
            fn from(request: v1::$request) -> Self {
                use $user as User;
                let v1::$request { start_time, end_time, caller, method, outcome, user, .. } = request;
                let whom = user.map(|user| match user {
                    User::UserId(user_id) => Whom::User(user_id),
                    User::UserPseudonym(pseudonym) => Whom::Pseudonym(pseudonym),
                });
                Self { start_time, end_time, caller, method, outcome, whom }
            }
        }
    )+};
}

wanted!(
    ListAuditRecordsRequest of v1::list_audit_records_request::User,
    ExportAuditRecordsRequest of v1::export_audit_records_request::User
);

fn shown(record: Record) -> v1::AuditRecord {
    let Record { time_ms, caller, origin, method, user, request_id, outcome, calls } = record;
    v1::AuditRecord {
        time: Some(convert::timestamp(time_ms)),
        caller: caller.unwrap_or_else(|| ANONYMOUS.to_owned()),
        origin,
        method,
        user_pseudonym: user.unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        outcome,
        calls,
    }
}
