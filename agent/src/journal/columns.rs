//! How single values stand in the journal's columns.

use wavegate_state_machine::agent::{Answer, Verdict};

use super::JournalError;

pub(super) fn answer_text(answer: Answer) -> &'static str {
    match answer {
        Answer::Unanswered => "unanswered",
        Answer::Accepted => "accepted",
        Answer::Refused => "refused",
        Answer::RefusedInReplay => "refused-in-replay",
    }
}

pub(super) fn answer(text: &str) -> Result<Answer, JournalError> {
    let all = [Answer::Unanswered, Answer::Accepted, Answer::Refused, Answer::RefusedInReplay];
    let found = all.into_iter().find(|answer| answer_text(*answer) == text);
    found.ok_or_else(|| damaged("answer", text))
}

pub(super) fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unproven => "unproven",
        Verdict::Converged => "converged",
    }
}

pub(super) fn verdict(text: &str) -> Result<Verdict, JournalError> {
    let all = [Verdict::Unproven, Verdict::Converged];
    let found = all.into_iter().find(|verdict| verdict_text(*verdict) == text);
    found.ok_or_else(|| damaged("verdict", text))
}

/// SQLite's integers are signed.
pub(super) fn integer(number: u64) -> Result<i64, JournalError> {
    i64::try_from(number).map_err(|_| damaged("number", &number.to_string()))
}

pub(super) fn damaged(column: &str, text: &str) -> JournalError {
    let shown: String = text.chars().take(80).collect();
    JournalError::Damaged(format!("{column} {shown:?} is not what this agent writes"))
}
