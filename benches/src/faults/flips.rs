//! Files that are not as they were left: one flipped bit, a missing or a short file.
//!
//! A start either says what is wrong and what to do about it, or serves all that was acknowledged. What
//! `--recover` gives up it says. Nothing is missing without a word.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use marquee_engine::Bundle;
use marquee_proto::v1;
use marquee_proto::v1::interaction_service_client::InteractionServiceClient;
use marquee_proto::v1::recommend_request::Subject;
use marquee_proto::v1::recommendation_service_client::RecommendationServiceClient;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::writers::{Event, Sent, compared, connected, import_movies, stored};
use super::{FIXTURE, Field, Row, copied};
use crate::served::{Launch, Server, Started};

const TABLES: &str = "marquee.redb";
const JOURNALS: [&str; 2] = ["marquee.journal", "marquee.journal.2"];
/// Events in the tables, and events that only the journal has.
const IN_TABLES: i64 = 300;
const IN_JOURNAL: i64 = 200;
const USER: u64 = 1;
/// What an operator is told to do, in one of these words.
const ADVICE: [&str; 6] =
    ["--recover", "restore", "copy the bundle", "write the bundle again", "take it out", "another folder"];
/// What the log says when something was given up.
const LOSS: &str = "recovered with data loss";

/// Damages files and starts servers over them.
///
/// # Errors
/// When a server that was not harmed does not start, or files cannot be copied.
pub async fn run(field: &Field) -> anyhow::Result<Vec<Row>> {
    let mut random = StdRng::seed_from_u64(field.seed);
    let mut rows = stores(field, &mut random).await?;
    rows.push(bundles(field, &mut random).await?);
    Ok(rows)
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// This bit is another, counted from the beginning of the file.
    Flip(u64),
    /// It ends after so many bytes.
    Cut(u64),
    /// It is not there.
    Remove,
}

impl Damage {
    fn apply(self, file: &Path) -> anyhow::Result<()> {
        match self {
            Self::Flip(bit) => {
                let mut bytes = fs::read(file)?;
                let byte = bytes.get_mut((bit / 8) as usize).context("a bit of the file")?;
                *byte ^= 1 << (bit % 8);
                fs::write(file, bytes)?;
            }
            Self::Cut(length) => fs::OpenOptions::new().write(true).open(file)?.set_len(length)?,
            Self::Remove => fs::remove_file(file)?,
        }
        Ok(())
    }
}

/// How a start over damaged files went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was refused with what to do, and if that was `--recover`, that went well.
    Refused,
    /// It serves everything.
    Harmless,
    /// Something that was acknowledged is missing, or there twice, and nothing was said.
    Silent(String),
    /// It was refused without a word that helps, or could not be recovered.
    Useless(String),
}

/// What became of all cases of one kind.
#[derive(Default)]
struct Cases {
    outcomes: Vec<Outcome>,
}

impl Cases {
    fn row(&self, field: &Field, fault: String) -> Row {
        let count = |outcome: &Outcome| self.outcomes.iter().filter(|other| *other == outcome).count();
        let (refused, harmless) = (count(&Outcome::Refused), count(&Outcome::Harmless));
        let bad: Vec<&str> = self
            .outcomes
            .iter()
            .filter_map(|outcome| match outcome {
                Outcome::Refused | Outcome::Harmless => None,
                Outcome::Silent(said) | Outcome::Useless(said) => Some(said.as_str()),
            })
            .collect();
        let seen = format!("{refused} refused, {harmless} served in full, {} otherwise", bad.len());
        let first = bad.first().map_or_else(String::new, |first| format!("; the first: {first}"));
        field
            .row(fault)
            .figure("refused", refused as f64)
            .figure("harmless", harmless as f64)
            .figure("bad", bad.len() as f64)
            .sees(
                "refused with what to do, or all is served; no loss without a word",
                seen + &first,
                bad.is_empty(),
            )
    }
}

/// Whether the last words of a server that did not start tell what to do.
fn helps(code: Option<i32>, said: &str) -> bool {
    code == Some(1) && ADVICE.iter().any(|advice| said.contains(advice))
}

/// The number of events that a refusal says may be lost, if it says one.
fn stated_loss(said: &str) -> Option<usize> {
    let (_, rest) = said.split_once("at most ")?;
    let (number, rest) = rest.split_once(' ')?;
    rest.starts_with("acknowledged events").then(|| number.parse().ok())?
}

/// The last line of a log, which says why a server ended.
fn last_line(said: &str) -> &str {
    said.lines().next_back().unwrap_or_default()
}

