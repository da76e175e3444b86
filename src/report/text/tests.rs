use super::*;
use crate::model::{Class, Platform};
use crate::report::ImageReport;
use crate::report::column::width;
use crate::report::sample::{self, image, layer};

fn text(report: &Report, detail: Detail) -> String {
    let text = report.text(&TextOptions { width: 80, detail });
    for line in text.lines() {
        assert!(width(line) <= 80, "{} columns: {line}", width(line));
        assert_eq!(line, line.trim_end());
    }
    text
}

fn first(identity: &str, platform: Platform, binary: u64) -> ImageReport {
    image(
        identity,
        platform,
        vec![
            layer(Class::Base, "static@1", 812_345, 2_123_456),
            layer(Class::App, "/usr/local/bin/gateway", binary, binary * 5 / 2),
            layer(Class::Config, "directories", 213, 0),
        ],
    )
}

#[test]
fn one_image_for_two_platforms() {
    insta::assert_snapshot!(text(&sample::rebuilt_core(), Detail::Auto), @r#"
    core  linux/amd64                                 TRANSFER  UNPACKED      CHANGE
      base    static@1                                812.3 kB    2.1 MB      reused
      app     /app/core                                 3.1 MB    7.6 MB    +12.3 kB
      config  directories                                213 B       0 B      reused
              config and manifest                       1.8 kB
      total   3 layers, +0.32 %                         3.9 MB    9.7 MB    +12.3 kB
      largest files
      app     /app/core                                           7.6 MB

    core  linux/arm64                                 TRANSFER  UNPACKED      CHANGE
              as linux/amd64: base, config            812.6 kB    2.1 MB      reused
      app     /app/core                                 3.0 MB    7.5 MB      reused
              config and manifest                       1.8 kB
      total   3 layers                                  3.8 MB    9.6 MB   unchanged
      largest files
      app     /app/core                                           7.5 MB
    "#);
}

#[test]
fn a_first_build_whose_platforms_are_alike() {
    let of = |platform| {
        let mut image = image(
            "docs@staging",
            platform,
            vec![
                layer(Class::Base, "static@1", 812_345, 2_123_456),
                layer(
                    Class::App,
                    "/srv/a/rather/long/path/to/the/pages/of/the/manual/index.html",
                    400,
                    1_000,
                ),
            ],
        );
        image.unpacked = Size(2_100_000);
        image
    };
    let report = Report::new(Platform::ALL.map(of).to_vec());
    insta::assert_snapshot!(text(&report, Detail::Auto), @r#"
    docs@staging  linux/amd64, linux/arm64            TRANSFER  UNPACKED
      base    static@1                                812.3 kB    2.1 MB
      app     /srv/a/rather/long…e/manual/index.html     400 B    1.0 kB
              config and manifest                       1.8 kB
      total   2 layers                                814.5 kB    2.1 MB first build
              layers unpack to 2.1 MB; 24.5 kB of it later layers hide
      largest files
      app     /srv/a/rather/long…e/manual/index.html              1.0 kB
    "#);
}

#[test]
fn many_layers_of_a_class_and_of_a_base() {
    let mut layers: Vec<_> = (1..=12)
        .map(|n| layer(Class::Base, "gcr.io/distroless/static-debian12:nonroot", n * 1_000, n * 2_000))
        .collect();
    layers.extend(
        (1..=20).map(|n| layer(Class::Deps, &format!("packages, part {n}"), n * 100_000, n * 300_000)),
    );
    let mut now = image("backend/migration", Platform::AMD64, layers.clone());
    layers.truncate(31);
    layers.push(layer(Class::Shared, "shared code", 5_000, 9_000));
    now.previous = Some(image("backend/migration", Platform::AMD64, layers).remember());
    insta::assert_snapshot!(text(&Report::new(vec![now]), Detail::Auto), @r#"
    backend/migration  linux/amd64                    TRANSFER  UNPACKED      CHANGE
      base    gcr.io/distroless/…nonroot (12 layers)   78.0 kB  156.0 kB      reused
      deps    packages, part 14                         1.4 MB    4.2 MB      reused
      deps    packages, part 15                         1.5 MB    4.5 MB      reused
      deps    packages, part 16                         1.6 MB    4.8 MB      reused
      deps    packages, part 17                         1.7 MB    5.1 MB      reused
      deps    packages, part 18                         1.8 MB    5.4 MB      reused
      deps    packages, part 19                         1.9 MB    5.7 MB      reused
      deps    packages, part 20                         2.0 MB    6.0 MB         new
      deps    13 more layers                            9.1 MB   27.3 MB      reused
      shared  shared code (gone)                                             -5.0 kB
              config and manifest                       1.8 kB
      total   32 layers, +10.45 %                      21.1 MB   63.2 MB     +2.0 MB
    "#);
}

#[test]
fn a_few_images_of_which_one_changed() {
    let mut images = Vec::new();
    for platform in Platform::ALL {
        let mut gateway = first("gateway", platform, 9_100_000);
        gateway.previous = Some(first("gateway", platform, 9_000_000).remember());
        let mut authz = first("authz@alpine", platform, 8_000_000);
        authz.previous = Some(authz.remember());
        images.extend([gateway, authz]);
    }
    insta::assert_snapshot!(text(&Report::new(images), Detail::Auto), @r#"
    gateway  linux/amd64, linux/arm64                 TRANSFER  UNPACKED      CHANGE
      base    static@1                                812.3 kB    2.1 MB      reused
      app     /usr/local/bin/gateway                    9.1 MB   22.8 MB   +100.0 kB
      config  directories                                213 B       0 B      reused
              config and manifest                       1.8 kB
      total   3 layers, +1.02 %                         9.9 MB   24.9 MB   +100.0 kB
      largest files
      app     /usr/local/bin/gateway                             22.8 MB

    IMAGE                      PLATFORM     TRANSFER  UNPACKED      CHANGE
    authz@alpine               amd64+arm64    8.8 MB   22.1 MB   unchanged
    gateway                    amd64+arm64    9.9 MB   24.9 MB   +100.0 kB   +1.02 %

    4 images fetched one by one                    37.5 MB
    every blob once, as a registry stores them     17.9 MB
    of these in more than one image                17.9 MB
    "#);
}

#[test]
fn many_images_with_long_names() {
    let mut images = Vec::new();
    for number in 0..24_u64 {
        for platform in Platform::ALL {
            let identity = format!("analytics-backend-of-the-department-{number:02}/migration@staging");
            let size = 8_000_000 + number * 1_000_000;
            let mut image = first(&identity, platform, size);
            image.previous = match number % 3 {
                0 => None,
                1 => Some(image.remember()),
                _ => Some(first(&identity, platform, size - 40_000).remember()),
            };
            images.push(image);
        }
    }
    let text = text(&Report::new(images), Detail::Auto);
    let begin: Vec<&str> = text.lines().take(12).collect();
    let end: Vec<&str> = text.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect();
    insta::assert_snapshot!(begin.join("\n"), @r#"
    IMAGE                      PLATFORM     TRANSFER  UNPACKED      CHANGE
    analytics-backend-of-the-department-00/migration@staging
                               amd64+arm64    8.8 MB   22.1 MB first build
        base 812.3 kB / 2.1 MB, app 8.0 MB / 20.0 MB, config 213 B / 0 B,
        largest /usr/local/bin/gateway 20.0 MB
    analytics-backend-of-the-department-01/migration@staging
                               amd64+arm64    9.8 MB   24.6 MB   unchanged
    analytics-backend-of-the-department-02/migration@staging
                               amd64+arm64   10.8 MB   27.1 MB    +40.0 kB   +0.37 %
        base 812.3 kB / 2.1 MB, app 10.0 MB / 25.0 MB (+40.0 kB),
        config 213 B / 0 B, largest /usr/local/bin/gateway 25.0 MB
    analytics-backend-of-the-department-03/migration@staging
    "#);
    insta::assert_snapshot!(end.join("\n"), @r#"
        config 213 B / 0 B, largest /usr/local/bin/gateway 77.5 MB

    48 images fetched one by one                  975.1 MB
    every blob once, as a registry stores them    468.9 MB
    of these in more than one image               468.8 MB
    "#);
    assert_eq!(text.lines().filter(|line| line.contains("unchanged")).count(), 8);
}

#[test]
fn long_names_that_stay_unlike_are_shortened() {
    let images = ["gateway-of-the-whole-company/web@staging", "backend-of-the-whole-company/web@staging"]
        .map(|identity| first(identity, Platform::AMD64, 1_000_000));
    insta::assert_snapshot!(text(&Report::new(images.to_vec()), Detail::Rows), @r#"
    IMAGE                                PLATFORM     TRANSFER  UNPACKED      CHANGE
    backend-of-the-wh…mpany/web@staging  linux/amd64    1.8 MB    4.6 MB first build
        base 812.3 kB / 2.1 MB, app 1.0 MB / 2.5 MB, config 213 B / 0 B,
        largest /usr/local/bin/gateway 2.5 MB
    gateway-of-the-wh…mpany/web@staging  linux/amd64    1.8 MB    4.6 MB first build
        base 812.3 kB / 2.1 MB, app 1.0 MB / 2.5 MB, config 213 B / 0 B,
        largest /usr/local/bin/gateway 2.5 MB

    2 images fetched one by one                     3.6 MB
    every blob once, as a registry stores them      1.8 MB
    of these in more than one image                 1.8 MB
    "#);
}

#[test]
fn percentages_have_two_decimals_and_never_lie() {
    for (from, to, shown) in [
        (100, 100, ""),
        (0, 100, ""),
        (100_000_000, 100_000_001, "+<0.01 %"),
        (10_000, 9_875, "-1.25 %"),
        (100, 199, "+99.00 %"),
        (100, 350, "+250 %"),
        (1_000, 0, "-100 %"),
    ] {
        assert_eq!(percent(Delta { from: Size(from), to: Size(to) }), shown, "{from} to {to}");
    }
}
