//! How streams of requests are taken in: in chunks, and to their end.
//!
//! What a caller sends and nobody reads waits in HTTP/2, which bounds it and cuts off the whole connection
//! beyond. So the next chunk is read while one is stored. That is all that is held: a caller who is faster
//! than the store waits for it.

use futures::{FutureExt as _, Stream, StreamExt as _};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tracing::Instrument as _;

/// A part of a stream.
struct Chunk<T> {
    items: Vec<T>,
    /// How the stream ended, if it did.
    end: Option<Result<(), Status>>,
}

/// Where chunks go.
pub(super) trait Keep<T> {
    /// What an item takes of the room in a chunk.
    fn weight(_: &T) -> usize {
        1
    }

    /// Keeps a chunk, the last of a stream perhaps an empty one.
    fn keep(&mut self, chunk: Vec<T>) -> impl Future<Output = Result<(), Status>> + Send;
}

/// Hands a stream over in chunks that are full at the weight `most`, in order, and reads on meanwhile. What came before the
/// stream broke off is handed over too.
///
/// # Errors
/// What broke the stream off, or the first error of `keeper`, after which nothing more is read.
pub(super) async fn in_chunks<T, K: Keep<T>>(
    mut incoming: impl Stream<Item = Result<T, Status>> + Unpin,
    most: usize,
    keeper: &mut K,
) -> Result<(), Status> {
    let mut chunk = read(&mut incoming, most, K::weight).await;
    loop {
        let Chunk { items, end } = chunk;
        if let Some(end) = end {
            keeper.keep(items).await?;
            return end;
        }
        let next = read(&mut incoming, most, K::weight).map(Ok);
        ((), chunk) = futures::try_join!(keeper.keep(items), next)?;
    }
}

/// What a stream broke off with; where a message of it is at fault, as no message or by its bounds, with its place.
pub(super) fn broken_off(status: Status, place: impl FnOnce() -> String) -> Status {
    if status.code() != Code::InvalidArgument {
        return status;
    }
    let message = format!("{}; {}", status.message(), place());
    Status::with_error_details(status.code(), message, status.get_error_details())
}

async fn read<T>(
    incoming: &mut (impl Stream<Item = Result<T, Status>> + Unpin),
    most: usize,
    weight_of: impl Fn(&T) -> usize,
) -> Chunk<T> {
    let (mut items, mut weight) = (Vec::new(), 0);
    while weight < most {
        match incoming.next().await {
            Some(Ok(item)) => {
                weight += weight_of(&item);
                items.push(item);
            }
            Some(Err(broken_off)) => return Chunk { items, end: Some(Err(broken_off)) },
            None => return Chunk { items, end: Some(Ok(())) },
        }
    }
    Chunk { items, end: None }
}

/// Runs a call to its end even when nobody waits for its answer: its caller went away, or its deadline passed.
/// Then its stream breaks off, and what had come is still stored.
///
/// # Errors
/// The call's own, or INTERNAL when it panicked.
pub(super) async fn to_its_end<T: Send + 'static>(
    call: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    let ended = tokio::spawn(call.in_current_span()).await;
    ended.map_err(|panic| Status::internal(panic.to_string()))?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::stream;
    use tokio::sync::{Semaphore, oneshot};
    use tonic_types::ErrorDetails;

    use super::*;

    /// Keeps a chunk for each permit.
    struct Kept {
        chunks: Vec<Vec<u32>>,
        room: Arc<Semaphore>,
    }

    impl Kept {
        fn with_room_for(chunks: usize) -> Self {
            Self { chunks: Vec::new(), room: Arc::new(Semaphore::new(chunks)) }
        }
    }

    impl Keep<u32> for Kept {
        async fn keep(&mut self, chunk: Vec<u32>) -> Result<(), Status> {
            self.room.acquire().await.map_err(|_| Status::unavailable("no store"))?.forget();
            self.chunks.push(chunk);
            Ok(())
        }
    }

    fn numbers(count: u32) -> impl Stream<Item = Result<u32, Status>> + Unpin {
        stream::iter((1..=count).map(Ok))
    }

    /// The chunks that a stream is handed over in, and its end.
    async fn chunks(
        incoming: impl Stream<Item = Result<u32, Status>> + Unpin,
    ) -> (Vec<Vec<u32>>, Result<(), Status>) {
        let mut kept = Kept::with_room_for(10);
        let end = in_chunks(incoming, 2, &mut kept).await;
        (kept.chunks, end)
    }

    #[tokio::test]
    async fn a_stream_is_handed_over_in_order_and_whole() {
        assert_eq!(chunks(numbers(5)).await.0, [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(chunks(numbers(4)).await.0, [vec![1, 2], vec![3, 4], vec![]]);
        assert_eq!(chunks(numbers(0)).await.0, [Vec::<u32>::new()]);
    }

    #[tokio::test]
    async fn what_came_before_a_stream_broke_off_is_handed_over() {
        let broken_off = numbers(3).chain(stream::iter([Err(Status::cancelled("gone"))]));
        let (kept, end) = chunks(broken_off).await;
        assert_eq!(kept, [vec![1, 2], vec![3]]);
        assert_eq!(end.unwrap_err().code(), Code::Cancelled);
    }

    #[test]
    fn a_message_at_fault_is_placed_and_keeps_its_details() {
        let details = ErrorDetails::with_error_info("UNDECODABLE_MESSAGE", "marquee", []);
        let at_fault = Status::with_error_details(Code::InvalidArgument, "it is none", details);
        let placed = broken_off(at_fault, || "it is the third".to_owned());
        assert_eq!((placed.code(), placed.message()), (Code::InvalidArgument, "it is none; it is the third"));
        assert_eq!(placed.get_details_error_info().unwrap().reason, "UNDECODABLE_MESSAGE");
        let left = broken_off(Status::cancelled("gone"), || panic!("nobody is at fault"));
        assert_eq!((left.code(), left.message()), (Code::Cancelled, "gone"));
    }

    #[tokio::test]
    async fn the_next_chunk_is_read_while_one_is_kept_and_no_more_than_that() {
        let read = AtomicU32::new(0);
        let counted = numbers(10).inspect(|_| _ = read.fetch_add(1, Ordering::Relaxed));
        let mut kept = Kept::with_room_for(0);
        let room = Arc::clone(&kept.room);
        let mut handed = std::pin::pin!(in_chunks(counted, 2, &mut kept));
        assert!(futures::poll!(&mut handed).is_pending());
        assert_eq!(read.load(Ordering::Relaxed), 4);
        room.add_permits(1);
        assert!(futures::poll!(&mut handed).is_pending());
        assert_eq!(read.load(Ordering::Relaxed), 6);
    }

    #[tokio::test]
    async fn a_chunk_that_cannot_be_kept_ends_a_stream_whose_caller_is_silent() {
        let silent = numbers(2).chain(stream::pending());
        let mut kept = Kept::with_room_for(0);
        kept.room.close();
        let end = in_chunks(silent, 2, &mut kept).await;
        assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_runs_to_its_end() {
        let (go_on, going_on) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel();
        {
            let mut call = std::pin::pin!(to_its_end(async move {
                _ = going_on.await;
                _ = ending.send(());
                Ok(())
            }));
            assert!(futures::poll!(&mut call).is_pending());
        }
        go_on.send(()).unwrap();
        ended.await.unwrap();
    }
}
