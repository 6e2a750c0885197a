//! Packs the files that browsers are served: one by one, in gzip, as nearly every browser takes them.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Cursor, Read, copy};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// What of Swagger UI is served.
const SWAGGER_UI: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

/// What `client/web/scripts/build` made of the console's sources.
const CONSOLE: &str = "../client/web/dist";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={CONSOLE}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    pack_swagger_ui(&out)?;
    pack_console(&out)
}

fn pack_swagger_ui(out: &Path) -> Result<(), Box<dyn Error>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for file in SWAGGER_UI {
        let wanted = format!("/dist/{file}");
        let name = {
            let mut names = archive.file_names().filter_map(Result::ok);
            names.find(|name| name.ends_with(&wanted)).ok_or(wanted.as_str())?.into_owned()
        };
        pack(archive.by_name(&name)?, &out.join(format!("{file}.gz")))?;
    }
    Ok(())
}

/// Writes `console.rs`, a table of paths, content types and packed files, and the files.
fn pack_console(out: &Path) -> Result<(), Box<dyn Error>> {
    let root = fs::canonicalize(CONSOLE)?;
    let mut files = Vec::new();
    list(&root, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let path = file.strip_prefix(&root)?.to_str().ok_or("a name that is no text")?;
        let packed = out.join(format!("console-{number}.gz"));
        pack(File::open(file)?, &packed)?;
        let packed = packed.to_str().ok_or("a folder that is no text")?;
        let content_type = content_type(file)?;
        writeln!(table, "    ({:?}, {content_type:?}, include_bytes!({packed:?})),", format!("/{path}"))?;
    }
    table.push_str("]\n");
    fs::write(out.join("console.rs"), table)?;
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn content_type(file: &Path) -> Result<&'static str, Box<dyn Error>> {
    Ok(match file.extension().and_then(OsStr::to_str) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        Some("webmanifest") => "application/manifest+json",
        Some("woff2") => "font/woff2",
        _ => return Err(format!("what content type has {}?", file.display()).into()),
    })
}

fn pack(mut from: impl Read, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut gzip = GzEncoder::new(File::create(to)?, Compression::best());
    copy(&mut from, &mut gzip)?;
    gzip.finish()?;
    Ok(())
}
