//! The rules of the scheduler, one test each; no threads, no clocks.

use super::ready::{LASTING, MOMENT};
use super::test_kit::*;
use super::*;

#[test]
fn an_idle_worker_takes_a_job_at_once() {
    let mut kit = cpu(2);
    assert_eq!(dispatched(&kit.submit(1)), [1]);
    assert_eq!(dispatched(&kit.submit(2)), [2]);
    assert!(kit.submit(3).is_empty());
    assert_eq!(kit.scheduler.depth(), 1);
}

#[test]
fn the_worker_that_became_idle_last_is_taken_first() {
    let mut kit = cpu(2);
    kit.submit(1);
    kit.submit(2);
    kit.finish(0);
    kit.finish(1);
    assert_eq!(kit.submit(3).dispatched, [(1, vec![3])]);
}

#[test]
fn the_next_batch_forms_while_one_runs() {
    let mut kit = gpu(8);
    kit.submit(1);
    for id in 2..6 {
        assert!(kit.submit(id).is_empty());
    }
    let next = kit.finish(0);
    assert_eq!(dispatched(&next), [2, 3, 4, 5]);
    assert_eq!(kit.batch().reason, Reason::Idle);
}

#[test]
fn a_lone_job_is_scored_at_once() {
    let mut kit = cpu(1);
    kit.submit(1);
    assert_eq!(kit.batch().phase, Phase::Encode);
    assert_eq!(kit.scored(0), (vec![1], Reason::Idle));
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit(2);
    assert_eq!(kit.scored(0), (vec![1], Reason::Idle), "one waits, as many as are ready");
}

#[test]
fn in_a_burst_vectors_wait_for_one_another_while_more_sequences_wait() {
    let mut kit = cpu(1);
    for id in 1..=6 {
        kit.submit(id);
    }
    assert_eq!(kit.scored(0), (vec![1, 2, 3], Reason::Idle));
    assert_eq!(dispatched(&kit.finish(0)), [4]);
    assert_eq!(kit.scored(0).0, [4, 5]);
}

#[test]
fn vectors_of_all_workers_are_scored_together() {
    let mut kit = cpu(2);
    for id in 1..=6 {
        kit.submit(id);
    }
    kit.encoded(0);
    kit.encoded(1);
    assert_eq!(kit.encoded(0).dispatched, [(0, vec![1, 2, 3])]);
    assert_eq!(jobs(&kit.running[&1]), [4], "the other encodes meanwhile");
}

#[test]
fn where_it_costs_less_a_worker_encodes_all_that_fits_together() {
    let mut kit = cpu_together(1, 35);
    kit.submit(0);
    for id in 1..=4 {
        kit.submit(id);
    }
    // Sequences of 10: a fourth would be over the bound.
    assert_eq!(dispatched(&kit.finish(0)), [1, 2, 3]);
    assert_eq!(kit.batch().phase, Phase::Encode);
}

#[test]
fn what_is_encoded_together_leaves_its_share_to_every_other_worker() {
    let mut kit = cpu_together(2, 1000);
    for id in 0..7 {
        kit.submit(id);
    }
    assert_eq!(kit.finish(0).dispatched, [(0, vec![2, 3, 4])]);
    assert_eq!(kit.finish(1).dispatched, [(1, vec![5])]);
}

#[test]
fn under_lasting_load_vectors_are_scored_when_half_as_many_sequences_wait() {
    let mut kit = cpu(2);
    for id in 1..=10 {
        kit.submit(id);
    }
    kit.pass(LASTING);
    assert_eq!(kit.scored(0), (vec![1, 3, 4, 5, 6, 7], Reason::Idle), "2 runs, 8 to 10 wait");
    assert_eq!(dispatched(&kit.encoded(1)), [8], "one is not worth a pass");
    assert_eq!(dispatched(&kit.encoded(1)), [9]);
    assert_eq!(kit.scored(1), (vec![2, 8, 9], Reason::Idle), "10 waits");
}

