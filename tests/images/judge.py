"""Checks an image by nothing but Python: every digest, size and diff id, and that every layer is a tar.

judge.py oci DIR | oci-archive FILE | docker-archive FILE
"""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def reader(form, path):
    if form == "oci":
        return lambda name: open(os.path.join(path, name), "rb").read()
    archive = tarfile.open(path)
    names = archive.getnames()
    assert len(names) == len(set(names)), "a name stands twice"
    return lambda name: archive.extractfile(name).read()


def layer(data, diff_id):
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert sha256(plain) == diff_id, f"{sha256(plain)} is not {diff_id}"
    seen, below = set(), set()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for entry in tar:
            name = entry.name.rstrip("/")
            assert name not in seen, f"{name} stands twice"
            assert not name.startswith("/") and ".." not in name.split("/"), name
            seen.add(name)
            if entry.isfile():
                assert len(tar.extractfile(entry).read()) == entry.size, name
    return len(seen)


def oci(read):
    assert json.loads(read("oci-layout")) == {"imageLayoutVersion": "1.0.0"}

    def blob(row):
        data = read("blobs/sha256/" + row["digest"].removeprefix("sha256:"))
        assert sha256(data) == row["digest"] and len(data) == row["size"], row
        return data

    def manifest(row):
        document = json.loads(blob(row))
        assert document["mediaType"] == row["mediaType"], row
        if "manifests" in document:
            return sum(manifest(child) for child in document["manifests"])
        config = json.loads(blob(document["config"]))
        diff_ids = config["rootfs"]["diff_ids"]
        assert len(diff_ids) == len(document["layers"]) == len(config["history"])
        if "platform" in row:
            assert row["platform"]["architecture"] == config["architecture"]
        for row, diff_id in zip(document["layers"], diff_ids):
            layer(blob(row), diff_id)
        return len(diff_ids)

    return sum(manifest(row) for row in json.loads(read("index.json"))["manifests"])


def docker(read):
    count = 0
    for image in json.loads(read("manifest.json")):
        config = json.loads(read(image["Config"]))
        diff_ids = config["rootfs"]["diff_ids"]
        assert len(diff_ids) == len(image["Layers"])
        assert all(":" in tag for tag in image["RepoTags"]), image["RepoTags"]
        for name, diff_id in zip(image["Layers"], diff_ids):
            layer(read(name), diff_id)
        count += len(diff_ids)
    return count


form, path = sys.argv[1:]
count = (docker if form == "docker-archive" else oci)(reader(form, path))
assert count > 0
print(f"{count} layers are right")
