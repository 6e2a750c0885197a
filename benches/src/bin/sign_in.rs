//! Does the time of a refused sign-in tell whether there is an account?
//!
//! Accounts that there are and accounts that there are not are signed in to with wrong passwords, in turns and in random
//! order, each call from an address of its own, which the server believes of loopback here (`--tls-terminated-by`): so
//! the limits of attempts hold nobody back. What is printed is the difference of the medians, and how large it is by
//! chance: the same difference after the calls are shuffled, of which 95% are below the noise.
//!
//! `cargo run --release -p marquee-benches --bin sign_in`

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use marquee_benches::arguments::Measured;
use marquee_benches::figures::Spread;
use marquee_benches::machine::Machine;
use marquee_benches::served::Server;
use marquee_proto::v1;
use marquee_proto::v1::account_service_client::AccountServiceClient;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

const PASSWORD: &str = "correct horse battery";

/// Measure whether a refused sign-in takes longer where there is an account.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    measured: Measured,
    /// Accounts that there are, and as many that there are not.
    #[arg(long, default_value_t = 50)]
    accounts: usize,
    /// How often each is signed in to; the server lets in 60 strangers a minute for one account.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Shuffles that say what is chance.
    #[arg(long, default_value_t = 2_000)]
    shuffles: usize,
    /// Seed of order and shuffles.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (binary, bundle) = (arguments.measured.binary()?, arguments.measured.folder()?);
    let options = ["--auth", "on", "--sign-up", "on", "--tls-terminated-by", "127.0.0.0/8"];
    let server = Server::start(&binary, &bundle, &options).await?;
    let mut caller = Caller::new(&server).await?;
    println!("{}\n", Machine::look().processor);
    for number in 0..arguments.accounts {
        caller.sign_up(&email("known", number)).await?;
    }
    let mut random = StdRng::seed_from_u64(arguments.seed);
    let mut times = Vec::new();
    for _ in 0..arguments.rounds {
        let known = (0..arguments.accounts).map(|number| (true, email("known", number)));
        let unknown = (0..arguments.accounts).map(|number| (false, email("unknown", number)));
        let mut calls: Vec<_> = known.chain(unknown).collect();
        calls.shuffle(&mut random);
        for (is_known, email) in calls {
            times.push((is_known, caller.refused_us(&email).await?));
        }
    }
    say(&times, arguments.shuffles, &mut random)
}

fn email(kind: &str, number: usize) -> String {
    format!("{kind}-{number}@example.org")
}

/// Prints both medians, their difference, and what of it is chance.
fn say(times: &[(bool, f64)], shuffles: usize, random: &mut StdRng) -> anyhow::Result<()> {
    let (known, unknown) = (median(times, true)?, median(times, false)?);
    let mut labels: Vec<bool> = times.iter().map(|(is_known, _)| *is_known).collect();
    let mut by_chance = Vec::with_capacity(shuffles);
    for _ in 0..shuffles {
        labels.shuffle(random);
        let shuffled: Vec<_> = labels.iter().zip(times).map(|(label, (_, us))| (*label, *us)).collect();
        by_chance.push((median(&shuffled, true)? - median(&shuffled, false)?).abs());
    }
    by_chance.sort_by(f64::total_cmp);
    let noise = by_chance.get(shuffles * 95 / 100).copied().context("a shuffle is needed")?;
    let difference = known - unknown;
    let verdict = if difference.abs() <= noise { "within" } else { "NOT within" };
    println!(
        "Of {} refused calls the median is {known:.0} us with an account and {unknown:.0} us without.\n\
         The difference is {difference:.0} us, {verdict} the noise: 95% of shuffles differ by less than {noise:.0} us.",
        times.len()
    );
    Ok(())
}

fn median(times: &[(bool, f64)], of_known: bool) -> anyhow::Result<f64> {
    let times: Vec<f64> = times.iter().filter(|(known, _)| *known == of_known).map(|(_, us)| *us).collect();
    Ok(Spread::of(&times).context("there is a call")?.median)
}

/// Calls, each from another address.
struct Caller {
    accounts: AccountServiceClient<Channel>,
    calls: u32,
}

impl Caller {
    async fn new(server: &Server) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(server.url())?.connect().await?;
        Ok(Self { accounts: AccountServiceClient::new(channel), calls: 0 })
    }

    /// A request from an address that none before came from.
    fn elsewhere<T>(&mut self, message: T) -> anyhow::Result<Request<T>> {
        self.calls += 1;
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + self.calls);
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-forwarded-for", address.to_string().parse()?);
        Ok(request)
    }

    async fn sign_up(&mut self, email: &str) -> anyhow::Result<()> {
        let message = v1::SignUpRequest { email: email.to_owned(), password: PASSWORD.to_owned() };
        let request = self.elsewhere(message)?;
        self.accounts.sign_up(request).await.context("no account is made")?;
        Ok(())
    }

    /// How many microseconds the refusal of a wrong password takes.
    async fn refused_us(&mut self, email: &str) -> anyhow::Result<f64> {
        let message =
            v1::SignInRequest { email: email.to_owned(), password: "wrong horse battery".to_owned() };
        let request = self.elsewhere(message)?;
        let began = Instant::now();
        let answer = self.accounts.sign_in(request).await;
        let took: Duration = began.elapsed();
        let code = answer.err().map(|status| status.code());
        anyhow::ensure!(code == Some(Code::Unauthenticated), "a wrong password is answered with {code:?}");
        Ok(took.as_secs_f64() * 1e6)
    }
}
