//! Memory that several processes see: the one module here that touches addresses.
//!
//! Both kinds of mapping are shared. One without a file is shared with the children of `fork`, which
//! would otherwise each go on with a copy and admit what their siblings have admitted.
//!
//! # Huge pages
//!
//! An admission is one access to a random line. With pages of 4 KiB the processor must first find
//! out where the page lies, from tables that no cache holds either: in a virtual machine that is a
//! third of the whole wait. Linux gathers the pages of a shared mapping into huge ones if it is asked
//! to (from 6.1 on, whatever is set for the system as a whole). It takes three things: the mapping
//! begins at a multiple of a huge page, as the memory behind it does; a page of each huge one has been
//! touched; and the memory is without a file, or of a file in memory (tmpfs). Elsewhere the advice is
//! refused, and admitting takes its time.
#![allow(unsafe_code)]

use core::hint::black_box;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::SeqCst;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const HUGE_PAGE_LEN: usize = 2 << 20;
/// The most that is gathered, since gathering takes the memory at once: sets for five million nonces.
const MAX_GATHERED_LEN: usize = 64 << 20;
/// <linux/mman.h>; not in the bindings yet.
#[cfg(target_os = "linux")]
const MADV_COLLAPSE: libc::c_int = 25;

/// A shared mapping of whole words.
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    word_count: usize,
    _room: Room,
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

    /// Asks for huge pages, which takes all the memory now. Where they are refused, and in a mapping
    /// that is too large to be taken at once, everything stays as it is.
    pub(crate) fn gather(&self) {
        let len = self.word_count * 8;
        if len > MAX_GATHERED_LEN {
            return;
        }
        let gathered_len = len - len % HUGE_PAGE_LEN;
        for word in self.words()[..gathered_len / 8].iter().step_by(HUGE_PAGE_LEN / 8) {
            // Touches the page. Nobody looks at the word, which is why the compiler must not know.
            black_box(word.load(SeqCst));
        }
        #[cfg(target_os = "linux")]
        // SAFETY: the range is one of whole pages of this mapping. The advice changes no byte, and
        // whoever writes meanwhile is made to wait by the kernel.
        let _refused = unsafe { libc::madvise(self.start.as_ptr().cast(), gathered_len, MADV_COLLAPSE) };
    }

    fn map(word_count: usize, flags: libc::c_int, fd: libc::c_int) -> io::Result<Self> {
        let len = word_count * 8;
        let room = Room::reserve(len + HUGE_PAGE_LEN)?;
        let start = room.start.map_addr(|start| start.next_multiple_of(HUGE_PAGE_LEN));
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED | flags);
        // SAFETY: it takes the place of a part of the room, in which nothing lies.
        let start = unsafe { libc::mmap(start, len, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a mapping does not lie at 0");
        Ok(Self { start, word_count, _room: room })
    }
}

/// Addresses that are kept free for a mapping, so that it can choose where it begins. No memory.
struct Room {
    start: *mut libc::c_void,
    len: usize,
}

impl Room {
    fn reserve(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address that the kernel chooses overlaps nothing.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start, len })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length; no reference to what was mapped in it outlives it.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn gathering_changes_no_word() {
        // Shorter than a huge page, longer by a part of one, and too large to be gathered.
        for len in [1 << 20, (4 << 20) + 64, MAX_GATHERED_LEN + 64] {
            let mapping = Mapping::anonymous(len / 8).expect("map");
            assert_eq!(mapping.words().as_ptr().addr() % HUGE_PAGE_LEN, 0);
            for (number, word) in mapping.words().iter().step_by(1000).enumerate() {
                word.store(number as u64, SeqCst);
            }
            mapping.gather();
            let words = mapping.words().iter().step_by(1000);
            assert!(words.enumerate().all(|(number, word)| word.load(SeqCst) == number as u64));
            assert_eq!(mapping.words()[len / 8 - 1].swap(7, SeqCst), 0);
        }
    }
}
