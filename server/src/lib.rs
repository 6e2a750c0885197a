//! The Marquee platform as a library; the binary is a thin shell around [`app`].
