//! The memory of this thread: how much it has taken at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts. Make it the global one.
pub(crate) struct Meter;

// SAFETY: every call goes to the system's allocator as it came; what is counted has no allocation of its own.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while it moves.
        take(size);
        give_back(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn take(bytes: usize) {
    let _gone = TAKEN.try_with(|taken| {
        taken.set(taken.get().wrapping_add(bytes));
        MOST.with(|most| most.set(most.get().max(taken.get().cast_signed().max(0).cast_unsigned())));
    });
}

fn give_back(bytes: usize) {
    let _gone = TAKEN.try_with(|taken| taken.set(taken.get().wrapping_sub(bytes)));
}

/// What the work answers, and the bytes that it had at once at most beyond those that were there before.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    TAKEN.set(0);
    MOST.set(0);
    let done = work();
    (done, MOST.get())
}
