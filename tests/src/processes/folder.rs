//! A fleet's folder: keys and certificates by `wavegate init`, releases by `wavegate release`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use wavegate_proto::ids::HostName;

use super::program::wavegate;
use crate::release_kit::host_name;

/// One wave.
#[derive(Debug, Clone)]
pub struct Wave {
    pub name: &'static str,
    /// Its hosts by number; empty: all that are left.
    pub hosts: Vec<usize>,
    pub soak_secs: u64,
}

/// At most so many of these hosts at once.
#[derive(Debug, Clone)]
pub struct Budget {
    pub hosts: Vec<usize>,
    pub max_in_flight: usize,
}

/// How releases go out.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub waves: Vec<Wave>,
    pub budget: Option<Budget>,
    /// A host that stays on what release 1 put there, by number.
    pub unchanged: Option<usize>,
    /// How many failures a wave bears, such as `5%`.
    pub max_failures: Option<&'static str>,
}

/// What a release puts on each host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Healthy,
    /// Its probe fails.
    Broken,
}

/// A host's files by path, without its root.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A fleet's folder, fresh and temporary.
pub struct Folder {
    dir: TempDir,
    pub hosts: Vec<HostName>,
}

impl Folder {
    /// `host-01` and so on.
    pub fn new(hosts: usize) -> Self {
        let folder = Self::with_certificates(hosts, hosts);
        for host in &folder.hosts {
            fs::create_dir_all(folder.root(host)).unwrap();
        }
        folder
    }

    /// The same for a swarm, which makes its certificates itself.
    pub fn of_a_swarm(hosts: usize) -> Self {
        Self::with_certificates(hosts, 1)
    }

    fn with_certificates(hosts: usize, certificates: usize) -> Self {
        // Probes run as nobody when the agent is root: they must be able to get in.
        let open = fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("wavegate-").permissions(open).tempdir().unwrap();
        let folder = Self { dir, hosts: (1..=hosts).map(host_name).collect() };
        let certificates = certificates.to_string();
        folder.succeeds(&["init", "fleet", "--hosts", &certificates, "--fleet", "demo"]);
        for name in ["state", "logs", "releases"] {
            fs::create_dir_all(folder.path(name)).unwrap();
        }
        folder
    }

    /// A path in the fleet's folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join("fleet").join(name)
    }

    pub fn root(&self, host: &HostName) -> PathBuf {
        self.path("roots").join(host.as_str())
    }

    /// The state folder of a host's agent.
    pub fn agent_state(&self, host: &HostName) -> PathBuf {
        self.path("state").join(host.as_str())
    }

    pub fn control_plane_state(&self) -> PathBuf {
        self.path("state/control-plane")
    }

    /// Runs `wavegate` beside the fleet's folder.
    pub fn wavegate(&self, args: &[&str]) -> Output {
        let mut command = wavegate();
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs `wavegate` and expects it to end well.
    pub fn succeeds(&self, args: &[&str]) -> String {
        let output = self.wavegate(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "wavegate {}: {stderr}", args.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes `fleet.toml`.
    pub fn plan(&self, Plan { waves, budget, unchanged, max_failures }: &Plan) {
        let mut text = String::from(
            "[fleet]\nname = \"demo\"\n\n[channels.stable]\nrollout_policy = \"test\"\n\
             bundle = \"bundles/app.toml\"\n\n[rollout_policies.test]\n\
             on_health_failure = \"rollback-and-halt\"\nfailure_threshold = \"1s\"\n",
        );
        if let Some(max_failures) = max_failures {
            writeln!(text, "max_failures = \"{max_failures}\"").unwrap();
        }
        text.push_str("waves = [\n");
        for Wave { name, hosts, soak_secs } in waves {
            let hosts = selector(hosts);
            writeln!(text, "{{ name = \"{name}\", hosts = {hosts}, soak = \"{soak_secs}s\" }},")
                .unwrap();
        }
        text.push_str("]\n");
        if let Some(Budget { hosts, max_in_flight }) = budget {
            let hosts = selector(hosts);
            write!(
                text,
                "[[disruption_budgets]]\nid = \"members\"\nhosts = {hosts}\n\
                 max_in_flight = {max_in_flight}\n"
            )
            .unwrap();
        }
        for host in &self.hosts {
            write!(text, "[hosts.{host}]\nchannel = \"stable\"\n").unwrap();
            if unchanged.is_some_and(|number| host_name(number) == *host) {
                text.push_str("bundle = \"bundles/unchanged.toml\"\n");
            }
        }
        let unchanged = bundle_toml(1, Content::Healthy);
        fs::write(self.path("bundles/unchanged.toml"), unchanged).unwrap();
        fs::write(self.path("fleet.toml"), text).unwrap();
    }

    /// Writes the bundle of release `number`.
    pub fn bundle(&self, number: u64, content: Content) {
        fs::write(self.path("bundles/app.toml"), bundle_toml(number, content)).unwrap();
    }

    /// Builds and signs release `number`, which opens `stable@r<number>`.
    pub fn release(&self, number: u64, content: Content) {
        self.bundle(number, content);
        self.build(number);
    }

    /// The same with the bundle as it stands.
    pub fn build(&self, number: u64) {
        let (out, before) =
            (format!("fleet/releases/{number}"), format!("fleet/releases/{}", number - 1));
        let reference = format!("stable=r{number}");
        let mut build =
            vec!["release", "build", "fleet/fleet.toml", "--out", &out, "--ref", &reference];
        if number > 1 {
            build.extend(["--previous", &before]);
        }
        self.succeeds(&build);
        self.succeeds(&["release", "sign", &out, "--key", "fleet/keys/release.key"]);
    }

    /// Publishes release `number` at `url`.
    pub fn publish(&self, number: u64, url: &str) -> Output {
        let release = format!("fleet/releases/{number}");
        let certs = ["--cert", "fleet/certs/operator-admin.pem"];
        let keys = ["--key", "fleet/certs/operator-admin.key"];
        let publish = ["release", "publish", &release, "--url", url, "--ca", "fleet/ca/ca.pem"];
        self.wavegate(&[&publish[..], &certs, &keys].concat())
    }

    /// The file with a host's token.
    pub fn token(&self, host: &HostName) -> PathBuf {
        self.path("tokens").join(host.as_str())
    }

    /// Mints a token for a host.
    pub fn mint(&self, host: &HostName) {
        fs::create_dir_all(self.path("tokens")).unwrap();
        let (trust, key) = ("fleet/trust.json", "fleet/keys/enroll.key");
        let (name, out) = (host.as_str(), self.token(host).display().to_string());
        self.succeeds(&[
            "token", "mint", "--host", name, "--trust", trust, "--key", key, "--out", &out,
        ]);
    }

    /// Everything below a host's root.
    pub fn files(&self, host: &HostName) -> Files {
        let mut files = Files::new();
        read_below(&self.root(host), &self.root(host), &mut files);
        files
    }

    /// The release that a host's file names; 0 before the first.
    pub fn runs(&self, host: &HostName) -> u64 {
        let text = fs::read_to_string(self.root(host).join(CONF)).unwrap_or_default();
        let number = text.lines().next().and_then(|line| line.strip_prefix("release = "));
        number.map_or(0, |number| number.parse().unwrap())
    }

    /// The identities of a host's files: an atomic replacement changes them.
    pub fn identities(&self, host: &HostName) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let identity = |path: PathBuf| {
            let meta = fs::metadata(self.root(host).join(&path)).unwrap();
            (path, (meta.ino(), meta.mtime(), meta.mtime_nsec()))
        };
        self.files(host).into_keys().map(identity).collect()
    }
}

/// After a failure the folder stays, with the logs of every process.
impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("kept, with logs/: {}", self.dir.path().display());
        }
    }
}

