use marquee_core::domain::MovieRecord;
use marquee_store::RedbStore;
use tempfile::TempDir;

use super::*;
use crate::catalog::Filter;

const NOW: TimeMs = 1_000;

/// Movies 1 to 6: odd ones are comedies, even ones horror.
async fn rules(folder: &TempDir) -> Arc<Rules> {
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(folder.path()).unwrap());
    let movie = |movie_id: u32| {
        let genre = if movie_id.is_multiple_of(2) { "Horror" } else { "Comedy" };
        MovieRecord::named(movie_id, &format!("Movie {movie_id} ({})", 1990 + movie_id), [genre]).unwrap()
    };
    let catalog = Arc::new(Catalog::new((1..=6).map(movie).collect(), Vec::new()));
    Arc::new(Rules::open(store, catalog).await.unwrap())
}

fn rule(rule_id: &str, action: Action) -> Rule {
    Rule {
        rule_id: rule_id.to_owned(),
        reason: rule_id.to_uppercase(),
        action,
        filter: Filter::default(),
        contexts: Vec::new(),
        start_ms: None,
        end_ms: None,
        enabled: true,
        priority: 0,
    }
}

fn of_genre(genre: &str) -> Filter {
    Filter { genres_any: vec![genre.to_owned()], ..Filter::default() }
}

fn pin(movie_ids: &[MovieId]) -> Action {
    Action::Pin { movie_ids: movie_ids.to_vec() }
}

fn boost(movie_ids: &[MovieId], weight: f64) -> Action {
    Action::Boost { movie_ids: movie_ids.to_vec(), weight }
}

fn bury(movie_ids: &[MovieId], penalty: Option<f64>) -> Action {
    Action::Bury { movie_ids: movie_ids.to_vec(), penalty }
}

fn pinned(effects: &Effects) -> Vec<(MovieId, &str)> {
    effects.pins.iter().map(|pinned| (pinned.movie_id, &*pinned.rule.rule_id)).collect()
}

fn added(effects: &Effects) -> Vec<f64> {
    (1..=6).map(|movie_id| effects.added_to(movie_id)).collect()
}

async fn effects(rules: &Arc<Rules>, put: impl IntoIterator<Item = Rule>) -> Effects {
    for rule in put {
        rules.put(rule).await.unwrap();
    }
    rules.effects("", || NOW).unwrap()
}

#[tokio::test]
async fn without_rules_nothing_is_done_and_no_time_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    assert!(rules.effects("home", || panic!("there are no rules")).is_none());
    rules.put(rule("a", pin(&[1]))).await.unwrap();
    assert!(rules.effects("home", || NOW).is_some());
    assert!(rules.remove("a".to_owned()).await.unwrap() && !rules.remove("a".to_owned()).await.unwrap());
    assert!(rules.effects("home", || panic!("there are no rules")).is_none());
}

#[tokio::test]
async fn only_rules_of_the_context_and_the_time_do_anything() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    let of_home = Rule { contexts: vec!["home".to_owned()], ..rule("home", pin(&[1])) };
    let over = Rule { end_ms: Some(NOW), ..rule("over", pin(&[2])) };
    let to_come = Rule { start_ms: Some(NOW + 1), ..rule("to-come", pin(&[3])) };
    let off = Rule { enabled: false, ..rule("off", pin(&[4])) };
    for rule in [of_home, over, to_come, off] {
        rules.put(rule).await.unwrap();
    }
    assert_eq!(pinned(&rules.effects("home", || NOW).unwrap()), [(1, "home")]);
    assert!(rules.effects("kids-page", || NOW).is_none());
    assert_eq!(pinned(&rules.effects("kids-page", || NOW + 1).unwrap()), [(3, "to-come")]);
    assert_eq!(pinned(&rules.effects("", || NOW - 1).unwrap()), [(2, "over")]);
}

#[tokio::test]
async fn weights_of_all_rules_of_a_movie_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    let comedies = Rule { filter: of_genre("comedy"), ..rule("comedies", boost(&[], 2.0)) };
    let some = Rule { filter: of_genre("Comedy"), ..rule("some", bury(&[1, 2], Some(0.5))) };
    let effects = effects(&rules, [comedies, some, rule("two", boost(&[1, 4], 0.25))]).await;
    assert_eq!(added(&effects), [1.75, 0.0, 2.0, 0.25, 2.0, 0.0]);
    assert_eq!(effects.lifted().iter().collect::<Vec<_>>(), [1, 3, 4, 5]);
    let by = |movie_id| effects.lifted_by(movie_id).map(|rule| &*rule.rule_id);
    assert_eq!([by(1), by(4), by(2)], [Some("comedies"), Some("two"), None]);
    let against = |movie_id| effects.against(movie_id).map(|rule| &*rule.rule_id);
    assert_eq!([against(1), against(2)], [Some("some"), None]);
}

