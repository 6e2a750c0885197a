//! Which movies the same users watch, for `SimilarMovies`: what follows in a history, which the model knows, is not what
//! is alike.
//!
//! A table has each movie's neighbours ([`marquee_ranking::CoOccurrence`]). It is built from the store beside everything
//! else, kept in the data folder with what it was built from, and built anew when there is a tenth more.
//! `marquee-server similar` builds it while no server runs.

mod build;
mod keep;
mod table;

pub use build::{built, of_histories};
pub use keep::{Keeper, Kept};
pub use table::{BuiltFrom, Table, TableError};
