//! `[hosts_from]`: the hosts of a large fleet, listed in a CSV file with the columns `host`, `channel`
//! and, where wanted, `class` and `tags` (separated by spaces).
//!
//! Not here: anything else of a host, which its class and channel say.

use std::collections::BTreeMap;
use std::path::Path;

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};
use wavegate_proto::artifact::fleet::MAX_FLEET_BYTES;
use wavegate_proto::ids::HostName;

use super::model::HostSection;
use super::source::{FileError, FileErrors, Listed};
use crate::suggest;

/// How many mistakes are told at once.
const MAX_MISTAKES: usize = 20;

const COLUMNS: [&str; 4] = ["host", "channel", "class", "tags"];

/// The hosts of the file, and where each stands.
#[derive(Debug, Default)]
pub struct HostsCsv {
    /// The hosts.
    pub hosts: BTreeMap<HostName, HostSection>,
    /// The line of each.
    pub listed: Listed,
}

impl HostsCsv {
    /// Reads the text of the file at `path`. Lines that begin with `#` are comments.
    ///
    /// # Errors
    /// With file, line and column.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, FileErrors> {
        let complain = |line: Option<usize>, message: String, hint: Option<String>| FileError {
            path: path.to_owned(),
            line,
            message,
            hint,
        };
        if text.len() > MAX_FLEET_BYTES {
            let mib = MAX_FLEET_BYTES / 1024 / 1024;
            return Err(complain(None, format!("is larger than {mib} MiB"), None).into());
        }
        let mut reader = ReaderBuilder::new().trim(Trim::All).comment(Some(b'#')).from_reader(text);
        let header = reader.headers().map_err(|error| {
            let message = said(&error);
            complain(line_at(text, error.position()), message, None)
        })?;
        let columns = Columns::of(header)
            .map_err(|(message, hint)| complain(line_at(text, header.position()), message, hint))?;
        let mut file = Self { listed: Listed::of(path), ..Self::default() };
        let mut errors = Vec::new();
        for record in reader.records() {
            let taken = match &record {
                Ok(record) => {
                    let line = line_at(text, record.position());
                    let taken = file.take(&columns, record, line.unwrap_or(0));
                    taken.map_err(|message| complain(line, message, None))
                }
                Err(error) => Err(complain(line_at(text, error.position()), said(error), None)),
            };
            errors.extend(taken.err());
            if errors.len() == MAX_MISTAKES {
                break;
            }
        }
        if errors.is_empty() { Ok(file) } else { Err(FileErrors(errors)) }
    }

    fn take(
        &mut self,
        columns: &Columns,
        record: &StringRecord,
        line: usize,
    ) -> Result<(), String> {
        let host: HostName = columns.read(record, "host")?;
        let section = HostSection {
            channel: columns.read(record, "channel")?,
            class: columns.text(record, "class").map(str::to_owned),
            tags: columns
                .text(record, "tags")
                .map(|tags| tags.split_whitespace().map(str::to_owned).collect()),
            bundle: None,
            closure: None,
            public_key: None,
            provider_id: None,
            health_checks: Vec::new(),
        };
        if let Some(before) = self.listed.line(host.as_str()) {
            return Err(format!("column `host`: {host} stands in line {before} already"));
        }
        self.listed.add(host.as_str(), line);
        self.hosts.insert(host, section);
        Ok(())
    }
}

/// The place of each column in a line.
struct Columns(BTreeMap<&'static str, usize>);

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, (String, Option<String>)> {
        let mut places = BTreeMap::new();
        for (place, name) in header.iter().enumerate() {
            // The mark that some programs put in front of UTF-8.
            let name = name.trim_start_matches('\u{feff}');
            let Some(known) = COLUMNS.iter().find(|known| **known == name) else {
                return Err((format!("unknown column `{name}`"), suggest::hint(name, &COLUMNS)));
            };
            if places.insert(*known, place).is_some() {
                return Err((format!("a second column `{name}`"), None));
            }
        }
        match COLUMNS[..2].iter().find(|needed| !places.contains_key(*needed)) {
            None => Ok(Self(places)),
            Some(missing) => Err((
                format!("the first line has no column `{missing}`"),
                Some("the first line names the columns: host,channel,class,tags".to_owned()),
            )),
        }
    }

    /// What stands in a column; nothing when it is empty or not there.
    fn text<'r>(&self, record: &'r StringRecord, column: &str) -> Option<&'r str> {
        record.get(*self.0.get(column)?).filter(|text| !text.is_empty())
    }

    fn read<T>(&self, record: &StringRecord, column: &str) -> Result<T, String>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let text = self.text(record, column).ok_or(format!("column `{column}`: is empty"))?;
        text.parse().map_err(|error| format!("column `{column}`: {error}"))
    }
}

