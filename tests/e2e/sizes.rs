//! How much a puller of each image fetches.

use serde_json::Value;

use crate::catalogue::{ARCHITECTURES, LARGEST_ALPINE, Variant, images};
use crate::program;
use crate::world::built;

#[test]
fn every_image_is_small() {
    let Some(world) = built() else { return };
    let mut too_large = Vec::new();
    for (service, variant) in images() {
        let largest = if variant == Variant::Alpine { LARGEST_ALPINE } else { service.largest };
        for architecture in ARCHITECTURES {
            let platform = format!("--platform=linux/{architecture}");
            let image = world.image(service, variant);
            let manifest: Value =
                serde_json::from_str(&program::call("crane", ["manifest", &platform, &image]).text())
                    .unwrap();
            let layers = manifest["layers"].as_array().expect("a manifest has layers");
            let transfer: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
            println!("{:24} {architecture} {transfer:>10}", variant.identity(service));
            if transfer > largest {
                too_large
                    .push(format!("{} {architecture}: {transfer} > {largest}", variant.identity(service)));
            }
        }
    }
    assert_eq!(too_large, Vec::<String>::new());
}
