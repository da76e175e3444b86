//! Layers are on their way before the last one is made.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use imgpack::model::Layer;
use imgpack::ops::build::build;
use imgpack::ops::deliver::with_push;
use imgpack::ops::event::{Event, Observer, Phase};
use imgpack::ops::machine::Machine;
use imgpack::ops::prepare::BuildOptions;
use imgpack::ops::press::Press;
use imgpack::ops::tags::TagRules;
use imgpack::ops::workspace::DiskFiles;
use imgpack::spec::{self, ImageSpec};
use imgpack::store::Store;
use imgpack::system::Cancel;

use crate::fake::Fake;
use crate::{anonymous, keeping};

/// Lets no second layer be packed before the registry was given the first.
struct Waiting<'a> {
    server: &'a Fake,
    events: Mutex<Vec<Event>>,
}

impl Observer for Waiting<'_> {
    fn event(&self, event: Event) {
        let packing = matches!(event, Event::Phase { phase: Phase::Packing, .. });
        let mut events = self.events.lock().unwrap();
        let made = events.iter().filter(|event| matches!(event, Event::Layer { .. })).count();
        events.push(event);
        drop(events);
        let given = || self.server.lines().iter().any(|line| line.starts_with("PUT "));
        let start = Instant::now();
        while packing && made == 1 && !given() {
            assert!(start.elapsed() < Duration::from_secs(60), "the first layer waits for the second");
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_first_layer_is_sent_before_the_last_is_made() {
    let server = keeping::start();
    let folder = tempfile::tempdir().unwrap();
    let (root, cache) = (folder.path().join("ws"), folder.path().join("cache"));
    fs::create_dir_all(root.join("buildspecs")).unwrap();
    let head = format!("apiVersion: imgpack/v1\nregistry: {}/acme\n", server.address);
    fs::write(root.join("imgpack.yaml"), head).unwrap();
    fs::write(
        root.join("buildspecs/web.yaml"),
        "base: scratch\nplatforms: [linux/amd64]\ntags: [v1]\nfiles:\n  - { text: one, to: /one, class: app }\n  \
         - { text: two, to: /two, class: config }\n",
    )
    .unwrap();
    let root = root.canonicalize().unwrap();
    let run = || {
        let workspace = spec::load(&DiskFiles::new(root.clone()), &[]).unwrap();
        let specs = workspace.select(&[], None).unwrap();
        let store = Store::open(&cache).unwrap();
        let observer = Waiting { server: &server, events: Mutex::default() };
        let (cancel, registry) = (Cancel::new(), anonymous());
        let machine = Machine {
            root: root.clone(),
            store: &store,
            environment: BTreeMap::new(),
            observer: &observer,
            cancel: &cancel,
            registry: &registry,
            archives: imgpack::ops::machine::ArchiveMirrors::default(),
            jobs: 1,
            press: Press::new(2),
        };
        let before = server.lines().len();
        with_push(&machine, |push| {
            let made = |spec: &ImageSpec, layer: &Layer| push.layer(spec, &layer.descriptor);
            let built = build(&machine, specs, &BuildOptions::default(), &made).unwrap();
            assert!(built.errors.is_empty(), "{:?}", built.errors);
            assert!(
                server.lines()[before..].iter().all(|line| !line.contains("/manifests/")),
                "no tag is asked for yet"
            );
            push.images(&built, &TagRules::default()).unwrap();
        });
        (server.lines()[before..].to_vec(), observer.events.into_inner().unwrap())
    };
    let (lines, events) = run();
    let counts = keeping::counted(&lines);
    assert_eq!((counts["question about a blob"], counts["blob"]), (3, 3), "{lines:#?}");
    // Config and layers, in the end all of them, and no end before it.
    let uploads: Vec<(u64, u64)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Upload { sent, total, .. } => Some((*sent, *total)),
            _ => None,
        })
        .collect();
    assert!(uploads.is_sorted(), "{uploads:?}");
    assert!(uploads.iter().all(|(_, total)| *total == uploads[0].1), "{uploads:?}");
    assert_eq!(uploads.last().map(|(sent, total)| sent == total), Some(true), "{uploads:?}");

    // With everything stored nothing is sent, and nothing is asked but the tag.
    let (lines, events) = run();
    assert_eq!(lines, ["HEAD /v2/acme/web/manifests/v1"]);
    assert!(!events.iter().any(|event| matches!(event, Event::Upload { .. })));
}
