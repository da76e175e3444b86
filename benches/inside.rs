//! Measurements inside the process: looking at a tree, hashing it, writing its tar, the specs and plans of a thousand
//! services. The tree is the one of `benches/peers` (target/bench/work/site) where that has run, else one made here.

#![expect(clippy::unwrap_used, reason = "a measuring program: a failure ends it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use imgpack::model::{BaseFacts, Class, Compression, Entries, Entry, EntryKind, ImagePath, Owner};
use imgpack::ops::pack::{make_layer, open_content};
use imgpack::ops::press::Press;
use imgpack::plan::{LayerPart, plan_layers};
use imgpack::spec::{self, Files, ReadError};
use imgpack::store::Store;
use imgpack::system::Cancel;
use imgpack::tar::{TarWriter, groups};
use imgpack::tree::{self, HashedFile, HashedKind, ScanRequest};

/// A workspace with a tree `site` in it.
struct Tree {
    root: PathBuf,
    _made: Option<tempfile::TempDir>,
}

impl Tree {
    fn new() -> Self {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/work");
        if kept.join("site").is_dir() {
            return Self { root: kept, _made: None };
        }
        let made = tempfile::tempdir().unwrap();
        for directory in 0..200 {
            let path = made.path().join(format!("site/package{directory}"));
            fs::create_dir_all(&path).unwrap();
            for file in 0..40 {
                let text =
                    format!("def function_{file}(a, b):\n    return a * {file} + b\n").repeat(60 + file);
                fs::write(path.join(format!("module{file}.py")), text).unwrap();
            }
        }
        Self { root: made.path().to_owned(), _made: Some(made) }
    }

    fn request(&self) -> ScanRequest<'_> {
        ScanRequest { root: &self.root, dir: "site", include: &[], exclude: &[], named: &[], explain: false }
    }

    fn hashed(&self) -> Vec<HashedFile> {
        let scan = tree::scan(&self.request(), &Cancel::new()).unwrap();
        tree::hash(scan.files, &tree::read_digest, &Cancel::new()).unwrap()
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::new();
        for file in self.hashed() {
            let entry = Entry {
                path: ImagePath::parse(&format!("/app/{}", file.path)).unwrap(),
                kind: file.entry_kind(),
                mode: file.entry_mode(),
                owner: Owner::default(),
                origin: Arc::from("benches"),
            };
            entries.insert(entry).unwrap();
        }
        entries
    }
}

fn inputs(criterion: &mut Criterion) {
    let tree = Tree::new();
    let cancel = Cancel::new();
    let scan = tree::scan(&tree.request(), &cancel).unwrap();
    let mut group = criterion.benchmark_group("inputs");
    group.sample_size(20);
    group.throughput(Throughput::Elements(scan.files.len() as u64));
    group.bench_function("walk and stat", |bencher| {
        bencher.iter(|| black_box(tree::scan(&tree.request(), &cancel).unwrap().files.len()));
    });
    let length = |file: &HashedFile| match file.kind {
        HashedKind::File { size, .. } => size,
        HashedKind::Symlink { .. } => 0,
    };
    group.throughput(Throughput::Bytes(tree.hashed().iter().map(length).sum()));
    group.bench_function("hash", |bencher| {
        bencher.iter_batched(
            || scan.files.clone(),
            |files| black_box(tree::hash(files, &tree::read_digest, &cancel).unwrap().len()),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn bytes(criterion: &mut Criterion) {
    let entries = Tree::new().entries();
    let sizes = entries.iter().map(|entry| match entry.kind {
        EntryKind::File { size, .. } => size,
        _ => 0,
    });
    let mut group = criterion.benchmark_group("bytes");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(sizes.sum()));
    group.bench_function("tar", |bencher| {
        bencher.iter(|| {
            let mut tar = TarWriter::new(&open_content);
            let mut out = Vec::new();
            for one in groups(entries.iter()) {
                out.clear();
                tar.append(&one, &mut out).unwrap();
            }
        });
    });
    // One layer as a build makes it: read, hashed, compressed, stored.
    let cancel = Cancel::new();
    let press = Press::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for (name, compression) in [
        ("layer, gzip", Compression::default()),
        ("layer, gzip 9", Compression::Gzip(9)),
        ("layer, zstd", Compression::Zstd(3)),
        ("layer, not compressed", Compression::None),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| make_layer(&store, &press, &entries, compression, true, &cancel).unwrap());
        });
    }
    make_layer(&store, &press, &entries, Compression::default(), false, &cancel).unwrap();
    group.bench_function("layer, gzip, all of it copied from an older one", |bencher| {
        bencher
            .iter(|| make_layer(&store, &press, &entries, Compression::default(), false, &cancel).unwrap());
    });
    group.finish();
}

/// Specs in memory.
struct Texts(BTreeMap<String, String>);

impl Files for Texts {
    fn read(&self, path: &str) -> Result<String, ReadError> {
        self.0.get(path).cloned().ok_or(ReadError::NotFound)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, ReadError> {
        let below = format!("{dir}/");
        Ok(self.0.keys().filter(|path| path.starts_with(&below)).cloned().collect())
    }
}

fn thousand() -> Texts {
    let mut texts = BTreeMap::new();
    let workspace = "apiVersion: imgpack/v1\nspecs: [buildspecs]\nregistry: registry.example\n";
    texts.insert("imgpack.yaml".to_owned(), workspace.to_owned());
    for index in 0..1000 {
        let text = format!(
            "extends: [_go]\nbuild: {{ go: {{ package: ./cmd/s{index} }} }}\nimage: {{ ports: {{ http: 8080 }} }}\n"
        );
        texts.insert(format!("buildspecs/s{index:04}.yaml"), text);
    }
    let template = "base: static\nimage: { env: { LOG_LEVEL: info }, info: { licenses: Apache-2.0 } }\n";
    texts.insert("buildspecs/_go.yaml".to_owned(), template.to_owned());
    Texts(texts)
}

fn plan_one(facts: &BaseFacts, index: usize) -> usize {
    let mut entries = Entries::new();
    let entry = Entry {
        path: ImagePath::parse(&format!("/app/s{index}")).unwrap(),
        kind: EntryKind::bytes(index.to_string().into_bytes()),
        mode: 0o755,
        owner: Owner::default(),
        origin: Arc::from("benches"),
    };
    entries.insert(entry).unwrap();
    let part = LayerPart { class: Class::App, title: String::new(), entries, replace: BTreeSet::new() };
    plan_layers(vec![part], facts, Compression::default()).unwrap().len()
}

fn specs(criterion: &mut Criterion) {
    let texts = thousand();
    let facts = BaseFacts::default();
    let mut group = criterion.benchmark_group("a thousand services");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1000));
    group.bench_function("specs", |bencher| {
        bencher.iter(|| {
            let workspace = spec::load(&texts, &[]).unwrap();
            black_box(workspace.select(&[], None).unwrap().len())
        });
    });
    group.bench_function("plans", |bencher| {
        bencher.iter(|| (0..1000).map(|index| plan_one(&facts, index)).sum::<usize>());
    });
    group.finish();
}

criterion_group!(benches, inputs, bytes, specs);
criterion_main!(benches);
