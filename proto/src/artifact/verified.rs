//! What has been verified: a type that only verification can make.
//!
//! Not here: the verification (see [`crate::artifact::release`] and [`crate::artifact::proof`]).

use std::ops::Deref;

use crate::ids::KeyId;

/// A `T` whose signatures and rules have been checked, with the keys that signed it.
///
/// Nothing outside [`crate::artifact`] can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    signed_by: Vec<KeyId>,
}

impl<T> Verified<T> {
    pub(super) fn new(value: T, signed_by: Vec<KeyId>) -> Self {
        Self { value, signed_by }
    }

    /// What was verified.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.value
    }

    /// What was verified, without the mark that it was.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The keys whose signatures were counted, by id.
    #[must_use]
    pub fn signed_by(&self) -> &[KeyId] {
        &self.signed_by
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
