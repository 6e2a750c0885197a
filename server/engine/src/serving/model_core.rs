//! What workers need of a model: its bundle, its scorer, an encoder for each, and whether it serves.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use marquee_retrieval::{BackendError, Scorer};

use crate::bundle::{Bundle, BundleError};
use crate::job::{Ask, EncodedBatch, Encoder, EngineError};
use crate::scheduler::{ModelKey, WorkerId};

/// Failures in a row after which a model is taken out of service.
const MAX_FAILURES: u32 = 3;

/// Makes an encoder, at first and after a failure.
pub(crate) type MakeEncoder = Box<dyn Fn() -> Result<Box<dyn Encoder>, BundleError> + Send + Sync>;

/// What workers need of a model.
pub(crate) struct Core {
    pub(crate) key: ModelKey,
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) scorer: Arc<dyn Scorer>,
    make_encoder: MakeEncoder,
    /// One for each worker, who is the only one to take its lock; `None` after a rebuild that failed.
    encoders: Vec<Mutex<Option<Box<dyn Encoder>>>>,
    failures: AtomicU32,
    out_of_service: OnceLock<String>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("key", &self.key)
            .field("bundle", &self.bundle.version())
            .finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(
        key: ModelKey,
        bundle: Arc<Bundle>,
        scorer: Arc<dyn Scorer>,
        make_encoder: MakeEncoder,
        encoders: Vec<Box<dyn Encoder>>,
    ) -> Self {
        let encoders = encoders.into_iter().map(|encoder| Mutex::new(Some(encoder))).collect();
        Self {
            key,
            bundle,
            scorer,
            make_encoder,
            encoders,
            failures: AtomicU32::new(0),
            out_of_service: OnceLock::new(),
        }
    }

    /// Encodes on the worker's own encoder.
    pub(crate) fn encode(
        &self,
        worker: WorkerId,
        asks: &[Ask<'_>],
        out: &mut EncodedBatch,
    ) -> Result<(), BackendError> {
        let mut encoder = self.encoders[worker].lock().unwrap_or_else(PoisonError::into_inner);
        match encoder.as_mut() {
            Some(encoder) => encoder.encode_asks(asks, out),
            None => Err(BackendError("the worker has no encoder".to_owned())),
        }
    }

    /// Replaces the worker's encoder by a new one.
    pub(crate) fn rebuild(&self, worker: WorkerId) -> Result<(), BundleError> {
        let mut slot = self.encoders[worker].lock().unwrap_or_else(PoisonError::into_inner);
        // The old one goes first: two may not fit on the device.
        *slot = None;
        *slot = Some((self.make_encoder)()?);
        Ok(())
    }

    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure; the error for later jobs if it was one too many.
    pub(crate) fn failed(&self, error: &BackendError) -> Option<EngineError> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        (failures >= MAX_FAILURES)
            .then(|| self.take_out_of_service(format!("it failed {failures} times in a row, last: {error}")))
    }

    /// Takes the model out of service for good; loading its bundle again makes a new one.
    pub(crate) fn take_out_of_service(&self, why: String) -> EngineError {
        EngineError::OutOfService(self.out_of_service.get_or_init(|| why).clone())
    }

    pub(crate) fn out_of_service(&self) -> Option<&str> {
        self.out_of_service.get().map(String::as_str)
    }
}
