//! In what a resource differs from what it should be, for people who look before they act.
//!
//! Not here: what is done about it.

use serde::Serialize;
use similar::TextDiff;

/// More text than this is told by its hash only.
const MAX_COMPARED_BYTES: usize = 64 * 1024;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What, as the bundle names it.
    pub key: String,
    /// How it is; `None`: not at all.
    pub is: Option<String>,
    /// How it should be; `None`: not at all.
    pub wanted: Option<String>,
    /// Of text, the lines that differ, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<String>,
}

impl Difference {
    /// That `key` is one thing and should be another.
    pub(crate) fn new(key: &str, is: Option<String>, wanted: Option<String>) -> Self {
        Self { key: key.to_owned(), is, wanted, lines: None }
    }

    /// Nothing when both are the same.
    pub(crate) fn between(key: &str, is: &str, wanted: &str) -> Option<Self> {
        let differ = || Self::new(key, Some(is.to_owned()), Some(wanted.to_owned()));
        (is != wanted).then(differ)
    }

    /// The same of a part of the resource.
    pub(crate) fn of(mut self, part: &str) -> Self {
        self.key = format!("{part} {}", self.key);
        self
    }

    /// Adds the lines, when both are text of a size that somebody would read.
    pub(crate) fn with_lines(mut self, is: &[u8], wanted: &[u8]) -> Self {
        let text =
            |bytes| str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_COMPARED_BYTES);
        if let (Some(is), Some(wanted)) = (text(is), text(wanted)) {
            let diff = TextDiff::from_lines(is, wanted);
            self.lines = Some(diff.unified_diff().header("is", "wanted").to_string());
        }
        self
    }
}
