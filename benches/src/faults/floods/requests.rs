//! Requests that are small on the wire and large in the server, or whose refusal is larger than any client
//! reads.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::join_all;
use futures::stream;
use marquee_proto::methods::{operations, recommendation};
use marquee_proto::v1;
use marquee_proto::v1::catalog_service_client::CatalogServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::Template;
use crate::faults::cost::{Allowed, Watch};
use crate::faults::raw::{Body, Ended, Raw, WIDE};
use crate::faults::writers::connected;
use crate::faults::{Field, Row};
use crate::many_nodes::aims::Bound;
use crate::served::Server;

const RECOMMEND: &str = recommendation::RECOMMEND.path;
const RECOMMEND_BATCH: &str = recommendation::RECOMMEND_BATCH.path;
const ACTIVATE: &str = operations::ACTIVATE_MODEL.path;
/// How often each is sent, one after the other, and how long at most.
const TIMES: usize = 10;
const ALL_WITHIN: Duration = Duration::from_secs(10);
/// How many are sent at once.
const AT_ONCE: usize = 8;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_mins(1);
/// What a request may cost before it is refused.
const REQUEST_CPU_MS: f64 = 50.0;
const REQUEST_MIB: f64 = 64.0;
/// The longest headers that every gRPC library reads.
const HEADERS: usize = 8192;
/// Codes that say what was wrong with the request: INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED,
/// FAILED_PRECONDITION, OUT_OF_RANGE.
const REFUSALS: [u32; 5] = [3, 5, 8, 9, 11];
/// `RecommendRequest.filter` and `Filter.deny_movie_ids`.
const FILTER: u32 = 5;
const DENY_MOVIE_IDS: u32 = 10;
/// Genres of the catalogue whose names are as long as they may be.
const GENRES: usize = 400;
const GENRE_LETTERS: usize = 100;
const GENRES_A_MOVIE: usize = 50;

/// A request that is not what it seems.
struct Hostile {
    what: String,
    path: &'static str,
    body: Body,
}

pub(super) async fn run(field: &Field, template: &Template<'_>) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, hostile) in hostile()?.iter().enumerate() {
        let row = one_by_one(field, template.server(&format!("request-{number}")).await?, hostile).await;
        rows.push(field.row_of(&hostile.what, row));
    }
    rows.push(field.row_of("many at once", at_once(field, template, &zeros()?).await));
    let server = template.server("genres").await?;
    import_genres(&server).await?;
    rows.push(field.row_of("an unknown genre", one_by_one(field, server, &unknown_genre()).await));
    Ok(rows)
}

fn hostile() -> anyhow::Result<Vec<Hostile>> {
    let hundred = filtered(v1::Filter { deny_movie_ids: vec![0; 100], ..Default::default() });
    let bundle_dir = v1::activate_model_request::Target::BundleDir("\u{e9}".repeat(4096));
    Ok(vec![
        zeros()?,
        Hostile {
            what: "RecommendBatch with two million empty requests, gzip".to_owned(),
            path: RECOMMEND_BATCH,
            body: Body::gzip(&[0x0a_u8, 0].repeat(2_000_000))?,
        },
        Hostile {
            what: "a filter with a hundred bad elements".to_owned(),
            path: RECOMMEND,
            body: Body::plain(&hundred),
        },
        Hostile {
            what: "a bundle_dir of 4,096 two-byte letters".to_owned(),
            path: ACTIVATE,
            body: Body::plain(&v1::ActivateModelRequest { target: Some(bundle_dir) }),
        },
    ])
}

fn zeros() -> anyhow::Result<Hostile> {
    // Packed, which our own client does not do: a byte for each.
    let filter = length_delimited(FILTER, &length_delimited(DENY_MOVIE_IDS, &vec![0; 4_000_000]));
    let subject = v1::RecommendRequest { subject: Some(Subject::UserId(1)), ..Default::default() };
    Ok(Hostile {
        what: "filter.deny_movie_ids with four million zeros, gzip".to_owned(),
        path: RECOMMEND,
        body: Body::gzip(&[subject.encode_to_vec(), filter].concat())?,
    })
}

/// A field of a message, by its number.
fn length_delimited(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 8);
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn unknown_genre() -> Hostile {
    let filter = v1::Filter { genres_any: vec!["none of them".to_owned()], ..Default::default() };
    Hostile {
        what: format!("an unknown genre in a catalogue with {GENRES} of {GENRE_LETTERS} letters"),
        path: RECOMMEND,
        body: Body::plain(&filtered(filter)),
    }
}

fn filtered(filter: v1::Filter) -> v1::RecommendRequest {
    v1::RecommendRequest { subject: Some(Subject::UserId(1)), filter: Some(filter), ..Default::default() }
}

