//! Builds the programs that imgpack carries in itself: the components probe and init, for every platform of images.
//!
//! They use std alone and have no manifest, so that `$RUSTC` makes each of them in one call, also for `cargo install`
//! and `cargo package`. Nothing of this machine, of the checkout's path or of the flags that imgpack itself is built with
//! gets into them: the same compiler makes the same bytes.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::thread;

use sha2::{Digest as _, Sha256};

const PROGRAMS: [&str; 2] = ["probe", "init"];
const TARGETS: [(&str, &str); 2] =
    [("AMD64", "x86_64-unknown-linux-musl"), ("ARM64", "aarch64-unknown-linux-musl")];

/// What both programs have of the folder above them.
const SHARED: [&str; 3] = ["expand.rs", "dial.rs", "link.ld"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for name in PROGRAMS.iter().chain(&SHARED) {
        println!("cargo::rerun-if-changed=src/component/{name}");
    }
    let compiler = Compiler::find()?;
    let pairs = TARGETS.iter().flat_map(|target| PROGRAMS.map(|program| (program, *target)));
    let running: Vec<_> = pairs
        .map(|(program, (platform, target))| {
            let compiler = compiler.clone();
            let place = compiler.out.join(format!("{program}-{target}"));
            let made =
                thread::spawn(move || compiler.compile(program, target, &place).map_err(|e| e.to_string()));
            (format!("{}_{platform}", program.to_uppercase()), made)
        })
        .collect();
    for (name, made) in running {
        let digest = made.join().map_err(|_| "a thread of the build script failed")??;
        println!("cargo::rustc-env=IMGPACK_{name}_SHA256={digest}");
    }
    Ok(())
}

#[derive(Clone)]
struct Compiler {
    rustc: OsString,
    root: PathBuf,
    out: PathBuf,
    /// Where this compiler has the sources of std, if it has them, and what they are called where it has not: without
    /// this, another component of the toolchain would be another digest.
    std: String,
}

impl Compiler {
    fn find() -> Result<Self, Box<dyn Error>> {
        let variable = |name: &str| env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
        let rustc = variable("RUSTC")?;
        let sysroot = text(clean(&rustc).args(["--print", "sysroot"]))?;
        let version = text(clean(&rustc).arg("-vV"))?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        let std = format!("{}/lib/rustlib/src/rust=/rustc/{commit}", sysroot.trim());
        Ok(Self {
            rustc,
            root: variable("CARGO_MANIFEST_DIR")?.into(),
            out: variable("OUT_DIR")?.into(),
            std,
        })
    }

    /// Makes a program; the digest of its file.
    fn compile(&self, program: &str, target: &str, place: &Path) -> Result<String, Box<dyn Error>> {
        let mut source = OsString::from("src/component/");
        source.push(program);
        source.push("/main.rs");
        let mut remap = OsString::from("--remap-path-prefix=");
        remap.push(&self.root);
        remap.push("=/imgpack");
        let output = clean(&self.rustc)
            .current_dir(&self.root)
            .args(["--edition=2024", "--crate-type=bin", "--crate-name", program, "--target", target])
            .args(["-Copt-level=z", "-Clto=fat", "-Ccodegen-units=1", "-Cpanic=abort", "-Cstrip=symbols"])
            .args(["-Clinker=rust-lld", "-Clinker-flavor=ld.lld", "-Clink-self-contained=yes"])
            .args([
                "-Ctarget-feature=+crt-static",
                "-Crelocation-model=static",
                "-Clink-arg=-Tsrc/component/link.ld",
            ])
            .arg(remap)
            .arg(format!("--remap-path-prefix={}", self.std))
            .arg("-o")
            .arg(place)
            .arg(source)
            .output()?;
        if !output.status.success() {
            return Err(told(&output, target).into());
        }
        let mut digest = String::new();
        for byte in Sha256::digest(fs::read(place)?) {
            write!(digest, "{byte:02x}")?;
        }
        Ok(digest)
    }
}

/// The compiler without what people tell it for their own programs.
fn clean(rustc: &OsString) -> Command {
    let mut command = Command::new(rustc);
    for name in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_LOG"]
    {
        command.env_remove(name);
    }
    // The compiler asks the linker for a time of its own where this is set.
    command.env_remove("SOURCE_DATE_EPOCH");
    command
}

fn text(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Why a program was not made, in words that say what to do.
fn told(output: &Output, target: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("can't find crate for `std`") || said.contains("can't find crate for `core`") {
        return format!(
            "the components of imgpack are built for {target}, which this toolchain has no std for\n\
             run `rustup target add {}`",
            TARGETS.map(|(_, target)| target).join(" ")
        );
    }
    if said.contains("linker `rust-lld` not found") {
        return "the components of imgpack are linked by rust-lld, which this toolchain does not have\n\
                build imgpack with a toolchain of rustup"
            .to_owned();
    }
    said.into_owned()
}
