//! The commands of the pages for people, in the order in which a reader types them, so that a test can
//! type them too.
//!
//! A fenced block whose language is `console` holds a session: a line that begins with `$ ` is a command
//! (a `\` at its end continues it on the next line), everything else is what it prints. A block marked
//! `console terminal=2` belongs to another terminal: its commands keep running beside the first one's.
//!
//! Not here: running them (see the end-to-end tests).

use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// The pages whose commands are run.
pub const PAGES: [&str; 2] = ["README.md", "docs/operations.md"];

/// Commands that the walk through the pages does not type again, and where they run instead.
pub const RUN_ELSEWHERE: [(&str, &str); 2] = [
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
            commands.push(DocCommand { page, line, terminal, command });
        } else if continued && let Some(last) = commands.last_mut() {
            last.command.push_str(text.trim_start());
        } else {
            continue;
        }
        let last = commands.last_mut().map(|last| &mut last.command);
        continued = last.is_some_and(|command| command.ends_with('\\') && command.pop().is_some());
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::{fences, of_fence};

    #[test]
    fn commands_are_found_with_their_lines_and_terminals() {
        let page = "# A\n\n```console\n$ one \\\n    --two\nits output\n$ three\n```\n\n\
                    ```toml\n$ no\n```\n\n```console terminal=2\n$ four\n```\n";
        let found: Vec<_> = fences(page)
            .iter()
            .flat_map(|fence| of_fence("x.md", fence))
            .map(|c| (c.line, c.terminal, c.command))
            .collect();
        let expected = [(4, 1, "one --two"), (7, 1, "three"), (15, 2, "four")]
            .map(|(l, t, c)| (l, t, c.to_owned()));
        assert_eq!(found, expected);
    }
}
