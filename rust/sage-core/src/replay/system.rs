//! What the standard library does not ask the system.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// A file that has no name yet, if the file system has such files.
#[cfg(target_os = "linux")]
pub(super) fn nameless_file(directory: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    match options.open(directory) {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL) => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)]
pub(super) fn nameless_file(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// Gives such a file a name, unless something has that name.
#[cfg(target_os = "linux")]
pub(super) fn name_nameless(file: &File, path: &Path) -> io::Result<()> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    let from = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(io::Error::other)?;
    let to = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: both are strings that end in NUL and outlive the call.
    match unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), follow) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn name_nameless(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn effective_uid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Takes the blocks of a file now: a write into a mapped hole of a full disk kills the process.
#[cfg(target_os = "linux")]
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open; the call touches no memory of ours.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    use std::io::Write;

    let mut file = file;
    let zeros = [0_u8; 1 << 16];
    let mut left = len;
    while left > 0 {
        let next = left.min(zeros.len() as u64);
        file.write_all(&zeros[..next as usize])?;
        left -= next;
    }
    Ok(())
}

/// False on file systems that several machines may mount at once.
#[cfg(target_os = "linux")]
pub(super) fn is_of_one_machine(file: &File) -> io::Result<bool> {
    // <linux/magic.h> and statfs(2): NFS, SMB, CIFS, SMB2, AFS, kAFS, Ceph, 9P, FUSE, GFS2, OCFS2,
    // Lustre, GPFS, BeeGFS, PanFS, OrangeFS, Coda, VirtualBox's shared folders.
    const SHARED: [u32; 18] = [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x5346_414f,
        0x6b41_4653,
        0x00c3_6400,
        0x0102_1997,
        0x6573_5546,
        0x0116_1970,
        0x7461_636f,
        0x0bd0_0bd0,
        0x4750_4653,
        0x1983_0326,
        0xaad7_aaea,
        0x2003_0528,
        0x7375_7245,
        0x786f_4256,
    ];
    let mut statistics = core::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open and the structure is there to be written.
    if unsafe { libc::fstatfs(file.as_raw_fd(), statistics.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it was written.
    let kind = unsafe { statistics.assume_init() }.f_type as u32;
    Ok(!SHARED.contains(&kind))
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)]
pub(super) fn is_of_one_machine(_: &File) -> io::Result<bool> {
    Ok(true)
}
