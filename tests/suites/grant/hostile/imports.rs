//! Components that want more than the world: refused when they are loaded, by name.

use plexum_openai_provider::{Config, LoadError, Provider};

/// A component that imports this instance, and has nothing else to it.
fn component(import: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {import})")).unwrap()
}

#[test]
fn an_import_beyond_the_world_is_refused_at_load() {
    for (import, named) in [
        (
            r#"(import "wasi:cli/environment@0.2.3" (instance
                (export "get-arguments" (func (result (list string))))))"#,
            "wasi:cli/environment",
        ),
        (
            r#"(import "wasi:filesystem/preopens@0.2.3" (instance
                (export "descriptor" (type (sub resource)))))"#,
            "wasi:filesystem/preopens",
        ),
        (
            r#"(import "wasi:sockets/network@0.2.3" (instance
                (export "network" (type (sub resource)))))"#,
            "wasi:sockets/network",
        ),
        (
            r#"(import "plexum:codex/other@0.1.0" (instance
                (export "do" (func))))"#,
            "plexum:codex/other",
        ),
        // More of an interface than there is.
        (
            r#"(import "plexum:codex/log@0.1.0" (instance
                (export "erase" (func))))"#,
            "plexum:codex/log",
        ),
        (r#"(import "run" (func (param "program" string)))"#, "run"),
    ] {
        let error = match Provider::with_component(Config::default(), &component(import)) {
            Ok(_) => panic!("{named} was granted"),
            Err(error) => error,
        };
        assert!(matches!(error, LoadError::World(_)), "{named}: {error}");
        let error = error.to_string();
        assert!(error.contains(named), "{error}");
        assert!(
            error.contains("nothing beyond that world is granted"),
            "{error}"
        );
    }
}

#[test]
fn what_is_not_a_provider_is_refused_at_load() {
    let error = Provider::with_component(Config::default(), &component("")).err();
    let error = error.expect("it exports nothing").to_string();
    assert!(error.contains("plexum:provider/turns@0.1.0"), "{error}");
    let module = wat::parse_str("(module)").unwrap();
    let error = Provider::with_component(Config::default(), &module).err();
    assert!(matches!(error, Some(LoadError::Compile(_))), "{error:?}");
}