#[test]
fn under_lasting_load_a_pass_is_at_least_half_as_large_as_the_last() {
    let mut kit = cpu(1);
    for id in 1..=9 {
        kit.submit(id);
    }
    kit.pass(LASTING);
    assert_eq!(kit.scored(0), (vec![1, 2, 3, 4, 5, 6], Reason::Idle), "7 to 9 wait");
    assert_eq!(dispatched(&kit.finish(0)), [7]);
    assert_eq!(dispatched(&kit.encoded(0)), [8]);
    assert_eq!(dispatched(&kit.encoded(0)), [9], "half as many wait, but the last pass was of six");
    assert_eq!(kit.scored(0), (vec![7, 8, 9], Reason::Idle));
}

#[test]
fn under_lasting_load_too_nothing_waits_for_nothing() {
    let mut kit = cpu(2);
    for id in 1..=2 {
        kit.submit(id);
    }
    assert_eq!(kit.pass(LASTING).scored(0), (vec![1], Reason::Idle));
}

#[test]
fn only_a_worker_that_was_idle_for_more_than_a_moment_ends_the_lasting_load() {
    for (idle, scored) in [(MOMENT, vec![2, 3, 4]), (MOMENT + MS, vec![2, 3])] {
        let mut kit = cpu(1);
        kit.submit(1);
        kit.pass(LASTING).scored(0);
        kit.finish(0);
        kit.pass(idle);
        for id in 2..=5 {
            kit.submit(id);
        }
        assert_eq!(kit.scored(0), (scored, Reason::Idle), "idle for {idle:?}");
    }
}

#[test]
fn no_vector_that_somebody_waits_for_waits_for_a_bulk_job() {
    let mut kit = cpu(1);
    kit.submit(1);
    for id in 2..=6 {
        kit.submit_bulk(id);
    }
    assert_eq!(kit.pass(50 * MS).scored(0), (vec![1], Reason::Idle));
    assert_eq!(dispatched(&kit.finish(0)), [2]);
    assert_eq!(dispatched(&kit.encoded(0)), [3], "a bulk job waits for others");
}

#[test]
fn a_sequence_that_is_due_before_all_vectors_is_encoded_first() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_bulk(2);
    kit.pass(101 * MS).submit_vector(3);
    assert_eq!(dispatched(&kit.finish(0)), [2]);
    assert_eq!(kit.scored(0).0, [2, 3]);
}

#[test]
fn a_batch_has_no_more_jobs_than_its_bound() {
    let mut kit = cpu(1);
    for id in 1..=20 {
        kit.submit(id);
    }
    assert_eq!(kit.scored(0), ((1..=8).collect(), Reason::Full));
    assert_eq!(dispatched(&kit.finish(0)), [9]);
}

#[test]
fn a_batch_has_no_more_tokens_than_its_bound() {
    let mut kit = gpu(8);
    kit.submit(1);
    for id in 2..=9 {
        kit.submit_long(id, 200);
    }
    kit.finish(0);
    let next = kit.batch();
    assert_eq!((next.shape.sequences, next.shape.tokens, next.reason), (5, 1000, Reason::Full));
}

#[test]
fn a_sequence_over_the_bound_of_tokens_runs_alone() {
    let mut kit = cpu(1);
    assert_eq!(dispatched(&kit.submit_long(1, 5000)), [1]);
}

#[test]
fn on_a_gpu_sequences_of_one_bucket_run_together() {
    let mut kit = gpu(8);
    kit.submit(1);
    for (id, length) in [(2, 5), (3, 40), (4, 11), (5, 10), (6, 50), (7, 49)] {
        kit.submit_long(id, length);
    }
    let first = kit.finish(0);
    assert_eq!(dispatched(&first), [3, 4, 6, 7], "the fullest bucket goes first");
    let first = kit.batch();
    assert_eq!((first.shape.tokens, first.used_tokens), (200, 150));
    assert_eq!(dispatched(&kit.finish(0)), [2, 5]);
}

#[test]
fn on_a_gpu_small_batches_run_beside_few_others() {
    let mut kit = shared_gpu(3, 8);
    assert_eq!((dispatched(&kit.submit(1)), dispatched(&kit.submit(2))), (vec![1], vec![2]));
    assert!(kit.submit(3).is_empty(), "two run");
    assert_eq!(dispatched(&kit.finish(0)), [3]);
    assert!(kit.submit(4).is_empty());
    assert!(kit.submit_vector(5).is_empty(), "it would run apart from the other");
    assert!(kit.submit(6).is_empty());
    assert_eq!(dispatched(&kit.submit(7)), [4, 6, 7], "three are worth it");
    assert_eq!(dispatched(&kit.finish(1)), [] as [u64; 0], "two run still");
    assert_eq!(dispatched(&kit.finish(0)), [5]);
}

