//! Each verb: arguments → one call of `ops` → words.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::args::{BuildArguments, CheckArguments, ExplainArguments, Format, PlanArguments, Selection};
use super::cache;
use super::failure::Exit;
use super::progress::Mode;
use super::run::{Settings, print, remark};
use crate::archive::Form;
use crate::engine::Engine;
use crate::model::{Layer, Size};
use crate::ops::build::{Built, build as build_images};
use crate::ops::deliver::{self, Push};
use crate::ops::error::Error;
use crate::ops::explain::{Explanation, LayerStep, Step, explain as explain_images};
use crate::ops::machine::Machine;
use crate::ops::prepare::BuildOptions;
use crate::ops::tags::TagRules;
use crate::ops::{files, result};
use crate::report::{Report, TextOptions};
use crate::spec::{self, ImageSpec, Template};
use crate::system::{Cancelled, fs};

type Outcome = Result<Exit, Vec<Error>>;

fn one(error: impl Into<Error>) -> Vec<Error> {
    vec![error.into()]
}

/// `imgpack build`
pub(super) fn build(settings: &Settings, arguments: &BuildArguments) -> Outcome {
    let created = settings.created().map_err(one)?;
    let root = settings.root().map_err(one)?;
    let workspace = Settings::load(&root, &arguments.selection.sets).map_err(one)?;
    settings.use_workspace(&workspace);
    let mut specs = Settings::select(&workspace, &arguments.selection).map_err(one)?;
    settings.leave_out(&mut specs, &arguments.selection);
    if !arguments.tags.is_empty() {
        let tags: Vec<Template> = arguments.tags.iter().map(Template::text).collect();
        for spec in &mut specs {
            spec.tags.clone_from(&tags);
        }
        two_images_one_tag(&specs, &arguments.tags[0]).map_err(one)?;
    }
    let mut options = BuildOptions {
        platforms: arguments.selection.platforms.clone(),
        fresh: arguments.no_cache.then(|| format!("{}-{}", std::process::id(), start_time())),
        created,
        keep_going: arguments.keep_going,
        locked: arguments.locked,
        offline: arguments.offline,
        layers: arguments.load || !arguments.outputs.is_empty(),
    };
    if arguments.load && options.platforms.is_empty() {
        options.platforms.extend(Settings::own_platform());
    }
    let rules = settings.tag_rules(arguments.allow_partial).map_err(one)?;
    // What cannot work is said before anything is built.
    if arguments.push {
        specs.iter().try_for_each(|spec| deliver::repository(&spec.repository).map(drop)).map_err(one)?;
    }
    let single = arguments.load || arguments.outputs.iter().any(|output| output.form == Form::DockerArchive);
    if single {
        let count = |spec: &ImageSpec| {
            spec.platforms
                .iter()
                .filter(|p| options.platforms.is_empty() || options.platforms.contains(p))
                .count()
        };
        if let Some(spec) = specs.iter().find(|spec| count(spec) > 1) {
            let what = if arguments.load { "--load" } else { "a docker-archive" };
            return Err(one(Error::usage_with_hint(
                format!("{what} holds one platform, and {} has {}", spec.identity, count(spec)),
                "choose one with --platform",
            )));
        }
    }
    let engine = if arguments.load {
        let path = settings.environment.get(std::ffi::OsStr::new("PATH"));
        Some(
            Engine::find(arguments.engine.as_deref(), path.map(std::ffi::OsString::as_os_str))
                .map_err(one)?,
        )
    } else {
        None
    };
    let limit = settings.cache_limit(Some(&workspace)).map_err(one)?;
    let mut errors = Vec::new();
    let mut grown = false;
    let outcome = settings.with_machine(root.clone(), arguments.selection.jobs, settings.mode(), |machine| {
        deliver::with_push(machine, |push| {
            let made = |spec: &ImageSpec, layer: &Layer| {
                if arguments.push {
                    push.layer(spec, &layer.descriptor);
                }
            };
            let mut built = build_images(machine, specs, &options, &made)?;
            errors.append(&mut built.errors);
            // Nothing is tagged unless everything asked for is built.
            if errors.is_empty() {
                deliver_all(machine, &built, arguments, engine.as_ref(), push, &rules)?;
            }
            grown = machine.store.has_grown();
            Ok(built)
        })
    });
    let built = match outcome {
        Ok(built) => built,
        Err(error) => {
            errors.push(error);
            return Err(errors);
        }
    };
    if !errors.is_empty() {
        return Err(errors);
    }
    if let Some(path) = &arguments.result {
        let write = || {
            let result = result::result(&root, &built, arguments.push, &rules)?;
            Ok(fs::write_atomic(path, &result.json()?)?)
        };
        write().map_err(|error: Error| one(error))?;
    }
    let exit = tell(settings, arguments, &built).map_err(one)?;
    if let Some(limit) = limit.filter(|_| grown) {
        cache::keep_to(settings, limit);
    }
    Ok(exit)
}

