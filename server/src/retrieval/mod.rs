//! Retrieval: the best items for a vector, by the cheapest plan that is right.
