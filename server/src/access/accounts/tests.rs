use std::sync::atomic::Ordering;

use argon2::password_hash::PasswordHasher as _;
use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;
use marquee_store::RedbStore;
use tempfile::TempDir;

use super::*;
use crate::access::Refusal;
use crate::catalog::Catalog;
use crate::profiles::Profiles;
use crate::shared::cache::LocalCache;
use crate::shared::events::LocalEvents;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse";
const HOME: &str = "peer-192.0.2.7";
const HOUR_MS: TimeMs = 60 * 60 * 1_000;
const TIMES: SessionTimes =
    SessionTimes { idle: Duration::from_hours(14 * 24), most: Duration::from_hours(90 * 24) };

struct Fixture {
    accounts: Arc<Accounts>,
    store: Arc<dyn Store>,
    _folder: TempDir,
}

/// A node of a store.
fn node(store: &Arc<dyn Store>, sign_up: bool) -> Arc<Accounts> {
    node_with(store, None, sign_up)
}

/// A node that shares a cache with others.
fn node_with(store: &Arc<dyn Store>, shared: Option<Arc<dyn Cache>>, sign_up: bool) -> Arc<Accounts> {
    let catalog = Arc::new(Catalog::new(Vec::new(), Vec::new()));
    let profiles = Arc::new(Profiles::new(Arc::clone(store), 0, None).unwrap());
    let events = Arc::new(LocalEvents::new(1));
    let writes = WriteCoordinator::new(Arc::clone(store), catalog, profiles, events, Duration::ZERO);
    let person = Arc::new(Role { name: "person".to_owned(), ..Role::default() });
    Arc::new(Accounts::new(Arc::clone(store), shared, writes, person, TIMES, sign_up))
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
    Fixture { accounts: node(&store, true), store, _folder: folder }
}

impl Fixture {
    async fn sign_up(&self) -> Entrance {
        self.accounts.sign_up(EMAIL, PASSWORD.to_owned(), HOME, 0).await.unwrap()
    }

    async fn sign_in(&self, email: &str, password: &str, now_ms: TimeMs) -> Result<Entrance, AccountError> {
        self.accounts.sign_in(email, password.to_owned(), HOME, now_ms).await
    }
}

