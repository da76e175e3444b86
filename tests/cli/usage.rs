//! Arguments, variables and places that do not make sense: exit 2, before anything is done.

use std::io::Read as _;

use insta::assert_snapshot;

use crate::env::{Env, IMGPACK};

#[test]
fn nothing_to_do_is_help() {
    let ended = Env::bare().run(&[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("Usage: imgpack [OPTIONS] <COMMAND>"), "{}", ended.stderr);
    let help = Env::bare().succeeds(&["build", "--help"]);
    assert!(help.stdout.contains("--output <FORM:PATH>"), "{}", help.stdout);
    assert_eq!(Env::bare().succeeds(&["help", "build"]).stdout, help.stdout);
    assert!(Env::bare().succeeds(&["help"]).stdout.contains("auth      Show, keep and forget"));
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 80), "{}", help.stdout);
    assert_eq!(
        Env::bare().succeeds(&["--version"]).stdout,
        format!("imgpack {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn unknown_words() {
    let env = Env::with_files();
    assert_snapshot!(env.fails(2, &["bild"]), @r"
    error: unrecognized subcommand 'bild'

      tip: a similar subcommand exists: 'build'

    Usage: imgpack [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "--plattform", "linux/amd64"]), @r"
    error: unexpected argument '--plattform' found

      tip: a similar argument exists: '--platform'

    Usage: imgpack build --platform <PLATFORM> [IDENTITY]...

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "a b"]), @r"
    error: invalid value 'a b' for '[IDENTITY]...': `a b` is not an identity of the form service[/image][@variant]

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "--jobs", "0"]), @r"
    error: invalid value '0' for '--jobs <N>': 0 is not in 1..=65535

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "--format", "xml"]), @r"
    error: invalid value 'xml' for '--format <FORM>'
      [possible values: text, json]

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "--output", "image.tar"]), @r"
    error: invalid value 'image.tar' for '--output <FORM:PATH>': `image.tar` is not an output: oci:DIR, oci-archive:FILE or docker-archive:FILE

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "--output", "oci:"]), @r"
    error: invalid value 'oci:' for '--output <FORM:PATH>': `oci:` names no path after the colon

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "--tag", "my tag"]), @r"
    error: invalid value 'my tag' for '--tag <TAG>': a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with no `.` or `-`

    For more information, try '--help'.
    ");
    assert!(!env.cache().exists(), "a mistake on the command line makes no cache");
}

