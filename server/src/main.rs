//! The binary: names its allocator and hands over to the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A call is received, scored and answered on different threads, and its memory is freed on another one than it
/// was taken from: what this allocator is made for. ONNX Runtime takes its memory from it too (its feature
/// `override`), and so has its weights in large pages, which stay known to the processor while others run on it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    marquee_server::commands::main()
}
