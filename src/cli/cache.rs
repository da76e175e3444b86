//! `imgpack cache`: arguments → one call of `ops::cache` → words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::args::{CacheCommand, DuArguments, Format, PruneArguments, VerifyArguments};
use super::failure::Exit;
use super::run::{Settings, print, remark};
use crate::model::Size;
use crate::ops::cache::{self, Inventory, Item, Kind, Owner, Pruned, Rule};
use crate::ops::error::Error;
use crate::store::Store;
use crate::system::lock::Share;

type Outcome = Result<Exit, Vec<Error>>;

/// What nobody used for so long goes by default.
const LONG: Duration = Duration::from_hours(30 * 24);

pub(super) fn run(settings: &Settings, command: &CacheCommand) -> Outcome {
    match command {
        CacheCommand::Du(arguments) => du(settings, arguments),
        CacheCommand::Prune(arguments) => prune(settings, arguments),
        CacheCommand::Verify(arguments) => verify(settings, arguments),
    }
    .map_err(|error| vec![error])
}

fn open(settings: &Settings, share: Share) -> Result<Store, Error> {
    let waiting = || match share {
        Share::Shared => settings.remark("waiting for the command that removes things from the cache"),
        Share::Alone => settings.remark("waiting for the commands that use the cache"),
    };
    Ok(Store::open_for(&settings.cache()?, share, &settings.cancel, &waiting)?)
}

/// The limit that holds here: of a workspace with mistakes none is known, which is no reason to keep its cache.
fn limit(settings: &Settings) -> Result<Option<Size>, Error> {
    let workspace = settings.root().and_then(|root| Settings::load(&root, &[])).ok();
    settings.cache_limit(workspace.as_ref())
}

fn du(settings: &Settings, arguments: &DuArguments) -> Result<Exit, Error> {
    let limit = limit(settings)?;
    let store = open(settings, Share::Shared)?;
    let inventory = Inventory::take(&store, None)?;
    let now = SystemTime::now();
    print(&match arguments.format {
        Format::Text => du_text(store.root(), &inventory, limit, now),
        Format::Json => du_json(store.root(), &inventory, limit),
    })?;
    Ok(Exit::Done)
}

/// Sums of some items.
#[derive(Default)]
struct Sum {
    count: usize,
    size: Size,
    /// Of what was not used for long.
    idle: Size,
}

impl Sum {
    fn add(&mut self, item: &Item, now: SystemTime) {
        self.count += 1;
        self.size.0 += item.size.0;
        if now.duration_since(item.used).is_ok_and(|age| age > LONG) {
            self.idle.0 += item.size.0;
        }
    }
}

/// What an owner has for itself, and what it has together with others.
fn shares(inventory: &Inventory) -> BTreeMap<&Owner, (Size, Size)> {
    let mut found: BTreeMap<&Owner, (Size, Size)> =
        inventory.owners.keys().map(|owner| (owner, <(Size, Size)>::default())).collect();
    for item in &inventory.items {
        for owner in &item.owners {
            let (own, shared) = found.entry(owner).or_default();
            let size = if item.owners.len() == 1 { own } else { shared };
            size.0 += item.size.0;
        }
    }
    found
}

/// What of a kind is, in a few words.
fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Layers => "layers of images, compressed",
        Kind::Programs => "what builders made",
        Kind::Bases => "layers of bases",
        Kind::Packages => "packages of distributions",
        Kind::Documents => "manifests, configs, indexes",
        Kind::Records => "what was made from what",
        Kind::Dependencies => "cargo's target directories",
        Kind::Staged => "sources as builders see them",
        Kind::Downloads => "crates and Go modules",
        Kind::GoBuild => "Go's build cache",
        Kind::Tools => "which toolchains are there",
        Kind::Logs => "output of toolchains",
        Kind::Rubbish => "left by killed commands",
    }
}

/// The services that are named.
const SERVICES: usize = 20;

