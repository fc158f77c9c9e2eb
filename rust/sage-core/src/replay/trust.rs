//! What must be true of a file, its directory and its first page before it is relied on.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::file::{OpenError, directory_of, failed, refused};
use super::header::{Geometry, HeaderError, Kind};
use super::system::{effective_uid, is_of_one_machine};

/// A regular file of this user, that nobody else may open, on a file system of this machine.
pub(super) fn check_file(path: &Path, file: &File, metadata: &Metadata) -> Result<(), OpenError> {
    if !metadata.is_file() {
        return Err(refused(path, "is not a regular file"));
    }
    if metadata.uid() != effective_uid() {
        let why = format!(
            "belongs to user {}, but this process runs as {}: whoever owns it can change what it remembers",
            metadata.uid(),
            effective_uid()
        );
        return Err(refused(path, &why));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("may be opened by other users (mode {mode:03o}): chmod 600, or remove it");
        return Err(refused(path, &why));
    }
    match is_of_one_machine(file) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused(
            path,
            "lies on a file system of the network, where machines do not see each other's memory: \
             choose a local one, such as /dev/shm",
        )),
        Err(error) => Err(failed("cannot look at the file system of", path, error)),
    }
}

/// Whoever can rename in the directory can put another file in the place of ours.
pub(super) fn check_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory_of(path);
    let metadata =
        fs::metadata(directory).map_err(|error| failed("cannot look at directory", directory, error))?;
    let mode = metadata.permissions().mode();
    if metadata.uid() != 0 && metadata.uid() != effective_uid() {
        let why = format!(
            "is a directory of user {}, who could replace the table: choose one of this process's user ({})",
            metadata.uid(),
            effective_uid()
        );
        return Err(refused(directory, &why));
    }
    let (is_open_to_others, is_sticky) = (mode & 0o022 != 0, mode & 0o1000 != 0);
    if is_open_to_others && !is_sticky {
        let why = format!(
            "is a directory that other users may write to (mode {:04o}), so they could replace the table: \
             chmod go-w, or choose another",
            mode & 0o7777
        );
        return Err(refused(directory, &why));
    }
    Ok(())
}

/// Why a first page is not that of the table that was asked for.
pub(super) fn mismatch(path: &Path, error: &HeaderError, wanted: &Geometry) -> OpenError {
    let why = match error {
        HeaderError::NotATable => "is not a replay table: remove it, or choose another path".into(),
        HeaderError::Version(version) => {
            format!(
                "is a replay table of version {version}, which this version of the library does not read: remove it"
            )
        }
        HeaderError::Kind if wanted.kind == Kind::Set => {
            "holds replay windows, not a replay set: choose another path".into()
        }
        HeaderError::Kind => "holds a replay set, not replay windows: choose another path".into(),
        HeaderError::Capacity(capacity) => format!(
            "was made with capacity {capacity}, not {}: open it with that, or remove it while nobody uses it",
            wanted.capacity
        ),
        HeaderError::Horizon(horizon_ms) => format!(
            "was made with a horizon of {horizon_ms} ms, not {}: open it with that, or remove it while nobody uses it",
            wanted.horizon_ms
        ),
        HeaderError::Damaged => "is damaged (its checksum is wrong): remove it".into(),
    };
    refused(path, &why)
}
