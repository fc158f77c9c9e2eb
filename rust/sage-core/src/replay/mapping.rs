//! Memory that several processes see: the one module here that touches addresses.
//!
//! Both kinds of mapping are shared. One without a file is shared with the children of `fork`, which
//! would otherwise each go on with a copy and admit what their siblings have admitted.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::AtomicU64;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A shared mapping of whole words.
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    word_count: usize,
}

// SAFETY: the mapping is a place, not a thread's; every access to it is an atomic one.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed memory for this process and its children. Pages are taken when they are first used.
    pub(crate) fn anonymous(word_count: usize) -> io::Result<Self> {
        Self::map(word_count, libc::MAP_ANON, -1)
    }

    /// The first words of a file, which must be that long. Whoever makes the file shorter while it
    /// is mapped kills the process (SIGBUS); its permissions keep everybody else from doing so.
    pub(crate) fn of_file(file: &File, word_count: usize) -> io::Result<Self> {
        let file_len = file.metadata()?.len();
        if file_len < word_count as u64 * 8 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short to map"));
        }
        Self::map(word_count, 0, file.as_raw_fd())
    }

    /// The mapped words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: start and length are those of the mapping, which is page-aligned, readable,
        // writable, and lives as long as self. Any bits are a valid u64. Other processes change
        // them through atomic instructions only, as this one does.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.word_count) }
    }

    fn map(word_count: usize, flags: libc::c_int, fd: libc::c_int) -> io::Result<Self> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | flags);
        // SAFETY: a new mapping at an address that the kernel chooses overlaps nothing.
        let start = unsafe { libc::mmap(core::ptr::null_mut(), word_count * 8, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a mapping does not lie at 0");
        Ok(Self { start, word_count })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length; no reference to it outlives self.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.word_count * 8) };
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering::SeqCst;

    use super::*;

    #[test]
    fn mappings_of_one_file_are_one_memory() {
        let path = std::env::temp_dir().join(format!("sage-mapping-{}", std::process::id()));
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open().expect("file");
        assert!(Mapping::of_file(&file, 512).is_err(), "too short");
        file.set_len(4096).expect("length");
        let one = Mapping::of_file(&file, 512).expect("map");
        let other = Mapping::of_file(&open().expect("file"), 512).expect("map");
        std::fs::remove_file(&path).expect("remove");
        one.words()[511].store(7, SeqCst);
        assert_eq!(other.words()[511].load(SeqCst), 7);
    }

    #[test]
    fn anonymous_memory_is_zeroed() {
        let mapping = Mapping::anonymous(1024).expect("map");
        assert!(mapping.words().iter().all(|word| word.load(SeqCst) == 0));
    }
}
