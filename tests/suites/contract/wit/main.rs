//! The contract in `wit/`: packages that are documented, that other tools take, and that do not change under one version;
//! and a test for each case that they name.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and not the functions that they share; what is indexed is an arena"
)]

mod cases;
mod packages;
mod version;
mod wkg;

use wit_component::{DecodedWasm, decode, encode};
use wit_parser::Stability;

use packages::{BACK_OFF, Features, items, packages};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");

#[test]
fn every_item_is_documented_and_says_since_when_or_that_it_is_unstable() {
    for features in [Features::None, Features::BackOff] {
        let (resolve, packages) = packages(features);
        for (folder, package) in packages {
            let items = items(&resolve, package);
            assert!(items.len() > 60, "wit/{folder}: only {}", items.len());
            for (name, item) in items {
                assert!(item.docs.is_some(), "wit/{folder}: {name} has no doc");
                assert!(
                    !item
                        .stability
                        .is_some_and(|stability| stability.is_unknown()),
                    "wit/{folder}: {name} has no @since and no @unstable"
                );
            }
        }
    }
}

#[test]
fn what_is_unstable_is_there_only_for_who_asks_for_it() {
    let unstable = |features| {
        let (resolve, packages) = packages(features);
        let items = packages
            .values()
            .flat_map(|package| items(&resolve, *package));
        items
            .filter(|(_, item)| matches!(item.stability, Some(Stability::Unstable { .. })))
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(unstable(Features::None), [""; 0]);
    assert_eq!(unstable(Features::BackOff), [BACK_OFF]);
    // There is no other feature.
    assert_eq!(unstable(Features::All), [BACK_OFF]);
}

#[test]
fn each_folder_is_a_package_that_a_registry_takes_docs_and_all() {
    for features in [Features::None, Features::BackOff] {
        let (resolve, packages) = packages(features);
        for package in packages.into_values() {
            let bytes = encode(&resolve, package).unwrap();
            let DecodedWasm::WitPackage(decoded, decoded_package) = decode(&bytes).unwrap() else {
                panic!("it was encoded as something else than a package of WIT");
            };
            assert_eq!(
                decoded.packages[decoded_package].name,
                resolve.packages[package].name
            );
            assert_eq!(items(&decoded, decoded_package), items(&resolve, package));
        }
    }
}