const CONF: &str = "srv/app.conf";

/// The longest file of a release; it begins with the release's number.
pub const DATA: &str = "srv/app.data";

/// Everything a host has below its root when release `number` has been activated.
pub fn files_of(number: u64, content: Content) -> Files {
    let file = |path: &str, text: String| (PathBuf::from(path), text.into_bytes());
    [file(CONF, conf(number, content)), file(DATA, data(number)), file(KEPT, kept())].into()
}

const KEPT: &str = "srv/kept.conf";

fn conf(number: u64, content: Content) -> String {
    let status = match content {
        Content::Healthy => "healthy",
        Content::Broken => "broken",
    };
    format!("release = {number}\nstatus = {status}\n")
}

/// Long enough that half of it would be noticed.
fn data(number: u64) -> String {
    format!("{number} data\n").repeat(2000)
}

fn kept() -> String {
    "the same in every release\n".to_owned()
}

fn bundle_toml(number: u64, content: Content) -> String {
    let mut text =
        "[[resources]]\nid = \"srv\"\nkind = \"directory\"\npath = \"/srv\"\n".to_owned();
    for (index, (path, bytes)) in files_of(number, content).into_iter().enumerate() {
        let (path, content) = (path.display(), String::from_utf8(bytes).unwrap());
        write!(
            text,
            "[[resources]]\nid = \"file-{index}\"\nkind = \"file\"\npath = \"/{path}\"\n\
             content = {content:?}\ndepends_on = [\"srv\"]\n"
        )
        .unwrap();
    }
    text.push_str(
        "[[probes]]\nname = \"app\"\nkind = \"exec\"\ninterval = \"1s\"\ntimeout = \"1s\"\n\
         argv = [\"/bin/sh\", \"-c\", \"grep -q 'status = healthy' \\\"$WAVEGATE_ROOT/srv/app.conf\\\"\"]\n",
    );
    text
}

fn selector(hosts: &[usize]) -> String {
    if hosts.is_empty() {
        return "\"all\"".to_owned();
    }
    let names: Vec<String> = hosts.iter().map(|n| format!("\"{}\"", host_name(*n))).collect();
    format!("{{ hosts = [{}] }}", names.join(", "))
}

fn read_below(root: &Path, folder: &Path, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_below(root, &path, files);
        } else if let Ok(bytes) = fs::read(&path) {
            files.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
        }
    }
}
