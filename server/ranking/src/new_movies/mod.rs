//! Movies that the model was not trained on: rows for them, and which of them are shown.
//!
//! A row is predicted from what the catalogue says ([`features`], [`Content::predict`]), and moves with every event
//! ([`Content::fold_in`]). Scores of such rows are not those of trained ones, so they are never mixed: new movies have
//! places of their own, which [`explore`] gives by chance, the better the likelier, and with what chance it says.
//! `onnx/marquee_onnx/new_movies.py` is the reference of the rows.

mod content;
mod explore;
mod features;
mod ridge;

pub use content::{Content, Known};
pub use explore::{Drawn, explore};
pub use features::features;
pub use ridge::InSteps;
