//! Strict JSON: what a signed document may look like, and how deep any body may nest.
//!
//! Signed documents are compared and hashed by their canonical form, so everything that two readers
//! could understand differently is refused: duplicate keys, floats, integers beyond what a double
//! holds exactly (RFC 7493), deep nesting, anything after the document.
//!
//! Not here: the canonical form (see [`crate::canonical`]).

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep arrays and objects may nest.
pub const MAX_JSON_DEPTH: usize = 32;

/// The largest integer, either way from zero, that every reader holds exactly: 2^53.
pub const MAX_INTEGER: u64 = 1 << 53;

/// Why bytes are not acceptable JSON. Says line and column where they are known.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads one document.
///
/// # Errors
/// When it is not JSON, has a duplicate key, a number that is not an integer within ±2^53, nests
/// deeper than [`MAX_JSON_DEPTH`], or is followed by anything but white space.
pub fn parse_strict(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Whether arrays and objects nest at most `max` deep. Looks at brackets only, so it is cheap enough
/// for every body before it is parsed; it does not say that the bytes are JSON.
#[must_use]
pub fn depth_within(bytes: &[u8], max: usize) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Reads one value that stands inside `depth` arrays and objects.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_JSON_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_JSON_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

fn out_of_range<E: serde::de::Error>(number: impl fmt::Display) -> E {
    E::custom(format!("{number} is not an integer between -2^53 and 2^53"))
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_INTEGER { Err(out_of_range(value)) } else { Ok(Value::from(value)) }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MAX_INTEGER {
            Err(out_of_range(value))
        } else {
            Ok(Value::Number(Number::from(value)))
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Err(out_of_range(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let seed = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(seed)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let seed = self.inner()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                let shown: String = key.chars().take(80).collect();
                return Err(A::Error::custom(format!("duplicate key {shown:?}")));
            }
            let value = entries.next_value_seed(seed)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(text: &str) -> String {
        parse_strict(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for (text, why) in [
            (r#"{"a":1,"a":1}"#, "duplicate key \"a\""),
            (r#"{"a":{"b":1,"\u0062":2}}"#, "duplicate key \"b\""),
            ("1.5", "not an integer"),
            ("1.0", "not an integer"),
            ("1e3", "not an integer"),
            ("-0", "not an integer"),
            ("9007199254740993", "not an integer"),
            ("-9007199254740993", "not an integer"),
            ("18446744073709551616", "not an integer"),
            ("{} {}", "trailing"),
            ("{}x", "trailing"),
            ("", "EOF"),
            (r#"{"a":}"#, "expected value"),
            (r#""\ud800""#, "escape"),
        ] {
            assert!(reason(text).contains(why), "{text}: {}", reason(text));
        }
        assert!(parse_strict(b"\"\xff\"").is_err());
        assert!(parse_strict(b"\xef\xbb\xbf{}").is_err());
    }

    #[test]
    fn reasons_name_the_line() {
        assert!(reason("{\"a\":1,\n\"a\":2}").contains("line 2"));
    }

    #[test]
    fn integers_up_to_2_to_the_53_are_read() {
        for text in ["9007199254740992", "-9007199254740992", "0"] {
            assert_eq!(parse_strict(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    /// G14: JSON depth at most 32.
    #[test]
    fn g14_nesting_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for (depth, fine) in [(MAX_JSON_DEPTH, true), (MAX_JSON_DEPTH + 1, false), (500, false)] {
            assert_eq!(parse_strict(nested(depth).as_bytes()).is_ok(), fine, "{depth}");
            assert_eq!(depth_within(nested(depth).as_bytes(), MAX_JSON_DEPTH), fine, "{depth}");
        }
        assert!(depth_within(br#"{"a":"[[[[","b":"\"[[["}"#, 1));
        assert!(!depth_within(br#"{"a":["]"]}"#, 1));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_strict(&bytes);
            let _ = depth_within(&bytes, MAX_JSON_DEPTH);
        }

        #[test]
        fn no_text_of_json_characters_makes_it_panic(text in r#"[\[\]{}",:0-9a-f\\u.eE\- ]{0,80}"#) {
            if let Ok(value) = parse_strict(text.as_bytes()) {
                prop_assert!(depth_within(text.as_bytes(), MAX_JSON_DEPTH));
                prop_assert_eq!(&parse_strict(value.to_string().as_bytes()).unwrap(), &value);
            }
        }
    }
}
