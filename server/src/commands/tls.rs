//! `tls dev`: an authority and a pair of its own, to try TLS with before there is a real one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use marquee_core::authority::{Authority, PAIR_DAYS, Pair, Purpose, in_days};

use super::Outcome;

/// Nobody but the owner reads a key.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

#[derive(Subcommand)]
pub(super) enum TlsCommand {
    /// Make an authority, a server's and a client's pair, for development: whoever trusts the authority trusts what its
    /// key signs
    Dev(DevArgs),
}

#[derive(Args)]
pub(super) struct DevArgs {
    /// Folder to write them to; what is there already stays, and is an error
    #[arg(long, value_name = "DIR", default_value = "./.marquee/tls")]
    dir: PathBuf,
    /// Names and addresses by which the server is called, beside those of this machine
    #[arg(long, value_name = "HOST,...", value_delimiter = ',')]
    names: Vec<String>,
}

/// The files cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {source}; choose another --dir", path.display())]
struct WriteError {
    path: PathBuf,
    source: io::Error,
}

pub(super) fn run(command: TlsCommand) -> Outcome {
    match command {
        TlsCommand::Dev(args) => dev(&args),
    }
}

fn dev(args: &DevArgs) -> Outcome {
    let others = args.names.iter().map(String::as_str);
    let names: Vec<&str> = ["localhost", "127.0.0.1", "::1"].into_iter().chain(others).collect();
    let authority = Authority::new("Marquee development authority")?;
    let server = authority.sign(Purpose::Server, "Marquee development server", &names, in_days(PAIR_DAYS))?;
    let client = authority.sign(Purpose::Client, "developer", &[], in_days(PAIR_DAYS))?;
    for (name, pair) in [("ca", authority.pair()), ("server", server), ("client", client)] {
        write_pair(&args.dir, name, &pair)?;
    }
    writeln!(io::stdout(), "{}", usage(&args.dir, &names))?;
    Ok(())
}

/// `NAME.pem` and `NAME-key.pem`.
fn write_pair(dir: &Path, name: &str, pair: &Pair) -> Result<(), WriteError> {
    let write = |file: String, text: &str, mode: u32| {
        let path = dir.join(file);
        let written = fs::create_dir_all(dir).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
            file.write_all(text.as_bytes())
        });
        written.map_err(|source| WriteError { path, source })
    };
    write(format!("{name}.pem"), &pair.certificate, CERTIFICATE_MODE)?;
    write(format!("{name}-key.pem"), &pair.key, KEY_MODE)
}

fn usage(dir: &Path, names: &[&str]) -> String {
    let dir = dir.display();
    format!(
        "A development authority, and a server's pair for {names}, good for {PAIR_DAYS} days. Serve and call with:

  marquee-server --tls-cert {dir}/server.pem --tls-key {dir}/server-key.pem
  marquee --server https://localhost:50051 --tls-ca {dir}/ca.pem health check
  curl --cacert {dir}/ca.pem https://localhost:50051/v1/genres

Callers who must show a certificate: add --tls-client-ca {dir}/ca.pem to the server, and to marquee

  --tls-cert {dir}/client.pem --tls-key {dir}/client-key.pem

Whoever has {dir}/ca-key.pem can be every server to those who trust {dir}/ca.pem: keep both off real networks.",
        names = names.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn args(dir: &Path) -> DevArgs {
        DevArgs { dir: dir.join("tls"), names: vec!["marquee.example".to_owned()] }
    }

    #[test]
    fn keys_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        dev(&args(folder.path())).unwrap();
        let mode =
            |file: &str| fs::metadata(folder.path().join("tls").join(file)).unwrap().permissions().mode();
        for name in ["ca", "server", "client"] {
            assert_eq!(mode(&format!("{name}-key.pem")) & 0o777, 0o600, "{name}");
            assert_eq!(mode(&format!("{name}.pem")) & 0o077, 0o044, "{name}");
        }
    }

    #[test]
    fn a_pair_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path());
        dev(&args).unwrap();
        let before = fs::read(args.dir.join("ca-key.pem")).unwrap();
        let error = dev(&args).unwrap_err().to_string();
        assert!(error.contains("ca.pem cannot be written") && error.contains("--dir"), "{error}");
        assert_eq!(fs::read(args.dir.join("ca-key.pem")).unwrap(), before);
    }
}
