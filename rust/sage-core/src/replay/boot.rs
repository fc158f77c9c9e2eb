//! Which boot of the machine this is.
//!
//! What a mapping wrote last may not have reached the disk when the power went. So a file that was
//! written before this boot is not trusted to be complete, however whole it looks.

use std::io;

/// 16 bytes that are the same for every process since the machine was started, in two words.
#[cfg(target_os = "linux")]
pub(crate) fn boot_id() -> io::Result<[u64; 2]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    parse(&text)
}

#[cfg(target_os = "macos")]
#[allow(unsafe_code)]
pub(crate) fn boot_id() -> io::Result<[u64; 2]> {
    let mut text = [0_u8; 64];
    let mut len = text.len();
    // SAFETY: the name ends in NUL; the kernel writes at most `len` bytes and says how many.
    let failed = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast(),
            &raw mut len,
            core::ptr::null_mut(),
            0,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    parse(&String::from_utf8_lossy(&text[..len.saturating_sub(1)]))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn boot_id() -> io::Result<[u64; 2]> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not say which boot it is"))
}

fn parse(text: &str) -> io::Result<[u64; 2]> {
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the boot id is not a UUID");
    if digits.len() != 32 {
        return Err(malformed());
    }
    let id = u128::from_str_radix(&digits, 16).map_err(|_| malformed())?;
    Ok([(id >> 64) as u64, id as u64])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_and_other_texts_refused() {
        let id = parse("01234567-89ab-cdef-0123-456789abcdef\n").expect("a UUID");
        assert_eq!(id, [0x0123_4567_89ab_cdef; 2]);
        assert!(parse("").is_err());
        assert!(parse("01234567-89ab-cdef-0123-456789abcdeg").is_err());
    }

    #[test]
    fn a_boot_has_one_id() {
        assert_eq!(boot_id().expect("boot id"), boot_id().expect("boot id"));
        assert_ne!(boot_id().expect("boot id"), [0; 2]);
    }
}
