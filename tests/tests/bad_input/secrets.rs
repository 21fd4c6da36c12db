//! Nothing that anybody writes holds a private key: logs at their most talkative, databases, caches, answers.
//!
//! Not here: keys that others may read (see `starting`).

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use wavegate_tests::processes::program::Process;

use crate::yard::{Yard, control_plane};

/// What must stand nowhere, and whose it is.
struct Secret {
    key: PathBuf,
    patterns: Vec<Vec<u8>>,
}

/// A part of the private half: 24 bytes behind the header of a PKCS#8 key, as they are and in hex, and the
/// lines of its PEM that they stand in.
fn secret_of(key: &Path) -> Secret {
    let bytes = std::fs::read(key).unwrap();
    let mut patterns = Vec::new();
    let raw = match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(der) => {
            let text = String::from_utf8(bytes).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('-')).take(2);
            patterns.extend(lines.map(|line| line.as_bytes().to_vec()));
            der.secret_der()[24..48].to_vec()
        }
        // The control plane's own, which is nothing but random bytes.
        Err(_) => bytes,
    };
    patterns.push(raw.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
    patterns.push(raw);
    Secret { key: key.to_owned(), patterns }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn holds(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}

/// Each secret that stands in a file that is not its own.
fn leaks(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    files(folder, &mut all);
    let is_key = |path: &&PathBuf| path.extension().is_some_and(|suffix| suffix == "key");
    let secrets: Vec<Secret> = all.iter().filter(is_key).map(|path| secret_of(path)).collect();
    assert!(secrets.len() >= 6, "release, authority, control plane, people, hosts, echo");
    let mut leaks = Vec::new();
    for path in all.iter().filter(|path| !is_key(path)) {
        let bytes = std::fs::read(path).unwrap();
        let told = secrets.iter().filter(|s| s.patterns.iter().any(|p| holds(&bytes, p)));
        leaks.extend(told.map(|s| format!("{} in {}", s.key.display(), path.display())));
    }
    leaks
}

#[test]
fn no_private_key_is_written_anywhere_but_into_its_own_file() {
    let mut yard = Yard::open();
    let log = std::fs::File::create(yard.path("talkative.log")).unwrap();
    let mut command = control_plane(&yard.path(""), "state/talkative", "127.0.0.1:0");
    command.env("WAVEGATE_LOG", "trace").stdout(Stdio::piped()).stderr(log);
    let mut talkative = Process::start("the talkative control plane", &mut command);
    let mut line = String::new();
    BufReader::new(talkative.stdout()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening ").unwrap();
    yard.url = url.replace("127.0.0.1", "localhost");

    let mut agents = Vec::new();
    for host in ["host-01", "host-02"] {
        let log = std::fs::File::create(yard.path(&format!("{host}.log"))).unwrap();
        let mut agent = yard.agent(host);
        agent.env("WAVEGATE_LOG", "trace").stdout(log.try_clone().unwrap()).stderr(log);
        agents.push(Process::start(host, &mut agent));
    }
    yard.release(1, &[]);
    let mut said = yard.ok(&["release", "publish", "releases/1"]);
    yard.until_rollout("stable@r1", "terminal");
    for command in [["events", "--json"], ["hosts", "--json"], ["status", "--json"]] {
        said.push_str(&yard.ok(&command));
    }
    std::fs::write(yard.path("said"), said).unwrap();
    let talked = std::fs::read_to_string(yard.path("talkative.log")).unwrap();
    assert!(talked.contains("TRACE"), "the log is as talkative as it gets");

    assert_eq!(leaks(&yard.path("")), Vec::<String>::new());
    // What was looked for would have been found.
    let key = std::fs::read_to_string(yard.path("certs/host-host-01.key")).unwrap();
    std::fs::write(yard.path("planted"), format!("x{key}")).unwrap();
    assert_eq!(leaks(&yard.path("")).len(), 1);
}
