use std::io::{BufReader, Read, Write};
use std::path::Path;

use super::blobs::{BoxError, Compressor};
use super::error::BaseError;
use super::facts::ChainFacts;
use super::image::{BaseImage, BaseLayer};
use super::import::Import;
use crate::model::{BaseConfig, BaseFacts, Descriptor, FactKind, ImagePath, Layer};
use crate::system::fs;

/// Where programs are looked for, as in Docker's own default and in Alpine's and Debian's official images.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes a base of a root file system in a tar, as Alpine and others publish them. A file in gzip or zstd is the layer as it is, a
/// plain tar is compressed once.
///
/// Its config is that of Alpine's official image: `PATH`, and `/bin/sh` as the command where there is one. It has neither
/// name nor digest.
pub fn from_rootfs(
    import: &Import<'_>,
    file: &Path,
    compressor: &Compressor<'_>,
) -> Result<BaseImage, BaseError> {
    let open = || {
        let file = fs::open(file)?;
        Ok(Box::new(BufReader::with_capacity(64 * 1024, file)) as Box<dyn Read + Send>)
    };
    let descriptor = import.layer_file("the file", compressor, &open)?;
    // It is in the store by now.
    let gone = |_: &Descriptor, _: &mut dyn Write| -> Result<(), BoxError> { Err("it is gone".into()) };
    let known = ChainFacts::of(import, &[descriptor], &gone)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let layers = known.layers.iter().map(|facts| BaseLayer {
        layer: Layer { descriptor, diff_id: facts.diff_id, unpacked: facts.unpacked, entries: facts.entries },
        title: None,
        created_by: Some(format!("rootfs {name}")),
        from: None,
        urls: Vec::new(),
    });
    let config = BaseConfig {
        env: vec![("PATH".to_owned(), DEFAULT_PATH.to_owned())],
        cmd: has_shell(&known.facts).then(|| vec!["/bin/sh".to_owned()]),
        ..BaseConfig::default()
    };
    let (layers, facts_digest) = (layers.collect(), known.digest);
    Ok(BaseImage { config, layers, facts: known.facts, facts_digest, ..BaseImage::default() })
}

fn has_shell(facts: &BaseFacts) -> bool {
    let shell = ImagePath::parse("/bin/sh").ok().and_then(|path| facts.resolve(&path));
    shell.and_then(|path| facts.tree.get(&path)).is_some_and(|fact| fact.kind == FactKind::File)
}
