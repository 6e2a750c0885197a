//! Takes connections from the system, as many as there may be.
//!
//! Whoever cannot be served is told so and closed, and does not hang. When the system gives no connection, most
//! often because the process has no descriptor left, the next try comes after a pause: to ask again at once would
//! take a processor and change nothing. One descriptor is kept for that case, to take from the queue those who
//! wait, and to refuse them.
//!
//! A handshake of TLS has a task of its own and a time, so that a peer that is silent delays nobody else.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Connection, ConnectionTimes, Transport};
use super::connections::{Connections, Place, Refusal, Unused};
use crate::edge::tls::{NoTls, Tls};

/// Between two tries to take a connection that the system does not give.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two lines of the log that say the same.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// What a caller reads who is refused: a GOAWAY with ENHANCE_YOUR_CALM. Without the settings that HTTP/2 begins with:
/// after those a client of gRPC takes the connection for a good one, and makes the next at once and without a pause.
const REFUSED: &[u8] = b"\
    \0\0\x1c\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_connections";

/// The connections that callers open, encrypted where there is `tls`, until the stream is dropped.
pub(crate) fn accept(
    listener: TcpListener,
    connections: Arc<Connections>,
    tls: Option<Arc<Tls>>,
    times: ConnectionTimes,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Connection, Infallible>> {
    let acceptor = Acceptor { listener, connections, spare: spare(), said: None };
    let accepted = stream::unfold(acceptor, |mut acceptor| async move {
        let accepted = acceptor.next().await;
        Some((accepted, acceptor))
    });
    // As many as `connections` has places for.
    let begun = accepted.map(move |(stream, place)| begin(stream, place, tls.clone(), times.handshake));
    begun.buffer_unordered(usize::MAX).filter_map(move |begun| {
        let connection = begun.map(|(stream, place)| Connection::new(stream, place, times, stop.clone()));
        async move { connection.map(Ok) }
    })
}

/// The connection that a caller can be heard on; `None` when the handshake of TLS does not end well, or not in time.
async fn begin(
    stream: TcpStream,
    place: Place,
    tls: Option<Arc<Tls>>,
    limit: Duration,
) -> Option<(Transport, Place)> {
    let Some(tls) = tls else { return Some((Transport::Plain(stream), place)) };
    let handshake = tokio::spawn(async move { tls.handshake(stream, limit).await });
    match AbortOnDropHandle::new(handshake).await {
        Ok(Ok(stream)) => Some((Transport::encrypted(stream), place)),
        Ok(Err(NoTls::Timeout)) => {
            place.closed(Unused::Handshake);
            None
        }
        Ok(Err(NoTls::Plain | NoTls::Failed)) | Err(_) => None,
    }
}

/// Where connections come from.
trait Listen: Send + Sync {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Listen for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        TcpListener::accept(self)
    }
}

struct Acceptor<L> {
    listener: L,
    connections: Arc<Connections>,
    /// The descriptor that is kept for refusals.
    spare: Option<File>,
    /// When the log last said that connections are refused.
    said: Option<Instant>,
}

impl<L: Listen> Acceptor<L> {
    async fn next(&mut self) -> (TcpStream, Place) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => match self.connections.admit(peer.ip()) {
                    Ok(place) => {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "TCP_NODELAY not set");
                        }
                        return (stream, place);
                    }
                    Err(refusal) => self.refuse(stream, peer, refusal),
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => self.pause(&error).await,
            }
        }
    }

    fn refuse(&mut self, stream: TcpStream, peer: SocketAddr, refusal: Refusal) {
        close(stream);
        if self.may_say() {
            let limit = match refusal {
                Refusal::Total => "max-connections",
                Refusal::Address => "max-connections-per-address",
                Refusal::Descriptors => "open files",
            };
            tracing::warn!(%peer, limit, "connection limit reached: connections are refused");
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        if self.may_say() {
            tracing::error!(%error, "cannot accept connections; raise the limit of open files (ulimit -n)");
        }
        self.refuse_those_who_wait();
        sleep(PAUSE).await;
    }

    /// Takes those who wait with the spare descriptor, one after the other.
    fn refuse_those_who_wait(&mut self) {
        self.spare = None;
        while let Some(Ok((stream, _))) = self.listener.accept().now_or_never() {
            close(stream);
            self.connections.refused(Refusal::Descriptors);
        }
        self.spare = spare();
    }

    fn may_say(&mut self) -> bool {
        let may = self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY);
        if may {
            self.said = Some(Instant::now());
        }
        may
    }
}