#[test]
fn a_wait_beside_an_idle_worker_that_may_not_run_counts_on_admission() {
    let mut kit = shared_gpu(3, 8);
    kit.submit(1);
    kit.finish_after(0, 10 * MS);
    kit.submit(2);
    kit.submit(3);
    assert_eq!(refused(&kit.submit_by(4, 12 * MS)).len(), 1, "another has to end first");
    assert_eq!(refused(&kit.submit_by(5, 100 * MS)).len(), 0);
}

#[test]
fn on_a_gpu_shorter_sequences_take_the_places_of_padding() {
    let mut kit = gpu(8);
    kit.submit(1);
    for (id, length) in [(2, 5), (3, 200), (4, 50), (5, 9), (6, 100), (7, 150)] {
        kit.submit_long(id, length);
    }
    assert_eq!(dispatched(&kit.finish(0)), [3, 6, 7, 4], "three run as four, and the longest joins");
    let batch = kit.batch();
    assert_eq!((batch.shape.sequences, batch.shape.queries), (4, 4));
    assert_eq!((batch.shape.tokens, batch.used_tokens), (800, 500));
    assert_eq!(dispatched(&kit.finish(0)), [2, 5]);
}

#[test]
fn on_a_gpu_a_batch_that_pads_no_place_takes_nobody_along() {
    let mut kit = gpu(8);
    kit.submit(1);
    for (id, length) in [(2, 5), (3, 40), (4, 50)] {
        kit.submit_long(id, length);
    }
    assert_eq!(dispatched(&kit.finish(0)), [3, 4]);
}

#[test]
fn on_a_gpu_nobody_is_taken_along_to_be_late() {
    let mut kit = gpu(8);
    kit.submit_long(1, 200);
    kit.finish_after(0, 40 * MS);
    kit.submit_long(2, 200);
    kit.pass(36 * MS).submit_by(6, 100 * MS);
    for id in 3..6 {
        kit.submit_long(id, 200);
    }
    let next = kit.pass(4 * MS).finished(0, Some(40 * MS));
    assert_eq!(dispatched(&next), [3, 4, 5], "with one more it would take 160 ms");
}

#[test]
fn on_a_gpu_a_misfit_waits_no_longer_than_its_bound() {
    let mut kit = gpu(2);
    kit.submit(1);
    kit.submit_long(2, 5);
    kit.pass(6 * MS);
    for id in 3..9 {
        kit.submit_long(id, 200);
    }
    assert_eq!(dispatched(&kit.finish(0)), [2]);
    assert_eq!(kit.batch().reason, Reason::Deadline);
}

#[test]
fn a_worker_takes_all_ready_vectors() {
    let mut kit = cpu(2);
    for id in 1..=8 {
        kit.submit_vector(id);
    }
    assert_eq!(dispatched(&kit.finish(0)), [3, 4, 5, 6, 7, 8]);
    assert!(kit.finish(1).is_empty());
}

#[test]
fn ready_vectors_join_those_that_were_encoded() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_vector(2);
    kit.submit_vector(3);
    assert_eq!(kit.scored(0).0, [1, 2, 3]);
}

#[test]
fn on_a_gpu_ready_vectors_and_sequences_run_apart() {
    let mut kit = gpu(8);
    kit.submit(1);
    kit.submit_long(2, 200);
    kit.submit_vector(3);
    assert_eq!(dispatched(&kit.finish(0)), [2]);
    kit.finish(0);
    let next = kit.batch();
    assert_eq!((next.shape.sequences, next.shape.queries), (0, 1));
}

#[test]
fn jobs_of_two_models_run_apart() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit(2);
    kit.step(Event::Submit(Submission { model: 2, ..submission(3, 10) }));
    kit.submit(4);
    assert_eq!(kit.scored(0), (vec![1, 2], Reason::Idle), "another model's job is due");
    assert_eq!(dispatched(&kit.finish(0)), [3]);
    assert_eq!(kit.scored(0), (vec![3], Reason::Idle));
    assert_eq!(dispatched(&kit.finish(0)), [4]);
}

