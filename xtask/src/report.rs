//! Runs tests, passes their output on line by line, and counts what they report.
//!
//! Reads the lines of libtest, which are stable enough to have been the same for years; the exit code
//! of cargo stays what decides.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// What a run of tests came to.
#[derive(Debug, Default)]
struct Tally {
    programs: u64,
    passed: u64,
    failed: Vec<String>,
    begun: u64,
}

impl Tally {
    fn take(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.programs += 1;
            self.passed += number_before(result, " passed").unwrap_or(0);
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failed.push(name.to_owned());
        } else if line.starts_with("running ") && line.contains(" test") {
            self.begun += 1;
        }
    }

    /// How many programs began and never said how it ended.
    fn unfinished(&self) -> u64 {
        self.begun.saturating_sub(self.programs)
    }
}

fn number_before(text: &str, word: &str) -> Option<u64> {
    text.split_once(word)?.0.rsplit(' ').next()?.parse().ok()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed) = (self.passed, self.failed.len());
        write!(f, "{passed} passed, {failed} failed, in {} programs", self.programs)?;
        if self.unfinished() > 0 {
            write!(f, "; {} programs ended without a result", self.unfinished())?;
        }
        Ok(())
    }
}

/// Runs `command`, which runs tests, and ends with one summary on stderr.
///
/// # Errors
/// When a test fails, when the command does not succeed, and when no test ran at all.
pub(crate) fn run_tests(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("==> {what}");
    let begun = Instant::now();
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {what}"))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        let mut shown = std::io::stdout().lock();
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("read the output of the tests")?;
            tally.take(&String::from_utf8_lossy(&line));
            shown.write_all(&line).and_then(|()| shown.write_all(b"\n")).context("print")?;
        }
    }
    let status = child.wait().with_context(|| format!("wait for {what}"))?;
    summary(what, &tally, begun.elapsed());
    if !status.success() {
        bail!("{what}: {status}");
    }
    if tally.passed == 0 {
        bail!("{what}: no test ran");
    }
    Ok(())
}

fn summary(what: &str, tally: &Tally, took: Duration) {
    eprintln!("\n==> {what}: {tally}, {} s", took.as_secs());
    for name in &tally.failed {
        eprintln!("    failed: {name}");
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.take(line));
        tally
    }

    #[test]
    fn counts_and_failures_are_added_up_over_programs() {
        let tally = tally(
            "running 2 tests\ntest a ... ok\ntest b::c ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored\n\
             running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored\n",
        );
        assert_eq!((tally.passed, tally.programs, tally.unfinished()), (2, 2, 0));
        assert_eq!(tally.failed, ["b::c"]);
    }

    #[test]
    fn a_program_that_dies_is_told() {
        let tally = tally("running 3 tests\ntest a ... ok\n");
        assert_eq!(tally.unfinished(), 1);
        assert!(tally.to_string().contains("1 programs ended without a result"));
    }
}
