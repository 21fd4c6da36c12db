//! Every mistake others made, and every guard, is proven by a test that names its tag: in its own name
//! (`fn e1_…`) or in its doc comment (`E1`).

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, ItemFn, Macro};

use crate::sources::{all, expect_none};

/// The tags that are proven by now, by their letter: engine, durability, agent, security, operation,
/// guards, targets of reliability.
const TAGS: [(&str, &[u32]); 7] = [
    ("E", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]),
    ("D", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("A", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ("S", &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("O", &[1, 2, 3, 4, 5, 6, 7, 8]),
    (
        "G",
        &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
            25, 26, 27, 28, 29,
        ],
    ),
    ("R", &[4, 5]),
];

#[test]
fn every_tag_is_named_by_a_test() {
    let mut finder = Finder::default();
    all().iter().for_each(|source| finder.visit_file(&source.syntax));
    let tags = TAGS
        .iter()
        .flat_map(|(letter, numbers)| numbers.iter().map(move |n| format!("{letter}{n}")));
    let missing: Vec<String> = tags.filter(|tag| !finder.tags.contains(tag)).collect();
    expect_none("tags that no test names", &missing);
}

/// Collects the tags of test functions.
#[derive(Default)]
struct Finder {
    tags: BTreeSet<String>,
}

impl Finder {
    fn take(&mut self, attributes: &[Attribute], name: &str) {
        if !attributes.iter().any(is_test) {
            return;
        }
        self.take_name(name);
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
            if let syn::Meta::NameValue(doc) = &attribute.meta
                && let syn::Expr::Lit(text) = &doc.value
                && let syn::Lit::Str(text) = &text.lit
            {
                self.take_text(&text.value());
            }
        }
    }

    fn take_name(&mut self, name: &str) {
        self.tags.extend(name.split('_').map(str::to_uppercase));
    }

    fn take_text(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        self.tags.extend(words.map(str::to_owned));
    }

    /// The body of a `proptest!`: test functions that are no Rust yet.
    fn take_tokens(&mut self, tokens: &TokenStream) {
        let mut after_fn = false;
        for token in tokens.clone() {
            match token {
                TokenTree::Ident(ident) if after_fn => self.take_name(&ident.to_string()),
                TokenTree::Group(group) if is_doc(&group.stream()) => {
                    self.take_text(&group.stream().to_string());
                }
                TokenTree::Ident(ref ident) if ident == "fn" => {
                    after_fn = true;
                    continue;
                }
                TokenTree::Ident(_)
                | TokenTree::Group(_)
                | TokenTree::Punct(_)
                | TokenTree::Literal(_) => {}
            }
            after_fn = false;
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.take(&item.attrs, &item.sig.ident.to_string());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.take(&item.attrs, &item.sig.ident.to_string());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if called.path.segments.last().is_some_and(|segment| segment.ident == "proptest") {
            self.take_tokens(&called.tokens);
        }
        visit::visit_macro(self, called);
    }
}

/// `#[test]`, `#[tokio::test]`.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
}

fn is_doc(tokens: &TokenStream) -> bool {
    matches!(tokens.clone().into_iter().next(), Some(TokenTree::Ident(ident)) if ident == "doc")
}

#[test]
fn only_tests_prove_tags() {
    let text = "/// E1.\nfn e2_helper() {}\n/// A word (E3), E40.\n#[test]\nfn g4_g5_x() {}\n\
                #[tokio::test]\nasync fn d6_x() {}\n\
                proptest! { /// D7\n #[test]\n fn a1_x(a in 0..1) {} }\n";
    let mut finder = Finder::default();
    finder.visit_file(&syn::parse_file(text).unwrap());
    let found: Vec<&str> = ["E1", "E2", "E3", "E4", "G4", "G5", "D6", "D7", "A1"]
        .into_iter()
        .filter(|tag| finder.tags.contains(*tag))
        .collect();
    assert_eq!(found, ["E3", "G4", "G5", "D6", "D7", "A1"]);
}
