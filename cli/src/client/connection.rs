//! Where the control plane is and who we are: flags, then `WAVEGATE_*`, then the configuration file.
//!
//! Not here: talking to it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::error::ClientError;
use crate::fleet_toml::source::Source;

/// The flags of every command that talks to a control plane.
#[derive(Debug, Clone, Default, Args)]
pub struct ConnectionArgs {
    /// Address of the control plane: https://… or the status listener's http://…
    #[arg(long, env = "WAVEGATE_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The fleet's certificate authority, PEM
    #[arg(long, env = "WAVEGATE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Our client certificate, PEM
    #[arg(long, env = "WAVEGATE_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, env = "WAVEGATE_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// The configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    url: Option<String>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Where the control plane is and who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The address.
    pub url: reqwest::Url,
    /// How it is secured.
    pub security: Security,
}

/// How a connection is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Not at all: the status listener, reading only.
    Plain,
    /// TLS with this authority and no other, and with our certificate where there is one.
    Tls {
        /// The authority's file.
        ca: PathBuf,
        /// Our certificate and key files.
        identity: Option<(PathBuf, PathBuf)>,
    },
}

impl ConnectionArgs {
    /// The connection these flags mean; `home` is where `.config` is looked for.
    ///
    /// # Errors
    /// When something is missing or the configuration file is wrong.
    pub fn resolve(&self, home: Option<&Path>) -> Result<Connection, ClientError> {
        let path = home.map(|home| home.join(".config/wavegate/config.toml"));
        let config = match path {
            Some(path) if path.exists() => {
                let mut config: ConfigFile = Source::read(&path)?.parse()?;
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                for file in [&mut config.ca, &mut config.cert, &mut config.key] {
                    *file = file.take().map(|file| folder.join(file));
                }
                config
            }
            Some(_) | None => ConfigFile::default(),
        };
        let url = self.url.clone().or(config.url).ok_or_else(|| ClientError::Config {
            message: "no address of a control plane".to_owned(),
            hint: Some(
                "give --url, set WAVEGATE_URL, or write ~/.config/wavegate/config.toml".to_owned(),
            ),
        })?;
        let bad_url = |reason: &str| ClientError::Config {
            message: format!("url {url:?}: {reason}"),
            hint: Some("write it like https://localhost:8443".to_owned()),
        };
        let parsed = reqwest::Url::parse(&url).map_err(|error| bad_url(&error.to_string()))?;
        let security = match parsed.scheme() {
            "http" => Security::Plain,
            "https" => {
                let ca = self.ca.clone().or(config.ca);
                let cert = self.cert.clone().or(config.cert);
                let key = self.key.clone().or(config.key);
                tls(ca, cert, key)?
            }
            _ => return Err(bad_url("neither https nor http")),
        };
        Ok(Connection { url: parsed, security })
    }

    /// The same, with the home folder of this process.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn resolve_here(&self) -> Result<Connection, ClientError> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        self.resolve(home.as_deref())
    }
}

fn tls(
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Security, ClientError> {
    let missing = |what: &str, hint: &str| {
        Err(ClientError::Config { message: what.to_owned(), hint: Some(hint.to_owned()) })
    };
    let Some(ca) = ca else {
        return missing("no certificate authority", "give --ca, or set WAVEGATE_CA");
    };
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Security::Tls { ca, identity: Some((cert, key)) }),
        (None, None) => Ok(Security::Tls { ca, identity: None }),
        (Some(_), None) => missing("a certificate without its key", "give --key too"),
        (None, Some(_)) => missing("a key without its certificate", "give --cert too"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str) -> ConnectionArgs {
        ConnectionArgs { url: Some(url.to_owned()), ..ConnectionArgs::default() }
    }

    #[test]
    fn flags_come_before_the_configuration_file() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/wavegate");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), "url = \"https://file:1\"\nca = \"ca.pem\"\n")
            .unwrap();
        let from_file = ConnectionArgs::default().resolve(Some(home.path())).unwrap();
        assert_eq!(from_file.url.as_str(), "https://file:1/");
        assert_eq!(from_file.security, Security::Tls { ca: folder.join("ca.pem"), identity: None });
        let from_flags = args("https://flag:2").resolve(Some(home.path())).unwrap();
        assert_eq!(from_flags.url.as_str(), "https://flag:2/");
    }

    /// O5: a misspelt key in the configuration file is refused, with what was meant.
    #[test]
    fn o5_an_unknown_key_of_the_configuration_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/wavegate");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), "\nurll = \"https://file:1\"\n").unwrap();
        let error = ConnectionArgs::default().resolve(Some(home.path())).unwrap_err();
        assert!(error.to_string().ends_with("config.toml:2: unknown key `urll`"), "{error}");
        assert_eq!(error.hint().unwrap(), "did you mean `url`?");
    }

    #[test]
    fn incomplete_connections_are_refused() {
        for (args, part) in [
            (ConnectionArgs::default(), "no address"),
            (args("https://x"), "no certificate authority"),
            (args("ftp://x"), "neither https nor http"),
            (args("x"), "url \"x\""),
            (
                ConnectionArgs {
                    ca: Some("a".into()),
                    cert: Some("c".into()),
                    ..args("https://x")
                },
                "a certificate without its key",
            ),
        ] {
            let error = args.resolve(None).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.hint().is_some());
        }
        assert_eq!(args("http://x:1").resolve(None).unwrap().security, Security::Plain);
    }
}
