//! What it costs a call that its caller is asked for: a key that is held in memory, or a session that is remembered, and
//! the right to a method. At most 5 microseconds are meant.
//!
//! `cargo bench -p marquee-benches --bench access`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use futures::FutureExt as _;
use marquee_core::clock::now_ms;
use marquee_proto::methods::recommendation::RECOMMEND;
use marquee_server::access::accounts::{Accounts, SessionTimes};
use marquee_server::access::{Access, Certificates, ClaimRoles, Keys, NewKey, Permission, Roles};
use marquee_server::catalog::Catalog;
use marquee_server::edge::OwnRoles;
use marquee_server::profiles::Profiles;
use marquee_server::shared::events::LocalEvents;
use marquee_server::writes::WriteCoordinator;
use marquee_store::{RedbStore, Store};

/// Keys that a node holds beside the one that is shown.
const OTHERS: usize = 100;

fn access(bench: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (access, key) = runtime.block_on(async {
        let store = Arc::new(RedbStore::open(folder.path()).expect("a new store"));
        let roles: Arc<Roles> = Arc::new(OwnRoles::default().with_built_in());
        let keys = Arc::new(Keys::open(store, Arc::clone(&roles)).await.expect("there are no keys yet"));
        for other in 0..OTHERS {
            make(&keys, &format!("other-{other}"), "viewer").await;
        }
        let key = make(&keys, "shop", "recommender").await;
        let nobody = Certificates::new(&ClaimRoles::default(), &roles).expect("no role is named");
        (Access::new(keys, None, Arc::new(nobody)), key.text)
    });
    bench.bench_function("a key in memory and its right to Recommend", |bench| {
        bench.iter(|| {
            let identity = access.identify(black_box(&key), now_ms()).now_or_never();
            let identity = identity.expect("it is in memory").expect("it is live");
            let permission = identity.may(black_box(RECOMMEND.full_name()));
            assert!(matches!(permission, Permission::Free));
        });
    });
}

/// A person's session, as the same node asks for it again and again.
fn session(bench: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (accounts, token) = runtime.block_on(async {
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).expect("a new store"));
        let accounts = Arc::new(accounts(&store));
        let made = accounts.sign_up("ada@example.org", "correct horse".to_owned(), "peer-127.0.0.1", 0).await;
        let token = made.expect("the account is made").session.token;
        accounts.identify(&token, 0).await.expect("it has begun");
        (accounts, token)
    });
    bench.bench_function("a session in memory and its right to Recommend", |bench| {
        bench.iter(|| {
            let signed_in = accounts.identify(black_box(&token), 1).now_or_never();
            let signed_in = signed_in.expect("it is in memory").expect("it is live");
            let permission = signed_in.identity.may(black_box(RECOMMEND.full_name()));
            assert!(matches!(permission, Permission::Within(_)));
        });
    });
}

/// The accounts of a store, with nothing else of a server.
fn accounts(store: &Arc<dyn Store>) -> Accounts {
    let catalog = Arc::new(Catalog::new(Vec::new(), Vec::new()));
    let profiles = Arc::new(Profiles::new(Arc::clone(store), 0, None).expect("nothing is shared"));
    let events = Arc::new(LocalEvents::new(1));
    let writes = WriteCoordinator::new(Arc::clone(store), catalog, profiles, events, Duration::ZERO);
    let roles = OwnRoles::default().with_built_in();
    let person = roles.get("person").cloned().expect("it comes with the server");
    let day = Duration::from_hours(24);
    Accounts::new(Arc::clone(store), None, writes, person, SessionTimes { idle: day, most: day }, true)
}

async fn make(keys: &Arc<Keys>, name: &str, role: &str) -> NewKey {
    keys.create(name.to_owned(), role.to_owned(), None, now_ms()).await.expect("the key is made")
}

criterion_group!(benches, access, session);
criterion_main!(benches);
