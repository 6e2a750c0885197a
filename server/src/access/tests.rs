use std::sync::Arc;
use std::time::Duration;

use marquee_core::domain::TimeMs;
use marquee_store::RedbStore;
use tempfile::TempDir;

use super::*;

const METHOD: &str = "a.Service/Read";
const OTHER: &str = "a.Service/Write";
const DAY_MS: TimeMs = 24 * 60 * 60 * 1_000;

struct Fixture {
    keys: Arc<Keys>,
    folder: TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(RedbStore::open(folder.path()).unwrap());
    let reader =
        Role { name: "reader".to_owned(), methods: [METHOD].into_iter().collect(), ..Role::default() };
    let own = Conditions { own_user: true, ..Conditions::default() };
    let person = Role { name: "person".to_owned(), conditions: own, ..reader.clone() };
    let roles = Arc::new([reader, person].into_iter().collect());
    Fixture { keys: Arc::new(Keys::open(store, roles).await.unwrap()), folder }
}

impl Fixture {
    async fn create(&self, name: &str, role: &str, lifetime: Option<Duration>, now_ms: TimeMs) -> NewKey {
        self.keys.create(name.to_owned(), role.to_owned(), lifetime, now_ms).await.unwrap()
    }

    fn who(&self, text: &str, now_ms: TimeMs) -> Result<String, Refusal> {
        self.keys.identify(text, now_ms).map(|identity| identity.name.clone())
    }
}

#[tokio::test]
async fn a_key_is_its_callers_until_it_is_revoked() {
    let it = fixture().await;
    let [one, other] =
        [it.create("one", "reader", None, 1).await, it.create("other", "reader", None, 1).await];
    assert_eq!(it.who(&one.text, 2), Ok("one".to_owned()));
    assert_eq!(it.who(&other.text, 2), Ok("other".to_owned()));
    assert!(it.keys.revoke(one.key.id.clone(), 3).await.unwrap());
    assert_eq!(it.who(&one.text, 3), Err(Refusal::Unknown));
    assert_eq!(it.who(&other.text, 3), Ok("other".to_owned()));
    assert!(!it.keys.revoke(one.key.id, 3).await.unwrap(), "a second time there is none");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_like_an_unknown_key() {
    let it = fixture().await;
    let [one, other] =
        [it.create("one", "reader", None, 1).await, it.create("other", "reader", None, 1).await];
    let mixed = format!(
        "mq_{}_{}",
        one.key.id,
        other.text.rsplit_once(&other.key.id).unwrap().1.trim_start_matches('_')
    );
    let invented = format!("mq_000000000000_{}", "A".repeat(43));
    assert_eq!(it.who(&invented, 2), Err(Refusal::Unknown));
    assert!(matches!(it.who(&mixed, 2), Err(Refusal::Unknown | Refusal::Unreadable)));
    assert_eq!(it.who("secret", 2), Err(Refusal::Unreadable));
}

#[tokio::test]
async fn a_key_expires_to_the_millisecond_and_is_listed_for_a_while() {
    let it = fixture().await;
    let key = it.create("one", "reader", Some(Duration::from_secs(1)), 500).await;
    assert_eq!(it.who(&key.text, 1_499), Ok("one".to_owned()));
    assert_eq!(it.who(&key.text, 1_500), Err(Refusal::Expired));
    assert_eq!(it.keys.list(1_500).await.unwrap()[0].key, key.key);
    it.create("one", "reader", None, 1_500).await;
    assert_eq!(it.keys.list(1_500).await.unwrap().len(), 2, "an expired key leaves its name free");
}

#[tokio::test]
async fn a_rotated_key_goes_on_beside_the_new_one_for_the_overlap() {
    let it = fixture().await;
    let old = it.create("one", "reader", Some(Duration::from_hours(24)), 0).await;
    let new = it.keys.rotate(old.key.id.clone(), Duration::from_mins(1), 1_000).await.unwrap();
    assert_eq!((new.key.name.as_str(), new.key.role.as_str()), ("one", "reader"));
    assert_eq!(new.key.expires_ms, Some(1_000 + DAY_MS), "it lives as long as the old one was to live");
    for text in [&old.text, &new.text] {
        assert_eq!(it.who(text, 60_999), Ok("one".to_owned()));
    }
    let third = it.keys.rotate(new.key.id.clone(), Duration::ZERO, 2_000).await;
    assert!(matches!(third, Err(KeyError::TwoLive(_))));
    assert_eq!(it.who(&old.text, 61_000), Err(Refusal::Expired));
    assert_eq!(it.who(&new.text, 61_000), Ok("one".to_owned()));
    let third = it.keys.rotate(new.key.id, Duration::ZERO, 61_000).await.unwrap();
    assert_eq!(it.who(&new.text, 61_000), Err(Refusal::Expired));
    assert_eq!(it.who(&third.text, 61_000), Ok("one".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_made_is_said() {
    let it = fixture().await;
    it.create("one", "reader", None, 1).await;
    let refused = async |name: &str, role: &str| {
        it.keys.create(name.to_owned(), role.to_owned(), None, 1).await.unwrap_err().to_string()
    };
    assert!(refused("one", "reader").await.contains("has a key already"));
    assert_eq!(refused("two", "king").await, "\"king\" is no role; the roles are person, reader");
    let unknown = it.keys.rotate("000000000000".to_owned(), Duration::ZERO, 1).await;
    assert!(matches!(unknown, Err(KeyError::UnknownKey(_))));
}

#[tokio::test]
async fn the_store_holds_no_key_that_could_be_shown() {
    let it = fixture().await;
    let key = it.create("one", "reader", None, 1).await;
    let (_, secret) = secret::parse(&key.text).unwrap();
    let files = std::fs::read_dir(it.folder.path()).unwrap();
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!holds(&bytes));
    }
}

#[tokio::test]
async fn what_a_caller_may_do_is_what_its_role_says() {
    let it = fixture().await;
    let [reader, person] = [it.create("r", "reader", None, 1).await, it.create("p", "person", None, 1).await];
    let may = |key: &NewKey, method| it.keys.identify(&key.text, 1).unwrap().may(method);
    assert!(matches!(may(&reader, METHOD), Permission::Free));
    assert!(matches!(may(&reader, OTHER), Permission::Denied));
    let Permission::Within(bounds) = may(&person, METHOD) else { panic!("a person is bounded") };
    assert!(!bounds.hold(|visit| visit(Asked::User(1))));
}

#[tokio::test]
async fn a_key_says_when_it_was_used_last() {
    let it = fixture().await;
    let key = it.create("one", "reader", None, 1).await;
    assert_eq!(it.keys.list(1).await.unwrap()[0].used_ms, None);
    it.who(&key.text, 100_000).unwrap();
    it.who(&key.text, 100_001).unwrap();
    assert_eq!(it.keys.list(100_001).await.unwrap()[0].used_ms, Some(100_000), "to the minute");
    it.who(&key.text, 160_000).unwrap();
    assert_eq!(it.keys.list(160_000).await.unwrap()[0].used_ms, Some(160_000));
}