/// The files of a store that was killed, with events in its tables and others in its journal alone.
struct Killed<'a> {
    field: &'a Field,
    /// Where it was killed.
    data: PathBuf,
    /// Where it is damaged, anew each time.
    damaged: PathBuf,
    sent: Sent,
    /// The journal that has the newest events, and the bytes in which they stand.
    newest: (&'static str, Range<u64>),
}

impl<'a> Killed<'a> {
    async fn new(field: &'a Field, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("killed");
        let launch = field.launch(&data, &[]);
        let mut sent = Sent::default();
        let server = launch.start().await?;
        import_movies(&server).await?;
        write(&server, 0..IN_TABLES, &mut sent).await?;
        server.kill()?;
        // The next start brings what the journal has into the tables.
        let server = launch.start().await?;
        let before = JOURNALS.map(|name| fs::read(data.join(name)));
        write(&server, IN_TABLES..IN_TABLES + IN_JOURNAL, &mut sent).await?;
        server.kill()?;
        let mut newest = None;
        for (name, before) in JOURNALS.into_iter().zip(before) {
            let range = changed(&before?, &fs::read(data.join(name))?);
            newest = range.map(|range| (name, range)).or(newest);
        }
        let newest = newest.context("a journal has the newest events")?;
        Ok(Self { field, data, damaged: folder.join("damaged"), sent, newest })
    }

    /// Starts a server over a copy in which a file is damaged.
    async fn try_one(&self, name: &str, damage: Damage) -> anyhow::Result<Outcome> {
        if self.damaged.exists() {
            fs::remove_dir_all(&self.damaged)?;
        }
        copied(&self.data, &self.damaged)?;
        damage.apply(&self.damaged.join(name))?;
        match self.field.launch(&self.damaged, &[]).attempt().await? {
            Started::Serving(server) => self.whole(&server).await,
            Started::Ended { code, said } if helps(code, &said) => self.recovered(&said).await,
            Started::Ended { code, said } => {
                Ok(Outcome::Useless(format!("{name} {damage:?}: {code:?}: {}", last_line(&said))))
            }
        }
    }

    async fn whole(&self, server: &Server) -> anyhow::Result<Outcome> {
        let wrong = compared(&self.sent, &stored(server, &[USER]).await?);
        let nothing = wrong == super::writers::Wrong::default();
        Ok(if nothing { Outcome::Harmless } else { Outcome::Silent(format!("{wrong:?}")) })
    }

    /// Follows the advice to recover, where it was given.
    async fn recovered(&self, refusal: &str) -> anyhow::Result<Outcome> {
        if !refusal.contains("--recover") {
            return Ok(Outcome::Refused);
        }
        match self.field.launch(&self.damaged, &["--recover"]).attempt().await? {
            Started::Serving(server) => {
                let wrong = compared(&self.sent, &stored(&server, &[USER]).await?);
                let stated = stated_loss(refusal).is_none_or(|stated| wrong.lost <= stated);
                let honest =
                    server.log().contains(LOSS) && wrong.doubled == 0 && wrong.foreign == 0 && stated;
                let said = || Outcome::Silent(format!("{wrong:?} after: {}", last_line(refusal)));
                Ok(if honest { Outcome::Refused } else { said() })
            }
            Started::Ended { code, said } => {
                Ok(Outcome::Useless(format!("--recover: {code:?}: {}", last_line(&said))))
            }
        }
    }
}

/// The bytes from the first to the last in which two versions of a file differ.
fn changed(before: &[u8], after: &[u8]) -> Option<Range<u64>> {
    let differs = |(before, after): (&u8, &u8)| before != after;
    let first = before.iter().zip(after).position(differs)?;
    let last = before.iter().zip(after).rposition(differs)?;
    Some(first as u64..last as u64 + 1)
}

async fn stores(field: &Field, random: &mut StdRng) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let killed = Killed::new(field, folder.path()).await?;
    let flips = field.extent.flips;
    let (journal, newest) = killed.newest.clone();
    let length = fs::metadata(killed.data.join(TABLES))?.len();
    let mut in_journal = Cases::default();
    let mut in_tables = Cases::default();
    let mut short = Cases::default();
    for _ in 0..flips {
        let bit = Damage::Flip(random.random_range(8 * newest.start..8 * newest.end));
        in_journal.outcomes.push(killed.try_one(journal, bit).await?);
        let bit = Damage::Flip(random.random_range(0..8 * length));
        in_tables.outcomes.push(killed.try_one(TABLES, bit).await?);
    }
    let mut cuts = vec![(TABLES, Damage::Cut(0)), (TABLES, Damage::Remove)];
    for name in JOURNALS {
        let length = fs::metadata(killed.data.join(name))?.len();
        cuts.extend([(name, Damage::Remove), (name, Damage::Cut(0))]);
        cuts.extend((0..flips / 4).map(|_| (name, Damage::Cut(random.random_range(1..length)))));
    }
    cuts.extend((0..flips / 4).map(|_| (TABLES, Damage::Cut(random.random_range(1..length)))));
    for (name, damage) in &cuts {
        short.outcomes.push(killed.try_one(name, *damage).await?);
    }
    Ok(vec![
        in_journal
            .row(field, format!("one bit of the newest events in the journal is flipped, {flips} times")),
        in_tables.row(field, format!("one bit of the tables is flipped, {flips} times")),
        short.row(field, format!("a file of the store is missing, empty or cut, {} cases", cuts.len())),
    ])
}

