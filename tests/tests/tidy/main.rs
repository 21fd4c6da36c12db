//! What holds for the whole tree, checked instead of remembered: what the pure crates may pull in, the
//! shape of the files, the names of the tests, the commands of the pages.
#![allow(clippy::unwrap_used, missing_docs, reason = "test code")]

mod independence;
mod packaging;
mod pages;
mod planted;
mod pure_crates;
mod shape;
mod sources;
mod tags;
