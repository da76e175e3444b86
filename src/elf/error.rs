use std::fmt;

use super::process::CLibrary;
use super::provider::{Distribution, Provider};
use crate::model::{Entry, ImagePath};

/// Something that a file will not find when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfError {
    /// The file; of a program that is not there, its name as the command says it.
    pub file: String,
    /// What brought it (`files[2]`), where that is not the base.
    pub origin: Option<String>,
    /// Who needs it: what makes the first one needed, then the files on the way.
    pub by: Vec<String>,
    /// What is missing.
    pub missing: Missing,
    /// Other files that miss the same.
    pub others: usize,
    /// What the image stands on, where that is known.
    pub distribution: Option<Distribution>,
}

/// Beginnings of the names of libraries that container runtimes put into containers.
const DRIVERS: [&str; 4] = ["libcuda.so", "libcudadebugger.so", "libnvidia-", "libnvcuvid.so"];

/// The suite that is proposed where there is none yet.
const SUITE: &str = "trixie";

/// What a file misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It is for another machine.
    Machine {
        /// Its own.
        machine: String,
        /// The image's.
        wanted: String,
    },
    /// The loader that it asks for.
    Loader {
        /// Its path.
        loader: String,
        /// The C library that the image has.
        has: Option<CLibrary>,
    },
    /// It is linked against another C library than that of the process.
    CLibrary {
        /// Its own.
        own: CLibrary,
        /// The process's.
        has: CLibrary,
    },
    /// A library.
    Library {
        /// Its name.
        name: String,
        /// One of that name for another machine, and that machine.
        other: Option<(ImagePath, String)>,
    },
    /// A version of a library's symbols.
    Version {
        /// The library.
        library: ImagePath,
        /// What is needed: `GLIBC_2.38`.
        version: String,
        /// The newest of that family that it has: `GLIBC_2.36`.
        newest: Option<String>,
    },
    /// The file itself: a command names it.
    Program {
        /// The folders in which it was looked for, where it was by its name alone.
        path: Option<String>,
        /// Whether something else is there: a directory, or a link that leads nowhere.
        other: bool,
    },
    /// The right to run it: its mode.
    Permission {
        /// The mode.
        mode: u32,
    },
    /// The program that a script is for.
    Interpreter {
        /// The program.
        interpreter: String,
        /// What stands behind `#!`.
        line: String,
    },
}

impl ElfError {
    pub(super) fn new(file: &ImagePath, entry: Option<&Entry>, by: Vec<String>, missing: Missing) -> Self {
        let origin = entry.map(|entry| entry.origin.to_string());
        Self { origin, ..Self::of_name(file.as_str(), by, missing) }
    }

    pub(super) fn of_name(file: &str, by: Vec<String>, missing: Missing) -> Self {
        Self { file: file.to_owned(), origin: None, by, missing, others: 0, distribution: None }
    }

