//! Where an answer comes from.

/// Which path answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The sequence model.
    Model,
    /// The onboarding preferences.
    Preferences,
    /// Popularity with decay.
    Popularity,
    /// New movies by predicted rows, for places of their own.
    Exploration,
    /// A rule that pins the movie.
    Rule,
    /// What the same users watch and what is said of the movies.
    Similarity,
}

impl Source {
    /// Those that a whole answer can come from: new movies and rules have single places of one,
    /// and movies that are alike are no recommendation.
    pub const ALL: [Self; 3] = [Self::Model, Self::Preferences, Self::Popularity];

    /// Its label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Preferences => "preferences",
            Self::Popularity => "popularity",
            Self::Exploration => "exploration",
            Self::Rule => "rule",
            Self::Similarity => "similarity",
        }
    }
}
