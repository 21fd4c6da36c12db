//! The commands of the pages for people, in the order in which a reader types them, so that a test can
//! type them too.
//!
//! A fenced block whose language is `console` holds a session: a line that begins with `$ ` is a command
//! (a `\` at its end continues it on the next line), everything else is what it prints. A block marked
//! `console terminal=2` belongs to another terminal: its commands keep running beside the first one's.
//!
//! What stands below a command is what it prints. Each of these lines must be printed by the command, in
//! this order; it may print more. Lines are compared word by word, where
//! - a word that holds a time, a duration such as `12s`, a hash, a key id or a UUID is as good as any
//!   other of its kind, so a page shows what was really printed;
//! - the word `…` stands for any one word, at the end of a line for the rest of it; within a word it
//!   stands for any part of it;
//! - a line that is only `…` says that lines are left out, and is not compared.
//!
//! Not here: running them (see the end-to-end tests).

use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// The pages whose commands are run.
pub const PAGES: [&str; 2] = ["README.md", "docs/operations.md"];

/// Commands that the walk through the pages does not type again, and where they run instead.
pub const RUN_ELSEWHERE: [(&str, &str); 3] = [
    ("cargo build --release", "the tests run what was built with them"),
    ("cargo demo", "the end-to-end test of the demo starts the same program"),
    ("cargo xtask test", "it is what runs the tests that read these pages"),
];

/// A command of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocCommand {
    /// The page, from the folder of the workspace.
    pub page: String,
    /// The line of the page on which it begins, from 1.
    pub line: usize,
    /// Which terminal it is typed in; 1 unless the block says otherwise.
    pub terminal: u32,
    /// The command as a shell takes it, continued lines joined.
    pub command: String,
    /// The lines that it prints, as the page shows them.
    pub output: Vec<String>,
}

impl DocCommand {
    /// Where the command runs if not in the walk through the page.
    #[must_use]
    pub fn runs_elsewhere(&self) -> Option<&'static str> {
        RUN_ELSEWHERE.iter().find(|(command, _)| *command == self.command).map(|(_, why)| *why)
    }
}

/// A fenced block of a page, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// What stands behind the opening fence.
    pub info: String,
    /// The line of the page on which its content begins, from 1.
    pub line: usize,
    /// Its content.
    pub text: String,
}

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The commands of a page of the workspace.
///
/// # Panics
/// When the page cannot be read.
#[must_use]
pub fn of_page(page: &str) -> Vec<DocCommand> {
    let text = std::fs::read_to_string(workspace().join(page))
        .unwrap_or_else(|error| panic!("cannot read {page}: {error}"));
    fences(&text).iter().flat_map(|fence| of_fence(page, fence)).collect()
}

/// Every fenced block of a page.
#[must_use]
pub fn fences(markdown: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (event, range) in Parser::new(markdown).into_offset_iter() {
        match (event, &mut open) {
            (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))), _) => {
                let line = markdown[..range.start].matches('\n').count() + 2;
                open = Some(Fence { info: info.to_string(), line, text: String::new() });
            }
            (Event::Text(text), Some(fence)) => fence.text.push_str(&text),
            (Event::End(TagEnd::CodeBlock), _) => fences.extend(open.take()),
            _ => {}
        }
    }
    fences
}

/// The commands of a block; none when it is no `console` block.
fn of_fence(page: &str, fence: &Fence) -> Vec<DocCommand> {
    let mut words = fence.info.split_whitespace();
    if words.next() != Some("console") {
        return Vec::new();
    }
    let terminal = words.find_map(|word| word.strip_prefix("terminal=")?.parse().ok()).unwrap_or(1);
    let mut commands: Vec<DocCommand> = Vec::new();
    let mut continued = false;
    for (line, text) in (fence.line..).zip(fence.text.lines()) {
        if let Some(command) = text.strip_prefix("$ ") {
            let (page, command) = (page.to_owned(), String::from(command));
            commands.push(DocCommand { page, line, terminal, command, output: Vec::new() });
        } else if continued && let Some(last) = commands.last_mut() {
            last.command.push_str(text.trim_start());
        } else {
            if let Some(last) = commands.last_mut().filter(|_| !text.trim().is_empty()) {
                last.output.push(text.to_owned());
            }
            continue;
        }
        let last = commands.last_mut().map(|last| &mut last.command);
        continued = last.is_some_and(|command| command.ends_with('\\') && command.pop().is_some());
    }
    commands
}

