//! Sets and windows in files.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::sync::{Arc, Barrier};
use std::thread;

use super::super::{AdmitError, Moment, OpenError, ReplaySet, WindowName, WindowTable};
use super::{Directory, NOW, nonce, set_at};
use crate::random::SystemRandom;
use crate::record::Direction;

const HORIZON_MS: u64 = 180_000;
/// Where the first page keeps the boot, in bytes.
const BOOT_AT: u64 = 256 * 8;

fn refusal(directory: &Directory, capacity: u64, horizon_ms: u64) -> String {
    match ReplaySet::open(Some(&directory.file()), capacity, horizon_ms, Moment::at(NOW), &mut SystemRandom) {
        Err(OpenError::Refused(why)) => why,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("was opened"),
    }
}

fn edit(directory: &Directory, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(directory.file()).expect("file");
    file.write_all_at(bytes, at).expect("write");
}

fn windows(directory: &Directory) -> WindowTable {
    WindowTable::open(Some(&directory.file()), 100, 1_000_000, Moment::at(NOW), &mut SystemRandom)
        .expect("windows")
}

#[test]
fn two_that_open_a_file_have_one_memory() {
    let directory = Directory::new();
    let (one, other) = (set_at(Some(&directory.file()), 100), set_at(Some(&directory.file()), 100));
    assert_eq!(one.admit(b"", nonce(b"12345678", NOW + 1), NOW), Ok(()));
    assert_eq!(other.admit(b"", nonce(b"12345678", NOW + 1), NOW), Err(AdmitError::Replayed));
    drop((one, other));
    let later = set_at(Some(&directory.file()), 100);
    assert_eq!(later.admit(b"", nonce(b"12345678", NOW + 1), NOW), Err(AdmitError::Replayed));
    let mode = fs::metadata(directory.file()).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(&directory.0).expect("directory").collect();
    assert_eq!(names.len(), 1, "nothing else is left there: {names:?}");
}

#[test]
fn many_that_make_a_file_at_once_make_one() {
    for _ in 0..20 {
        let directory = Directory::new();
        let (path, barrier) = (directory.file(), Arc::new(Barrier::new(8)));
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let (path, barrier) = (path.clone(), Arc::clone(&barrier));
                thread::spawn(move || {
                    barrier.wait();
                    set_at(Some(&path), 1000).admit(b"", nonce(b"12345678", NOW + 1), NOW)
                })
            })
            .collect();
        let verdicts: Vec<_> = openers.into_iter().map(|opener| opener.join().expect("opener")).collect();
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 1, "{verdicts:?}");
    }
}

#[test]
fn another_geometry_is_refused_and_named() {
    let directory = Directory::new();
    drop(set_at(Some(&directory.file()), 100));
    let why = refusal(&directory, 200, HORIZON_MS);
    assert!(why.contains("capacity 100, not 200"), "{why}");
    let why = refusal(&directory, 100, HORIZON_MS + 1);
    assert!(why.contains("horizon of 180000 ms, not 180001"), "{why}");
    let windows =
        WindowTable::open(Some(&directory.file()), 100, HORIZON_MS, Moment::at(NOW), &mut SystemRandom)
            .map(|_| ());
    assert!(
        matches!(&windows, Err(OpenError::Refused(why)) if why.contains("not replay windows")),
        "{windows:?}"
    );
}

#[test]
fn damage_is_refused() {
    let directory = Directory::new();
    drop(set_at(Some(&directory.file()), 100));
    edit(&directory, 8 * 7, b"key");
    assert!(refusal(&directory, 100, HORIZON_MS).contains("damaged"));
    edit(&directory, 9, &[1]);
    assert!(refusal(&directory, 100, HORIZON_MS).contains("version 1"));
    edit(&directory, 0, b"x");
    assert!(refusal(&directory, 100, HORIZON_MS).contains("not a replay table"));

    let directory = Directory::new();
    drop(set_at(Some(&directory.file()), 100));
    let len = fs::metadata(directory.file()).expect("metadata").len();
    let file = OpenOptions::new().write(true).open(directory.file()).expect("file");
    file.set_len(len - 8).expect("length");
    assert!(refusal(&directory, 100, HORIZON_MS).contains("another length"));
    file.set_len(100).expect("length");
    assert!(refusal(&directory, 100, HORIZON_MS).contains("too short"));
}

#[test]
fn what_others_can_reach_is_refused() {
    let directory = Directory::new();
    drop(set_at(Some(&directory.file()), 100));
    fs::set_permissions(directory.file(), fs::Permissions::from_mode(0o640)).expect("mode");
    assert!(refusal(&directory, 100, HORIZON_MS).contains("mode 640"));
    fs::remove_file(directory.file()).expect("remove");

    let elsewhere = Directory::new();
    drop(set_at(Some(&elsewhere.file()), 100));
    symlink(elsewhere.file(), directory.file()).expect("link");
    assert!(refusal(&directory, 100, HORIZON_MS).contains("symbolic link"));
    fs::remove_file(directory.file()).expect("remove");

    fs::create_dir(directory.file()).expect("directory");
    let opened =
        ReplaySet::open(Some(&directory.file()), 100, HORIZON_MS, Moment::at(NOW), &mut SystemRandom);
    assert!(matches!(opened, Err(OpenError::Io { .. })));
    fs::remove_dir(directory.file()).expect("remove");

    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o777)).expect("mode");
    assert!(refusal(&directory, 100, HORIZON_MS).contains("other users may write"));
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o1777)).expect("mode");
    drop(set_at(Some(&directory.file()), 100));
}

