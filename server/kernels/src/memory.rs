//! Memory that kernels read and write: aligned to a cache line, in large pages where it is large.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Pod;

/// A cache line, and the widest vector.
const LINE: usize = 64;
/// A large page.
const LARGE_PAGE: usize = 2 << 20;
/// From so many bytes on, memory begins at a large page.
const LARGE_FROM: usize = LARGE_PAGE / 2;

/// A slice of fixed length that begins at a multiple of 64 bytes.
pub(crate) struct Aligned<T> {
    start: NonNull<T>,
    length: usize,
    layout: Layout,
}

// SAFETY: it owns its memory as a `Box<[T]>` does.
unsafe impl<T: Send> Send for Aligned<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Aligned<T> {}

impl<T: Pod> Aligned<T> {
    /// `length` zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        let bytes = (length * size_of::<T>()).max(1);
        let (bytes, align) = if bytes >= LARGE_FROM {
            (bytes.next_multiple_of(LARGE_PAGE), LARGE_PAGE)
        } else {
            (bytes.next_multiple_of(LINE), LINE)
        };
        let layout = Layout::from_size_align(bytes, align).expect("sizes of models are far below isize::MAX");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        if align == LARGE_PAGE {
            ask_for_large_pages(start, bytes);
        }
        Self { start: start.cast(), length, layout }
    }
}

/// An advice only: without it reading costs a little more.
#[cfg(target_os = "linux")]
fn ask_for_large_pages(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the advice changes no content, and the pages are the caller's.
    unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_start: NonNull<u8>, _bytes: usize) {}

impl<T> Drop for Aligned<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by this layout in `zeros`.
        unsafe { dealloc(self.start.as_ptr().cast(), self.layout) };
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `length` values were made by `zeros`, and `T` has no invalid bits.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_zero_aligned_and_as_long_as_asked() {
        for length in [0, 1, 15, 17, 4_096, LARGE_FROM / 4, LARGE_FROM] {
            let mut memory = Aligned::<f32>::zeros(length);
            assert_eq!(memory.len(), length);
            assert_eq!(memory.as_ptr().addr() % LINE, 0);
            assert!(memory.iter().all(|value| *value == 0.0));
            memory.fill(1.0);
            assert!(memory.iter().all(|value| *value > 0.0));
        }
    }
}
