//! The door of the room: a path goes in, a model and all problems come out.

use crate::config::check::{self, system, system::Facts};
use crate::config::collect::{Problems, in_order};
use crate::config::expand::{self, FileFault, FileText, Globbed, Outside, SOURCE_BYTES_MAX, Settings, Strictness};
use crate::config::io::names;
use crate::config::model::Config;
use crate::config::names::Names;
use crate::config::parse::parse;
use crate::config::problem::{Flaws, Problem, Severity, exit_code};
use crate::config::read::Reader;
use crate::config::schema::Schema;
use crate::config::source::Sources;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// May look at users, script files, interfaces and names of iproute2 of this host.
    pub system: bool,
    /// What `@ID` lines compare with; `None`: the host name up to the first dot.
    pub config_id: Option<String>,
    /// Where `${_RANDOM}` begins; `None`: anywhere. `random_seed` in the file goes before it.
    pub seed: Option<u64>,
    /// How strict plain includes are, before `include_check`.
    pub strictness: Strictness,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { system: true, config_id: None, seed: None, strictness: Strictness::default() }
    }
}

/// What loading gave.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Those of the configuration as a whole first, then by place.
    pub problems: Vec<Problem>,
    pub sources: Sources,
    /// The text ended inside a block.
    unclosed: bool,
}

impl Loaded {
    pub fn flaws(&self) -> Flaws {
        Flaws {
            errors: self.problems.iter().filter(|problem| problem.severity == Severity::Error).count(),
            unclosed: self.unclosed,
        }
    }

    /// The exit status of `vipd check`.
    pub fn exit_code(&self) -> u8 {
        exit_code(&self.problems)
    }

    /// Whether the daemon would refuse it.
    pub fn is_fatal(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Fatal)
    }
}

/// Load a file and what it includes.
pub fn load(path: &Path, options: &LoadOptions) -> Loaded {
    load_from(path, options, &mut Disk::default())
}

/// Load a text as if a file named `name` had it; what it includes is read from the disk.
pub fn load_text(name: &str, text: &str, options: &LoadOptions) -> Loaded {
    let path = Path::new(name);
    load_from(path, options, &mut Disk { given: Some((path.to_owned(), text.to_owned())) })
}

fn load_from(path: &Path, options: &LoadOptions, disk: &mut Disk) -> Loaded {
    let config_id = options.config_id.clone().unwrap_or_else(host_name);
    let seed = options.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let settings = Settings { config_id: &config_id, seed, strictness: options.strictness };
    let mut sources = Sources::default();
    let mut found = Problems::default();
    let expanded = expand::expand(path, &settings, disk, &mut sources, &mut found);
    let mut schema = Schema::default();
    let mut reader = Reader::new(if options.system { names::read() } else { Names::default() });
    let unclosed = parse(&expanded, &sources, &mut found, &mut |statement| {
        let done = reader.read(&statement);
        if let Some(statement) = schema.take(statement).filter(|_| !done) {
            reader.put_off(statement);
        }
    });
    let mut problems = found.finish();
    problems.extend(schema.finish());
    let (config, found) = reader.finish();
    problems.extend(found);
    drop(expanded);
    let mut found = Problems::default();
    check::check(&config, &mut found);
    if options.system {
        let facts = Facts::scan(&system::wanted(&config));
        system::check(&config, &facts, &mut found);
    }
    problems.extend(found.finish());
    Loaded { config, problems: in_order(problems), sources, unclosed }
}

/// The node part of the host's name; empty where the kernel does not tell it.
fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().split('.').next().unwrap_or_default().to_owned()
}

/// The files of this host.
#[derive(Debug, Default)]
struct Disk {
    /// A text that stands for a file.
    given: Option<(PathBuf, String)>,
}

fn fault(error: &std::io::Error) -> FileFault {
    if error.kind() == std::io::ErrorKind::NotFound {
        FileFault::Missing
    } else {
        FileFault::Unreadable(error.to_string())
    }
}

/// The directory of a file as getcwd(2) would tell it.
fn directory(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    parent.canonicalize().unwrap_or_else(|_| parent.to_owned())
}

impl Outside for Disk {
    fn read(&mut self, path: &Path) -> Result<FileText, FileFault> {
        if let Some((_, text)) = self.given.take_if(|(name, _)| name == path) {
            return Ok(FileText { text, identity: path.to_owned(), dir: directory(path), replaced: None });
        }
        let about = std::fs::metadata(path).map_err(|error| fault(&error))?;
        if about.is_dir() {
            return Err(FileFault::Directory);
        }
        if !about.is_file() {
            return Err(FileFault::NotRegular);
        }
        if about.permissions().mode() & 0o111 != 0 {
            return Err(FileFault::Executable);
        }
        let limit = u64::try_from(SOURCE_BYTES_MAX).unwrap_or(u64::MAX);
        if about.len() > limit {
            return Err(FileFault::TooLarge);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1);
        // Files of /proc look regular, and may wait for ever.
        let file =
            File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|error| fault(&error))?;
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| fault(&error))?;
        let (text, replaced) = text(bytes);
        let identity = path.canonicalize().map_err(|error| fault(&error))?;
        Ok(FileText { text, identity, dir: directory(path), replaced })
    }

    fn glob(&mut self, pattern: &Path) -> Globbed {
        let dir = pattern.ancestors().skip(1).find(|dir| !dir.to_string_lossy().contains(['*', '?', '[']));
        if dir.is_some_and(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()) {
            return Globbed::NoDirectory;
        }
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        match glob::glob_with(&pattern.to_string_lossy(), options) {
            Ok(paths) => {
                Globbed::Found(paths.map(|path| path.unwrap_or_else(|error| error.path().to_owned())).collect())
            }
            Err(error) => Globbed::BadPattern(error.to_string()),
        }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }
}

/// Bytes as text: the first place that is not UTF-8, and how many there are.
fn text(bytes: Vec<u8>) -> (String, Option<(usize, usize)>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let first = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let count = bytes.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
            (String::from_utf8_lossy(&bytes).into_owned(), Some((first, count)))
        }
    }
}

#[cfg(test)]
mod tests;
