//! Users whose taste is alike, by the cosine of their vectors.
//!
//! An index of user vectors follows what users do ([`Changes`]): whoever was active is encoded anew, as bulk work, and
//! who has nothing that the model reads is taken out. While nobody is, it reads the store's users one after the other
//! ([`Listing`]), until it has as many as it was told to keep. It is of one model: when another one answers, its users are
//! encoded anew.
//!
//! Nothing of a deleted user is answered: before an answer goes out, the store is asked for everybody in it.

mod kept;
mod listing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use marquee_core::domain::UserId;
use marquee_engine::{EngineError, Priority};
use marquee_retrieval::{LiveIndex, Method, RetrievalError};
use marquee_store::{Store, StoreError};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use kept::Kept;
use listing::Listing;

use super::vectors::check;
use super::{Encoded, RecommendError, Recommender, RequestOptions, Subject, VectorError};
use crate::profiles::Changes;

/// Users that are encoded at once, and that are looked up at once.
const AT_ONCE: usize = 16;

/// How long the follower waits where the engine or the store does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Finds users whose taste is alike.
pub struct SimilarUsers {
    recommender: Arc<Recommender>,
    store: Arc<dyn Store>,
    changes: Arc<Changes>,
    kept: Mutex<Kept>,
    /// Changed by the follower alone; `None` before the first user.
    current: ArcSwapOption<Current>,
}

/// The vectors of one model.
struct Current {
    model_version: String,
    index: LiveIndex,
}

/// Users near a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct UsersFound {
    /// With their cosines, the nearest first, ties by ascending id.
    pub users: Vec<(UserId, f32)>,
    /// The model version whose vectors they are.
    pub model_version: String,
    /// How they were found; `None` where there was nobody to look among.
    pub method: Option<Method>,
}

impl SimilarUsers {
    /// Knows nobody yet; of the store's users, and those that [`follow`](Self::follow) hears of in `changes`, `most` are
    /// kept.
    pub fn new(
        recommender: Arc<Recommender>,
        store: Arc<dyn Store>,
        changes: Arc<Changes>,
        most: usize,
    ) -> Self {
        changes.follow(most);
        Self {
            recommender,
            store,
            changes,
            kept: Mutex::new(Kept::new(most)),
            current: ArcSwapOption::empty(),
        }
    }

    /// The users most like one, itself left out.
    ///
    /// # Errors
    /// [`RecommendError::NothingToEncode`] for a user who is unknown or has nothing that the model reads.
    pub async fn like_user(
        &self,
        user_id: UserId,
        k: usize,
        options: &RequestOptions,
    ) -> Result<UsersFound, RecommendError> {
        let Encoded { vector, model_version, .. } =
            self.recommender.encode(&Subject::User(user_id), options).await?;
        self.nearest(vector, model_version, k, Some(user_id)).await
    }

    /// The users most like a vector of the active model.
    ///
    /// # Errors
    /// [`VectorError`] for one that is not of the model's space, too.
    pub async fn like_vector(&self, vector: &Arc<[f32]>, k: usize) -> Result<UsersFound, VectorError> {
        let model = self.recommender.engine.model(None)?;
        check(vector, &model)?;
        let model_version = model.bundle().version().to_owned();
        Ok(self.nearest(Arc::clone(vector), model_version, k, None).await?)
    }

    async fn nearest(
        &self,
        vector: Arc<[f32]>,
        model_version: String,
        k: usize,
        left_out: Option<UserId>,
    ) -> Result<UsersFound, RecommendError> {
        let current = self.current.load_full();
        let Some(current) = current.filter(|current| current.model_version == model_version) else {
            return Ok(UsersFound { users: Vec::new(), model_version, method: None });
        };
        loop {
            let (searched, vector) = (Arc::clone(&current), Arc::clone(&vector));
            let wanted = k + usize::from(left_out.is_some());
            let found = on_a_thread(move || searched.index.nearest(&vector, wanted)).await?;
            let mut users = found.keys;
            users.retain(|(user_id, _)| Some(*user_id) != left_out);
            users.truncate(k);
            let gone = self.gone(&users).await?;
            if gone.is_empty() {
                return Ok(UsersFound { users, model_version, method: Some(found.method) });
            }
            self.forget(&current, gone).await?;
        }
    }

    /// Those of these users who are not there any more.
    async fn gone(&self, users: &[(UserId, f32)]) -> Result<Vec<UserId>, StoreError> {
        let look_up = |user_id: UserId| async move {
            let user = self.store.user(user_id).await?;
            Ok(user.is_none().then_some(user_id))
        };
        let user_ids: Vec<UserId> = users.iter().map(|(user_id, _)| *user_id).collect();
        let looked_up = stream::iter(user_ids).map(look_up).buffered(AT_ONCE);
        looked_up.try_filter_map(async |gone| Ok(gone)).try_collect().await
    }

