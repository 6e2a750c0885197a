//! Our own attention against ONNX Runtime's, in the graphs of the two bundles that are in the repository: several heads,
//! and one.

use marquee_retrieval::ItemRow;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::{Asked, EncoderBackend, Plan, Precision, attention};
use super::graph::tests::not_causal;
use super::*;
use crate::job::{EncodedBatch, Encoder};
use crate::runtime::Device;
use crate::session::cpu::CpuEncoder;
use crate::tests::{bundles, fixture};

fn tiny() -> Arc<Bundle> {
    Arc::new(Bundle::open(&fixture()).unwrap())
}

/// An encoder with our own attention; `None` where this processor has no kernels for it, which is said.
fn with_own(bundle: &Bundle, precision: &str) -> Option<CpuEncoder> {
    crate::runtime::init().unwrap();
    match session(bundle, &bundle.encoder("cpu", precision).unwrap()) {
        Ok((session, _)) => Some(CpuEncoder::of(session, bundle)),
        Err(OperatorError::Unfit(why)) => {
            eprintln!("not on this machine: attention by a kernel of our own: {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn vector(encoder: &mut CpuEncoder, sequence: &[ItemRow]) -> Vec<f32> {
    let mut out = EncodedBatch::default();
    encoder.encode(&[sequence], &mut out).unwrap();
    out.vectors
}

/// The largest difference of each vector from ONNX Runtime's, least first, for random sequences of every length.
fn differences(bundle: &Bundle, precision: &str) -> Option<Vec<f32>> {
    let mut own = with_own(bundle, precision)?;
    let mut reference = CpuEncoder::new(bundle, &bundle.encoder("cpu", precision).unwrap()).unwrap();
    let mut random = SmallRng::seed_from_u64(11);
    let mut difference = |length| {
        let sequence: Vec<ItemRow> =
            (0..length).map(|_| random.random_range(0..bundle.items() as ItemRow)).collect();
        let (got, expected) = (vector(&mut own, &sequence), vector(&mut reference, &sequence));
        got.iter().zip(&expected).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()))
    };
    let mut differences: Vec<f32> = (1..=bundle.maximum_length()).map(&mut difference).collect();
    differences.sort_unstable_by(f32::total_cmp);
    Some(differences)
}

#[test]
fn vectors_of_every_length_are_those_of_onnx_runtime() {
    for bundle in bundles() {
        let Some(differences) = differences(&bundle, "fp32") else { return };
        let worst = differences[differences.len() - 1];
        assert!(worst <= 2e-5, "{}: {worst}", bundle.version());
    }
}

#[test]
fn in_int8_they_are_so_but_where_a_last_bit_tips_the_rounding_of_an_activation() {
    for bundle in bundles() {
        let Some(differences) = differences(&bundle, "int8") else { return };
        let (median, worst) = (differences[differences.len() / 2], differences[differences.len() - 1]);
        let tolerance = bundle.encoder("cpu", "int8").unwrap().tolerance;
        assert!(median <= 2e-5 && worst <= tolerance, "{}: {median}, {worst}", bundle.version());
    }
}

#[test]
fn what_an_earlier_sequence_left_does_not_matter() {
    let [_, bundle, ..] = bundles();
    let Some(mut encoder) = with_own(&bundle, "fp32") else { return };
    let before = vector(&mut encoder, &[3, 1, 4]);
    vector(&mut encoder, &[1; 200]);
    assert_eq!(vector(&mut encoder, &[3, 1, 4]), before);
}

#[test]
fn a_model_has_it_unless_onnx_runtime_alone_is_asked_for() {
    let bundle = tiny();
    let has = with_own(&bundle, "fp32").is_some();
    for precision in [Precision::Fp32, Precision::Int8] {
        let plan = |backend| Plan::make(&bundle, Asked { device: Device::Cpu, backend, precision }).unwrap();
        let (ort, alone) = (plan(EncoderBackend::Ort), plan(EncoderBackend::OrtOnly));
        assert_eq!((ort.attention.is_some(), alone.attention), (has, None));
        // Vectors of the one must not be taken for those of the other.
        assert_eq!(ort.kernels() != alone.kernels(), has);
    }
}

#[test]
fn what_native_kernels_do_not_have_is_served_with_their_attention_at_least() {
    let bundle = tiny();
    let asked = Asked { device: Device::Cpu, backend: EncoderBackend::Native, precision: Precision::Int8 };
    let plan = Plan::make(&bundle, asked).unwrap();
    assert_eq!(plan.attention.is_some(), with_own(&bundle, "int8").is_some());
}

#[test]
fn a_graph_with_other_attention_is_left_to_onnx_runtime() {
    let bundle = tiny();
    let mut graph = bundle.encoder("cpu", "fp32").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let changed = not_causal(&fs::read(&graph.path).unwrap());
    graph.path = folder.path().join(&graph.file);
    fs::write(&graph.path, changed).unwrap();
    crate::runtime::init().unwrap();
    let refused = session(&bundle, &graph).err();
    assert!(matches!(refused, Some(OperatorError::NothingToReplace)), "{refused:?}");
    assert_eq!(attention(&bundle, &graph), None);
}

#[test]
fn a_graph_that_fails_the_probe_with_it_is_left_to_onnx_runtime() {
    let bundle = tiny();
    let mut graph = bundle.encoder("cpu", "fp32").unwrap();
    assert_eq!(attention(&bundle, &graph).is_some(), with_own(&bundle, "fp32").is_some());
    graph.tolerance = -1.0;
    assert_eq!(attention(&bundle, &graph), None);
}

#[test]
fn a_sequence_that_the_operator_was_not_made_for_is_an_error_of_the_session() {
    let bundle = tiny();
    let model = fs::read(bundle.encoder("cpu", "fp32").unwrap().path).unwrap();
    let model = graph::with_operator(&model).unwrap().unwrap().model;
    let shape = Shape { dimension: bundle.dimension(), heads: 2, blocks: 1, longest: 1 };
    let Ok(attention) = CausalAttention::new(&shape) else { return };
    let attention = Arc::new(Mutex::new(attention));
    for (dimension, why) in [(16, "1 to 1 rows of 16"), (8, "[1, n, 8], not queries [1, 2, 16]")] {
        let operator = AttentionOperator { dimension, attention: Arc::clone(&attention) };
        let mut encoder = CpuEncoder::of(session_with(operator, &bundle, &model).unwrap(), &bundle);
        let refused = encoder.encode(&[&[1, 2]], &mut EncodedBatch::default()).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

#[test]
fn a_panic_of_the_kernel_is_an_error() {
    assert!(matches!(caught(|| panic!("on purpose")), Err(OperatorError::Panicked)));
    assert!(caught(|| Ok(())).is_ok());
}
