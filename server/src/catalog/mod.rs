//! The catalogue in memory: movies, bitmap filters, statistics and title search.
