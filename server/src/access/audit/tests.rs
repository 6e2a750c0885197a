use futures::TryStreamExt as _;
use marquee_store::{DocumentKind, RedbStore};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use super::*;

const DAY: Duration = Duration::from_hours(24);
const DAY_MS: TimeMs = 24 * 60 * 60 * 1_000;

struct Fixture {
    store: Arc<dyn Store>,
    trail: Arc<Trail>,
    audit: Audit,
    stop: CancellationToken,
    writing: AbortOnDropHandle<()>,
    _folder: TempDir,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
    let trail = Arc::new(Trail::new(Arc::clone(&store), 2 * DAY));
    let (audit, writer) = Audit::new(Arc::clone(&store), Arc::clone(&trail));
    let stop = CancellationToken::new();
    let writing = AbortOnDropHandle::new(tokio::spawn(writer.run(stop.clone())));
    Fixture { store, trail, audit, stop, writing, _folder: folder }
}

fn entry(caller: &str) -> Entry {
    Entry {
        time_ms: now_ms(),
        caller: Some(Caller::Named(caller.to_owned())),
        origin: "peer-192.0.2.7".to_owned(),
        method: "a.Service/Change",
        user_id: None,
        request_id: Some("order-66".to_owned()),
        outcome: "OK",
    }
}

fn refused() -> Entry {
    Entry { caller: None, outcome: "UNAUTHENTICATED", ..entry("") }
}

impl Fixture {
    async fn records(&self) -> Vec<Record> {
        self.list(&Filter::default()).await
    }

    async fn list(&self, filter: &Filter) -> Vec<Record> {
        self.audit.written().await;
        self.trail.list(filter, None, 1_000, now_ms()).await.unwrap().records
    }

    async fn pseudonym_of(&self, user_id: UserId) -> String {
        self.audit.change(Entry { user_id: Some(user_id), ..entry("one") });
        self.records().await[0].user.clone().unwrap()
    }

    async fn salts_of(&self, user_id: UserId) -> usize {
        let part = user_id.to_string();
        let salts = self.store.documents().list(DocumentKind::AuditSalt, &part, None, 10, now_ms()).await;
        salts.unwrap().len()
    }
}

#[tokio::test]
async fn what_is_recorded_can_be_read_once_it_is_written_newest_first() {
    let it = fixture();
    it.audit.change(entry("one"));
    it.audit.refusal(entry("two"));
    let records = it.records().await;
    let callers: Vec<_> = records.iter().map(|record| record.caller.as_deref().unwrap()).collect();
    assert_eq!(callers, ["two", "one"]);
    let Record { origin, method, user, request_id, outcome, calls, .. } = &records[1];
    assert_eq!((origin.as_str(), method.as_str(), user), ("peer-192.0.2.7", "a.Service/Change", &None));
    assert_eq!((request_id.as_deref(), outcome.as_str(), *calls), (Some("order-66"), "OK", 1));
}

#[tokio::test]
async fn refusals_of_unknown_callers_are_one_record_with_their_number_at_the_end() {
    let it = fixture();
    for _ in 0..100 {
        it.audit.refusal(refused());
    }
    it.audit.refusal(Entry { method: "a.Service/Other", ..refused() });
    it.stop.cancel();
    it.writing.await.unwrap();
    let mut sums: Vec<_> = it.trail.list(&Filter::default(), None, 10, now_ms()).await.unwrap().records;
    sums.sort_by_key(|sum| sum.calls);
    let said: Vec<_> = sums.iter().map(|sum| (sum.method.as_str(), sum.calls)).collect();
    assert_eq!(said, [("a.Service/Other", 1), ("a.Service/Change", 100)]);
    assert_eq!((&sums[1].caller, sums[1].outcome.as_str()), (&None, "UNAUTHENTICATED"));
}

#[test]
fn refusals_from_everywhere_take_bounded_room() {
    let sums = Sums::default();
    for place in 0..5_000 {
        sums.add(&Entry { origin: place.to_string(), ..refused() });
    }
    let sums = sums.take();
    assert_eq!(sums.len(), 1_001);
    assert_eq!(sums.iter().map(|sum| sum.calls).sum::<u64>(), 5_000);
}

#[tokio::test]
async fn refusals_leave_room_in_the_queue_for_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
    let trail = Arc::new(Trail::new(Arc::clone(&store), DAY));
    // Nothing takes anything out of the queue.
    let (audit, writer) = Audit::new(store, trail);
    for _ in 0..QUEUE {
        audit.refusal(entry("one"));
    }
    audit.change(entry("two"));
    assert_eq!(writer.items.len(), QUEUE / 2 + 1);
}

#[tokio::test]
async fn what_is_queued_when_the_server_ends_is_written() {
    let it = fixture();
    for _ in 0..50 {
        it.audit.change(entry("one"));
    }
    it.stop.cancel();
    it.writing.await.unwrap();
    assert_eq!(it.trail.list(&Filter::default(), None, 100, now_ms()).await.unwrap().records.len(), 50);
}