/// A number that no other command of this process id had.
fn start_time() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos())
}

fn two_images_one_tag(specs: &[ImageSpec], tag: &str) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    match specs.iter().find(|spec| !seen.insert(&spec.repository)) {
        None => Ok(()),
        Some(second) => {
            let first = specs.iter().find(|spec| spec.repository == second.repository).unwrap_or(second);
            let (one, other) = (&first.identity, &second.identity);
            let is_variant = (&one.service, &one.image) == (&other.service, &other.image);
            Err(Error::usage_with_hint(
                format!(
                    "--tag gives {} and {} one name, {}:{tag}",
                    first.identity, second.identity, second.repository
                ),
                if is_variant {
                    format!("name one of them alone; `--set tags=[{tag}]` adds the variant's name to it")
                } else {
                    "name one of them alone, or leave --tag out".to_owned()
                },
            ))
        }
    }
}

fn deliver_all(
    machine: &Machine<'_>,
    built: &Built,
    arguments: &BuildArguments,
    engine: Option<&Engine>,
    push: &Push<'_, '_>,
    rules: &TagRules,
) -> Result<(), Error> {
    for destination in &arguments.outputs {
        machine.cancel.check()?;
        deliver::write(machine, built, destination)?;
    }
    if let Some(engine) = engine {
        deliver::load(machine, built, engine)?;
    }
    if arguments.push {
        push.images(built, rules)?;
    }
    Ok(())
}

/// References on stdout, the report on stderr, files where they were asked for.
fn tell(settings: &Settings, arguments: &BuildArguments, built: &Built) -> Result<Exit, Error> {
    let report = Report::new(built.images.iter().flat_map(|image| image.reports.clone()).collect());
    if let Some(path) = &arguments.report {
        fs::write_atomic(path, report.json().as_bytes())?;
    }
    for line in &built.differing {
        remark(&format!("differs: {line}"));
    }
    match arguments.format {
        Format::Json => print(&report.json())?,
        Format::Text => {
            if !settings.quiet {
                remark(report.text(&TextOptions::default()).trim_end());
            }
            let mut references = String::new();
            for image in &built.images {
                let _ = writeln!(references, "{}", result::reference(image)?);
            }
            print(&references)?;
        }
    }
    Ok(if built.differing.is_empty() { Exit::Done } else { Exit::Finding })
}

/// `imgpack check`
pub(super) fn check(settings: &Settings, arguments: &CheckArguments) -> Outcome {
    let root = settings.root().map_err(one)?;
    let workspace = Settings::load(&root, &arguments.sets).map_err(one)?;
    if !settings.quiet {
        let images = workspace.services.values().map(|service| service.specs().count()).sum();
        let services = workspace.services.len();
        remark(&format!("{} in {}: no mistakes", count(images, "image"), count(services, "service")));
    }
    Ok(Exit::Done)
}

pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `imgpack schema`
pub(super) fn schema() -> Outcome {
    let mut text =
        serde_json::to_string_pretty(&spec::schema()).map_err(|error| one(Error::bug(error.to_string())))?;
    text.push('\n');
    print(&text).map_err(one)?;
    Ok(Exit::Done)
}

/// `imgpack plan`
pub(super) fn plan(settings: &Settings, arguments: &PlanArguments) -> Outcome {
    let selection = &arguments.selection;
    let (locked, offline) = (arguments.locked, arguments.offline);
    let options = BuildOptions { locked, offline, ..BuildOptions::default() };
    explained(settings, selection, options, |root, specs, explanations| {
        let mut text = String::new();
        for explanation in explanations {
            plan_text(&mut text, explanation, specs);
        }
        if arguments.files {
            settings.with_machine(root.to_owned(), None, Mode::Quiet, |machine| {
                specs.iter().try_for_each(|spec| files_text(&mut text, machine, spec))
            })?;
        }
        Ok(text)
    })
}

/// `imgpack explain`
pub(super) fn explain(settings: &Settings, arguments: &ExplainArguments) -> Outcome {
    let (locked, offline) = (arguments.locked, arguments.offline);
    let options = BuildOptions { locked, offline, ..BuildOptions::default() };
    explained(settings, &arguments.selection, options, |_, _, explanations| {
        let mut text = String::new();
        explanations.iter().for_each(|explanation| explain_text(&mut text, explanation));
        Ok(text)
    })
}

