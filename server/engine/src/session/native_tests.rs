//! The native encoder against ONNX Runtime, on the two bundles that are in the repository: several heads, and one.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::{Asked, EncoderBackend, Plan, bare_encoder};
use super::*;
use crate::bundle::{copy, judge_bf16};
use crate::runtime::Device;
use crate::tests::bundles;

/// Sequences of all lengths, some of them long.
fn sequences(bundle: &Bundle) -> Vec<Vec<ItemRow>> {
    let mut random = SmallRng::seed_from_u64(3);
    let (items, longest) = (bundle.items() as ItemRow, bundle.maximum_length());
    (1..=longest).map(|length| (0..length).map(|_| random.random_range(0..items)).collect()).collect()
}

fn vectors(bundle: &Arc<Bundle>, backend: EncoderBackend, precision: Precision) -> Vec<f32> {
    let mut encoder = bare_encoder(bundle, Device::Cpu, backend, precision).unwrap();
    let sequences = sequences(bundle);
    let sequences: Vec<&[ItemRow]> = sequences.iter().map(Vec::as_slice).collect();
    let mut out = EncodedBatch::default();
    encoder.encode(&sequences, &mut out).unwrap();
    out.vectors
}

/// The worst error of a vector, relative to its largest number.
fn worst(expected: &[f32], got: &[f32], dimension: usize) -> f32 {
    assert_eq!(expected.len(), got.len());
    let of_one = |(expected, got): (&[f32], &[f32])| {
        let largest = expected.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        expected.iter().zip(got).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
    };
    expected.chunks(dimension).zip(got.chunks(dimension)).map(of_one).fold(0.0, f32::max)
}

/// What serves where native is asked for; `None` where this processor has no kernels for it, which is said.
fn served(bundle: &Arc<Bundle>, precision: Precision) -> Option<Plan> {
    let asked = Asked { device: Device::Cpu, backend: EncoderBackend::Native, precision };
    let plan = Plan::make(bundle, asked).unwrap();
    if plan.native.is_none() {
        eprintln!("not on this machine: {precision} by the native encoder");
    }
    plan.native.is_some().then_some(plan)
}

#[test]
fn in_fp32_it_answers_what_onnx_runtime_does() {
    for bundle in bundles() {
        if served(&bundle, Precision::Fp32).is_none() {
            return;
        }
        let expected = vectors(&bundle, EncoderBackend::OrtOnly, Precision::Fp32);
        let got = vectors(&bundle, EncoderBackend::Native, Precision::Fp32);
        let worst = worst(&expected, &got, bundle.dimension());
        assert!(worst <= 1e-5, "{}: {worst}", bundle.version());
    }
}

#[test]
fn in_bf16_it_answers_nearly_that() {
    for bundle in bundles() {
        let Some(plan) = served(&bundle, Precision::Bf16) else { return };
        assert_eq!(plan.precision, "bf16");
        let expected = vectors(&bundle, EncoderBackend::OrtOnly, Precision::Fp32);
        let got = vectors(&bundle, EncoderBackend::Native, Precision::Bf16);
        let worst = worst(&expected, &got, bundle.dimension());
        assert!(worst > 0.0 && worst <= 0.01, "{}: {worst}", bundle.version());
    }
}

#[test]
fn what_it_does_not_have_onnx_runtime_serves() {
    let [bundle, ..] = bundles();
    let asked = Asked { device: Device::Cpu, backend: EncoderBackend::Native, precision: Precision::Int8 };
    let plan = Plan::make(&bundle, asked).unwrap();
    assert!(plan.native.is_none() && !plan.encodes_together());
    assert_eq!(plan.precision, "int8");
}

#[test]
fn bf16_is_refused_where_onnx_runtime_is_asked_for() {
    let [bundle, ..] = bundles();
    let asked = Asked { device: Device::Cpu, backend: EncoderBackend::OrtOnly, precision: Precision::Bf16 };
    let refused = Plan::make(&bundle, asked).unwrap_err().to_string();
    assert!(refused.contains("bf16"), "{refused}");
}

#[test]
fn a_model_that_loses_too_much_in_bf16_is_served_in_fp32() {
    for (kept, precision) in [(true, "bf16"), (false, "fp32")] {
        let folder = copy();
        judge_bf16(folder.path(), kept);
        let bundle = Arc::new(Bundle::open(folder.path()).unwrap());
        let asked =
            Asked { device: Device::Cpu, backend: EncoderBackend::Native, precision: Precision::Bf16 };
        let plan = Plan::make(&bundle, asked).unwrap();
        if plan.native.is_none() && kept {
            eprintln!("not on this machine: bf16 by the native encoder");
            return;
        }
        assert_eq!(plan.precision, precision);
    }
}
