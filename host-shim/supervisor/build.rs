//! Tells the host's build script where the source of the supervisor is, whose program it embeds: cargo gives a package
//! the libraries of those that it depends on, and not their programs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match std::env::var("CARGO_MANIFEST_DIR") {
        Ok(folder) => println!("cargo::metadata=folder={folder}"),
        Err(error) => println!("cargo::error=CARGO_MANIFEST_DIR: {error}"),
    }
}
