//! A TOML file written by a person: reading it strictly, and saying where it is wrong (O5).
//!
//! Not here: what the keys mean.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::suggest;

/// One thing that is wrong in a file written by a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl FileError {
    /// A file that could not be read at all.
    #[must_use]
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            message: format!("cannot be read: {error}"),
            hint: None,
        }
    }
}

/// Everything that is wrong; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileErrors(pub Vec<FileError>);

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
            if let Some(hint) = &error.hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl From<FileError> for FileErrors {
    fn from(error: FileError) -> Self {
        Self(vec![error])
    }
}

/// The text of a file, with its path for messages.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    text: String,
    listed: Listed,
}

/// Hosts that stand in a file of their own: what is wrong with one of them is told there.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl Listed {
    /// None yet, of the file at `path`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), lines: BTreeMap::new() }
    }

    /// A host and its line.
    pub fn add(&mut self, host: &str, line: usize) {
        self.lines.insert(host.to_owned(), line);
    }

    /// The line of a host.
    #[must_use]
    pub fn line(&self, host: &str) -> Option<usize> {
        self.lines.get(host).copied()
    }
}

impl Source {
    /// Text that was read from `path`.
    #[must_use]
    pub fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text, listed: Listed::default() }
    }

    /// The same, with hosts that stand in another file.
    #[must_use]
    pub fn with_listed(self, listed: Listed) -> Self {
        Self { listed, ..self }
    }

    /// Where a host stands, if that is in another file: as `hosts.csv:12`.
    #[must_use]
    pub fn listed_at(&self, host: &str) -> Option<String> {
        let line = self.listed.line(host)?;
        let name = self.listed.path.file_name().unwrap_or_default().to_string_lossy();
        Some(format!("{name}:{line}"))
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| FileError::unreadable(path, &error))?;
        Ok(Self::new(path, text))
    }

    /// The path it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the text as `T`.
    ///
    /// # Errors
    /// With the line, and for an unknown key the nearest known one.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        toml::from_str(&self.text).map_err(|error| {
            let start = error.span().map(|span| span.start);
            self.explain(error.message(), start)
        })
    }

    /// An error at the place `keys` lead to (array positions as numbers), or as near as there is.
    #[must_use]
    pub fn error_at(&self, keys: &[&str], message: impl Into<String>) -> FileError {
        let listed = match keys {
            ["hosts", host, ..] => self.listed.line(host),
            _ => None,
        };
        let (path, line) = match listed {
            Some(line) => (&self.listed.path, Some(line)),
            None => (&self.path, self.offset_of(keys).map(|offset| self.line_of(offset))),
        };
        FileError { path: path.clone(), line, message: message.into(), hint: None }
    }

    /// Turns a reader's sentence into an error, at `keys`; unknown keys get a suggestion.
    #[must_use]
    pub fn explain_at(&self, keys: &[&str], message: &str) -> FileError {
        self.explain(message, self.offset_of(keys))
    }

    fn explain(&self, message: &str, start: Option<usize>) -> FileError {
        let mut error = FileError {
            path: self.path.clone(),
            line: start.map(|offset| self.line_of(offset)),
            message: message.lines().next().unwrap_or(message).to_owned(),
            hint: None,
        };
        if let Some(unknown) = UnknownName::read(message) {
            error.hint = suggest::hint(&unknown.name, &unknown.known());
            error.message = format!("unknown {} `{}`", unknown.what, unknown.name);
            if let Some(key) = start.and_then(|from| self.find_key(from, &unknown.name)) {
                error.line = Some(self.line_of(key));
            }
        }
        error
    }

    fn line_of(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        self.text.as_bytes()[..end].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// The first place from `from` on where `name` is written as a key or a value.
    fn find_key(&self, from: usize, name: &str) -> Option<usize> {
        let boundary = |b: Option<&u8>| {
            b.is_none_or(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')))
        };
        let bytes = self.text.as_bytes();
        self.text.get(from..)?.match_indices(name).map(|(at, _)| from + at).find(|at| {
            let before = at.checked_sub(1).and_then(|i| bytes.get(i));
            boundary(before) && boundary(bytes.get(at + name.len()))
        })
    }

    fn offset_of(&self, keys: &[&str]) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let mut found = None;
        let mut value: Option<&DeValue<'_>> = None;
        for key in keys {
            let here = match value {
                None => child_of_table(table.get_ref(), key),
                Some(DeValue::Table(table)) => child_of_table(table, key),
                Some(DeValue::Array(items)) => key
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item.span().start, item.get_ref())),
                Some(
                    DeValue::String(_)
                    | DeValue::Integer(_)
                    | DeValue::Float(_)
                    | DeValue::Boolean(_)
                    | DeValue::Datetime(_),
                ) => None,
            };
            let Some((offset, child)) = here else { break };
            found = Some(offset);
            value = Some(child);
        }
        found
    }
}

fn child_of_table<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<(usize, &'t DeValue<'i>)> {
    let (name, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
    Some((name.span().start, value.get_ref()))
}

/// What serde says of a key or a value it does not know.
struct UnknownName {
    what: &'static str,
    name: String,
    expected: Vec<String>,
}

impl UnknownName {
    fn read(message: &str) -> Option<Self> {
        let at = |marker: &str| message.find(marker).map(|i| &message[i + marker.len()..]);
        let (what, rest) = at("unknown field `")
            .map(|rest| ("key", rest))
            .or_else(|| at("unknown variant `").map(|rest| ("value", rest)))?;
        let (name, rest) = rest.split_once('`')?;
        let expected = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some(Self { what, name: name.to_owned(), expected })
    }

    fn known(&self) -> Vec<&str> {
        self.expected.iter().map(String::as_str).collect()
    }
}

/// Collects what is wrong in one file, so that a person sees everything at once.
#[derive(Debug)]
pub struct Complaints<'a> {
    source: &'a Source,
    errors: Vec<FileError>,
}

impl<'a> Complaints<'a> {
    /// Nothing wrong with `source` so far.
    #[must_use]
    pub fn about(source: &'a Source) -> Self {
        Self { source, errors: Vec::new() }
    }

    /// Something is wrong at `keys`.
    pub fn add(&mut self, keys: &[&str], message: impl Into<String>) {
        self.errors.push(self.source.error_at(keys, message));
    }

    /// Something is wrong at `keys`, and this would put it right.
    pub fn add_with_hint(
        &mut self,
        keys: &[&str],
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let mut error = self.source.error_at(keys, message);
        error.hint = hint.into();
        self.errors.push(error);
    }

    /// An error of another file.
    pub fn push(&mut self, error: FileError) {
        self.errors.push(error);
    }

    /// `value`, unless something was wrong.
    ///
    /// # Errors
    /// Everything that was.
    pub fn finish<T>(self, value: T) -> Result<T, FileErrors> {
        if self.errors.is_empty() { Ok(value) } else { Err(FileErrors(self.errors)) }
    }

    /// Stops here when something was wrong.
    ///
    /// # Errors
    /// Everything that was.
    pub fn check(&mut self) -> Result<(), FileErrors> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(FileErrors(std::mem::take(&mut self.errors)))
    }
}
