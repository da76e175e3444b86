use flate2::bufread::GzDecoder;

use super::record::{Package, RecordError, packages};
use super::segment::{SegmentError, SmallFile, is_gzip, signature_files, small_files};
use super::signature::{PublicKey, Signature, SignatureError, verify};

/// Longest text of an index in MiB: four times that of Alpine's largest.
const INDEX_LIMIT: u64 = 48;

/// Why an index is not believed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its packing.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Who signed it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It has no list.
    #[error("it has no APKINDEX in it")]
    NoIndex,
    /// The list is broken.
    #[error("its APKINDEX is broken")]
    Record(#[from] RecordError),
}

/// The packages of an `APKINDEX.tar.gz`, which one of `keys` has to have signed.
pub fn read_index(bytes: &[u8], keys: &[PublicKey]) -> Result<Vec<Package>, IndexError> {
    let mut first = gzip(bytes)?.ok_or(SegmentError::NotGzip)?;
    let files = signature_files(&mut first)?.ok_or(SignatureError::Unsigned)?;
    let sign = |file: SmallFile| Signature::of(&file.name, file.bytes);
    let signatures: Vec<Signature> = files.into_iter().filter_map(sign).collect();
    // A signature is over the packed bytes of all that follows.
    let mut rest = first.into_inner();
    verify(&signatures, rest, keys)?;
    let mut list = None;
    while let Some(mut stream) = gzip(rest)? {
        let files = small_files(&mut stream, "index", INDEX_LIMIT)?;
        list = files.into_iter().find(|file| file.name == "APKINDEX").map(|file| file.bytes).or(list);
        rest = stream.into_inner();
    }
    let list = list.ok_or(IndexError::NoIndex)?;
    Ok(packages(&String::from_utf8_lossy(&list))?)
}

/// The gzip stream that comes next; `None` at the end.
fn gzip(bytes: &[u8]) -> Result<Option<GzDecoder<&[u8]>>, SegmentError> {
    Ok(is_gzip(bytes)?.then(|| GzDecoder::new(bytes)))
}
