//! From a bundle to a model that is warm: its scorer, and an encoder for each worker of its device.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use marquee_retrieval::Scorer;

use super::EngineOptions;
use super::model_core::Core;
use crate::bundle::{Announced, Bundle, BundleError, Wanted, require_wanted};
use crate::job::{EncodedBatch, Encoder};
use crate::runtime::Device;
use crate::scheduler::{ModelKey, Padding, Policy};
use crate::session::{self, Asked, GPU_PRECISION, Placement, Plan, Precision};

const GPU_BATCH_JOBS: usize = session::GPU_BATCHES[session::GPU_BATCHES.len() - 1];
const GPU_MISFIT_BOUND: Duration = Duration::from_millis(3);
/// Tokens that a worker on a CPU encodes together where that costs less than one sequence after the other: with more,
/// the weights are read no less often.
const ENCODE_TOKENS: usize = 512;
/// Batches that run on a GPU at once, whatever their size.
const GPU_SIDE_BY_SIDE: usize = 3;
/// The jobs for which another batch joins them.
const GPU_WORTH_JOINING: usize = 64;

/// How a bundle is to become a model.
pub(super) struct LoadRequest<S> {
    pub(super) device: Device,
    pub(super) precision: Precision,
    pub(super) make_scorer: S,
    pub(super) options: EngineOptions,
    pub(super) key: ModelKey,
}

/// A model that is ready to be registered.
pub(super) struct Prepared {
    pub(super) core: Core,
    pub(super) placement: Placement,
    pub(super) precision: String,
    pub(super) kernels: String,
    pub(super) arithmetic: String,
    pub(super) policy: Policy,
    pub(super) memory_bytes: u64,
}

impl<S> LoadRequest<S> {
    /// The bytes that the model takes at the least, where the runtime has CUDA or has not. Whether device auto takes the
    /// GPU is only seen by trying, once the bundle is read.
    pub(super) fn least_memory_bytes(&self, bundle: &Announced, has_cuda: bool) -> u64 {
        let EngineOptions { workers, gpu_workers, .. } = self.options;
        let on_cpu = || bundle.memory_bytes("cpu", &self.precision.to_string(), workers);
        let on_cuda = || bundle.memory_bytes("cuda", GPU_PRECISION, gpu_workers);
        match self.device {
            Device::Cuda(_) => on_cuda(),
            Device::Auto if has_cuda => on_cpu().min(on_cuda()),
            Device::Cpu | Device::Auto => on_cpu(),
        }
    }

    /// Builds and warms all that the model needs, as long as it is wanted and `require_room` has room for its bytes on
    /// the device that it is placed on.
    pub(super) fn prepare<E>(
        self,
        bundle: Bundle,
        wanted: Wanted<'_>,
        require_room: impl FnOnce(u64) -> Result<(), BundleError>,
    ) -> Result<Prepared, BundleError>
    where
        S: FnOnce(&Arc<Bundle>) -> Result<Arc<dyn Scorer>, E>,
        E: fmt::Display,
    {
        let Self { device, precision, make_scorer, options, key } = self;
        let bundle = Arc::new(bundle);
        let plan = Plan::make(&bundle, Asked { device, backend: options.encoder, precision })?;
        let policy = policy(&plan, options, bundle.maximum_length());
        let (placement, precision) = (plan.placement, plan.precision.clone());
        let device = match placement {
            Placement::Cpu => "cpu",
            Placement::Cuda(_) => "cuda",
        };
        let memory_bytes = bundle.memory_bytes(device, &precision, policy.workers);
        require_room(memory_bytes)?;
        let scorer = make_scorer(&bundle).map_err(|error| BundleError::Scorer {
            bundle: bundle.folder().display().to_string(),
            why: error.to_string(),
        })?;
        let kernels = plan.serves();
        let arithmetic = format!("{} {precision} {}", bundle.seal(), plan.kernels());
        let source = Arc::clone(&bundle);
        let make_encoder = Box::new(move || plan.build(&source));
        let mut encoders = Vec::with_capacity(policy.workers);
        for _ in 0..policy.workers {
            require_wanted(wanted, bundle.folder())?;
            let mut encoder = make_encoder()?;
            warm_up(&bundle, encoder.as_mut())?;
            encoders.push(encoder);
        }
        let core = Core::new(key, bundle, scorer, make_encoder, encoders);
        Ok(Prepared { core, placement, precision, kernels, arithmetic, policy, memory_bytes })
    }
}

