//! Builds again when a migration is added: the embedding macro alone does not notice a new file.

fn main() {
    println!("cargo::rerun-if-changed=control-plane");
    println!("cargo::rerun-if-changed=agent");
}