#[test]
fn interactive_jobs_go_before_bulk_jobs_that_came_before_them() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_bulk(2);
    kit.pass(50 * MS).submit(3);
    assert_eq!(dispatched(&kit.finish(0)), [3]);
    assert_eq!(dispatched(&kit.finish(0)), [2]);
}

#[test]
fn a_bulk_job_that_has_aged_goes_before_interactive_jobs() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_bulk(2);
    kit.pass(101 * MS).submit(3);
    assert_eq!(dispatched(&kit.finish(0)), [2]);
}

#[test]
fn nothing_is_refused_on_a_guess_before_anything_ran() {
    let mut kit = cpu(1);
    kit.submit(1);
    assert!(refused(&kit.submit_by(2, MS)).is_empty());
}

#[test]
fn a_job_that_cannot_be_done_in_time_is_refused_on_admission() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.finish_after(0, 10 * MS);
    kit.submit(2);
    kit.submit(3);
    assert_eq!(refused(&kit.submit_by(4, 25 * MS))[0].1, "DeadlineExceeded { point: Admission }");
    assert!(refused(&kit.submit_by(5, 31 * MS)).is_empty());
}

#[test]
fn what_has_run_of_a_batch_no_longer_counts_as_wait() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.finish_after(0, 10 * MS);
    kit.submit(2);
    assert_eq!(refused(&kit.submit_by(3, 15 * MS)).len(), 1);
    assert!(refused(&kit.pass(6 * MS).submit_by(4, 15 * MS)).is_empty());
}

#[test]
fn a_job_past_its_deadline_is_never_dispatched() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_by(2, 10 * MS);
    kit.submit(3);
    let actions = kit.pass(11 * MS).finish(0);
    assert_eq!(dispatched(&actions), [3]);
    assert_eq!(refused(&actions), [(2, "DeadlineExceeded { point: Queue }".to_owned())]);
}

#[test]
fn a_job_that_its_batch_would_make_late_is_refused_at_submission() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_by(2, 50 * MS);
    let actions = kit.finish_after(0, 45 * MS);
    assert_eq!(refused(&actions), [(2, "DeadlineExceeded { point: Submission }".to_owned())]);
}

#[test]
fn vectors_are_scored_before_their_first_deadline_presses() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_by(2, 35 * MS);
    for id in 3..=6 {
        kit.submit(id);
    }
    assert_eq!(dispatched(&kit.finish_after(0, 10 * MS)), [2], "it takes 10 ms of the 25 that are left");
    assert_eq!(dispatched(&kit.pass(10 * MS).encoded(0)), [3], "and so does the next, of 15");
    assert_eq!(dispatched(&kit.pass(10 * MS).encoded(0)), [2, 3]);
    assert_eq!(kit.batch().reason, Reason::Deadline, "a third one takes 10 ms, 5 are left");
}

#[test]
fn over_the_bound_a_job_is_refused_with_the_time_until_there_is_room() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.finish_after(0, 10 * MS);
    for id in 2..=102 {
        assert!(refused(&kit.submit(id)).is_empty());
    }
    let refused = refused(&kit.submit(103));
    assert_eq!(refused[0].1, "Overloaded { depth: 100, retry_after: 250ms }");
}

#[test]
fn a_cancelled_job_leaves_the_queue() {
    let mut kit = cpu(1);
    for id in 1..=3 {
        kit.submit(id);
    }
    kit.step(Event::Cancel(2));
    assert_eq!(kit.scheduler.depth(), 1);
    assert_eq!(dispatched(&kit.finish(0)), [3]);
    assert!(kit.step(Event::Cancel(3)).is_empty(), "what runs is not in the queue");
}

#[test]
fn identical_sequences_that_wait_share_one_encoding() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_same(2);
    kit.submit(3);
    kit.submit_same(4);
    assert_eq!(dispatched(&kit.finish(0)), [2, 4]);
    let next = kit.batch();
    assert_eq!((next.groups.len(), next.shape.sequences), (1, 1));
}

#[test]
fn a_job_whose_sequence_is_being_encoded_waits_for_its_vector() {
    let mut kit = cpu(2);
    kit.submit_same(1);
    assert!(kit.submit_same(2).is_empty(), "the idle worker does not encode it again");
    assert_eq!(kit.scheduler.depth(), 1);
    kit.submit(3);
    assert_eq!(dispatched(&kit.encoded(0)), [1, 2]);
    let next = &kit.running[&0];
    assert_eq!((next.shape.sequences, next.shape.queries), (0, 2));
    assert!(matches!(&next.groups[0].input, Input::Vector(vector) if **vector == [1.0]));
}