async fn is_in(accounts: &Accounts, token: &str, now_ms: TimeMs) -> bool {
    match accounts.identify(token, now_ms).await {
        Ok(_) => true,
        Err(SessionError::Refused(Refusal::SessionOver)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn nobody_signs_up_unless_it_is_asked_for() {
    let it = fixture();
    let closed = node(&it.store, false);
    let refused = closed.sign_up(EMAIL, PASSWORD.to_owned(), HOME, 0).await;
    assert!(matches!(refused, Err(AccountError::SignUpOff)));
}

#[tokio::test]
async fn who_signs_up_owns_a_user_that_callers_cannot_take() {
    let it = fixture();
    let Entrance { account, session, .. } = it.sign_up().await;
    assert!(crate::writes::is_persons(account.user_id));
    assert!(it.store.user(account.user_id).await.unwrap().is_some());
    let signed_in = it.accounts.identify(&session.token, 1).await.unwrap();
    assert_eq!(signed_in.identity.user_id, Some(account.user_id));
    assert_eq!(signed_in.identity.name, format!("account-{}", account.id));
    let again = it.accounts.sign_up(" ADA@example.org", PASSWORD.to_owned(), HOME, 0).await;
    assert!(matches!(again, Err(AccountError::EmailTaken)));
    let taken = it.accounts.writes.check_user(account.user_id + 1).await;
    assert!(matches!(taken, Err(crate::writes::UserIdError::Reserved(_))), "{taken:?}");
    assert!(it.accounts.writes.check_user(account.user_id).await.is_ok());
    assert!(it.accounts.writes.check_user(7).await.is_ok());
}

#[tokio::test]
async fn each_sign_in_is_a_session_of_its_own_that_ends_alone() {
    let it = fixture();
    let first = it.sign_up().await.session.token;
    let second = it.sign_in("Ada@Example.org", PASSWORD, 1).await.unwrap().session.token;
    assert_ne!(first, second);
    let session = SessionId::parse(&first).unwrap();
    assert!(is_in(&it.accounts, &first, 2).await);
    it.accounts.sign_out(&session, false, 3).await.unwrap();
    assert!(!is_in(&it.accounts, &first, 3).await, "at once");
    assert!(is_in(&it.accounts, &second, 3).await);
}

#[tokio::test]
async fn sign_out_everywhere_ends_all_sessions_and_a_later_one_begins() {
    let it = fixture();
    let tokens = [it.sign_up().await, it.sign_in(EMAIL, PASSWORD, 1).await.unwrap()];
    let tokens = tokens.map(|entrance| entrance.session.token);
    for token in &tokens {
        assert!(is_in(&it.accounts, token, 2).await);
    }
    it.accounts.sign_out(&SessionId::parse(&tokens[0]).unwrap(), true, 3).await.unwrap();
    for token in &tokens {
        assert!(!is_in(&it.accounts, token, 3).await);
    }
    let later = it.sign_in(EMAIL, PASSWORD, 4).await.unwrap().session.token;
    assert!(is_in(&it.accounts, &later, 5).await);
}

#[tokio::test]
async fn a_session_that_one_node_ends_is_over_on_another_within_a_second() {
    let it = fixture();
    let other = node(&it.store, true);
    let token = it.sign_up().await.session.token;
    assert!(is_in(&other, &token, 1_000).await);
    it.accounts.sign_out(&SessionId::parse(&token).unwrap(), false, 1_001).await.unwrap();
    assert!(!is_in(&other, &token, 1_999).await);
    assert!(!is_in(&it.accounts, &token, 1_001).await);
}

#[tokio::test]
async fn a_session_lasts_while_it_is_used_and_no_longer_than_the_longest() {
    let it = fixture();
    let token = it.sign_up().await.session.token;
    let idle_ms = millis(TIMES.idle);
    assert!(is_in(&it.accounts, &token, idle_ms - 1).await, "a use prolongs it");
    assert!(is_in(&it.accounts, &token, 2 * idle_ms - 2).await);
    assert!(!is_in(&it.accounts, &token, 3 * idle_ms - 2).await);

    let token = it.sign_in(EMAIL, PASSWORD, 0).await.unwrap().session.token;
    let most_ms = millis(TIMES.most);
    for now_ms in (0..most_ms).step_by(usize::try_from(idle_ms / 2).unwrap()) {
        assert!(is_in(&it.accounts, &token, now_ms).await, "{now_ms}");
    }
    assert!(!is_in(&it.accounts, &token, most_ms).await);
}

#[tokio::test]
async fn the_use_of_a_session_is_written_once_an_hour() {
    let it = fixture();
    let Entrance { account, session, .. } = it.sign_up().await;
    let used_ms = async |now_ms| {
        assert!(is_in(&it.accounts, &session.token, now_ms).await);
        it.accounts.held_of_user(account.user_id, now_ms).await.unwrap().unwrap().sessions[0].used_ms
    };
    assert_eq!(used_ms(HOUR_MS - 1).await, 0);
    assert_eq!(used_ms(HOUR_MS).await, 0, "it is remembered");
    assert_eq!(used_ms(HOUR_MS + 1_000).await, HOUR_MS + 1_000);
    assert_eq!(used_ms(2 * HOUR_MS).await, HOUR_MS + 1_000);
}

#[tokio::test]
async fn an_unknown_account_and_a_wrong_password_are_told_apart_by_nothing() {
    let it = fixture();
    it.sign_up().await;
    let mut answers = Vec::new();
    for (email, password) in [(EMAIL, "wrong horse"), ("eve@example.org", PASSWORD), ("no address", PASSWORD)]
    {
        let before = it.accounts.passwords.made.load(Ordering::SeqCst);
        let refused = it.sign_in(email, password, 1).await.unwrap_err();
        assert!(matches!(refused, AccountError::SignInRefused));
        let made = it.accounts.passwords.made.load(Ordering::SeqCst) - before;
        answers.push((refused.to_string(), made));
    }
    assert_eq!(answers, vec![("the email or the password is wrong".to_owned(), 1); 3]);
}

#[tokio::test(start_paused = true)]
async fn passwords_of_an_account_are_tried_a_few_times_a_minute_whether_there_is_one_or_not() {
    let it = fixture();
    it.sign_up().await;
    for email in [EMAIL, "eve@example.org"] {
        let mut tried = 0;
        let retry_after = loop {
            match it.accounts.sign_in(email, "wrong".to_owned(), &format!("peer-{tried}"), 1).await {
                Err(AccountError::SignInRefused) => tried += 1,
                Err(AccountError::TooOften { retry_after }) => break retry_after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(tried, 60);
        tokio::time::advance(retry_after).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_guesses_from_one_address_has_few_attempts_and_locks_nobody_out() {
    let it = fixture();
    let session = it.sign_up().await.session.token;
    let from =
        async |origin: &str, password: &str| it.accounts.sign_in(EMAIL, password.to_owned(), origin, 1).await;
    for _ in 0..20 {
        assert!(matches!(from("peer-evil", "wrong").await, Err(AccountError::SignInRefused)));
    }
    assert!(matches!(from("peer-evil", "wrong").await, Err(AccountError::TooOften { .. })));
    assert!(is_in(&it.accounts, &session, 1).await, "a session goes on");
    assert!(from("peer-new", PASSWORD).await.is_ok(), "and the right password from another address");
}

#[tokio::test(start_paused = true)]
async fn many_who_guess_together_do_not_lock_the_owner_out_of_an_address_that_is_known() {
    let it = fixture();
    it.sign_up().await;
    let from =
        async |origin: &str, password: &str| it.accounts.sign_in(EMAIL, password.to_owned(), origin, 1).await;
    assert!(from("peer-work", PASSWORD).await.is_ok());
    for guesser in 0..60 {
        _ = from(&format!("peer-{guesser}"), "wrong").await;
    }
    assert!(matches!(from("peer-new", PASSWORD).await, Err(AccountError::TooOften { .. })));
    assert!(from(HOME, PASSWORD).await.is_ok(), "where the account was made");
    assert!(from("peer-work", PASSWORD).await.is_ok(), "where its owner has signed in");
}

#[test]
fn an_account_knows_the_addresses_of_its_last_sign_ins_by_hashes_of_its_own() {
    let account = |id: &str| Account {
        id: id.to_owned(),
        email: EMAIL.to_owned(),
        user_id: 1,
        created_ms: 0,
        password: String::new(),
        one_time: None,
        generation: 0,
        origins: Vec::new(),
    };
    let (mut one, mut other) = (account("one"), account("other"));
    for number in (0..9).chain([8]) {
        one.learn(&format!("peer-{number}"));
    }
    assert!(!one.knows("peer-0") && (1..9).all(|number| one.knows(&format!("peer-{number}"))));
    assert_eq!(one.origins.len(), 8);
    other.learn("peer-8");
    assert!(!one.origins.contains(&other.origins[0]));
}

#[tokio::test]
async fn another_password_ends_all_sessions_but_the_new_one() {
    let it = fixture();
    let Entrance { account, session, .. } = it.sign_up().await;
    let change = async |current: &str, new: &str| {
        it.accounts.change_password(&account.id, current.to_owned(), new.to_owned(), 2).await
    };
    assert!(matches!(change("wrong", "battery staple").await, Err(AccountError::WrongPassword)));
    assert!(is_in(&it.accounts, &session.token, 2).await);
    let new = change(PASSWORD, "battery staple").await.unwrap();
    assert!(!is_in(&it.accounts, &session.token, 3).await);
    assert!(is_in(&it.accounts, &new.token, 3).await);
    assert!(matches!(it.sign_in(EMAIL, PASSWORD, 4).await, Err(AccountError::SignInRefused)));
    assert!(it.sign_in(EMAIL, "battery staple", 4).await.is_ok());
}

#[tokio::test]
async fn a_reset_password_signs_in_once_within_its_day_and_is_then_changed() {
    let it = fixture();
    let session = it.sign_up().await.session;
    let name = AccountName::Email(EMAIL.to_owned());
    let (account, one_time, expires_ms) = it.accounts.reset_password(&name, 1).await.unwrap();
    assert!(!is_in(&it.accounts, &session.token, 1).await);
    assert!(it.sign_in(EMAIL, PASSWORD, 2).await.is_err());
    assert!(it.sign_in(EMAIL, &one_time, expires_ms).await.is_err(), "after its day");
    assert!(it.sign_in(EMAIL, &one_time, expires_ms - 1).await.unwrap().must_change_password);
    assert!(it.sign_in(EMAIL, &one_time, expires_ms - 1).await.is_err(), "a second time");
    let changed = it.accounts.change_password(&account.id, one_time, "battery staple".to_owned(), 3).await;
    assert!(is_in(&it.accounts, &changed.unwrap().token, 3).await);
    assert!(!it.sign_in(EMAIL, "battery staple", 4).await.unwrap().must_change_password);
    let unknown = it.accounts.reset_password(&AccountName::Id("0".to_owned()), 5).await;
    assert!(matches!(unknown, Err(AccountError::UnknownAccount)));
}

#[tokio::test]
async fn an_account_goes_with_its_user_and_leaves_its_address_free() {
    let it = fixture();
    let Entrance { account, session, .. } = it.sign_up().await;
    assert!(matches!(
        it.accounts.delete(&account.id, "wrong".to_owned(), 1).await,
        Err(AccountError::WrongPassword)
    ));
    it.accounts.delete(&account.id, PASSWORD.to_owned(), 1).await.unwrap();
    assert!(!is_in(&it.accounts, &session.token, 2).await);
    assert!(it.store.user(account.user_id).await.unwrap().is_none());
    assert!(it.accounts.held_of_user(account.user_id, 2).await.unwrap().is_none());
    let again = it.sign_up().await.account;
    assert_ne!((again.id, again.user_id), (account.id, account.user_id));
    it.accounts.delete_user(again.user_id, 3).await.unwrap();
    assert!(matches!(it.sign_in(EMAIL, PASSWORD, 4).await, Err(AccountError::SignInRefused)));
}

#[tokio::test]
async fn an_operator_links_an_account_to_a_user_that_none_owns() {
    let it = fixture();
    let Entrance { account, session, .. } = it.sign_up().await;
    let other = it.accounts.sign_up("eve@example.org", PASSWORD.to_owned(), HOME, 0).await.unwrap().account;
    let name = AccountName::Id(account.id.clone());
    let link = async |user_id| it.accounts.link_user(&name, user_id, 1).await;
    assert!(matches!(link(7).await, Err(AccountError::UnknownUser(7))));
    assert!(matches!(link(other.user_id).await, Err(AccountError::UserTaken(_))));
    it.store.register(7, 1).await.unwrap();
    assert!(is_in(&it.accounts, &session.token, 1).await);
    assert_eq!(link(7).await.unwrap().user_id, 7);
    let signed_in = it.accounts.identify(&session.token, 1).await.unwrap();
    assert_eq!(signed_in.identity.user_id, Some(7));
    assert_eq!(link(7).await.unwrap().user_id, 7, "a second time");
    assert_eq!(link(account.user_id).await.unwrap().user_id, account.user_id, "and back");
}

#[tokio::test]
async fn a_hash_of_another_cost_is_made_anew_at_the_next_sign_in() {
    let it = fixture();
    let account = it.sign_up().await.account;
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    let password = cheap.hash_password(PASSWORD.as_bytes()).unwrap().to_string();
    record::finish(it.store.as_ref(), &Account { password, ..account.clone() }, 0).await.unwrap();
    it.sign_in(EMAIL, PASSWORD, 1).await.unwrap();
    let kept = it.accounts.account(&account.id, 1).await.unwrap().password;
    assert!(kept.contains("m=19456"), "{kept}");
    it.sign_in(EMAIL, PASSWORD, 2).await.unwrap();
    assert_eq!(it.accounts.account(&account.id, 1).await.unwrap().password, kept);
}

#[tokio::test]
async fn an_account_that_is_not_finished_leaves_nothing_in_the_way() {
    let it = fixture();
    let email = Email::parse(EMAIL).unwrap();
    let account = Account { id: "half".to_owned(), email: EMAIL.to_owned(), ..it.sign_up().await.account };
    it.accounts.delete_user(account.user_id, 0).await.unwrap();
    record::begin(it.store.as_ref(), &account, 0).await.unwrap();
    assert!(record::claim_email(it.store.as_ref(), &email, &account.id, 0).await.unwrap());
    let early = it.accounts.sign_up(EMAIL, PASSWORD.to_owned(), HOME, 1).await;
    assert!(matches!(early, Err(AccountError::EmailTaken)));
    assert!(it.accounts.sign_up(EMAIL, PASSWORD.to_owned(), HOME, 2 * HOUR_MS).await.is_ok());
}

/// Two nodes that share a store and a cache, a session of the first, and its place in the store.
struct Sharing {
    it: Fixture,
    here: Arc<Accounts>,
    there: Arc<Accounts>,
    token: String,
    id: SessionId,
}

impl Sharing {
    async fn new() -> Self {
        let it = fixture();
        let shared: Arc<dyn Cache> = Arc::new(LocalCache::new(1 << 20, 100));
        let [here, there] = [0; 2].map(|_| node_with(&it.store, Some(Arc::clone(&shared)), true));
        let token = here.sign_up(EMAIL, PASSWORD.to_owned(), HOME, 0).await.unwrap().session.token;
        let id = SessionId::parse(&token).unwrap();
        Self { it, here, there, token, id }
    }

    /// The store knows no session any more, and no node has heard of it.
    async fn is_gone_from_the_store(&self) {
        let sessions = marquee_store::DocumentKind::Session;
        self.it.store.documents().remove_part(sessions, &self.id.account_id).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_node_knows_of_a_session_another_need_not_ask_the_store_for() {
    let it = Sharing::new().await;
    assert!(is_in(&it.here, &it.token, 1).await);
    it.is_gone_from_the_store().await;
    assert!(is_in(&it.there, &it.token, 2).await);
    let signed_in = it.there.identify(&it.token, 2).await.unwrap();
    assert_eq!(signed_in.session, it.id);
    assert!(signed_in.identity.user_id.is_some_and(crate::writes::is_persons));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_share_know_within_a_second_of_what_none_has_told_them() {
    let it = Sharing::new().await;
    assert!(is_in(&it.here, &it.token, 0).await);
    it.is_gone_from_the_store().await;
    tokio::time::advance(Duration::from_millis(390)).await;
    assert!(is_in(&it.there, &it.token, 390).await, "by what the first shares");
    tokio::time::advance(Duration::from_millis(400)).await;
    assert!(!is_in(&it.there, &it.token, 790).await);
    assert!(!is_in(&it.here, &it.token, 790).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_ends_is_over_there_at_once_whatever_is_shared() {
    let it = Sharing::new().await;
    for everywhere in [false, true] {
        let token = it.here.sign_in(EMAIL, PASSWORD.to_owned(), HOME, 10).await.unwrap().session.token;
        assert!(is_in(&it.here, &token, 10).await && is_in(&it.there, &token, 10).await);
        it.here.sign_out(&SessionId::parse(&token).unwrap(), everywhere, 11).await.unwrap();
        assert!(!is_in(&it.here, &token, 11).await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shared_of_one_account_is_nothing_for_another() {
    let it = Sharing::new().await;
    assert!(is_in(&it.here, &it.token, 1).await);
    let other = it.here.sign_up("eve@example.org", PASSWORD.to_owned(), HOME, 1).await.unwrap();
    let secret = it.token.strip_prefix("ms_").unwrap().split_once('_').unwrap().1;
    assert!(!is_in(&it.there, &format!("ms_{}_{secret}", other.account.id), 2).await);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_in_the_shared_cache_is_asked_of_the_store() {
    let it = fixture();
    let shared: Arc<dyn Cache> = Arc::new(LocalCache::new(1 << 20, 100));
    let here = node_with(&it.store, Some(Arc::clone(&shared)), true);
    let token = here.sign_up(EMAIL, PASSWORD.to_owned(), HOME, 0).await.unwrap().session.token;
    let key = session::key(&SessionId::parse(&token).unwrap());
    let mut now_ms = 0;
    for value in [&b""[..], b"\x02", b"\x01", b"\x01\0\0\0\0\0\0\0\x40", b"\x01\0\0\0\0\0\0\0\x40a_b"] {
        shared.put(key, Bytes::copy_from_slice(value), Duration::from_secs(9)).await;
        now_ms += 1_000;
        assert!(is_in(&here, &token, now_ms).await);
    }
}