/// The line of what was read at `position`: the reader tells where it began to look, which may be
/// before comments and empty lines.
fn line_at(text: &[u8], position: Option<&Position>) -> Option<usize> {
    let position = position?;
    let mut line = usize::try_from(position.line()).ok()?;
    let rest = text.get(usize::try_from(position.byte()).ok()?..)?;
    for skipped in rest.split_inclusive(|byte| *byte == b'\n') {
        let empty = matches!(skipped, b"\n" | b"\r\n");
        if !empty && !skipped.starts_with(b"#") {
            break;
        }
        line += 1;
    }
    Some(line)
}

/// What the reader says, in our words.
fn said(error: &csv::Error) -> String {
    if let ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        format!("expected {expected_len} columns, found {len}")
    } else if let ErrorKind::Utf8 { err, .. } = error.kind() {
        format!("column {}: not UTF-8", err.field() + 1)
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HostsCsv, FileErrors> {
        HostsCsv::parse(Path::new("hosts.csv"), text.as_bytes())
    }

    #[test]
    fn hosts_are_read_with_what_is_given() {
        let text = "\u{feff}tags, host ,channel,class\nweb canary,web-01,stable,\n# old\n\n\
                    \"\", web-02 ,edge,pi\r\n";
        let file = parse(text).unwrap();
        let found: Vec<_> = file
            .hosts
            .iter()
            .map(|(name, host)| (name.as_str(), host.channel.as_str(), &host.class, &host.tags))
            .collect();
        let (pi, tags) = (Some("pi".to_owned()), Some(vec!["web".to_owned(), "canary".to_owned()]));
        assert_eq!(found, [("web-01", "stable", &None, &tags), ("web-02", "edge", &pi, &None)]);
        assert_eq!(file.listed.line("web-02"), Some(5));
        assert!(parse("host,channel\n").unwrap().hosts.is_empty());
    }

    #[test]
    fn o5_mistakes_are_told_with_file_line_and_column() {
        for (text, expected) in [
            ("", "hosts.csv:1: the first line has no column `host`"),
            (
                "host,chanel\n",
                "hosts.csv:1: unknown column `chanel`\n  hint: did you mean `channel`?",
            ),
            ("host,channel,host\n", "hosts.csv:1: a second column `host`"),
            ("host,class\na,b\n", "hosts.csv:1: the first line has no column `channel`"),
            (
                "host,channel\na,stable\nWeb_1,stable\n",
                "hosts.csv:3: column `host`: not a valid host name",
            ),
            ("host,channel\na,\n", "hosts.csv:2: column `channel`: is empty"),
            ("host,channel\na,stable,pi\n", "hosts.csv:2: expected 2 columns, found 3"),
            (
                "host,channel\na,stable\nb,stable\na,edge\n",
                "hosts.csv:4: column `host`: a stands in line 2 already",
            ),
        ] {
            let found = parse(text).unwrap_err().to_string();
            assert!(found.contains(expected), "expected {expected}\nfound {found}");
        }
        let latin = HostsCsv::parse(Path::new("hosts.csv"), b"host,channel\na,st\xe4ble\n");
        assert!(latin.unwrap_err().to_string().contains("hosts.csv:2: column 2: not UTF-8"));
        let many = format!("host,channel\n{}", "X,stable\n".repeat(100));
        assert_eq!(parse(&many).unwrap_err().0.len(), MAX_MISTAKES);
    }
}