#[tokio::test]
async fn a_user_has_one_pseudonym_until_there_is_no_such_user() {
    let it = fixture();
    it.store.register(7, 1).await.unwrap();
    it.store.register(8, 1).await.unwrap();
    let pseudonym = it.pseudonym_of(7).await;
    assert_eq!(it.pseudonym_of(7).await, pseudonym);
    assert_ne!(it.pseudonym_of(8).await, pseudonym);
    it.store.delete_user(7).await.unwrap();
    it.store.documents().remove_part(DocumentKind::AuditSalt, "7").await.unwrap();
    let after = it.pseudonym_of(7).await;
    assert_ne!(after, pseudonym);
    assert_ne!(it.pseudonym_of(7).await, after, "without a user nothing is kept");
    assert_eq!((it.salts_of(7).await, it.salts_of(8).await), (0, 1));
}

#[tokio::test]
async fn a_person_who_calls_stands_under_the_pseudonym_of_their_user() {
    let it = fixture();
    it.store.register(7, 1).await.unwrap();
    it.audit.change(Entry { caller: Some(Caller::Person(7)), user_id: Some(7), ..entry("") });
    let record = it.records().await.remove(0);
    assert_eq!(record.caller, record.user.map(|user| format!("person-{user}")));
}

#[tokio::test]
async fn a_filter_keeps_what_it_wants() {
    let it = fixture();
    let now_ms = now_ms();
    for (caller, method, outcome, time_ms) in [
        ("one", "a.Service/Change", "OK", now_ms - DAY_MS),
        ("two", "a.Service/Other", "OK", now_ms - 2),
        ("one", "a.Service/Other", "NOT_FOUND", now_ms - 1),
    ] {
        it.audit.change(Entry { time_ms, method, outcome, ..entry(caller) });
    }
    let times = async |filter: Filter| {
        it.list(&filter).await.iter().map(|record| record.time_ms - now_ms).collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(times(Filter::default()).await, [-1, -2, -DAY_MS]);
    assert_eq!(times(Filter { caller: Some(text("one")), ..Filter::default() }).await, [-1, -DAY_MS]);
    assert_eq!(times(Filter { method: text("a.Service/Other"), ..Filter::default() }).await, [-1, -2]);
    assert_eq!(times(Filter { outcome: text("OK"), ..Filter::default() }).await, [-2, -DAY_MS]);
    assert_eq!(times(Filter { from_ms: Some(now_ms - 2), ..Filter::default() }).await, [-1, -2]);
    assert_eq!(times(Filter { until_ms: Some(now_ms - 1), ..Filter::default() }).await, [-2, -DAY_MS]);
    assert_eq!(times(Filter { caller: Some(None), ..Filter::default() }).await, [0; 0]);
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_over_days() {
    let it = fixture();
    let now_ms = now_ms();
    for number in 0..7 {
        it.audit.change(Entry { time_ms: now_ms - number * DAY_MS / 4, ..entry(&number.to_string()) });
    }
    it.audit.written().await;
    let (mut callers, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = it.trail.list(&Filter::default(), after, 3, now_ms).await.unwrap();
        sizes.push(page.records.len());
        callers.extend(page.records.into_iter().filter_map(|record| record.caller));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((sizes, callers.concat()), (vec![3, 3, 1], "0123456".to_owned()));
}

#[tokio::test]
async fn an_export_has_what_all_pages_have() {
    let it = fixture();
    for number in 0..1_234 {
        it.audit.change(Entry { time_ms: now_ms(), ..entry(&number.to_string()) });
    }
    it.audit.refusal(entry("two"));
    it.audit.written().await;
    let export = async |filter: Filter| {
        let records = Arc::clone(&it.trail).export(filter, now_ms()).try_collect::<Vec<_>>().await;
        records.unwrap()
    };
    let all = export(Filter::default()).await;
    assert_eq!(all, it.trail.list(&Filter::default(), None, 2_000, now_ms()).await.unwrap().records);
    assert_eq!(all.len(), 1_235);
    let one = Filter { caller: Some(Some("two".to_owned())), ..Filter::default() };
    assert_eq!(export(one).await.len(), 1);
}

#[tokio::test]
async fn records_of_a_user_are_found_while_there_is_the_user() {
    let it = fixture();
    it.store.register(7, 1).await.unwrap();
    assert_eq!(it.trail.pseudonym_of(7, now_ms()).await.unwrap(), None, "nothing is recorded of it yet");
    let pseudonym = it.pseudonym_of(7).await;
    it.audit.change(entry("two"));
    assert_eq!(it.trail.pseudonym_of(7, now_ms()).await.unwrap(), Some(pseudonym.clone()));
    let user = Some(pseudonym);
    assert_eq!(it.list(&Filter { user: user.clone(), ..Filter::default() }).await.len(), 1);
    it.store.delete_user(7).await.unwrap();
    it.store.documents().remove_part(DocumentKind::AuditSalt, "7").await.unwrap();
    assert_eq!(it.trail.pseudonym_of(7, now_ms()).await.unwrap(), None);
    assert_eq!(
        it.list(&Filter { user, ..Filter::default() }).await.len(),
        1,
        "who knows the name has them yet"
    );
}

#[tokio::test]
async fn records_are_gone_after_their_time_and_so_is_their_room() {
    let it = fixture();
    it.audit.change(entry("one"));
    assert_eq!(it.records().await.len(), 1);
    let later = now_ms() + 3 * DAY_MS;
    assert_eq!(it.trail.list(&Filter::default(), None, 10, later).await.unwrap().records, []);
    it.trail.sweep(later).await.unwrap();
    let day = (now_ms() / DAY_MS).to_string();
    let kept = it.store.documents().list(DocumentKind::AuditRecord, &day, None, 10, TimeMs::MIN).await;
    assert_eq!(kept.unwrap(), []);
}
