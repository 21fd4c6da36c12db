//! Reading and writing objects whose own keys stand beside those every kind has.
//!
//! Not here: the kinds.

use serde_json::{Map, Value};

/// Takes one key out of `keys`.
pub(super) fn take<T, E>(keys: &mut Map<String, Value>, key: &str) -> Result<Option<T>, E>
where
    T: serde::de::DeserializeOwned,
    E: serde::de::Error,
{
    keys.remove(key)
        .map(|value| serde_json::from_value(value).map_err(|e| E::custom(format!("{key}: {e}"))))
        .transpose()
}

/// A key that must be there is not.
pub(super) fn missing<E: serde::de::Error>(key: &'static str) -> E {
    E::missing_field(key)
}

/// Writes `value` as the keys of an object.
pub(super) fn keys_of<T, E>(value: &T) -> Result<Map<String, Value>, E>
where
    T: serde::Serialize,
    E: serde::ser::Error,
{
    match serde_json::to_value(value).map_err(E::custom)? {
        Value::Object(keys) => Ok(keys),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(E::custom("not an object"))
        }
    }
}

/// Puts one key in.
pub(super) fn put<T, E>(keys: &mut Map<String, Value>, key: &str, value: &T) -> Result<(), E>
where
    T: serde::Serialize + ?Sized,
    E: serde::ser::Error,
{
    keys.insert(key.to_owned(), serde_json::to_value(value).map_err(E::custom)?);
    Ok(())
}
