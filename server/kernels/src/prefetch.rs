//! Asking the memory for what is read soon. It is there then, instead of being waited for.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// What the memory sends at once, in bytes.
const LINE: usize = 64;

/// Asks for all of `values`, where Rust has an instruction for it: on x86-64.
pub fn ask_for<T>(values: &[T]) {
    let start = values.as_ptr().cast::<i8>();
    for at in (0..size_of_val(values)).step_by(LINE) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 processor has the instruction, which reads nothing.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = start.wrapping_add(at);
    }
}
