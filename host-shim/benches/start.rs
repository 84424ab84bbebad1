//! What comes before the first line: the component is compiled or loaded, and instantiated.

use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use plexum_openai_provider::{COMPONENT, Cache, Config, Provider};

use crate::material;
use crate::sandbox::Sandbox;

pub fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("start");
    let load = |cache: &Cache| Provider::load(Config::default(), COMPONENT, cache).unwrap();
    group.sample_size(20);
    group.bench_function("compile", |bencher| {
        bencher.iter_with_large_drop(|| load(&Cache::none()));
    });
    group.sample_size(100);
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::in_folder(folder.path().join("cache"));
    load(&cache);
    group.bench_function("load", |bencher| {
        bencher.iter_with_large_drop(|| load(&cache));
    });
    let nothing: Arc<str> = material::output(200, 0).text.into();
    let sandbox = Sandbox::new(&nothing);
    group.bench_function("instantiate", |bencher| {
        let store = || sandbox.store(runtime.block_on(sandbox.open()).ctx);
        bencher.iter_batched(
            store,
            |mut store| {
                runtime.block_on(sandbox.instantiate(&mut store));
                store
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
