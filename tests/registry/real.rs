use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use imgpack::model::{Descriptor, MediaType, Repository};
use imgpack::registry::{
    Asked, AuthFile, BlobSource, CredentialPlaces, ImagePush, Manifest, PushJob, Registry as _, Remote,
    RemoteConfig, push,
};

use crate::servers::{Server, Wants, are_installed};
use crate::{anonymous, config, told, with_credentials};

/// A real registry on a port of its own.
pub(crate) fn started(wants: Wants) -> Option<Server> {
    if skipped("docker-registry") {
        return None;
    }
    Some(Server::docker(wants))
}

/// Whether a program is missing: said, and in CI a failure.
fn skipped(program: &str) -> bool {
    let Err(reason) = are_installed(&[program]) else { return false };
    println!("skipped: {reason}");
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    true
}

/// A layer of one file, as a tar in gzip.
fn layer(name: &str, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content).unwrap();
    let tar = tar.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    (tar, gzip.finish().unwrap())
}

/// A tiny image for two platforms; its layer lies in a file.
fn image(repository: Repository, directory: &Path, content: &[u8], tags: &[&str]) -> ImagePush {
    let (tar, gzip) = layer("hello", content);
    let path = directory.join(BlobDigestHex(&gzip).to_string());
    std::fs::write(&path, &gzip).unwrap();
    let layer = Descriptor::of(MediaType::OciLayerGzip, &gzip);
    let mut blobs = vec![(layer, BlobSource::File(path))];
    let (mut children, mut rows) = (Vec::new(), Vec::new());
    for architecture in ["amd64", "arm64"] {
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [imgpack::model::DiffId::of(&tar).to_string()]},
        });
        let config: Arc<[u8]> = serde_json::to_vec(&config).unwrap().into();
        let config_row = Descriptor::of(MediaType::OciConfig, &config);
        blobs.push((config_row, BlobSource::Bytes(config)));
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": config_row, "layers": [layer],
        });
        let bytes: Arc<[u8]> = serde_json::to_vec(&manifest).unwrap().into();
        let mut row = serde_json::to_value(Descriptor::of(MediaType::OciManifest, &bytes)).unwrap();
        row["platform"] = serde_json::json!({"os": "linux", "architecture": architecture});
        rows.push(row);
        children.push(Manifest { media_type: MediaType::OciManifest, bytes });
    }
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": rows});
    let bytes = serde_json::to_vec(&index).unwrap().into();
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    ImagePush { repository, tags, root: Manifest { media_type: MediaType::OciIndex, bytes }, children, blobs }
}

struct BlobDigestHex<'a>(&'a [u8]);

impl std::fmt::Display for BlobDigestHex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&imgpack::model::BlobDigest::of(self.0).hex())
    }
}

/// Bytes that do not compress, the same each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(length).collect()
}

