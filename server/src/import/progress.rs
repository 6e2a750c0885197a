//! How far an import is, for whoever wants to show it.

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// Bytes of the release that are stored.
    pub bytes: u64,
    /// All its bytes.
    pub total_bytes: u64,
    /// What is being stored.
    pub part: Part,
}

/// What is being stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// Movies with their tags and links.
    Movies,
    /// Ratings.
    Ratings {
        /// Those that are stored.
        stored: u64,
        /// How many of them in a second.
        per_second: f64,
    },
}

/// Takes how far an import is.
pub trait Progress: Send + Sync {
    /// A further part is stored. Never less than before.
    fn reached(&self, reached: Reached);

    /// All is stored.
    fn finished(&self);
}

/// Nobody looks.
pub struct Silent;

impl Progress for Silent {
    fn reached(&self, _: Reached) {}

    fn finished(&self) {}
}
