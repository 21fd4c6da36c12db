//! The shape of files and functions, and what must not be in them.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, ItemFn, Macro, Signature, TraitItemFn};

use crate::sources::{Source, all, expect_none};

const MAX_FILE_LINES: usize = 800;
const MAX_P90_LINES: usize = 400;
const MAX_MEDIAN_LINES: usize = 150;
/// A function stays below this, from its signature to its closing brace.
const FUNCTION_LINES_LIMIT: usize = 70;

/// Names of drawers: whatever is in them belongs somewhere.
const DRAWERS: [&str; 7] = ["common", "helper", "helpers", "misc", "types", "util", "utils"];

#[test]
fn every_file_says_first_what_it_is_for() {
    let all = all();
    let silent = all.iter().filter(|source| !source.text.starts_with("//! "));
    let silent: Vec<String> = silent.map(|source| source.path.clone()).collect();
    expect_none("files that do not open with //!", &silent);
}

#[test]
fn files_are_short() {
    let all = all();
    let mut lines: Vec<usize> = all.iter().map(|source| source.lines).collect();
    lines.sort_unstable();
    let long = all.iter().filter(|source| source.lines > MAX_FILE_LINES);
    let long: Vec<String> = long.map(|s| format!("{} ({} lines)", s.path, s.lines)).collect();
    expect_none("files that are too long", &long);
    let (median, p90) = (lines[lines.len() / 2], lines[lines.len() * 9 / 10]);
    assert!(median <= MAX_MEDIAN_LINES, "the median file has {median} lines");
    assert!(p90 <= MAX_P90_LINES, "a tenth of the files has more than {p90} lines");
}

#[test]
fn no_module_is_a_drawer() {
    let is_drawer = |source: &&Source| {
        let names = source.path.trim_end_matches(".rs").split('/');
        names.into_iter().any(|name| DRAWERS.contains(&name))
    };
    let drawers: Vec<String> = all().iter().filter(is_drawer).map(|s| s.path.clone()).collect();
    expect_none("modules that are drawers", &drawers);
}

#[test]
fn functions_are_short() {
    expect_none("functions that are too long", &findings(|finder| &finder.long_functions));
}

#[test]
fn nothing_is_left_open() {
    expect_none("todo!, unimplemented!, ignored or unused", &findings(|finder| &finder.left_open));
}

fn findings(of: impl Fn(&Finder) -> &Vec<String>) -> Vec<String> {
    let find = |source: &Source| {
        let mut finder = Finder::default();
        finder.visit_file(&source.syntax);
        of(&finder).iter().map(|finding| format!("{}:{finding}", source.path)).collect::<Vec<_>>()
    };
    all().iter().flat_map(find).collect()
}

#[derive(Default)]
struct Finder {
    long_functions: Vec<String>,
    left_open: Vec<String>,
}

impl Finder {
    fn measure(&mut self, signature: &Signature, block: &Block) {
        let (from, to) = (signature.span().start().line, block.span().end().line);
        let lines = to - from + 1;
        if lines >= FUNCTION_LINES_LIMIT {
            self.long_functions.push(format!("{from}: {} ({lines} lines)", signature.ident));
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.measure(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if called.path.is_ident("todo") || called.path.is_ident("unimplemented") {
            self.left_open.push(format!("{}: todo", called.span().start().line));
        }
        visit::visit_macro(self, called);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let line = attribute.span().start().line;
        if attribute.path().is_ident("ignore") {
            self.left_open.push(format!("{line}: #[ignore]"));
        }
        if let syn::Meta::List(list) = &attribute.meta
            && (list.path.is_ident("allow") || list.path.is_ident("expect"))
            && list.tokens.to_string().contains("dead_code")
        {
            self.left_open.push(format!("{line}: dead_code"));
        }
        visit::visit_attribute(self, attribute);
    }
}

#[test]
fn the_finder_finds() {
    let body = "    let x = 1;\n".repeat(FUNCTION_LINES_LIMIT);
    let text = format!(
        "#[ignore]\nfn long() {{\n{body}}}\n#[allow(dead_code)]\nfn open() {{\n    todo!()\n}}\n"
    );
    let mut finder = Finder::default();
    finder.visit_file(&syn::parse_file(&text).unwrap());
    assert_eq!((finder.long_functions.len(), finder.left_open.len()), (1, 3));
}
