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
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Model, Self::Preferences, Self::Popularity];

    /// Its label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Preferences => "preferences",
            Self::Popularity => "popularity",
        }
    }
}
