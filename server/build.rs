//! Takes Swagger UI's files out of their archive and packs them as they are served: one by one, in gzip.

use std::error::Error;
use std::fs::File;
use std::io::{Cursor, copy};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

const FILES: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for file in FILES {
        let wanted = format!("/dist/{file}");
        let name = {
            let mut names = archive.file_names().filter_map(Result::ok);
            names.find(|name| name.ends_with(&wanted)).ok_or(wanted.as_str())?.into_owned()
        };
        let mut packed = archive.by_name(&name)?;
        let mut gzip = GzEncoder::new(File::create(out.join(format!("{file}.gz")))?, Compression::best());
        copy(&mut packed, &mut gzip)?;
        gzip.finish()?;
    }
    Ok(())
}