#[test]
fn images_go_into_a_real_registry_and_come_back() {
    let Some(registry) = started(Wants::Nothing) else { return };
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (registry.repository("acme/one"), registry.repository("acme/deep/two"));
    let content = noise(5_000_000);
    let images = vec![
        image(one.clone(), directory.path(), &content, &["v1", "latest"]),
        image(two.clone(), directory.path(), b"hello", &["v1"]),
    ];
    let job = PushJob::new(images, 4);
    let remote = anonymous();
    let summary = push(&remote, &job, &()).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!((summary.blobs_sent, summary.blobs_existed), (6, 0));
    assert!(summary.bytes_sent > 5_000_000);

    // Once more: nothing to do.
    let again = push(&anonymous(), &job, &()).unwrap();
    assert!(again.images.iter().all(|image| image.unchanged), "{again:?}");
    assert_eq!((again.blobs_sent, again.bytes_sent), (0, 0));

    // What was pushed is what is pulled.
    let (root, blobs) = (&job.images[0].root, &job.images[0].blobs);
    let tagged = one.tagged("latest").unwrap();
    let descriptor = remote.resolve(&tagged).unwrap();
    assert_eq!((descriptor.digest, descriptor.media_type), (root.digest(), MediaType::OciIndex));
    assert_eq!(remote.manifest(&one.at(root.digest())).unwrap().bytes, root.bytes.to_vec());
    for (blob, _) in blobs {
        assert!(remote.has_blob(&one, blob.digest).unwrap());
        let mut file = tempfile::NamedTempFile::new().unwrap();
        remote.blob(&one, blob, &mut file).unwrap_or_else(|error| panic!("{}", told(&error)));
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(Descriptor::of(blob.media_type, &bytes), *blob);
    }
    assert_eq!(remote.tags(&one).unwrap(), ["latest", "v1"]);

    for (error, expected) in [
        (
            remote.manifest(&one.tagged("v9").unwrap()).unwrap_err(),
            "acme/one:v9 is not there: GET http://127.0.0.1:",
        ),
        (
            remote.tags(&registry.repository("acme/none")).unwrap_err(),
            "404: NAME_UNKNOWN, repository name not known",
        ),
        (
            remote.push_manifest(&two.tagged("v2").unwrap(), MediaType::OciIndex, &root.bytes).unwrap_err(),
            "MANIFEST_BLOB_UNKNOWN",
        ),
    ] {
        assert!(told(&error).contains(expected), "{}", told(&error));
    }

    // A judge from outside.
    if !skipped("crane") {
        for reference in [tagged.to_string(), two.tagged("v1").unwrap().to_string()] {
            let output = Command::new("crane").args(["validate", "--remote", &reference]).output().unwrap();
            let words = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&words));
        }
    }
}

/// Pushes an image and two that refer to it, and asks for them.
fn referrers_are_listed(registry: &Server) {
    let directory = tempfile::tempdir().unwrap();
    let repository = registry.repository("acme/web");
    let image = image(repository.clone(), directory.path(), b"hello", &["v1"]);
    let subject = image.root.digest();
    let job = PushJob::new(vec![image], 4);
    let remote = anonymous();
    let done = push(&remote, &job, &());
    assert!(done.is_ok(), "{}", told(&done.unwrap_err()));
    assert_eq!(remote.referrers(&repository, subject).unwrap(), []);
    let empty: Arc<[u8]> = b"{}".as_slice().into();
    let mut pushed = Vec::new();
    for kind in ["application/spdx+json", "application/vnd.example.signature"] {
        let config = serde_json::json!({
            "mediaType": "application/vnd.oci.empty.v1+json", "digest": Descriptor::of(MediaType::Bytes, &empty).digest, "size": 2,
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MediaType::OciManifest, "artifactType": kind, "config": config,
            "layers": [config], "subject": { "mediaType": MediaType::OciIndex, "digest": subject, "size": 1 },
        });
        let root = Manifest {
            media_type: MediaType::OciManifest,
            bytes: serde_json::to_vec(&manifest).unwrap().into(),
        };
        pushed.push(root.digest());
        let blobs = vec![(Descriptor::of(MediaType::Bytes, &empty), BlobSource::Bytes(empty.clone()))];
        let referrer =
            ImagePush { repository: repository.clone(), tags: Vec::new(), root, children: Vec::new(), blobs };
        let job = PushJob::new(vec![referrer], 1);
        let done = push(&remote, &job, &());
        assert!(done.is_ok(), "{}", told(&done.unwrap_err()));
    }
    let mut listed = remote.referrers(&repository, subject).unwrap();
    listed.sort_by_key(|row| pushed.iter().position(|digest| *digest == row.digest));
    assert_eq!(listed.iter().map(|row| row.digest).collect::<Vec<_>>(), pushed);
    // go-containerregistry's registry says the config's type instead.
    let said = listed[0].artifact_type.as_deref();
    assert!(
        [Some("application/spdx+json"), Some("application/vnd.oci.empty.v1+json")].contains(&said),
        "{said:?}"
    );
}

#[test]
fn a_real_registry_without_referrers_has_their_list() {
    let Some(registry) = started(Wants::Nothing) else { return };
    referrers_are_listed(&registry);
}

