//! Messages of the HTTP interface. Readers ignore unknown fields; times have milliseconds.
//!
//! Not here: signed documents (see [`crate::artifact`]).

pub mod agent;
pub mod enroll;
pub mod forecast;
pub mod operator;
pub mod plan;
pub mod problem;
pub mod provider;
pub mod publish;
pub mod resource;
pub mod trust;
pub mod verbs;
