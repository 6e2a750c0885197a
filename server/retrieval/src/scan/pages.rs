//! Memory that a scan reads from end to end, in large pages where the system has them.
//!
//! A table of 84,432 x 256 codes is 5,300 pages of 4 KiB, more than the processor remembers the places of,
//! and on a virtual machine each place that it looks up costs two walks. In pages of 2 MiB there are 11.

/// A vector with room for `capacity` values that are not written yet, since a page gets its size when it
/// is first touched.
pub(super) fn vec_in_large_pages<T>(capacity: usize) -> Vec<T> {
    let vec = Vec::<T>::with_capacity(capacity);
    #[cfg(target_os = "linux")]
    linux::ask_for_large_pages(vec.as_ptr().addr(), capacity * size_of::<T>());
    vec
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ptr;

    use rustix::mm::{Advice, madvise};

    /// Of what the vector does not own, no page may be named, so only whole pages within it are.
    pub(super) fn ask_for_large_pages(start: usize, bytes: usize) {
        let page = rustix::param::page_size();
        let (first, end) = (start.next_multiple_of(page), (start + bytes) / page * page);
        let Some(length) = end.checked_sub(first).filter(|length| *length > 0) else { return };
        // SAFETY: the advice changes no content, and the pages belong to the vector.
        let advised = unsafe { madvise(ptr::without_provenance_mut(first), length, Advice::LinuxHugepage) };
        if let Err(error) = advised {
            tracing::debug!(%error, "no huge pages for the scan's table");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vector_like_any_other() {
        for capacity in [0, 1, 511, 1 << 20] {
            let mut vec = vec_in_large_pages::<u64>(capacity);
            vec.resize(capacity, 7);
            assert!(vec.len() == capacity && vec.iter().all(|value| *value == 7));
        }
    }
}
