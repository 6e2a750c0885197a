//! A server that does next to nothing, to measure the generator itself: `k` 497 is answered after two
//! milliseconds, 498 never, 499 refused, all others at once.
//!
//! `cargo run --release -p marquee-loadgen --example still_server -- 127.0.0.1:50059`

#[path = "../tests/common/mod.rs"]
mod common;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:50059".to_owned());
    common::serve_on(tokio::net::TcpListener::bind(address).await?).await?;
    Ok(())
}
