//! "Did you mean": the nearest of the names that would have been right.
//!
//! Not here: who asks (files written by people, host and rollout names on the command line).

/// The candidate nearest to `word`, when one is near enough to be a likely slip of the pen.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed || is_longer_form(word, candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `soak_secs` for `soak`, `bundles` for `bundle`.
fn is_longer_form(word: &str, candidate: &str) -> bool {
    candidate.len() >= 4
        && (word.starts_with(candidate) || candidate.starts_with(word))
        && word.len() >= 4
}

/// The hint for a wrong word: the nearest right one, or all of them when there are few.
#[must_use]
pub fn hint(word: &str, candidates: &[&str]) -> Option<String> {
    if let Some(near) = nearest(word, candidates.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let few = !candidates.is_empty() && candidates.len() <= 24;
    few.then(|| format!("known here: {}", candidates.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["tags", "tags_any", "hosts", "channel", "soak"];
        for (word, near) in [
            ("tag", Some("tags")),
            ("chanel", Some("channel")),
            ("soak_secs", Some("soak")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }
}
