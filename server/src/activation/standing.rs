//! Which model is active for all nodes of a store, as a document of it.

use marquee_core::clock::now_ms;
use marquee_engine::Before;
use marquee_store::{Content, DocumentId, DocumentKind, Store, StoreError};
use serde::{Deserialize, Serialize};

const ID: DocumentId<'_> = DocumentId { kind: DocumentKind::Activation, part: "", key: "active" };

/// A version of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) version: String,
}

/// A model, as the store names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    /// What requests call it.
    pub(super) model_version: String,
    /// Where it is; of a model that is no version of the registry each node has to know by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) registered: Option<Version>,
}

impl Named {
    /// Whether it is this version of the registry.
    pub(super) fn is(&self, name: &str, version: &str) -> bool {
        self.registered.as_ref().is_some_and(|it| it.name == name && it.version == version)
    }
}

/// What was active before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Past {
    /// Nothing.
    #[default]
    Nothing,
    /// This one, until the newest activation.
    Active(Named),
    /// This one, until it was gone back from.
    Left(Named),
}

impl Past {
    /// The same for the engine, which knows models by what requests call them.
    pub(super) fn before(&self) -> Before {
        match self {
            Self::Nothing => Before::Nothing,
            Self::Active(named) => Before::Active(named.model_version.clone()),
            Self::Left(named) => Before::Left(named.model_version.clone()),
        }
    }
}

/// Which model is active. Fields that later releases add are optional.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) active: Named,
    #[serde(default)]
    pub(super) past: Past,
}

impl Standing {
    /// The models that it names.
    pub(super) fn models(&self) -> impl Iterator<Item = &Named> {
        let past = match &self.past {
            Past::Nothing => None,
            Past::Active(named) | Past::Left(named) => Some(named),
        };
        std::iter::once(&self.active).chain(past)
    }

    /// That of a store; `None` where nothing of the registry was ever activated.
    pub(super) async fn read(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        let Some(value) = store.documents().get(ID, now_ms()).await? else { return Ok(None) };
        let standing = serde_json::from_slice(&value);
        standing.map(Some).map_err(|error| StoreError::Corrupt(format!("which model is active: {error}")))
    }

    /// Keeps it.
    pub(super) async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let value = serde_json::to_vec(self).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        store.documents().put(ID, &Content::lasting(value), now_ms()).await
    }
}
