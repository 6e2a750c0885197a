//! Short forms for daily use: the same calls and flags, with the usual fields as plain words.

/// A call under a short name.
pub(super) struct Shortcut {
    /// What a person types.
    pub(super) name: &'static str,
    /// `package.Service.Method`; the short form is left out where the API lacks it.
    pub(super) method: &'static str,
    /// Fields that are given by position.
    pub(super) positionals: &'static [&'static str],
}

/// All short forms, in the order of the help.
pub(super) const SHORTCUTS: [Shortcut; 11] = [
    short("recommend", "marquee.v1.RecommendationService.Recommend", &["user_id"]),
    short("similar", "marquee.v1.RecommendationService.SimilarMovies", &["movie_id"]),
    short("search", "marquee.v1.CatalogService.SearchMovies", &["query"]),
    short("movie", "marquee.v1.CatalogService.GetMovie", &["movie_id"]),
    short("popular", "marquee.v1.CatalogService.ListPopularMovies", &[]),
    short("trending", "marquee.v1.CatalogService.ListTrendingMovies", &[]),
    short("rate", "marquee.v1.InteractionService.RecordInteraction", &["user_id", "movie_id", "rating"]),
    short("history", "marquee.v1.UserService.ListHistory", &["user_id"]),
    short("models", "marquee.v1.OperationsService.ListModels", &[]),
    short("stats", "marquee.v1.OperationsService.GetStats", &[]),
    short("health", "grpc.health.v1.Health.Check", &[]),
];

const fn short(name: &'static str, method: &'static str, positionals: &'static [&'static str]) -> Shortcut {
    Shortcut { name, method, positionals }
}