fn du_text(root: &Path, inventory: &Inventory, limit: Option<Size>, now: SystemTime) -> String {
    let mut kinds: BTreeMap<Kind, Sum> = BTreeMap::new();
    let mut all = Sum::default();
    for item in &inventory.items {
        kinds.entry(item.kind).or_default().add(item, now);
        all.add(item, now);
    }
    let limit = limit.map_or_else(String::new, |limit| format!(", limit {limit}"));
    let mut text = format!("{} on disk in {}{limit}\n\n", all.size, root.display());
    let mut row = |name: &str, size: &str, count: &str, idle: &str, meaning: &str| {
        let _ =
            writeln!(text, "{}", format!("{name:<12} {size:>9} {count:>7} {idle:>12}  {meaning}").trim_end());
    };
    row("kind", "size", "things", "unused 30 d", "what it is");
    for (kind, sum) in &kinds {
        row(kind.as_str(), &sum.size.to_string(), &sum.count.to_string(), &none_or(sum.idle), meaning(*kind));
    }
    row("all", &all.size.to_string(), &all.count.to_string(), &none_or(all.idle), "");
    let shares = shares(inventory);
    if shares.is_empty() {
        return text;
    }
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    shares.keys().for_each(|owner| *names.entry(&owner.service).or_default() += 1);
    let _ = writeln!(text, "\n{:<30} {:>9} {:>12}  last built", "service", "its own", "with others");
    let mut rows: Vec<_> = shares.into_iter().collect();
    rows.sort_by_key(|(owner, (own, shared))| (std::cmp::Reverse((*own, *shared)), *owner));
    let more = rows.len().saturating_sub(SERVICES);
    for (owner, (own, shared)) in rows.into_iter().take(SERVICES) {
        let ago = inventory.owners.get(owner).map_or_else(String::new, |time| ago(*time, now));
        let _ = writeln!(text, "{:<30} {:>9} {:>12}  {ago}", owner.service, own.to_string(), none_or(shared));
        // Two workspaces may have services of one name.
        if names.get(owner.service.as_str()).is_some_and(|count| *count > 1) {
            let _ = writeln!(text, "  of {}", owner.workspace);
        }
    }
    if more > 0 {
        let _ = writeln!(text, "and {more} more, each with less; --format json has all");
    }
    let _ = writeln!(text, "\nEverything here is made again when it is needed: imgpack cache prune --help");
    text
}

fn none_or(size: Size) -> String {
    if size.0 == 0 { "-".to_owned() } else { size.to_string() }
}

