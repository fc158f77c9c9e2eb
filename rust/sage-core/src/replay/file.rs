//! Tables in files: made whole or not at all, and refused if anything about them is not right.
//!
//! A new file is filled before it has a name: whoever opens it by its name finds a whole table, and
//! nothing is left of one that was not finished. Two that make one at the same time both end up with
//! the one that got the name first.
//!
//! Whoever uses a file holds a shared lock of it. A file that was written before this boot, or that
//! is not the one that was made (a copy, a restored backup), is taken over under an exclusive lock,
//! so nobody is using it: its memory counts as complete only from then on. The kernel opens the locks
//! of a process that dies. Nobody takes or waits for a lock after opening.
//!
//! What cannot be seen is a backup that is written into the very file. Do not do that.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;
use core::time::Duration;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::UNIX_EPOCH;

use super::boot::boot_id;
use super::header::{Geometry, HEADER_WORDS, Header, Kind, Provenance};
use super::mapping::Mapping;
use super::moment::Moment;
use super::system::{name_nameless, nameless_file, reserve};
use super::trust::{check_directory, check_file, mismatch};
use super::words::Words;
use crate::error::InputError;
use crate::random::{RandomError, RandomSource, draw};

/// How often a file may vanish between being found and being opened.
const MAX_ATTEMPTS: usize = 16;
/// How long to wait for somebody who is taking a file over: 2 s.
const LOCK_ATTEMPTS: usize = 400;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Why a table could not be opened or made.
#[derive(Debug)]
pub enum OpenError {
    /// The system refused. Says what was tried.
    Io {
        /// What was tried, and on which path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file or its directory is not one to rely on. Says what is wrong and what to do.
    Refused(String),
    /// An argument is out of its range.
    Input(InputError),
    /// The random source failed.
    Random,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Refused(why) => f.write_str(why),
            Self::Input(error) => error.fmt(f),
            Self::Random => f.write_str("the system's random source failed"),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<RandomError> for OpenError {
    fn from(_: RandomError) -> Self {
        Self::Random
    }
}

/// A table in a file, mapped.
pub(crate) struct Opened {
    pub(crate) mapping: Mapping,
    pub(crate) file: File,
}

/// Opens the table at `path`, or makes an empty one there.
pub(crate) fn open(
    path: &Path,
    geometry: &Geometry,
    now: Moment,
    random: &mut dyn RandomSource,
) -> Result<Opened, OpenError> {
    check_directory(path)?;
    for _ in 0..MAX_ATTEMPTS {
        match open_file(path) {
            Ok(file) => return adopt(path, file, geometry, now, random),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create(path, geometry, now, random)?;
            }
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(refused(path, "is a symbolic link: name the file itself"));
            }
            Err(error) => return Err(failed("cannot open", path, error)),
        }
    }
    Err(refused(path, "vanishes as soon as it is made: something else removes it"))
}

/// Fills new memory without a file.
pub(crate) fn without_file(
    geometry: &Geometry,
    now: Moment,
    random: &mut dyn RandomSource,
) -> Result<Mapping, OpenError> {
    let mapping = Mapping::anonymous(geometry.word_count()).map_err(|source| OpenError::Io {
        what: format!("cannot have {} bytes of memory", geometry.word_count() * 8),
        source,
    })?;
    let (key, id) = (draw_words(random)?, draw_words(random)?);
    Header(mapping.words()).write(geometry, key, id, Provenance::default(), now);
    Ok(mapping)
}

/// Two random words.
pub(crate) fn draw_words(random: &mut dyn RandomSource) -> Result<[u64; 2], RandomError> {
    let bytes: [u8; 16] = draw(random)?;
    let (high, low) = bytes.split_at(8);
    let word = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("8 of 16 bytes"));
    Ok([word(high), word(low)])
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Makes a whole table and gives it its name. Losing to somebody else who does the same is no
/// failure.
fn create(
    path: &Path,
    geometry: &Geometry,
    now: Moment,
    random: &mut dyn RandomSource,
) -> Result<(), OpenError> {
    if path.file_name().is_none() {
        return Err(refused(path, "names no file"));
    }
    let nameless = nameless_file(directory_of(path)).map_err(|error| failed("cannot make", path, error))?;
    let Some(file) = nameless else {
        return create_by_renaming(path, geometry, now, random);
    };
    fill_new(path, &file, geometry, now, random)?;
    match name_nameless(&file, path) {
        // Without /proc there is no way from a file to a name.
        Err(error) if error.kind() == ErrorKind::NotFound => create_by_renaming(path, geometry, now, random),
        result => linked(path, result),
    }
}

/// As [`create`], where files cannot be without a name.
fn create_by_renaming(
    path: &Path,
    geometry: &Geometry,
    now: Moment,
    random: &mut dyn RandomSource,
) -> Result<(), OpenError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}.new", draw_words(random)?[0]));
    let passing = path.with_file_name(name);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&passing)
        .map_err(|error| failed("cannot make", &passing, error))?;
    let made = fill_new(path, &file, geometry, now, random)
        .and_then(|()| linked(path, fs::hard_link(&passing, path)));
    // Should it stay, it is a second name of the file, of no consequence: users look at the first.
    let _ = fs::remove_file(&passing);
    made
}

