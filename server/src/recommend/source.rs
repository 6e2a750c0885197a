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
    /// A rule that pins the movie.
    Rule,
}

impl Source {
    /// Those that a whole answer can come from: a rule pins single movies of one.
    pub const ALL: [Self; 3] = [Self::Model, Self::Preferences, Self::Popularity];

    /// Its label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Preferences => "preferences",
            Self::Popularity => "popularity",
            Self::Rule => "rule",
        }
    }
}
