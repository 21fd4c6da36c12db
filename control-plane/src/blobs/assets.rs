//! The assets that a closure document names.
//!
//! Not here: whether the document is one that this build understands in full. Kinds it does not know
//! may name assets too, so it looks for the key and not for the kinds.

use std::collections::BTreeSet;

use serde_json::Value;
use wavegate_proto::ids::BlobId;
use wavegate_proto::json::{JsonError, parse_strict};

/// Every blob that stands under a key `asset`, at any depth.
///
/// # Errors
/// When the document is not acceptable JSON.
pub fn named_assets(document: &[u8]) -> Result<BTreeSet<BlobId>, JsonError> {
    let mut found = BTreeSet::new();
    collect(&parse_strict(document)?, &mut found);
    Ok(found)
}

fn collect(value: &Value, found: &mut BTreeSet<BlobId>) {
    match value {
        Value::Object(entries) => {
            let named = entries.get("asset").and_then(Value::as_str);
            found.extend(named.and_then(|text| text.parse::<BlobId>().ok()));
            entries.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_found_in_kinds_that_this_build_does_not_know() {
        let id = BlobId::of(b"x");
        let document = format!(
            r#"{{"resources":[{{"kind":"file","asset":"{id}"}},
                {{"kind":"new","parts":[{{"asset":"../../etc/passwd"}},{{"asset":7}}]}}],
                "title":"asset"}}"#
        );
        assert_eq!(named_assets(document.as_bytes()).unwrap(), BTreeSet::from([id]));
        assert!(named_assets(b"not json").is_err());
    }
}
