//! What every use of AMX needs: the word of processor and system that it may be used, and a thread's tiles.
//!
//! The compiler knows tile registers as clobbers only, and makes no code that uses them, so what a tile holds stays
//! there from one block of assembly to the next. Addresses are written as base + stride x 1 + displacement, the only
//! form that a tile load has. All tiles are of 16 rows of 64 bytes, whatever they hold, so that one configuration serves
//! everybody.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::cell::Cell;
use std::marker::PhantomData;

/// What a tile instruction multiplies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    Bf16,
    Int8,
}

/// The proof that the process may use tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leave(());

/// `arch_prctl`: asks for a state component that is too large to be saved for everybody.
const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
/// The tiles.
const XFEATURE_XTILEDATA: libc::c_long = 18;

impl Leave {
    /// Asks for all threads of the process.
    ///
    /// # Errors
    /// Why not, as the end of a sentence: what the processor lacks, or that the system refuses.
    pub(crate) fn ask(numbers: Numbers) -> Result<Self, &'static str> {
        let leaf = __cpuid_count(7, 0);
        let has = |bit: u32| leaf.edx >> bit & 1 == 1;
        let (has_numbers, lack) = match numbers {
            Numbers::Bf16 => (has(22), "the processor has no AMX for bf16"),
            Numbers::Int8 => (has(25), "the processor has no AMX for int8"),
        };
        if !(has(24) && has_numbers) {
            return Err(lack);
        }
        // SAFETY: the call changes what later threads may save, and nothing that exists.
        let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        if refused == 0 { Ok(Self(())) } else { Err("the system does not let this process use AMX") }
    }
}

/// What tiles are: eight of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = {
    let mut configuration =
        Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    let mut tile = 0;
    while tile < 8 {
        configuration.row_bytes[tile] = 64;
        configuration.rows[tile] = 16;
        tile += 1;
    }
    configuration
};

thread_local! {
    /// How many sessions the thread has.
    static SESSIONS: Cell<u32> = const { Cell::new(0) };
}

/// The thread's tiles are configured while it lives, and stay with its thread. While they are, every switch of threads
/// saves 8 KiB more, so the last session of a thread to end gives them back.
#[derive(Debug)]
pub(crate) struct Session(PhantomData<*const ()>);

impl Session {
    /// Makes the thread's tiles ready.
    #[inline]
    pub(crate) fn begin(_: Leave) -> Self {
        if SESSIONS.get() == 0 {
            // SAFETY: the leave is the proof that tiles may be used.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) };
        }
        SESSIONS.set(SESSIONS.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for Session {
    #[inline]
    fn drop(&mut self) {
        SESSIONS.set(SESSIONS.get() - 1);
        if SESSIONS.get() == 0 {
            // SAFETY: tiles were configured, and nobody reads them any more.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }
}

/// A block of assembly that may write every tile.
macro_rules! tile_asm {
    ($($body:tt)*) => {
        std::arch::asm!($($body)*, out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _,
            out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack))
    };
}
pub(crate) use tile_asm;

#[cfg(test)]
mod tests {
    use super::*;

    /// The first byte of the configuration is 0 while there is none.
    fn are_configured() -> bool {
        let mut stored = [0_u8; 64];
        // SAFETY: 64 bytes are written.
        unsafe { asm!("sttilecfg [{}]", in(reg) stored.as_mut_ptr(), options(nostack)) };
        stored[0] != 0
    }

    #[test]
    fn tiles_are_given_back_with_the_last_session() {
        let leave = match Leave::ask(Numbers::Int8) {
            Ok(leave) => leave,
            Err(why) => {
                eprintln!("not on this machine: {why}");
                return;
            }
        };
        let (first, second) = (Session::begin(leave), Session::begin(leave));
        drop(first);
        assert!(are_configured());
        drop(second);
        assert!(!are_configured());
        drop(Session::begin(leave));
        assert!(!are_configured());
    }
}