#[tokio::test]
async fn of_a_pin_and_a_removal_the_first_decides() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    let first = Rule { priority: 1, ..rule("z-first", pin(&[4, 1])) };
    let horror = Rule { filter: of_genre("Horror"), ..rule("horror", bury(&[], None)) };
    let last = rule("last", pin(&[6, 1, 3]));
    let effects = effects(&rules, [last, horror, first]).await;
    assert_eq!(pinned(&effects), [(4, "z-first"), (1, "z-first"), (3, "last")]);
    assert_eq!(effects.removed.iter().collect::<Vec<_>>(), [2, 6]);
    assert_eq!(effects.withheld().iter().collect::<Vec<_>>(), [1, 2, 3, 4, 6]);
    assert_eq!(effects.against(6).map(|rule| &*rule.rule_id), Some("horror"));
    assert!(effects.against(4).is_none(), "it is pinned");
}

#[tokio::test]
async fn a_rule_follows_the_movies_that_pass_its_filter() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    let effects = effects(&rules, [Rule { filter: of_genre("Comedy"), ..rule("a", boost(&[], 1.0)) }]).await;
    assert!(effects.added_to(7).abs() < f64::EPSILON);
    rules.catalog.put(vec![MovieRecord::named(7, "Seven (1995)", ["Comedy"]).unwrap()]);
    let effects = rules.effects("", || NOW).unwrap();
    assert!((effects.added_to(7) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn rules_are_listed_in_the_order_in_which_they_decide_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let rules = rules(&folder).await;
        assert!(rules.put(rule("b", pin(&[1]))).await.unwrap());
        assert!(rules.put(rule("a", pin(&[2]))).await.unwrap());
        assert!(rules.put(Rule { priority: 9, ..rule("c", pin(&[3])) }).await.unwrap());
        assert!(!rules.put(rule("b", boost(&[1], 0.1))).await.unwrap(), "it is replaced");
    }
    let rules = rules(&folder).await;
    let ids = |rules: Vec<Arc<Rule>>| rules.iter().map(|rule| rule.rule_id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(rules.list(None, 9)), ["c", "a", "b"]);
    assert_eq!(ids(rules.list(Some(RulePlace::of(9, "c")), 1)), ["a"]);
    assert_eq!(ids(rules.list(Some(RulePlace::of(0, "aa")), 9)), ["b"]);
    assert_eq!(*rules.get("b").unwrap(), rule("b", boost(&[1], 0.1)));
    assert!(rules.get("d").is_none());
}

#[tokio::test]
async fn a_rule_about_what_the_catalogue_lacks_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    let refused = rules.put(rule("a", pin(&[1, 99]))).await;
    assert!(matches!(refused, Err(RuleError::UnknownMovie(99))), "{refused:?}");
    let refused = rules.put(Rule { filter: of_genre("Opera"), ..rule("a", boost(&[], 1.0)) }).await;
    assert!(matches!(refused, Err(RuleError::Filter(_))), "{refused:?}");
    let refused = rules.put(rule("A", pin(&[1]))).await;
    assert!(matches!(refused, Err(RuleError::Fault(RuleFault::Id))), "{refused:?}");
    assert!(rules.list(None, 9).is_empty());
}

#[tokio::test]
async fn there_are_a_thousand_rules_at_most_and_each_may_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    let records = (0..MAX_RULES).map(|i| rule(&format!("rule-{i}"), pin(&[1])).to_record());
    futures::future::try_join_all(records.map(async |record| rules.store.put_rule(&record).await))
        .await
        .unwrap();
    rules.reread().await.unwrap();
    let refused = rules.put(rule("one-more", pin(&[1]))).await;
    assert!(matches!(refused, Err(RuleError::TooMany)), "{refused:?}");
    assert!(!rules.put(rule("rule-7", pin(&[2]))).await.unwrap());
    assert!(rules.remove("rule-8".to_owned()).await.unwrap());
    assert!(rules.put(rule("one-more", pin(&[1]))).await.unwrap());
}

#[tokio::test]
async fn a_rule_that_is_not_understood_keeps_no_other_from_being_heeded() {
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(&folder).await;
    let body = br#"{"reason": "of a later program", "action": {"teleport": {}}}"#.to_vec();
    rules.store.put_rule(&marquee_store::RuleRecord { rule_id: "later".to_owned(), body }).await.unwrap();
    let effects = effects(&rules, [rule("a", pin(&[1]))]).await;
    assert_eq!(pinned(&effects), [(1, "a")]);
}