fn linked(path: &Path, result: io::Result<()>) -> Result<(), OpenError> {
    match result {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("cannot link a new table to", path, error))
        }
        _ => Ok(()),
    }
}

fn fill_new(
    path: &Path,
    file: &File,
    geometry: &Geometry,
    now: Moment,
    random: &mut dyn RandomSource,
) -> Result<(), OpenError> {
    let word_count = geometry.word_count();
    reserve(file, word_count as u64 * 8)
        .map_err(|error| failed(&format!("cannot reserve {} bytes for", word_count * 8), path, error))?;
    let mapping = Mapping::of_file(file, word_count).map_err(|error| failed("cannot map", path, error))?;
    let provenance = provenance_of(&look_at(path, file)?)?;
    let (key, id) = (draw_words(random)?, draw_words(random)?);
    Header(mapping.words()).write(geometry, key, id, provenance, now);
    drop(mapping);
    // A name over pages that never reached the disk would be a table of nothing.
    file.sync_all().map_err(|error| failed("cannot write", path, error))
}

fn look_at(path: &Path, file: &File) -> Result<Metadata, OpenError> {
    file.metadata().map_err(|error| failed("cannot look at", path, error))
}

/// Maps an existing file after looking at it from all sides.
fn adopt(
    path: &Path,
    file: File,
    geometry: &Geometry,
    now: Moment,
    random: &mut dyn RandomSource,
) -> Result<Opened, OpenError> {
    let metadata = look_at(path, &file)?;
    check_file(path, &file, &metadata)?;
    let word_count = geometry.word_count();
    if metadata.len() < HEADER_WORDS as u64 * 8 {
        return Err(refused(path, "is not a replay table: it is too short"));
    }
    let first_page =
        Mapping::of_file(&file, HEADER_WORDS).map_err(|error| failed("cannot map", path, error))?;
    Header(first_page.words()).check(geometry).map_err(|error| mismatch(path, &error, geometry))?;
    if metadata.len() != word_count as u64 * 8 {
        return Err(refused(path, "has another length than its first page says: it is damaged, remove it"));
    }
    let mapping = Mapping::of_file(&file, word_count).map_err(|error| failed("cannot map", path, error))?;
    let header = Header(mapping.words());
    hold(path, &file, header, provenance_of(&metadata)?, |here| {
        take_over(&mapping, geometry, here, now, random)
    })?;
    Ok(Opened { mapping, file })
}

/// Holds the shared lock, once the table is of this boot and place.
fn hold(
    path: &Path,
    file: &File,
    header: Header<'_>,
    here: Provenance,
    mut take_over: impl FnMut(Provenance) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let locked = |result: Result<(), TryLockError>| match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(failed("cannot lock", path, error)),
    };
    for _ in 0..LOCK_ATTEMPTS {
        if locked(file.try_lock_shared())? {
            if header.provenance() == here {
                return Ok(());
            }
            file.unlock().map_err(|error| failed("cannot unlock", path, error))?;
        }
        if locked(file.try_lock())? {
            if header.provenance() != here {
                take_over(here)?;
            }
            file.unlock().map_err(|error| failed("cannot unlock", path, error))?;
            continue;
        }
        thread::sleep(LOCK_PAUSE);
    }
    Err(refused(
        path,
        "is in use by processes that see another start of the machine, or another file: give each \
         container a table of its own",
    ))
}

/// Makes a table of an earlier boot, or of another place, this one's. The provenance comes last:
/// whoever dies before it leaves the work to the next.
fn take_over(
    mapping: &Mapping,
    geometry: &Geometry,
    here: Provenance,
    now: Moment,
    random: &mut dyn RandomSource,
) -> Result<(), OpenError> {
    let header = Header(mapping.words());
    // Where the floor stands, a clock has been before.
    let layout = geometry.layout();
    let floor_ms = layout.generations.start_ms(mapping.words().load(layout.floor_at));
    header.set_since(Moment { now_ms: now.now_ms.max(floor_ms), ..now });
    if geometry.kind == Kind::Windows {
        // A window that has forgotten something is worse than none: new windows, new name.
        for word in &mapping.words()[HEADER_WORDS..] {
            word.store(0, SeqCst);
        }
        header.set_id(draw_words(random)?);
    }
    header.set_provenance(here);
    Ok(())
}

fn provenance_of(metadata: &Metadata) -> Result<Provenance, OpenError> {
    let boot = boot_id()
        .map_err(|source| OpenError::Io { what: "cannot tell which boot this is".into(), source })?;
    // Where the file system keeps no time of birth, device and inode have to do.
    let birth = metadata.created().ok().and_then(|birth| birth.duration_since(UNIX_EPOCH).ok());
    let birth_ns = birth.map_or(0, |birth| birth.as_nanos() as u64);
    Ok(Provenance { boot, place: [metadata.dev(), metadata.ino(), birth_ns] })
}

pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) fn failed(what: &str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { what: format!("{what} {}", path.display()), source }
}

pub(super) fn refused(path: &Path, why: &str) -> OpenError {
    OpenError::Refused(format!("{} {why}", path.display()))
}