#[test]
fn no_workspace() {
    let env = Env::bare();
    let said = env.fails(2, &["build"]);
    assert_snapshot!(said, @r"
    error: there is no imgpack.yaml here or in a folder above
    hint: make one at the root of the repository: docs/buildspec.md begins with an example
    ");
    for verb in ["plan", "explain", "check"] {
        assert_eq!(env.fails(2, &[verb]), said);
    }
    assert_snapshot!(env.fails(2, &["check", "--workspace", "elsewhere"]), @r"
    error: there is no imgpack.yaml in elsewhere
    hint: make one at the root of the repository: docs/buildspec.md begins with an example
    ");
}

#[test]
fn the_workspace_is_found_from_below() {
    let env = Env::with_files();
    let mut command = env.command(IMGPACK, &["check"]);
    command.current_dir(env.path("conf"));
    assert_eq!(env.ended(command).code, 0);
    let mut command = env.command(IMGPACK, &["check", "--workspace"]);
    command.arg(env.path("")).current_dir(env.outside("home"));
    assert_eq!(env.ended(command).code, 0);
}

#[test]
fn unknown_images() {
    let env = Env::with_files();
    env.spec("_template", "base: scratch\n");
    env.spec("api", "base: scratch\nimages: { server: {}, worker: {} }\nvariants: { alpine: {} }\n");
    assert_snapshot!(env.fails(2, &["build", "wbe"]), @r"
    error: there is no service `wbe`
    hint: did you mean `web`?
    ");
    assert_snapshot!(env.fails(2, &["build", "database"]), @r"
    error: there is no service `database`
    hint: known are api, web
    ");
    assert_snapshot!(env.fails(2, &["build", "_template"]), @r"
    error: `_template` is a template: templates are extended, never built
    hint: name a service that extends it
    ");
    assert_snapshot!(env.fails(2, &["build", "api/migration"]), @r"
    error: there is no image `migration` in service `api`
    hint: known are server, worker
    ");
    assert_snapshot!(env.fails(2, &["build", "web/server"]), @r"
    error: there is no image `server` in service `web`
    hint: there are no images
    ");
    assert_snapshot!(env.fails(2, &["build", "api@alpin"]), @r"
    error: there is no variant `alpin` in service `api`
    hint: did you mean `alpine`?
    ");
    assert_snapshot!(env.fails(2, &["build", "--variant", "debian"]), @r"
    error: there is no variant `debian`
    hint: known are alpine
    ");
    assert_snapshot!(env.fails(2, &["build", "api@alpine", "--variant", "alpine"]), @r"
    error: `api@alpine` names a variant, and so does --variant alpine
    hint: leave one of them out
    ");
}

#[test]
fn an_empty_workspace() {
    assert_snapshot!(Env::new().fails(2, &["build"]), @r"
    error: the workspace has no service
    hint: add buildspecs/NAME.yaml, or a row of `services` in imgpack.yaml
    ");
}

#[test]
fn unknown_platforms() {
    let env = Env::with_files();
    env.spec("web", "base: scratch\nplatforms: [linux/amd64]\nfiles: { /etc/web: ../conf }\n");
    assert_snapshot!(env.fails(2, &["build", "--platform", "linux/386"]), @r"
    error: invalid value 'linux/386' for '--platform <PLATFORM>': `linux/386` is not a platform that imgpack builds for: linux/amd64 or linux/arm64

    For more information, try '--help'.
    ");
    assert_snapshot!(env.fails(2, &["build", "--platform", "linux/arm64"]), @r"
    error: buildspecs/web.yaml:1:1: web is built for linux/amd64 only
    hint: name another --platform, or add this one to its `platforms`
    ");
}

#[test]
fn two_images_with_one_tag() {
    let env = Env::new();
    env.spec("web", "base: scratch\nrepository: site\ntags: [v1, web]\n");
    env.spec("api", "base: scratch\nrepository: site\ntags: [v1, api]\n");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    error: api and web have one repository and tag, registry.example/acme/site:v1
    hint: give one of them another `repository:` or other `tags:`
    ");
    env.spec("api", "base: scratch\nrepository: site\ntags: [api]\n");
    env.succeeds(&["build"]);
    assert_snapshot!(env.fails(2, &["build", "--tag", "v2"]), @r"
    error: --tag gives api and web one name, registry.example/acme/site:v2
    hint: name one of them alone, or leave --tag out
    ");
    env.succeeds(&["build", "web", "--tag", "v2"]);
    // A tag of the command is taken as it stands, also for variants; one that is set gets their name.
    env.spec("api", "base: scratch\nvariants: { debug: { always: true, image: { env: { A: b } } } }\n");
    assert_snapshot!(env.fails(2, &["build", "api", "--tag", "v2"]), @r"
    error: --tag gives api and api@debug one name, registry.example/acme/api:v2
    hint: name one of them alone; `--set tags=[v2]` adds the variant's name to it
    ");
    env.succeeds(&["build", "api", "--set", "tags=[v2]"]);
}

#[test]
fn tags_without_a_value() {
    let env = Env::with_files();
    env.spec("web", "base: scratch\ntags: [\"${env:CI_TAG}\"]\nfiles: { /etc/web: ../conf }\n");
    assert_snapshot!(env.fails(2, &["build"]), @r"
    error: buildspecs/web.yaml:1:1: tags: ${env:CI_TAG} has no value here
    hint: give the tag with --tag, or run where git and the environment say it
    ");
    assert_eq!(env.succeeds(&["build", "--tag", "v1"]).code, 0);
    let mut env = env;
    env.set("CI_TAG", "feature/x");
    assert_snapshot!(env.fails(2, &["build"]), @"error: buildspecs/web.yaml:1:1: `feature/x` is not a tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`");
}

#[test]
fn settings() {
    let env = Env::with_files();
    assert_snapshot!(env.fails(2, &["build", "--set", "image.env"]), @"error: `image.env` is not of the form path=value, like args.REGION=eu");
    assert_snapshot!(env.fails(2, &["build", "--set", "nothing=1"]), @r"
    --set:1:1: unknown field `nothing`
      1 | nothing=1
        | ^^^^^^^
    hint: known are source, args, build, base, packages, components, files, remove, certificates,
      init, elf, image, platforms, repository, tags, stamp, compression, mediaTypes, index
    ");
    assert_snapshot!(env.fails(2, &["build", "--set", "image.prots=80"]), @r"
    --set:1:7: unknown field `prots` in image
      1 | image.prots=80
        |       ^^^^^
    hint: did you mean `ports`?
    ");
    assert_snapshot!(env.fails(2, &["build", "--set", "args.REGION=eu"]), @r"
    --set:1:6: no service in the workspace has an argument `REGION`
      1 | args.REGION=eu
        |      ^^^^^^
    ");
    assert_snapshot!(env.fails(2, &["build", "--set", "build.go.tags=[x]"]), @r"
    --set:1:10: no service in the workspace is built with `go`
      1 | build.go.tags=[x]
        |          ^^^^
    ");
    assert_snapshot!(env.fails(2, &["build", "--set", "stamp=maybe"]), @r"
    --set:1:7: `stamp` wants true or false, found text
      1 | stamp=maybe
        |       ^^^^^
    ");
}

#[test]
fn the_time_of_an_image() {
    let mut env = Env::with_files();
    env.set("SOURCE_DATE_EPOCH", "abc");
    let said = env.fails(2, &["build"]);
    assert_snapshot!(said, @r"
    error: SOURCE_DATE_EPOCH is `abc`, not a number of seconds since 1970
    hint: unset it, or set it to what `git log -1 --format=%ct` prints
    ");
    for value in ["-1", "", "99999999999999999999", "1.5"] {
        env.set("SOURCE_DATE_EPOCH", value);
        assert_eq!(env.fails(2, &["build"]), said.replace("`abc`", &format!("`{value}`")));
    }
    assert!(!env.cache().exists());
    env.set("SOURCE_DATE_EPOCH", "1767225600");
    env.succeeds(&["build", "--output", "oci:out"]);
    let times = |created: &str| {
        let blobs = crate::env::files_below(&env.path("out/blobs"));
        blobs
            .iter()
            .filter(|blob| std::fs::read_to_string(blob).is_ok_and(|text| text.contains(created)))
            .count()
    };
    assert_eq!(times(r#""created":"2026-01-01T00:00:00Z""#), 2, "one config for each platform");
}

#[test]
fn one_platform_for_docker() {
    let env = Env::with_files();
    assert_snapshot!(env.fails(2, &["build", "--output", "docker-archive:web.tar"]), @r"
    error: a docker-archive holds one platform, and web has 2
    hint: choose one with --platform
    ");
    assert_snapshot!(env.fails(2, &["build", "--load", "--platform", "linux/amd64,linux/arm64"]), @r"
    error: --load holds one platform, and web has 2
    hint: choose one with --platform
    ");
    assert!(!env.path("web.tar").exists());
    assert!(!env.cache().exists(), "said before anything is built");
}

#[test]
fn engines() {
    let env = Env::with_files();
    assert_snapshot!(env.fails(5, &["build", "--load", "--engine", "no-such-engine"]), @r"
    error: no container engine: no-such-engine is not in PATH
    hint: install Docker or podman, name one with --engine, or write a docker-archive: output
    ");
    assert!(!env.cache().exists(), "said before anything is built");
    let mut env = env;
    env.set("PATH", env.outside("home"));
    // `timeout` is not on that path.
    let ended = env.ended(env.command(IMGPACK, &["build", "--load"]));
    assert_eq!((ended.code, ended.stdout.as_str()), (5, ""));
    assert_snapshot!(ended.stderr, @r"
    error: no container engine: docker or podman is not in PATH
    hint: install Docker or podman, name one with --engine, or write a docker-archive: output
    ");
}

#[test]
fn pushing_without_a_registry() {
    let env = Env::with_files();
    env.file("imgpack.yaml", "apiVersion: imgpack/v1\n");
    assert_snapshot!(env.fails(2, &["build", "--push"]), @r"
    error: `web` names no registry to push to
    hint: say `registry: ghcr.io/acme` in imgpack.yaml, or use --output or --load
    ");
    assert!(!env.cache().exists(), "said before anything is built");
}

#[test]
fn a_reader_that_goes_away() {
    let env = Env::with_files();
    for arguments in [&["schema"][..], &["build", "--quiet"], &["plan"]] {
        let mut child = env.command(IMGPACK, arguments).spawn().unwrap();
        let mut first = [0];
        let mut stdout = child.stdout.take().unwrap();
        if arguments == ["schema"] {
            stdout.read_exact(&mut first).unwrap();
        }
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(0), true), "{output:?}");
    }
}

#[test]
fn stdout_on_a_full_disk() {
    let env = Env::with_files();
    let mut command = env.command(IMGPACK, &["schema"]);
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    command.stdout(full);
    let ended = env.ended(command);
    assert_eq!(ended.code, 5);
    assert_snapshot!(ended.stderr, @r"
    error: cannot write to stdout
      because: No space left on device (os error 28)
    hint: free some space on that disk, or write to another
    ");
}