    /// Reads the store's users, and follows what users do until it is aborted.
    pub async fn follow(self: Arc<Self>) {
        let mut listing = Some(Listing::of(Arc::clone(&self.store)));
        loop {
            let users = self.next(&mut listing).await;
            let again = self.take_in(users).await;
            if !again.is_empty() {
                self.changes.add(again);
                sleep(RETRY).await;
            }
        }
    }

    /// Whom to encode next: who was active, or else who comes next in the store, as long as there is room for them.
    async fn next(&self, listing: &mut Option<Listing>) -> Vec<UserId> {
        if self.kept().is_full() {
            *listing = None;
        }
        let Some(listed) = listing else { return self.changes.next(AT_ONCE).await };
        tokio::select! {
            biased;
            changed = self.changes.next(AT_ONCE) => changed,
            users = listed.next(AT_ONCE) => {
                if users.is_empty() {
                    *listing = None;
                }
                let kept = self.kept();
                users.into_iter().filter(|user_id| !kept.holds(*user_id)).collect()
            }
        }
    }

    /// Encodes users anew; those with whom that has to be tried again.
    async fn take_in(&self, users: Vec<UserId>) -> Vec<UserId> {
        let options = RequestOptions { priority: Priority::Bulk, ..RequestOptions::default() };
        let encode = async |user_id: UserId| {
            let encoded = self.recommender.encode(&Subject::User(user_id), &options).await;
            (user_id, encoded)
        };
        let (mut vectors, mut unreadable, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (user_id, encoded) in join_all(users.into_iter().map(encode)).await {
            match encoded {
                Ok(encoded) => vectors.push((user_id, encoded)),
                Err(RecommendError::NothingToEncode(_)) => unreadable.push(user_id),
                Err(error) => {
                    tracing::debug!(%error, "a user's vector is not up to date; trying again");
                    again.push(user_id);
                }
            }
        }
        if let Some(current) = self.current.load_full()
            && let Err(error) = self.forget(&current, unreadable).await
        {
            tracing::warn!(%error, "users stay in the index of similar users");
        }
        match self.keep(vectors).await {
            Ok(others) => again.extend(others),
            Err(error) => tracing::warn!(%error, "users are missing in the index of similar users"),
        }
        again
    }

    /// Keeps vectors; the users whose vectors are of another model than the last one's.
    async fn keep(&self, mut vectors: Vec<(UserId, Encoded)>) -> Result<Vec<UserId>, RecommendError> {
        let Some((_, newest)) = vectors.last() else { return Ok(Vec::new()) };
        let current = self.current_of(newest)?;
        let others = vectors.extract_if(.., |(_, encoded)| encoded.model_version != current.model_version);
        let others = others.map(|(user_id, _)| user_id).collect();
        let oldest: Vec<UserId> = {
            let mut kept = self.kept();
            vectors.iter().filter_map(|(user_id, _)| kept.active(*user_id)).collect()
        };
        on_a_thread(move || {
            for (user_id, encoded) in vectors {
                current.index.put(user_id, &encoded.vector)?;
            }
            oldest.into_iter().try_for_each(|user_id| current.index.remove(user_id))
        })
        .await?;
        Ok(others)
    }

    /// The index that a vector belongs into: an empty one where it is the first of its model. Then all users of the
    /// model before are encoded anew.
    fn current_of(&self, encoded: &Encoded) -> Result<Arc<Current>, RetrievalError> {
        let current = self.current.load_full();
        if let Some(current) = current.filter(|current| current.model_version == encoded.model_version) {
            return Ok(current);
        }
        let index = LiveIndex::new(encoded.vector.len())?;
        let current = Arc::new(Current { model_version: encoded.model_version.clone(), index });
        self.current.store(Some(Arc::clone(&current)));
        let before = self.kept().drain();
        self.changes.add(before);
        Ok(current)
    }

    /// Takes users out.
    async fn forget(&self, current: &Arc<Current>, users: Vec<UserId>) -> Result<(), RecommendError> {
        {
            let mut kept = self.kept();
            for user_id in &users {
                kept.remove(*user_id);
            }
        }
        let current = Arc::clone(current);
        on_a_thread(move || users.into_iter().try_for_each(|user_id| current.index.remove(user_id))).await
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works on an index where nobody else waits for it.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RetrievalError> + Send + 'static,
) -> Result<T, RecommendError> {
    let worked = spawn_blocking(work).await;
    Ok(worked.map_err(|_| EngineError::ShuttingDown)??)
}