/// Whether it was that connection which failed, and the next one may not.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Closes the connection and says why, if the peer can still be told.
fn close(stream: TcpStream) {
    if let Err(error) = stream.into_std().and_then(|mut stream| stream.write_all(REFUSED)) {
        tracing::trace!(%error, "GOAWAY not sent on a refused connection");
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::edge::Proxies;
    use crate::edge::layers::ConnectionLimits;

    /// A system that is out of descriptors for its first answers.
    struct Exhausted {
        failures: usize,
        asked: AtomicUsize,
        then: TcpListener,
    }

    impl Listen for Exhausted {
        async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            if self.asked.fetch_add(1, Ordering::Relaxed) < self.failures {
                return Err(io::Error::from_raw_os_error(libc::EMFILE));
            }
            self.then.accept().await
        }
    }

    fn acceptor<L>(listener: L, total: usize) -> Acceptor<L> {
        let limits = ConnectionLimits { total, per_address: total, proxies: Proxies::NONE };
        let connections = Connections::new(limits);
        Acceptor { listener, connections, spare: spare(), said: None }
    }

    async fn listener() -> TcpListener {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    /// What a connection to this address reads until it is closed.
    async fn reads(address: SocketAddr) -> Vec<u8> {
        let mut read = Vec::new();
        TcpStream::connect(address).await.unwrap().read_to_end(&mut read).await.unwrap();
        read
    }

    #[tokio::test(start_paused = true)]
    async fn a_system_without_descriptors_is_asked_again_after_a_pause() {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        // Each failure asks twice: for the connection, and for those who wait.
        let mut acceptor =
            acceptor(Exhausted { failures: 6, asked: AtomicUsize::new(0), then: listener }, 10);
        let began = Instant::now();
        let (client, _accepted) = tokio::join!(TcpStream::connect(address), acceptor.next());
        client.unwrap();
        assert_eq!(began.elapsed().as_millis(), 3 * PAUSE.as_millis());
        assert_eq!(acceptor.listener.asked.into_inner(), 7);
    }

    #[tokio::test]
    async fn those_who_wait_while_there_are_no_descriptors_are_refused() {
        let mut acceptor = acceptor(listener().await, 10);
        let address = acceptor.listener.local_addr().unwrap();
        let mut waiting = TcpStream::connect(address).await.unwrap();
        // The system has it in its queue once the listener can be read.
        let mut read = Vec::new();
        while read.is_empty() {
            acceptor.refuse_those_who_wait();
            tokio::task::yield_now().await;
            let _none_yet = waiting.try_read_buf(&mut read);
        }
        waiting.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, REFUSED);
        assert!(acceptor.spare.is_some());
    }

    #[tokio::test]
    async fn a_connection_too_many_is_closed_and_told_why() {
        let mut acceptor = acceptor(listener().await, 1);
        let address = acceptor.listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), acceptor.next());
        let accepting = tokio::spawn(async move { acceptor.next().await });
        assert_eq!(reads(address).await, REFUSED);
        drop(accepted);
        let (_client, again) = tokio::join!(TcpStream::connect(address), accepting);
        drop(again.unwrap());
    }

    #[tokio::test]
    async fn a_refused_client_of_http_2_reads_the_reason() {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (_sender, connection) = h2::client::handshake(theirs).await.unwrap();
        let (_, mut ours) = tokio::io::split(ours);
        tokio::io::AsyncWriteExt::write_all(&mut ours, REFUSED).await.unwrap();
        let error = connection.await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    }
}