fn explained(
    settings: &Settings,
    selection: &Selection,
    mut options: BuildOptions,
    words: impl FnOnce(&Path, &[ImageSpec], &[Explanation]) -> Result<String, Error>,
) -> Outcome {
    let root = settings.root().map_err(one)?;
    let workspace = Settings::load(&root, &selection.sets).map_err(one)?;
    settings.use_workspace(&workspace);
    let mut specs = Settings::select(&workspace, selection).map_err(one)?;
    settings.leave_out(&mut specs, selection);
    options.platforms.clone_from(&selection.platforms);
    // Bases may have to be fetched, or built. What is said of that is of no use in a file.
    let mode = match settings.mode() {
        mode @ Mode::Terminal(_) => mode,
        _ => Mode::Quiet,
    };
    let (explanations, errors) = settings
        .with_machine(root.clone(), selection.jobs, mode, |machine| {
            explain_images(machine, specs.clone(), &options)
        })
        .map_err(one)?;
    if settings.cancel.is_cancelled() {
        return Err(one(Cancelled));
    }
    print(&words(&root, &specs, &explanations).map_err(one)?).map_err(one)?;
    if errors.is_empty() { Ok(Exit::Done) } else { Err(errors) }
}

fn heading(explanation: &Explanation) -> String {
    format!("{} ({})", explanation.identity, explanation.platform)
}

fn plan_text(text: &mut String, explanation: &Explanation, specs: &[ImageSpec]) {
    let spec = specs.iter().find(|spec| spec.identity == explanation.identity);
    let stamped = if spec.is_some_and(|spec| spec.stamp) { ", stamped" } else { "" };
    let _ = writeln!(text, "{}{stamped}", heading(explanation));
    if let Some((name, transfer)) = &explanation.base {
        let _ = writeln!(text, "  base    {:>9}  {name}", Size(*transfer).to_string());
    }
    for layer in explanation.layers.iter().flatten() {
        let _ = writeln!(text, "  {:<7} {}  {}", layer.class, state(layer), layer.title);
    }
    for replaced in &explanation.replaced {
        let _ = writeln!(text, "  {:<7} {:>9}  {replaced}", "replace", "");
    }
    if explanation.layers.is_none() {
        text.push_str(UNKNOWN);
    }
}

fn state(layer: &LayerStep) -> String {
    match &layer.layer {
        _ if layer.waits => " to build".to_owned(),
        Some(stored) => format!("{:>9}", Size(stored.descriptor.size)),
        None => "  to make".to_owned(),
    }
}

fn explain_text(text: &mut String, explanation: &Explanation) {
    let _ = writeln!(text, "{}", heading(explanation));
    if let Some(step) = &explanation.build {
        step_text(text, "build", "", step, "run");
    }
    for layer in explanation.layers.iter().flatten() {
        if layer.waits {
            let _ = writeln!(
                text,
                "  {:<7} {:12}  known when the builder has run  {}",
                layer.class, "", layer.title
            );
            continue;
        }
        step_text(text, layer.class.as_str(), &layer.title, &layer.step, "make");
        for fact in &layer.base_facts {
            let _ = writeln!(text, "            because {fact}");
        }
    }
    match explanation.layers.as_deref() {
        None => text.push_str(UNKNOWN),
        Some([]) => text.push_str("  no layers but the base's\n"),
        Some(_) => {}
    }
}

const UNKNOWN: &str = "  layers are not known: see the error\n";

/// At most so many changes of one step are named.
const CHANGES: usize = 8;

fn step_text(text: &mut String, name: &str, title: &str, step: &Step, verb: &str) {
    let state = match (&step.changes, step.stored) {
        (_, true) => "stored".to_owned(),
        (None, false) => format!("to {verb}: no build before this one"),
        (Some(changes), false) if changes.is_empty() => format!("to {verb}: what it made before is gone"),
        (Some(_), false) => format!("to {verb}, since"),
    };
    let _ = writeln!(
        text,
        "  {name:<7} {}  {state}{}",
        step.key.0.short(),
        if title.is_empty() { String::new() } else { format!("  {title}") }
    );
    for change in step.changes.iter().flatten().take(CHANGES) {
        let _ = writeln!(text, "            {change}");
    }
    let more = step.changes.as_ref().map_or(0, Vec::len).saturating_sub(CHANGES);
    if more > 0 {
        let _ = writeln!(text, "            and {more} more");
    }
}

fn files_text(text: &mut String, machine: &Machine<'_>, spec: &ImageSpec) -> Result<(), Error> {
    for directory in files::decisions(machine, spec)? {
        let _ = writeln!(text, "{} {} {}", spec.identity, directory.field, directory.from.path);
        for decision in &directory.decisions {
            let mark = if decision.taken { "+" } else { "-" };
            let _ = writeln!(text, "  {mark} {}  ({})", decision.path, decision.rule);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(count(1, "image"), "1 image");
        assert_eq!(count(0, "image"), "0 images");
    }
}