/// The first line that a page shows and that was not printed, by the rule at the top of this file.
#[must_use]
pub fn first_not_printed<'a>(shown: &'a [String], printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines();
    let shown = shown.iter().map(|line| line.trim()).filter(|line| *line != ANY);
    shown.into_iter().find(|line| !printed.any(|candidate| fits(line, candidate)))
}

/// Stands for any word, at the end of a line for any words.
const ANY: &str = "…";

fn fits(shown: &str, printed: &str) -> bool {
    let shown: Vec<String> = shown.split_whitespace().map(without_figures).collect();
    let printed: Vec<String> = printed.split_whitespace().map(without_figures).collect();
    let open_end = shown.last().is_some_and(|word| word == ANY);
    let enough = shown.len() == printed.len() || (open_end && printed.len() + 1 >= shown.len());
    enough && shown.iter().zip(&printed).all(|(shown, printed)| word_fits(shown, printed))
}

fn word_fits(shown: &str, printed: &str) -> bool {
    let Some((start, end)) = shown.split_once(ANY) else { return shown == printed };
    printed.strip_prefix(start).is_some_and(|rest| rest.ends_with(end))
}

/// A word with what differs from run to run replaced.
fn without_figures(word: &str) -> String {
    let separator = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.'));
    let mut text = String::new();
    for piece in word.split_inclusive(separator) {
        let bare = piece.trim_end_matches(separator).trim_end_matches(['.', ':']);
        let kind = if differs(bare) { "<varies>" } else { bare };
        text.push_str(kind);
        text.push_str(&piece[bare.len()..]);
    }
    text
}

/// Whether a piece of a word is a time, a duration, a hash, a key id or a UUID.
fn differs(piece: &str) -> bool {
    let hex = piece.strip_prefix("sha256:").unwrap_or(piece).replace('-', "");
    let hash = hex.len() >= 12 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let time = piece.parse::<wavegate_proto::time::Timestamp>().is_ok();
    let number = piece.strip_suffix(['s', 'm', 'h', 'd']);
    let duration = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    hash || time || duration
}

#[cfg(test)]
mod tests {
    use super::{fences, first_not_printed, of_fence};

    #[track_caller]
    fn shown(page: &str, printed: &str, missing: Option<&str>) {
        let lines: Vec<String> = page.lines().map(str::to_owned).collect();
        assert_eq!(first_not_printed(&lines, printed), missing, "{page:?} of {printed:?}");
    }

    #[test]
    fn what_differs_from_run_to_run_is_as_good_as_any_of_its_kind() {
        shown("web  3s ago", "web   12m ago", None);
        shown("web  3s ago", "web   never", Some("web  3s ago"));
        shown("at 2026-11-21T09:00:00Z: up", "at 2027-01-01T10:11:12.345Z: up", None);
        shown(
            "at 2026-11-21T09:00:00Z: up",
            "at 2027-01-01T10:11:12.345Z: down",
            Some("at 2026-11-21T09:00:00Z: up"),
        );
        shown("runs sha256:e3b0c44298fc", "runs sha256:a5ece9c8ce5e", None);
        shown("key 2880f2fa24dc8a98", "key 4726ef12d286aa0f", None);
        shown("3 hosts", "4 hosts", Some("3 hosts"));
    }

    #[test]
    fn lines_come_in_order_and_an_ellipsis_leaves_something_out() {
        shown("a\nc", "a\nb\nc", None);
        shown("c\na", "a\nb\nc", Some("a"));
        shown("…\nc", "a\nb\nc", None);
        shown("log … rows", "log 64 rows", None);
        shown("log … rows", "log rows", Some("log … rows"));
        shown("ok (… rows)", "ok (64 rows)", None);
        shown("ok (… rows)", "ok 64 rows", Some("ok (… rows)"));
        shown("error: …", "error: all of this", None);
        shown("error: …", "hint: all of this", Some("error: …"));
        shown("a", "", Some("a"));
    }

    #[test]
    fn commands_are_found_with_their_lines_and_terminals() {
        let page = "# A\n\n```console\n$ one \\\n    --two\nits output\n$ three\n```\n\n\
                    ```toml\n$ no\n```\n\n```console terminal=2\n$ four\n```\n";
        let found: Vec<_> = fences(page)
            .iter()
            .flat_map(|fence| of_fence("x.md", fence))
            .map(|c| (c.line, c.terminal, c.command, c.output.join("|")))
            .collect();
        let expected =
            [(4, 1, "one --two", "its output"), (7, 1, "three", ""), (15, 2, "four", "")]
                .map(|(l, t, c, o)| (l, t, c.to_owned(), o.to_owned()));
        assert_eq!(found, expected);
    }
}
