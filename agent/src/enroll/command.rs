//! `wavegate-agent enroll` and `wavegate-agent host-key`.

use std::io::Write as _;

use super::{join, key};
use crate::config::{EnrollArgs, RunArgs, Settings};
use crate::exit::{Exit, Failure};
use crate::trust::read_pinned;

/// Joins once, by the token of the command line, and says what came of it.
///
/// # Errors
/// When the control plane cannot be reached or refuses.
pub async fn enroll(args: &EnrollArgs) -> Result<(), Failure> {
    let settings = Settings::resolve(&args.run)?;
    if settings.cert.exists() {
        let cert = settings.cert.display();
        return say(&format!("{cert} is there already: remove it to join anew\n"));
    }
    let token = match (&args.token, &settings.token_file) {
        (Some(token), _) => token.trim().to_owned(),
        (None, Some(path)) => join::read_token(path)?,
        (None, None) => {
            return Err(Failure::new(Exit::Usage, "join: --token or --token-file is missing")
                .hint("an operator mints one: wavegate token mint --host NAME"));
        }
    };
    let pinned = read_pinned(&settings.trust).map_err(|e| Failure::new(Exit::Usage, e))?;
    let joined = join::attempt(&settings, pinned.trust(), &token).await?;
    let identity = joined.map_err(|error| join::refused(&error))?;
    say(&format!(
        "joined fleet {} as {}: {}\n",
        identity.fleet,
        identity.host,
        settings.cert.display()
    ))
}

/// Prints the host's public key, made when missing, for a token that is bound to it.
///
/// # Errors
/// When there is none and none can be made.
pub fn host_key(args: &RunArgs) -> Result<(), Failure> {
    let failed = |error: key::KeyError| Failure::new(Exit::Failed, error);
    let place = Settings::key_place(args)?;
    if place.makes_its_key {
        key::make_when_missing(&place.key).map_err(failed)?;
    }
    let (pem, _) = key::public(&place.key).map_err(failed)?;
    say(&pem)
}

fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(Exit::Failed, format!("write to stdout: {error}")))
}
