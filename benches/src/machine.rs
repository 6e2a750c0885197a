//! On what was measured: processor, memory, versions, date. No names of hosts or folders.

use std::process::Command;

use marquee_engine::runtime;
use serde::Serialize;

/// What a figure has to be read with.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name, how many cores the process may use, and its vector instructions.
    pub processor: String,
    /// Memory in GiB.
    pub memory: String,
    /// The system's kernel.
    pub system: String,
    /// Of Marquee, its commit, ONNX Runtime and the compiler.
    pub versions: String,
    /// UTC.
    pub date: String,
    /// Load averages over 1, 5 and 15 minutes before the first round, this program's own work included.
    pub load_before: String,
}

impl Machine {
    /// Looks at this machine now.
    pub fn look() -> Self {
        let cpu = read("/proc/cpuinfo");
        let model = field(&cpu, "model name").unwrap_or("unknown processor");
        let flags = field(&cpu, "flags").unwrap_or_default();
        let vector = ["avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"]
            .into_iter()
            .filter(|flag| flags.split_whitespace().any(|known| known == *flag));
        let vector: Vec<&str> = vector.collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory_kib: f64 = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next())
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        Self {
            processor: format!("{model}, {cores} cores, {}", vector.join(" ")),
            memory: format!("{:.0} GiB", memory_kib / f64::from(1 << 20)),
            // What stands behind the version names a build, which says nothing to others.
            system: said("uname", &["-sr"]).split('-').next().unwrap_or_default().to_owned(),
            versions: format!(
                "marquee {} at {}, {}, {}",
                env!("CARGO_PKG_VERSION"),
                said("git", &["rev-parse", "--short", "HEAD"]),
                onnx_runtime(),
                said("rustc", &["--version"])
            ),
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            load_before: load_average(),
        }
    }

    /// Date, machine and versions as lines of a Markdown list.
    pub fn lines(&self) -> String {
        let Self { processor, memory, system, versions, date, .. } = self;
        format!("- Date: {date}\n- Machine: {processor}, {memory}, {system}\n- Versions: {versions}\n")
    }
}

/// Load averages over 1, 5 and 15 minutes.
pub fn load_average() -> String {
    read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The library's file name, which carries its version.
fn onnx_runtime() -> String {
    let Ok(runtime::Library { path: library, .. }) = runtime::library() else { return String::new() };
    let real = library.canonicalize().unwrap_or(library);
    real.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// What a program says, or that it says nothing.
fn said(program: &str, arguments: &[&str]) -> String {
    Command::new(program).args(arguments).output().ok().filter(|output| output.status.success()).map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