#[test]
fn a_real_registry_with_referrers_is_asked_for_them() {
    if skipped("oci-registry") {
        return;
    }
    referrers_are_listed(&Server::oci());
}

#[test]
fn a_password_opens_a_real_registry() {
    let Some(registry) = started(Wants::Password) else { return };
    let directory = tempfile::tempdir().unwrap();
    let repository = registry.repository("acme/web");
    let auth = |text: &str| {
        use base64::Engine as _;
        let auth = base64::engine::general_purpose::STANDARD.encode(text);
        format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.address)
    };
    let job = PushJob::new(vec![image(repository.clone(), directory.path(), b"hello", &["v1"])], 4);

    let error = told(&push(&anonymous(), &job, &()).unwrap_err());
    assert!(error.contains("refuses access to acme/web"), "{error}");
    assert!(error.ends_with("hint: no credentials file was given"), "{error}");
    let wrong = with_credentials(directory.path(), &auth("user:geheimer"));
    let error = told(&push(&wrong, &job, &()).unwrap_err());
    assert!(
        error.contains("was used; it may be wrong or expired, or not be allowed to read acme/web"),
        "{error}"
    );

    let right = with_credentials(directory.path(), &auth("user:geheim"));
    let summary = push(&right, &job, &()).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(summary.blobs_sent, 3);
    let (blob, _) = &job.images[0].blobs[0];
    let mut bytes = Vec::new();
    right.blob(&repository, blob, &mut bytes).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(right.tags(&repository).unwrap(), ["v1"]);
}

#[test]
fn what_a_login_keeps_is_read_by_others() {
    let Some(registry) = started(Wants::Password) else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("containers/auth.json");
    let key = registry.address.to_string();
    AuthFile::new(&file).keep(&key, "user", "geheim").unwrap();
    let remote = Remote::new(RemoteConfig { credentials: CredentialPlaces::file(&file), ..config() });
    let repository: Repository = format!("{key}/acme/web").parse().unwrap();
    let done = remote.sign_in(&repository, true).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(done.asked, Asked::Password);
    let wrong =
        Remote::new(RemoteConfig { credentials: CredentialPlaces::given("user", "wrong"), ..config() });
    let error = told(&wrong.sign_in(&repository, true).unwrap_err());
    assert!(error.starts_with(&format!("{key} does not take these credentials: GET ")), "{error}");

    let empty = b"{}";
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"layers":[]}}"#,
        Descriptor::of(MediaType::OciConfig, empty).digest
    );
    let blob = Descriptor::of(MediaType::OciConfig, empty);
    remote.push_blob(&repository, &blob, &BlobSource::Bytes((&empty[..]).into()), &|_| {}).unwrap();
    let reference = repository.tagged("v1").unwrap();
    remote.push_manifest(&reference, MediaType::OciManifest, document.as_bytes()).unwrap();
    if skipped("skopeo") {
        return;
    }
    let inspect = |file: &Path| {
        Command::new("skopeo")
            .args(["inspect", "--raw", "--tls-verify=false", "--authfile"])
            .arg(file)
            .arg(format!("docker://{reference}"))
            .output()
            .unwrap()
    };
    assert_eq!(String::from_utf8_lossy(&inspect(&file).stdout), document);
    assert!(AuthFile::new(&file).forget(&key).unwrap());
    assert!(!inspect(&file).status.success());

    // And the reverse.
    let theirs = directory.path().join("theirs.json");
    let mut login = Command::new("skopeo")
        .args(["login", "--tls-verify=false", "--username", "user", "--password-stdin", "--authfile"])
        .arg(&theirs)
        .arg(&key)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut login.stdin.take().unwrap(), b"geheim").unwrap();
    assert!(login.wait().unwrap().success());
    let remote = Remote::new(RemoteConfig { credentials: CredentialPlaces::file(&theirs), ..config() });
    assert!(remote.has_blob(&repository, blob.digest).unwrap());
}