/// Runs sequences of every length class once, so that no request pays for first-time allocations.
fn warm_up(bundle: &Bundle, encoder: &mut dyn Encoder) -> Result<(), BundleError> {
    let sequence = vec![0; bundle.maximum_length()];
    let lengths = (0..).map(|power| 1_usize << power).take_while(|length| *length < sequence.len());
    let mut out = EncodedBatch::default();
    for length in lengths.chain([sequence.len()]) {
        encoder.encode(&[&sequence[..length]], &mut out).map_err(|error| BundleError::Graph {
            bundle: bundle.folder().display().to_string(),
            file: format!("the encoder, warmed at length {length},"),
            why: error.to_string(),
        })?;
    }
    Ok(())
}

fn policy(plan: &Plan, options: EngineOptions, longest: usize) -> Policy {
    let EngineOptions { workers, gpu_workers, queue_limit, batch_jobs, bulk_handicap, .. } = options;
    match plan.placement {
        Placement::Cpu => Policy {
            workers,
            queue_limit,
            batch_jobs,
            batch_tokens: batch_jobs * longest,
            encode_tokens: if plan.encodes_together() { ENCODE_TOKENS } else { 0 },
            bulk_handicap,
            padding: Padding::None,
        },
        Placement::Cuda(_) => Policy {
            workers: gpu_workers,
            queue_limit: queue_limit.max(32 * GPU_BATCH_JOBS),
            batch_jobs: GPU_BATCH_JOBS,
            batch_tokens: GPU_BATCH_JOBS * longest,
            encode_tokens: 0,
            bulk_handicap,
            padding: Padding::Buckets {
                lengths: session::gpu_buckets(longest),
                sizes: session::GPU_BATCHES.to_vec(),
                misfit_bound: GPU_MISFIT_BOUND,
                side_by_side: GPU_SIDE_BY_SIDE,
                worth_joining: GPU_WORTH_JOINING,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture;

    type Made = Result<Arc<dyn Scorer>, marquee_retrieval::RetrievalError>;

    fn request(device: Device, workers: usize) -> LoadRequest<fn(&Arc<Bundle>) -> Made> {
        let options = EngineOptions { workers, gpu_workers: 4, ..EngineOptions::default() };
        let make_scorer = |_: &Arc<Bundle>| -> Made { unreachable!("there is no room for the model") };
        LoadRequest { device, precision: Precision::Fp32, make_scorer, options, key: 0 }
    }

    #[test]
    fn a_device_that_may_be_either_needs_room_for_the_smaller_one_before_it_is_known() {
        let bundle = Announced::read(&fixture()).unwrap();
        let least =
            |device, workers, has_cuda| request(device, workers).least_memory_bytes(&bundle, has_cuda);
        for workers in [1, 1000] {
            let (cpu, cuda) = (least(Device::Cpu, workers, true), least(Device::Cuda(0), workers, true));
            assert_ne!(cpu, cuda);
            assert_eq!(least(Device::Auto, workers, true), cpu.min(cuda));
            assert_eq!(least(Device::Auto, workers, false), cpu);
        }
    }

    #[test]
    fn a_model_needs_room_on_the_device_that_it_is_placed_on_before_anything_is_built() {
        let bundle = Bundle::open(&fixture()).unwrap();
        let needed = bundle.memory_bytes("cpu", "fp32", 2);
        let refused = request(Device::Cpu, 2).prepare(bundle, &|| true, |bytes| {
            assert_eq!(bytes, needed);
            Err(BundleError::GivenUp { path: fixture() })
        });
        assert!(matches!(refused.err(), Some(BundleError::GivenUp { .. })));
    }
}
