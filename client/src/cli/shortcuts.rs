//! Short forms for daily use: the same calls and flags, with the usual fields as plain words; and the full forms whose
//! usual fields are plain words too.

use super::upload;

/// A call under a short name.
pub(super) struct Shortcut {
    /// What a person types; of two words, the first is the group of the service, or a short form of one word.
    pub(super) name: &'static str,
    /// `package.Service.Method`; the short form is left out where the API lacks it.
    pub(super) method: &'static str,
    /// Fields that are given by position.
    pub(super) positionals: &'static [&'static str],
}

/// All short forms, in the order of the help.
pub(super) const SHORTCUTS: [Shortcut; 18] = [
    short("recommend", "marquee.v1.RecommendationService.Recommend", &["user_id"]),
    short("similar", "marquee.v1.RecommendationService.SimilarMovies", &["movie_id"]),
    short("search", "marquee.v1.CatalogService.SearchMovies", &["query"]),
    short("movie", "marquee.v1.CatalogService.GetMovie", &["movie_id"]),
    short("popular", "marquee.v1.CatalogService.ListPopularMovies", &[]),
    short("trending", "marquee.v1.CatalogService.ListTrendingMovies", &[]),
    short("rate", "marquee.v1.InteractionService.RecordInteraction", &["user_id", "movie_id", "rating"]),
    short("history", "marquee.v1.UserService.ListHistory", &["user_id"]),
    short("models", "marquee.v1.OperationsService.ListModels", &[]),
    short("models upload", upload::METHOD, &[]),
    short("models versions", "marquee.v1.ModelService.ListModelVersions", &["name"]),
    short("models rollback", "marquee.v1.OperationsService.RollBackModel", &[]),
    short("stats", "marquee.v1.OperationsService.GetStats", &[]),
    short("job run", "marquee.v1.JobService.RunJob", &["kind", "arguments"]),
    short("job list", "marquee.v1.JobService.ListJobs", &[]),
    short("job watch", "marquee.v1.JobService.WatchJob", &["job_id"]),
    short("job cancel", "marquee.v1.JobService.CancelJob", &["job_id"]),
    short("health", "grpc.health.v1.Health.Check", &[]),
];

/// Methods whose full form takes fields by position.
const FULL: [(&str, &[&str]); 5] = [
    ("marquee.v1.AccessService.CreateKey", &["name"]),
    ("marquee.v1.AccessService.RotateKey", &["key_id"]),
    ("marquee.v1.AccessService.RevokeKey", &["key_id"]),
    ("marquee.v1.AccountService.SignUp", &["email"]),
    ("marquee.v1.AccountService.SignIn", &["email"]),
];

/// The fields that the full form of a method takes by position.
pub(super) fn positionals_of(method: &str) -> &'static [&'static str] {
    FULL.iter().find(|(name, _)| *name == method).map_or(&[], |(_, fields)| fields)
}

const fn short(name: &'static str, method: &'static str, positionals: &'static [&'static str]) -> Shortcut {
    Shortcut { name, method, positionals }
}
