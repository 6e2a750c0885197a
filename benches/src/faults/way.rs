//! The way between a server and what it needs: passed on, delayed, cut off, or lost.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It arrives.
    Open,
    /// It arrives this late, each way.
    Late(Duration),
    /// Connections are closed, and new ones as soon as they are there: a process that is gone.
    Gone,
    /// Nothing arrives and nothing is closed: a network that is parted.
    Lost,
}

/// Stands between a server and a port of loopback until it is dropped.
pub(super) struct Way {
    port: u16,
    passage: watch::Sender<Passage>,
    accepting: JoinHandle<()>,
}

impl Way {
    /// To this port, open.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn to(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let here = listener.local_addr()?.port();
        let (passage, seen) = watch::channel(Passage::Open);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *seen.borrow() != Passage::Gone {
                    tokio::spawn(join(client, port, seen.clone()));
                }
            }
        });
        Ok(Self { port: here, passage, accepting })
    }

    /// The port of this end.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    pub(super) fn becomes(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn join(client: TcpStream, port: u16, mut passage: watch::Receiver<Passage>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pass(from_client, to_server, passage.clone()) => {}
        () = pass(from_server, to_client, passage.clone()) => {}
        // The way itself is gone when nobody can change it any more.
        _ = passage.wait_for(|passage| *passage == Passage::Gone) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut passage: watch::Receiver<Passage>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let now = *passage.borrow();
        match now {
            Passage::Open | Passage::Gone => {}
            Passage::Late(delay) => tokio::time::sleep(delay).await,
            // What was sent into a network that is parted arrives when it no longer is, as TCP has it.
            Passage::Lost => {
                if passage.wait_for(|passage| *passage != Passage::Lost).await.is_err() {
                    return;
                }
            }
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says back what it hears, and the way to it.
    async fn echo() -> Way {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        Way::to(port).await.unwrap()
    }

    async fn said(stream: &mut TcpStream) -> std::io::Result<usize> {
        stream.write_all(b"x").await?;
        stream.read(&mut [0; 1]).await
    }

    #[tokio::test]
    async fn what_is_sent_arrives() {
        let way = echo().await;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, way.port())).await.unwrap();
        assert_eq!(said(&mut stream).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_way_that_is_gone_closes_what_is_open_and_takes_nothing_new() {
        let way = echo().await;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, way.port())).await.unwrap();
        assert_eq!(said(&mut stream).await.unwrap(), 1);
        way.becomes(Passage::Gone);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, way.port())).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn what_is_lost_arrives_when_the_network_is_whole_again() {
        let way = echo().await;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, way.port())).await.unwrap();
        assert_eq!(said(&mut stream).await.unwrap(), 1);
        way.becomes(Passage::Lost);
        stream.write_all(b"y").await.unwrap();
        let mut byte = [0; 1];
        let early = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
        assert!(early.is_err(), "{early:?}");
        way.becomes(Passage::Open);
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
    }
}