#[test]
fn a_job_whose_sequence_has_been_encoded_shares_the_vector_that_waits() {
    let mut kit = cpu(1);
    kit.submit_same(1);
    kit.submit(2);
    kit.submit(3);
    assert_eq!(dispatched(&kit.encoded(0)), [2]);
    kit.submit_same(4);
    assert_eq!(kit.scored(0).0, [1, 4, 2]);
    assert_eq!(kit.batch().groups.len(), 2);
}

#[test]
fn more_jobs_of_one_sequence_than_a_batch_holds_are_scored_in_several() {
    let mut kit = cpu(1);
    for id in 1..=20 {
        kit.submit_same(id);
    }
    assert_eq!(kit.scored(0), ((1..=8).collect(), Reason::Full));
    assert_eq!(dispatched(&kit.finish(0)), (9..=16).collect::<Vec<_>>());
    assert_eq!(dispatched(&kit.finish(0)), (17..=20).collect::<Vec<_>>());
    kit.finish(0);
    assert!(kit.scheduler.is_empty());
}

#[test]
fn when_an_encoding_fails_those_who_waited_for_it_get_their_own() {
    let mut kit = cpu(1);
    kit.submit_same(1);
    kit.submit_same(2);
    kit.submit_same(3);
    assert!(kit.step(Event::Failed { worker: 0 }).is_empty(), "a failed worker gets nothing");
    assert_eq!(dispatched(&kit.step(Event::Recovered { worker: 0 })), [2, 3]);
    assert_eq!(kit.batch().shape.sequences, 1);
}

#[test]
fn a_cancelled_leader_leaves_its_followers_their_place() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit_same(2);
    kit.submit_same(3);
    kit.step(Event::Cancel(2));
    assert_eq!(dispatched(&kit.finish(0)), [3]);
}

#[test]
fn a_follower_can_be_cancelled_while_it_waits_for_a_vector() {
    let mut kit = cpu(1);
    kit.submit_same(1);
    kit.submit_same(2);
    kit.step(Event::Cancel(2));
    assert_eq!(kit.scheduler.depth(), 0);
    assert!(kit.finish_after(0, MS).is_empty());
    assert!(kit.scheduler.is_empty());
}

#[test]
fn an_interactive_job_lifts_the_bulk_job_of_the_same_sequence() {
    let mut kit = cpu(1);
    kit.submit(1);
    let bulk = Submission { input: sequence(0, 10), priority: Priority::Bulk, ..submission(2, 10) };
    kit.step(Event::Submit(bulk));
    kit.submit_same(3);
    kit.pass(MS).submit(4);
    assert_eq!(dispatched(&kit.finish(0)), [2, 3]);
}

#[test]
fn a_closed_model_has_nothing_waiting() {
    let mut kit = cpu(1);
    kit.submit_same(1);
    kit.submit_same(2);
    kit.submit(3);
    kit.step(Event::Submit(Submission { model: 2, ..submission(4, 10) }));
    let why = EngineError::OutOfService("tested".to_owned());
    let mut gone: Vec<u64> =
        refused(&kit.step(Event::Close { model: Some(MODEL), why })).into_iter().map(|r| r.0).collect();
    gone.sort_unstable();
    assert_eq!(gone, [2, 3]);
    assert_eq!(dispatched(&kit.finish(0)), [4]);
}

#[test]
fn while_draining_nothing_enters_and_what_waits_is_done() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit(2);
    kit.step(Event::Drain);
    assert_eq!(refused(&kit.submit(3)), [(3, "ShuttingDown".to_owned())]);
    assert_eq!(dispatched(&kit.finish(0)), [2]);
    kit.finish(0);
    assert!(kit.scheduler.is_empty());
}

#[test]
fn the_queue_knows_how_long_its_oldest_job_waits() {
    let mut kit = cpu(1);
    kit.submit(1);
    kit.submit(2);
    kit.pass(7 * MS).submit(3);
    assert_eq!(kit.scheduler.oldest_wait(kit.now), 7 * MS);
}
