//! Short forms for oneofs.
//!
//! What a request is about is a oneof, so that another kind of key can be added beside the id. Each oneof is made
//! of a member's value by `into`, and an id is read by a method of its name:
//!
//! ```
//! use marquee_proto::v1;
//!
//! let request = v1::GetMovieRequest { movie: Some(2571.into()) };
//! assert_eq!(request.movie_id(), 2571);
//! assert_eq!(v1::GetMovieRequest::default().movie_id(), 0);
//! ```

#![allow(clippy::pedantic)]

use crate::v1;

include!(concat!(env!("OUT_DIR"), "/oneofs.rs"));

impl From<Vec<u32>> for v1::History {
    /// A history of movies by their numbers, oldest first.
    fn from(movie_ids: Vec<u32>) -> Self {
        Self { movie_ids, movie_keys: Vec::new() }
    }
}

impl From<v1::RecordInteractionRequest> for v1::Interaction {
    fn from(request: v1::RecordInteractionRequest) -> Self {
        use v1::record_interaction_request::{Movie, User};
        let v1::RecordInteractionRequest { user, movie, kind, rating, time } = request;
        let user = user.map(|user| match user {
            User::UserId(id) => id.into(),
            User::UserKey(key) => key.into(),
        });
        let movie = movie.map(|movie| match movie {
            Movie::MovieId(id) => id.into(),
            Movie::MovieKey(key) => key.into(),
        });
        Self { user, movie, kind, rating, time }
    }
}
