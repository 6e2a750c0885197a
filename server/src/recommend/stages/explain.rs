//! Why each movie is answered: what it would lose without a movie of the history.
//!
//! The answer is chosen by now, and nothing here changes it: what the engine has no time for is left out and counted.

use std::time::Instant;

use marquee_ranking::Objective;
use marquee_retrieval::ItemRow;

use crate::recommend::context::RequestContext;
use crate::recommend::explain::{Probe, explanation, sentence_of};
use crate::recommend::stage::Stage;
use crate::recommend::{Explanation, Pick, Question, Reasons};

/// Explains each pick by the `newest` movies of the history.
pub(in crate::recommend) async fn explain(
    context: &mut RequestContext<'_>,
    question: &Question,
    newest: usize,
) {
    let began = Instant::now();
    let mut explanation = from_the_model(context, newest).await.unwrap_or_default();
    explanation.movies.resize(context.picks.len(), Reasons::default());
    for (pick, reasons) in context.picks.iter().zip(&mut explanation.movies) {
        reasons.sentence = sentence_of(context, question, pick, reasons.because.first());
    }
    context.parts.metrics.reasons(explanation.tried, explanation.not_tried);
    context.explanation = Some(Box::new(explanation));
    context.watch.lap(Stage::Explain, began);
}

/// What the model says of the picks; `None` where it took no part.
async fn from_the_model(context: &RequestContext<'_>, newest: usize) -> Option<Explanation> {
    let (found, evidence) = (context.found.as_ref()?, context.evidence.as_ref()?);
    let index = context.index_of(&found.model);
    let row_of = |movie_id| index.row_of(found.model.bundle(), movie_id);
    let of_model = |pick: &Pick| (pick.source == found.source).then(|| row_of(pick.movie_id)).flatten();
    let rows: Vec<Option<ItemRow>> = context.picks.iter().map(of_model).collect();
    let probe = Probe::new(&found.model, context.options.reasons_by.or(context.options.deadline));
    let wanted = Objective::default().candidates(context.k);
    let candidates = probe.candidates(&found.vector, &evidence.query, wanted).await;
    let findings = probe.find(&rows, evidence, &candidates, newest).await;
    Some(explanation(context, &found.model, &rows, &findings, candidates.len()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use marquee_engine::{Bundle, Device, Engine, EngineOptions, Precision};
    use marquee_retrieval::{ExactScorer, Method, RetrievalError, Scorer};
    use marquee_store::RedbStore;

    use super::*;
    use crate::catalog::{Catalog, Filter};
    use crate::profiles::{ConsistencyToken, Profiles};
    use crate::recommend::stages::{CHOOSE, candidates, profile};
    use crate::recommend::{Recommender, RequestOptions, Subject};

    fn exact(bundle: &Arc<Bundle>) -> Result<Arc<dyn Scorer>, RetrievalError> {
        let table = bundle.output_embeddings();
        Ok(Arc::new(ExactScorer::build(table, bundle.dimension(), &bundle.vocabulary)?))
    }

    /// The fixture's model over an empty catalogue, and the ids of its first three movies.
    async fn pipeline(folder: &Path) -> (Recommender, Vec<u32>) {
        let engine = Arc::new(Engine::start(EngineOptions { workers: 1, ..EngineOptions::default() }));
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx/fixtures/tiny");
        let model = engine.load(&fixture, Device::Cpu, Precision::Fp32, exact).await.unwrap();
        engine.activate(model.bundle().version()).unwrap();
        let profiles = Profiles::new(Arc::new(RedbStore::open(folder).unwrap()), 0, None).unwrap();
        let catalog = Arc::new(Catalog::new(Vec::new(), Vec::new()));
        let history = model.bundle().vocabulary[..3].to_vec();
        (Recommender::new(engine, catalog, Arc::new(profiles), None), history)
    }

    #[tokio::test]
    async fn a_deadline_that_is_over_leaves_the_answer_and_says_what_was_not_tried() {
        let folder = tempfile::tempdir().unwrap();
        let (recommender, history) = pipeline(folder.path()).await;
        let question = Question {
            subject: Subject::History(history),
            k: 5,
            method: Method::Exact,
            objective: None,
            exploration: None,
            filter: Filter::default(),
            exclude_seen: true,
            context: String::new(),
            consistency_token: ConsistencyToken::default(),
            explain_newest: Some(16),
            options: RequestOptions::default(),
        };
        let mut context =
            RequestContext::new(&recommender, question.k, &question.filter, &question.options).unwrap();
        profile::profile(&mut context, &question.subject, &question.consistency_token).await.unwrap();
        candidates::for_taste(&mut context, &question).await.unwrap();
        context.run(&CHOOSE);
        let in_time = from_the_model(&context, 16).await.unwrap();
        assert_eq!((in_time.tried, in_time.not_tried), (3, 0));

        let over = RequestOptions { deadline: Some(Instant::now()), ..RequestOptions::default() };
        context.options = &over;
        explain(&mut context, &question, 16).await;
        let answer = context.finish();
        assert_eq!(answer.picks.len(), 5);
        let explanation = answer.explanation.unwrap();
        assert_eq!((explanation.tried, explanation.not_tried, explanation.candidates), (0, 3, 0));
        let said =
            |reasons: &Reasons| reasons.because.is_empty() && reasons.sentence == "Fits what you watched";
        assert!(explanation.movies.len() == 5 && explanation.movies.iter().all(said), "{explanation:?}");
    }
}