    /// A way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        let ignore = || format!("`elf: {{ ignore: [{}] }}`", self.file);
        let or_ignore = |text: String| {
            if self.others > 0 { text } else { format!("{text}, or let it pass with {}", ignore()) }
        };
        Some(match &self.missing {
            Missing::Machine { wanted, .. } => or_ignore(format!("take what is made for {wanted}")),
            Missing::Loader { loader, has } => match (CLibrary::of_loader(loader), has) {
                (Some(CLibrary::Glibc), None) => {
                    let known = self.distribution.clone().filter(|known| *known != Distribution::Alpine);
                    let debian = known.unwrap_or_else(|| Distribution::Debian(Some(SUITE.to_owned())));
                    format!("link it static, or take a base with glibc: {} has it", debian.packages("libc6"))
                }
                (Some(own), Some(_)) => {
                    format!("build it for the base's C library, or take a base with {own}")
                }
                (Some(own), None) => format!("link it static, or take a base with {own}"),
                (None, _) => or_ignore("link it static".to_owned()),
            },
            Missing::CLibrary { own, has } => {
                or_ignore(format!("take what is made for {has}, or a base with {own}"))
            }
            Missing::Library { name, .. } => {
                if DRIVERS.iter().any(|driver| name.starts_with(driver)) {
                    let family = name.split_once(".so").map_or(name.as_str(), |(family, _)| family);
                    return Some(format!(
                        "it comes with the host's driver at run time: `elf: {{ allow: [\"{family}.so.*\"] }}` says so"
                    ));
                }
                let allow = format!("`elf: {{ allow: [{name}] }}` lets it pass");
                let known = self.distribution.as_ref();
                match known.and_then(|known| Some((known, known.provider(name)?))) {
                    Some((known, Provider { package, sure: true })) => {
                        format!("{} brings it; {allow}", known.packages(&package))
                    }
                    Some((known, Provider { package, .. })) => {
                        let field = known.packages(&package);
                        format!("by its name it is in the package {package}: {field}; {allow}")
                    }
                    None => format!("put it into the image, or say that it comes at run time: {allow}"),
                }
            }
            Missing::Version { version, .. } if version.starts_with("GLIBC_") => or_ignore(format!(
                "build {} on the base's distribution or an older one, or take a newer base",
                self.file.rsplit('/').next().unwrap_or_default()
            )),
            Missing::Version { library, .. } => or_ignore(format!("take a newer {}", library.name())),
            Missing::Program { path: Some(_), .. } => {
                "put it into one of them, or say its place in full".to_owned()
            }
            Missing::Program { path: None, .. } => {
                format!("put it there; where it is mounted at run time {} says so", ignore())
            }
            Missing::Permission { .. } => {
                "give its file the execute bits, or its row in `files` `mode: \"0755\"`".to_owned()
            }
            Missing::Interpreter { interpreter, .. } => {
                format!("put {interpreter} into the image, or start the script's program without it")
            }
        })
    }
}

impl std::error::Error for ElfError {}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(origin) = &self.origin {
            write!(f, " from {origin}")?;
        }
        match &self.missing {
            Missing::Machine { machine, wanted } => {
                write!(f, " is made for {machine}, and the image is for {wanted}")?;
            }
            Missing::Loader { loader, has } => {
                write!(f, " asks for the loader {loader}, which the image does not have")?;
                match (CLibrary::of_loader(loader), has) {
                    (Some(own), Some(has)) if own != *has => {
                        write!(f, ": it is linked against {own}, and the image has {has}")?;
                    }
                    (Some(own), None) => {
                        write!(f, ": it is linked against {own}, and the image has no C library")?;
                    }
                    _ => {}
                }
            }
            Missing::CLibrary { own, has } => {
                write!(f, " is linked against {own}, and the image has {has}")?;
            }
            Missing::Library { name, other: None } => {
                write!(f, " needs {name}, which the loader does not find in the image")?;
            }
            Missing::Library { name, other: Some((path, machine)) } => {
                write!(f, " needs {name}, and {path} is made for {machine}")?;
            }
            Missing::Version { library, version, newest } => {
                write!(f, " needs {version}, and the image's {library} ")?;
                match newest {
                    Some(newest) => write!(f, "has {newest} at most")?,
                    None => write!(f, "does not have it")?,
                }
            }
            Missing::Program { other: true, .. } => {
                f.write_str(" is no program, but a directory or a link that leads nowhere")?;
            }
            Missing::Program { path: None, .. } => f.write_str(" is in neither the base nor the image")?,
            Missing::Program { path: Some(path), .. } => {
                write!(f, " is in none of the folders of PATH ({path})")?;
            }
            Missing::Permission { mode } => write!(f, " is not executable (mode {mode:04o})")?,
            Missing::Interpreter { interpreter, line } => {
                write!(f, " is a script for {interpreter} (`#!{line}`), which is not in the image")?;
            }
        }
        match self.by.as_slice() {
            [] => {}
            [why] => write!(f, " ({why})")?,
            [why, way @ ..] => write!(f, " ({why}: {})", way.join(" → "))?,
        }
        match self.others {
            0 => Ok(()),
            1 => f.write_str("; the same of another file"),
            others => write!(f, "; the same of {others} more files"),
        }
    }
}