/// Times are known to a day.
fn ago(time: SystemTime, now: SystemTime) -> String {
    match now.duration_since(time).unwrap_or_default().as_secs() / 86_400 {
        0 => "within a day".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

fn du_json(root: &Path, inventory: &Inventory, limit: Option<Size>) -> String {
    let mut kinds: BTreeMap<Kind, Sum> = BTreeMap::new();
    let now = SystemTime::now();
    inventory.items.iter().for_each(|item| kinds.entry(item.kind).or_default().add(item, now));
    let time = |time: &SystemTime| jiff::Timestamp::try_from(*time).map(|time| time.to_string()).ok();
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(kind, sum)| {
            json!({
                "kind": kind.as_str(), "things": sum.count, "allocated": sum.size, "unused30Days": sum.idle,
            })
        })
        .collect();
    let services: Vec<_> = shares(inventory)
        .into_iter()
        .map(|(owner, (own, shared))| {
            json!({
                "service": owner.service, "workspace": owner.workspace, "own": own, "shared": shared,
                "lastBuilt": inventory.owners.get(owner).and_then(time),
            })
        })
        .collect();
    let value = json!({
        "cache": root.display().to_string(), "allocated": inventory.size(), "limit": limit, "kinds": kinds,
        "services": services,
    });
    format!("{value:#}\n")
}

fn prune(settings: &Settings, arguments: &PruneArguments) -> Result<Exit, Error> {
    let filtered = !arguments.kinds.is_empty() || arguments.service.is_some();
    let asked = arguments.all || arguments.max_size.is_some() || arguments.older_than.is_some();
    let kinds: BTreeSet<Kind> = arguments.kinds.iter().copied().collect();
    let rule = Rule { kinds, service: arguments.service.clone(), ..Rule::default() };
    let rule = match (asked, filtered) {
        (true, _) => Rule {
            max_size: arguments.max_size,
            older_than: arguments.older_than,
            all: arguments.all,
            ..rule
        },
        (false, true) => Rule { all: true, ..rule },
        (false, false) => Rule { max_size: limit(settings)?, older_than: Some(LONG), ..rule },
    };
    let share = if arguments.dry_run { Share::Shared } else { Share::Alone };
    let mut store = open(settings, share)?;
    if let Some(service) = &arguments.service {
        is_known(&store, service)?;
    }
    let pruned = cache::prune(&mut store, &rule, arguments.dry_run)?;
    print(&pruned_text(&pruned, arguments.dry_run))?;
    Ok(Exit::Done)
}

fn is_known(store: &Store, service: &str) -> Result<(), Error> {
    let owners = cache::owners(store)?;
    if owners.iter().any(|owner| owner.service == service) {
        return Ok(());
    }
    Err(Error::usage_with_hint(
        format!("the cache has nothing of a service `{service}`"),
        "`imgpack cache du` names those it has",
    ))
}

fn pruned_text(pruned: &Pruned, dry: bool) -> String {
    let mut text = String::new();
    for (kind, count, size) in &pruned.removed {
        let _ = writeln!(text, "{kind:<12} {:>9} {count:>7}", size.to_string());
    }
    let verb = if dry { "would be removed" } else { "removed" };
    let _ = writeln!(text, "{} {verb}, {} left", pruned.freed(), pruned.left);
    if pruned.busy > 0 {
        let _ = writeln!(text, "{} left alone: a toolchain is still at work there", things(pruned.busy));
    }
    text
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing".to_owned() } else { format!("{count} things") }
}

fn verify(settings: &Settings, arguments: &VerifyArguments) -> Result<Exit, Error> {
    let share = if arguments.repair { Share::Alone } else { Share::Shared };
    let store = open(settings, share)?;
    let verified = cache::verify(&store, Settings::jobs(arguments.jobs), &settings.cancel)?;
    let lines: Vec<String> = verified.faults.iter().map(|fault| format!("{fault}\n")).collect();
    print(&lines.concat())?;
    settings.remark(&format!(
        "{} blobs ({}), {} records, {} staged files: {}",
        verified.blobs,
        verified.size,
        verified.records,
        verified.staged,
        match verified.faults.len() {
            0 => "all as they should be".to_owned(),
            1 => "1 is not as it should be".to_owned(),
            count => format!("{count} are not as they should be"),
        }
    ));
    if verified.unfinished > 0 {
        settings.remark(&format!(
            "harmless: {} unfinished in tmp, swept after a day where a killed command left them",
            things(verified.unfinished)
        ));
    }
    if verified.misses > 0 {
        settings.remark(&format!("harmless: records of {} that are gone", things(verified.misses)));
    }
    if verified.faults.is_empty() {
        return Ok(Exit::Done);
    }
    if arguments.repair {
        cache::repair(&store, &verified.faults)?;
        settings.remark("removed: they are made again when they are needed");
        return Ok(Exit::Done);
    }
    settings.remark("hint: imgpack cache verify --repair removes them");
    Ok(Exit::Finding)
}

/// After a build: once a day, and if nobody else uses the cache now. It fails no build.
pub(super) fn keep_to(settings: &Settings, limit: Size) {
    match settings.cache().and_then(|cache| cache::keep_to(&cache, limit)) {
        Ok(Some(pruned)) => settings.remark(&format!(
            "the cache was larger than {limit}: {} that were used least recently are removed, {} left",
            pruned.freed(),
            pruned.left
        )),
        Ok(None) => {}
        Err(error) => remark(&format!("warning: the cache could not be pruned: {}", error.kind)),
    }
}
