//! The `marquee.v1` API: generated types, validation and the descriptor set.
