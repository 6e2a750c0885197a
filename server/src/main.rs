//! The binary: reads the command line and hands over to the library.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use marquee_core::clock::{EventTimes, now_ms};
use marquee_engine::runtime;
use marquee_proto::printable;
use marquee_server::app::{self, StartError};
use marquee_server::cli::{Cli, Command, FetchDevice, ImportArgs, MigrateArgs, RuntimeCommand, ServeArgs};
use marquee_server::import::{ImportOptions, OnSample, Units, import, progress_bar};
use marquee_server::telemetry::Telemetry;
use marquee_store::{MigrateMode, ScyllaSettings, ScyllaStore};
use mimalloc::MiMalloc;
use tokio::runtime::{Builder, Runtime};

/// A call is received, scored and answered on different threads, and its memory is freed on another one than it
/// was taken from: what this allocator is made for. ONNX Runtime takes its memory from it too (its feature
/// `override`), and so has its weights in large pages, which stay known to the processor while others run on it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match carry_out(Cli::of_process()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("marquee-server: {}", printable(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(cli: Cli) -> Outcome {
    match cli.command {
        None => serve(cli.serve),
        Some(Command::Serve(args)) => serve(args),
        Some(Command::Import(args)) => Runtime::new()?.block_on(bring_in(args)),
        Some(Command::Migrate(args)) => Runtime::new()?.block_on(migrate(args)),
        Some(Command::Runtime(RuntimeCommand::Fetch { device })) => fetch(device),
    }
}

fn serve(args: ServeArgs) -> Outcome {
    let print_only = args.print_config;
    let config = args.resolve()?;
    if print_only {
        print!("{}", config.to_toml()?);
        return Ok(());
    }
    let threads = config.async_threads(available_parallelism().map_or(1, usize::from));
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()?.block_on(async {
        let telemetry = Telemetry::start(config.log_format)?;
        let served = run(config, &telemetry).await;
        tokio::task::spawn_blocking(move || telemetry.flush()).await?;
        Ok(served?)
    })
}

async fn run(config: marquee_server::config::Config, telemetry: &Telemetry) -> Result<(), StartError> {
    app::outlive_file_limits().map_err(|error| StartError::Stopped(error.to_string()))?;
    let mut signals = app::Signals::listen().map_err(|error| StartError::Stopped(error.to_string()))?;
    // What is given up here goes on at the next start, as after a crash.
    let mut running = tokio::select! {
        started = app::start(config, telemetry) => started?,
        _ = signals.next() => return Ok(()),
    };
    let metrics = running.metrics_address.map(tracing::field::display);
    tracing::info!(address = %running.address, metrics, "listening");
    let model = tokio::select! {
        model = running.ready() => model?,
        first = signals.next() => return app::stop(running, signals, first).await,
    };
    // Who started the server may have closed its output; that is no reason to stop.
    if let Err(error) = writeln!(std::io::stdout(), "{}", app::welcome(&running, &model).await) {
        tracing::debug!(%error, "nobody reads the welcome");
    }
    drop(model);
    let first = signals.next().await;
    app::stop(running, signals, first).await
}

async fn bring_in(args: ImportArgs) -> Outcome {
    let (path, strict) = (args.path.clone(), args.strict);
    let (time_unit, highest_rating) = (args.time_unit, args.rating_scale);
    let sample = if args.replace_sample { OnSample::Replace } else { OnSample::Refuse };
    let config = args.resolve()?;
    let times = EventTimes::at(now_ms(), config.max_clock_skew.0);
    let units = Units { time_unit, highest_rating, times };
    let options = ImportOptions { strict, sample, units, ..ImportOptions::new(now_ms()) };
    let store = app::open_store_despite(&config.store, &config.data_dir, config.on_damage).await?;
    let report = import(&path, store.as_ref(), options, &progress_bar()).await?;
    // For the nodes that share the store; their next start would read the whole of it otherwise.
    store.sum_up(Duration::ZERO, now_ms()).await?;
    println!("{report}");
    Ok(())
}

async fn migrate(args: MigrateArgs) -> Outcome {
    let mode = if args.dry_run { MigrateMode::DryRun } else { MigrateMode::Apply };
    let config = args.resolve()?;
    let Some(url) = config.store.url() else {
        println!("The embedded store brings itself up to date when it is opened.");
        return Ok(());
    };
    let statements = ScyllaStore::migrate(&ScyllaSettings::parse(url)?, mode).await?;
    for statement in &statements {
        println!("{statement};");
    }
    match (mode, statements.len()) {
        (_, 0) => println!("-- nothing to do: the schema is this program's"),
        (MigrateMode::DryRun, _) => println!("-- dry run: nothing was changed"),
        (MigrateMode::Apply, count) => println!("-- {count} statements were run"),
    }
    Ok(())
}

fn fetch(device: FetchDevice) -> Outcome {
    let library = match device {
        FetchDevice::Cuda => runtime::fetch_cuda(&cache_folder()?)?,
    };
    println!("export ORT_DYLIB_PATH={}", library.display());
    Ok(())
}

/// Where fetched libraries are kept: `$XDG_CACHE_HOME/marquee`, else `~/.cache/marquee`.
fn cache_folder() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => std::env::home_dir().ok_or("set XDG_CACHE_HOME or HOME")?.join(".cache"),
    };
    Ok(base.join("marquee"))
}