/// A bit of every file of the bundle, one after the other.
async fn bundles(field: &Field, random: &mut StdRng) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let damaged = folder.path().join("bundle");
    let launch = |bundle: &Path, data: &str| Launch {
        bundle: bundle.to_owned(),
        ..field.launch(&folder.path().join(data), &[])
    };
    let expected = answer(&launch(Path::new(FIXTURE), "whole").start().await?).await?;
    let mut names: Vec<_> =
        fs::read_dir(FIXTURE)?.map(|file| file.map(|file| file.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    let mut cases = Cases::default();
    for name in names.iter().cycle().take(field.extent.flips.max(names.len())) {
        if damaged.exists() {
            fs::remove_dir_all(&damaged)?;
        }
        copied(Path::new(FIXTURE), &damaged)?;
        let file = damaged.join(name);
        let bit = random.random_range(0..8 * fs::metadata(&file)?.len());
        Damage::Flip(bit).apply(&file)?;
        let name = name.to_string_lossy();
        cases.outcomes.push(match launch(&damaged, "store").attempt().await? {
            Started::Serving(server) if answer(&server).await? == expected => Outcome::Harmless,
            Started::Serving(_) => Outcome::Silent(format!("{name} bit {bit}: other answers")),
            Started::Ended { code, said } if helps(code, &said) => Outcome::Refused,
            Started::Ended { code, said } => {
                Outcome::Useless(format!("{name} bit {bit}: {code:?}: {}", last_line(&said)))
            }
        });
    }
    Ok(cases
        .row(field, format!("one bit of a file of the bundle is flipped, {} times", cases.outcomes.len())))
}

/// The answer for a history of known movies: ids and the bits of their scores.
async fn answer(server: &Server) -> anyhow::Result<Vec<(u32, u32)>> {
    let movie_ids: Vec<_> = Bundle::open(FIXTURE.as_ref())?.vocabulary.iter().copied().take(5).collect();
    let subject = Some(Subject::History(v1::History::from(movie_ids)));
    let request = v1::RecommendRequest { subject, k: Some(20), ..Default::default() };
    let mut client = RecommendationServiceClient::new(connected(server).await?);
    let answer = client.recommend(request).await?.into_inner();
    Ok(answer.recommendations.iter().map(|movie| (movie.movie_id, movie.score.to_bits())).collect())
}

/// Writes events one after the other.
async fn write(server: &Server, numbers: Range<i64>, sent: &mut Sent) -> anyhow::Result<()> {
    let mut client = InteractionServiceClient::new(connected(server).await?);
    for number in numbers {
        let event = Event { user_id: USER, number };
        client.record_interaction(event.request()).await?;
        sent.acknowledged.push(event);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_helps_only_with_what_to_do() {
        assert!(helps(Some(1), "a line\nthe store is damaged: ...; start with --recover"));
        assert!(!helps(Some(1), "the store is damaged"));
        assert!(!helps(Some(101), "panicked; --recover"));
        assert!(!helps(None, "--recover"));
    }

    #[test]
    fn the_loss_that_a_refusal_states_is_read() {
        let said = "2 places: 100 bytes, in which at most 17 acknowledged events are lost";
        assert_eq!(stated_loss(said), Some(17));
        assert_eq!(stated_loss("at most some acknowledged events"), None);
        assert_eq!(stated_loss("marquee.journal is missing"), None);
    }

    #[test]
    fn what_was_written_last_is_found() {
        assert_eq!(changed(&[1, 0, 0, 0, 0], &[1, 0, 7, 0, 7]), Some(2..5));
        assert_eq!(changed(&[1, 0], &[1, 0]), None);
    }

    #[test]
    fn a_bit_is_flipped_and_a_file_cut() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, [0, 0, 0]).unwrap();
        Damage::Flip(11).apply(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [0, 8, 0]);
        Damage::Cut(1).apply(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [0]);
        assert!(Damage::Flip(8).apply(&file).is_err());
        Damage::Remove.apply(&file).unwrap();
        assert!(!file.exists());
    }
}
