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
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Model, Self::Preferences, Self::Popularity, Self::Exploration];

    /// Its label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Preferences => "preferences",
            Self::Popularity => "popularity",
            Self::Exploration => "exploration",
        }
    }
}