async fn import_genres(server: &Server) -> anyhow::Result<()> {
    let genres: Vec<String> = (0..GENRES).map(|genre| format!("{genre:0GENRE_LETTERS$}")).collect();
    let movies = (1..).zip(genres.chunks(GENRES_A_MOVIE).map(<[String]>::to_vec));
    let movies: Vec<_> = movies
        .map(|(movie_id, genres)| {
            let title = format!("Movie {movie_id} (1999)");
            v1::ImportMoviesRequest { movie: Some(movie_id.into()), title, genres, ..Default::default() }
        })
        .collect();
    CatalogServiceClient::new(connected(server).await?).import_movies(stream::iter(movies)).await?;
    Ok(())
}

/// Sends it some times, one after the other.
async fn one_by_one(field: &Field, mut server: Server, hostile: &Hostile) -> anyhow::Result<Row> {
    let (watch, began) = (Watch::start(&server).await?, Instant::now());
    let mut answers = Vec::new();
    while answers.len() < TIMES && began.elapsed() < ALL_WITHIN && server.is_alive() {
        answers.push(sent(&server, hostile).await);
    }
    let cost = watch.end(&mut server).await?;
    let each_ms = cost.cpu_s * 1e3 / answers.len() as f64;
    let row = field.row(format!("{} ({} bytes), {} times", hostile.what, hostile.body.len(), answers.len()));
    let row = refused(row, &answers).timed(
        "processor time of each",
        "request_cpu_ms",
        Bound::AtMost(REQUEST_CPU_MS),
        "ms",
        Some(each_ms),
    );
    Ok(cost.judged(row, Allowed { mib: REQUEST_MIB, cpu_s: None, threads: 8.0 }))
}

/// Sends it from some callers at once.
async fn at_once(field: &Field, template: &Template<'_>, hostile: &Hostile) -> anyhow::Result<Row> {
    let mut server = template.server("at-once").await?;
    let watch = Watch::start(&server).await?;
    let answers = join_all((0..AT_ONCE).map(|_| sent(&server, hostile))).await;
    let cost = watch.end(&mut server).await?;
    let row = refused(field.row(format!("the same, {AT_ONCE} at once: {}", hostile.what)), &answers);
    let cpu_s = Some(AT_ONCE as f64 * REQUEST_CPU_MS / 1e3);
    Ok(cost.judged(row, Allowed { mib: AT_ONCE as f64 * REQUEST_MIB, cpu_s, threads: 8.0 }))
}

async fn sent(server: &Server, hostile: &Hostile) -> anyhow::Result<Ended> {
    let call = async {
        let raw = Raw::connect(server.authority(), Ipv4Addr::new(127, 0, 0, 2), WIDE).await?;
        raw.call(hostile.path, &hostile.body).await
    };
    tokio::time::timeout(PATIENCE, call).await.context("no answer")?
}

/// Whether all were refused in words that their callers can read.
fn refused(row: Row, answers: &[anyhow::Result<Ended>]) -> Row {
    let without = answers.iter().find_map(|answer| match answer {
        Ok(ended) if ended.code.is_some_and(|code| REFUSALS.contains(&code)) => None,
        Ok(ended) => Some(format!("status {:?} {:.100}", ended.code, ended.message)),
        Err(error) => Some(format!("{error:#}")),
    });
    let code = answers.iter().flatten().find_map(|ended| ended.code).unwrap_or_default();
    let longest = answers.iter().flatten().map(|ended| ended.header_bytes).max().unwrap_or_default();
    let ok = without.is_none();
    row.sees("refused for what it is", without.unwrap_or_else(|| format!("status {code}")), ok)
        .sees(
            format!("in headers of at most {HEADERS} bytes"),
            format!("{longest} bytes"),
            longest <= HEADERS,
        )
        .figure("header_bytes", longest as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Timings;

    fn answered(code: Option<u32>, header_bytes: usize) -> Ended {
        Ended { code, header_bytes, ..Ended::default() }
    }

    fn judged(answer: anyhow::Result<Ended>) -> bool {
        refused(Row::new("a request", Timings::Count), &[Ok(answered(Some(3), 200)), answer]).ok
    }

    #[test]
    fn a_refusal_is_typed_and_short() {
        assert!(judged(Ok(answered(Some(8), 8192))));
        assert!(!judged(Ok(answered(Some(13), 200))), "INTERNAL");
        assert!(!judged(Ok(answered(Some(3), 8193))), "too long");
        assert!(!judged(Ok(answered(None, 0))), "no status");
        assert!(!judged(Err(anyhow::anyhow!("the connection was closed"))));
    }

    #[test]
    fn a_field_is_as_the_protocol_has_it() {
        let filter = length_delimited(FILTER, &length_delimited(DENY_MOVIE_IDS, &[0, 7]));
        let expected = v1::Filter { deny_movie_ids: vec![0, 7], ..Default::default() };
        assert_eq!(v1::RecommendRequest::decode(&*filter).unwrap().filter, Some(expected));
    }

    #[test]
    fn hostile_requests_are_small_on_the_wire() {
        for hostile in hostile().unwrap() {
            assert!(hostile.body.len() < 10_000, "{}: {}", hostile.what, hostile.body.len());
        }
    }
}