#[test]
fn a_memory_of_an_earlier_boot_says_so_and_forgets_nothing() {
    let directory = Directory::new();
    let before = set_at(Some(&directory.file()), 100);
    assert_eq!(before.admit(b"", nonce(b"12345678", NOW + 100_000), NOW), Ok(()));
    assert!(before.is_complete(Moment::at(NOW + HORIZON_MS + 1024)));
    drop(before);
    edit(&directory, BOOT_AT, &[0xab; 16]);

    let now_ms = NOW + 50_000;
    let open =
        || ReplaySet::open(Some(&directory.file()), 100, HORIZON_MS, Moment::at(now_ms), &mut SystemRandom);
    let after = open().expect("a set");
    assert_eq!(after.remembers_since_ms(), now_ms);
    assert!(!after.is_complete(Moment::at(now_ms + HORIZON_MS)));
    assert!(after.is_complete(Moment::at(now_ms + HORIZON_MS + 1024)));
    assert_eq!(after.admit(b"", nonce(b"12345678", NOW + 100_000), now_ms), Err(AdmitError::Replayed));
    // Only the first of a boot finds it so.
    let next =
        ReplaySet::open(Some(&directory.file()), 100, HORIZON_MS, Moment::at(now_ms + 9), &mut SystemRandom);
    assert_eq!(next.expect("a set").remembers_since_ms(), now_ms);
}

#[test]
fn a_copy_says_that_it_is_one() {
    let directory = Directory::new();
    drop(set_at(Some(&directory.file()), 100));
    let copy = directory.0.join("copy");
    fs::copy(directory.file(), &copy).expect("copy");
    fs::rename(copy, directory.file()).expect("rename");
    let now_ms = NOW + 1_000_000;
    let copied =
        ReplaySet::open(Some(&directory.file()), 100, HORIZON_MS, Moment::at(now_ms), &mut SystemRandom);
    assert_eq!(copied.expect("a set").remembers_since_ms(), now_ms);
}

#[test]
fn a_lost_file_is_noticed_by_who_still_uses_it() {
    let directory = Directory::new();
    let set = set_at(Some(&directory.file()), 100);
    assert_eq!(set.admit(b"", nonce(b"12345678", NOW + 100_000), NOW), Ok(()));
    fs::remove_file(directory.file()).expect("remove");
    let now_ms = NOW + 1024;
    assert_eq!(set.admit(b"", nonce(b"another!", NOW + 100_000), now_ms), Err(AdmitError::Orphaned));
    let again =
        ReplaySet::open(Some(&directory.file()), 100, HORIZON_MS, Moment::at(now_ms), &mut SystemRandom);
    assert!(!again.expect("a set").is_complete(Moment::at(now_ms)));
}

#[test]
fn windows_of_an_earlier_boot_are_not_kept() {
    let directory = Directory::new();
    let name = WindowName {
        peer_did: "did:example:alice",
        session_id: [1; 16],
        direction: Direction::ClientToServer,
        epoch: 0,
        incarnation: [2; 16],
    };
    let (one, other) = (windows(&directory), windows(&directory));
    assert_eq!(one.id(), other.id());
    assert_eq!(one.admit(&name, 5, NOW + 1000, NOW), Ok(()));
    assert_eq!(other.admit(&name, 5, NOW + 1000, NOW), Err(AdmitError::Replayed));
    let id = *one.id();
    drop((one, other));
    assert_eq!(*windows(&directory).id(), id, "the same boot");
    edit(&directory, BOOT_AT, &[0xab; 16]);
    let after = windows(&directory);
    assert_ne!(*after.id(), id);
    assert_eq!(after.statistics().live, 0);
}

#[test]
fn what_cannot_be_reserved_is_not_half_made() {
    let directory = Directory::new();
    // 2^32 entries take 55 GB: more than a file may have by the limit set here.
    let path = directory.0.join("missing").join("table");
    let opened =
        ReplaySet::open(Some(&path), 100, HORIZON_MS, Moment::at(NOW), &mut SystemRandom).map(|_| ());
    assert!(matches!(&opened, Err(OpenError::Io { what, .. }) if what.contains("missing")), "{opened:?}");
    for (capacity, horizon_ms) in [(0, 1), (1 << 33, 1), (1, 0), (1, 32 * 86_400_000)] {
        let opened = ReplaySet::open(
            Some(&directory.file()),
            capacity,
            horizon_ms,
            Moment::at(NOW),
            &mut SystemRandom,
        );
        assert!(matches!(opened, Err(OpenError::Input(_))));
    }
    assert_eq!(fs::read_dir(&directory.0).expect("directory").count(), 0);
    let _unused = File::open(&directory.0);
}
