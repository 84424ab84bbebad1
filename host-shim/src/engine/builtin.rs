//! The component that this crate was built with, and the digest that names a component.

use std::ptr;

use sha2::{Digest, Sha256};

/// The component that this crate was built with.
pub const COMPONENT: &[u8] = &BYTES;

/// In one place, so that its address identifies it.
static BYTES: [u8; include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm")).len()] =
    *include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm"));

/// Its SHA-256, in lower-case hexadecimal.
const COMPONENT_SHA256: &str = env!("COMPONENT_SHA256");

/// The SHA-256 of some bytes, in lower-case hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The [`sha256`] of a component. That of the built-in one is computed at build time, which makes each start faster.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    if ptr::eq(bytes, COMPONENT) {
        COMPONENT_SHA256.to_owned()
    } else {
        sha256(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_the_built_in_component_is_the_computed_one() {
        assert_eq!(digest_of(COMPONENT), sha256(COMPONENT));
    }

    #[test]
    fn the_digest_of_any_other_component_is_its_sha_256() {
        // From the examples of FIPS 180-4.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(b"abc"), abc);
        // Begins where the built-in one does, and is not it.
        assert_ne!(digest_of(&COMPONENT[..8]), digest_of(COMPONENT));
    }
}
