//! Claims under a model checker: every order of their accesses with up to so many changes of thread
//! at moments of the checker's choice.

use loom::sync::Arc;
use loom::thread;

use super::super::fingerprint::Name;
use super::super::slot::{Fingerprint, Slot};
use super::super::table::Claim;
use super::super::words::LINE_WORDS;
use super::modelled::{FLOOR, Modelled, until_access};

const LATER: u64 = FLOOR + 100;

/// Explores every order with at most `preemption_count` changes away from a thread that could go on.
fn explore(preemption_count: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemption_count);
    model.max_branches = 10_000;
    model.check(check);
}

fn name(number: u64) -> Name {
    Name::from_halves(0, number << 32)
}

/// Somebody else's entry.
fn other(generation: u64) -> u64 {
    Slot::tentative(Fingerprint::of_hash(u64::MAX), generation).decided().word()
}

/// Line of which slot 1 becomes free when the floor moves by one, and slot 3 is free before.
fn opening_line() -> [u64; LINE_WORDS] {
    let (stays, goes) = (other(LATER), other(FLOOR));
    [0, stays, goes, stays, 0, stays, stays, stays]
}

/// Line of which slot 1 becomes free when the floor moves by one; before, it is full.
fn full_line() -> [u64; LINE_WORDS] {
    let mut line = opening_line();
    line[4] = other(LATER);
    line
}

fn is_fresh(claim: Claim) -> bool {
    matches!(claim, Claim::Fresh(_))
}

/// The name is in the table now, and once.
fn is_remembered(words: &Modelled, name: Name) -> bool {
    let mut count = 0;
    words.table().for_each(|slot| {
        count += usize::from(slot.holds(name.fingerprint) && slot.is_final());
    });
    count == 1 && matches!(words.table().claim(name, LATER), Claim::Known(_))
}

/// Two claim one name, for these generations, while the floor moves to those.
fn race(preemption_count: usize, lines: &[[u64; LINE_WORDS]], generations: [u64; 2], floors: &'static [u64]) {
    let lines = lines.to_vec();
    explore(preemption_count, move || {
        let words = Arc::new(Modelled::new(&lines));
        let claims = generations.map(|generation| {
            let words = Arc::clone(&words);
            thread::spawn(move || words.table().claim(name(1), generation))
        });
        for floor in floors {
            words.table().advance(words.layout().generations.start_ms(*floor));
        }
        let claims = claims.map(|claim| claim.join().expect("a claim"));
        let fresh_count = claims.iter().filter(|claim| is_fresh(**claim)).count();
        assert_eq!(fresh_count, 1, "{claims:?}");
        assert!(is_remembered(&words, name(1)));
    });
}

const SAME: [u64; 2] = [LATER, LATER];
const DIFFERENT: [u64; 2] = [LATER, LATER + 1];

#[test]
fn one_of_two_gets_the_name() {
    race(4, &[[0; LINE_WORDS]], SAME, &[]);
    race(4, &[[0; LINE_WORDS]], DIFFERENT, &[]);
}

#[test]
fn one_of_two_gets_the_name_while_the_floor_moves() {
    race(3, &[[0; LINE_WORDS]], SAME, &[FLOOR + 1]);
    race(3, &[[0; LINE_WORDS]], DIFFERENT, &[FLOOR + 1]);
}

#[test]
fn one_of_two_gets_the_name_while_a_better_place_opens() {
    race(3, &[opening_line()], SAME, &[FLOOR + 1]);
    race(3, &[opening_line()], DIFFERENT, &[FLOOR + 1]);
}

#[test]
fn one_of_two_gets_the_name_while_a_place_opens_in_a_line_that_was_passed() {
    race(3, &[full_line(), [0; LINE_WORDS]], SAME, &[FLOOR + 1]);
    race(2, &[full_line(), [0; LINE_WORDS]], DIFFERENT, &[FLOOR + 1]);
}

#[test]
fn one_of_two_gets_the_name_while_the_floor_moves_twice() {
    race(3, &[opening_line()], SAME, &[FLOOR + 1, FLOOR + 2]);
    race(2, &[opening_line()], DIFFERENT, &[FLOOR + 1, FLOOR + 2]);
}

#[test]
fn two_names_do_not_share_a_place() {
    explore(3, || {
        let words = Arc::new(Modelled::new(&[full_line(), full_line()]));
        words.table().advance(words.layout().generations.start_ms(FLOOR + 1));
        // One place is left in each line.
        let claims = [1, 2].map(|number| {
            let words = Arc::clone(&words);
            thread::spawn(move || words.table().claim(name(number), LATER))
        });
        let claims = claims.map(|claim| claim.join().expect("a claim"));
        assert!(claims.iter().all(|claim| is_fresh(*claim)), "{claims:?}");
        assert!(is_remembered(&words, name(1)) && is_remembered(&words, name(2)));
        assert_eq!(words.table().claim(name(3), LATER), Claim::Full);
    });
}

/// One claimer dies before its nth access, whichever that is; another claims at the same time.
#[test]
fn death_at_any_access_loses_nothing() {
    let lines: &'static [_] = Box::leak(Box::new([full_line(), opening_line()]));
    let mut access_count = 0;
    loop {
        let survived = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&survived);
        explore(2, move || {
            let words = Arc::new(Modelled::new(lines));
            let mortal = {
                let words = Arc::clone(&words);
                thread::spawn(move || until_access(&words, access_count, |table| table.claim(name(1), LATER)))
            };
            let claim = words.table().claim(name(1), LATER);
            let dead = mortal.join().expect("a claim");
            if dead.is_some() {
                seen.store(true, std::sync::atomic::Ordering::SeqCst);
            }
            let fresh_count = usize::from(is_fresh(claim)) + usize::from(dead.is_some_and(is_fresh));
            assert!(fresh_count <= 1, "{claim:?} {dead:?}");
            if dead.is_some() || is_fresh(claim) {
                assert_eq!(fresh_count, 1, "{claim:?} {dead:?}");
            }
            // Whoever comes later finds it, or is the first to get it: never a second.
            let later = words.table().claim(name(1), LATER);
            assert!(fresh_count == 0 || !is_fresh(later), "{claim:?} {dead:?} {later:?}");
            assert!(is_remembered(&words, name(1)));
        });
        if survived.load(std::sync::atomic::Ordering::SeqCst) && access_count > 60 {
            break;
        }
        access_count += 1;
        assert!(access_count < 200, "a claim takes some forty accesses");
    }
}

/// A name whose time is over is not claimed, however late its claimer wakes up.
#[test]
fn nobody_claims_what_was_given_up() {
    explore(3, || {
        let words = Arc::new(Modelled::new(&[opening_line()]));
        let claims = [FLOOR, FLOOR].map(|generation| {
            let words = Arc::clone(&words);
            thread::spawn(move || words.table().claim(name(1), generation))
        });
        words.table().advance(words.layout().generations.start_ms(FLOOR + 1));
        let after = words.table().claim(name(1), FLOOR);
        let claims = claims.map(|claim| claim.join().expect("a claim"));
        assert!(claims.iter().filter(|claim| is_fresh(**claim)).count() <= 1, "{claims:?}");
        assert_eq!(after, Claim::GivenUp);
    });
}
