//! How much a puller of each image fetches.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::catalogue::{ARCHITECTURES, LARGEST_ALPINE, Service, Variant, images, monkeys};
use crate::program;
use crate::world::{World, built};

/// Digest and compressed size of each layer.
fn layers(world: &World, service: Service, variant: Variant, architecture: &str) -> BTreeMap<String, u64> {
    let platform = format!("--platform=linux/{architecture}");
    let text = program::call("crane", ["manifest", &platform, &world.image(service, variant)]).text();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let rows = manifest["layers"].as_array().expect("a manifest has layers").iter();
    rows.map(|row| (row["digest"].as_str().unwrap().to_owned(), row["size"].as_u64().unwrap())).collect()
}

#[test]
fn every_image_is_small() {
    let Some(world) = built() else { return };
    let mut too_large = Vec::new();
    for (service, variant) in images() {
        let largest = if variant == Variant::Alpine { LARGEST_ALPINE } else { service.largest };
        for architecture in ARCHITECTURES {
            let transfer: u64 = layers(world, service, variant, architecture).values().sum();
            println!("{:24} {architecture} {transfer:>10}", variant.identity(service));
            if transfer > largest {
                too_large
                    .push(format!("{} {architecture}: {transfer} > {largest}", variant.identity(service)));
            }
        }
    }
    assert_eq!(too_large, Vec::<String>::new());
}

#[test]
fn the_variants_share_the_layer_of_the_binary() {
    let Some(world) = built() else { return };
    for service in monkeys() {
        for architecture in ARCHITECTURES {
            let plain = layers(world, service, Variant::Plain, architecture);
            let alpine = layers(world, service, Variant::Alpine, architecture);
            let shared =
                plain.iter().filter(|(digest, _)| alpine.contains_key(*digest)).map(|(_, size)| size);
            // By far the largest of the plain image's.
            assert_eq!(
                shared.max(),
                plain.values().max(),
                "{} {architecture}: {plain:?} {alpine:?}",
                service.name
            );
        }
    }
}
