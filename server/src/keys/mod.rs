//! Keys of callers beside numbers: whoever knows users and movies by texts of their own, 1 to 256 bytes of UTF-8, names
//! them by these.
//!
//! - A **user's** number is made of the key alone, so that no node has to ask another one which it is. That two keys make
//!   the same number is next to impossible and is noticed: the key is kept with its user, and another one is refused.
//! - A **movie's** number is given to its key once, by a transaction of the store, when the movie is brought in. It stays
//!   the key's when the movie goes. Nodes read keys of movies from their catalogue in memory.
//!
//! Both have ranges of their own, so that numbers that callers choose and those that are given do not meet.

mod movies;
mod users;

pub use self::movies::{
    FIRST_KEYED_MOVIE, LAST_KEYED_MOVIE, MovieKeysError, UNNUMBERED, is_keyed_movie, number_movies,
};
pub use self::users::{
    OtherKey, UserKeyError, UserKeys, is_given, is_keyed, keep_key, kept_key, user_of_key,
};
