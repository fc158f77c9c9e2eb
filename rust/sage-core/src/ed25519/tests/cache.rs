//! The cache: what it holds, what it gives up, and that it never changes a verdict.

use super::super::*;

const KEY: usize = VerifyingKeyCache::KEY_COST;
const TABLE: usize = VerifyingKey::TABLE_LEN;

struct Signer {
    key: VerifyingKey,
    signature: [u8; 64],
}

impl Signer {
    fn number(number: u8) -> Self {
        let key = SigningKey::from_seed(&[number; 32]);
        let signature = key.sign(b"m").expect("no handshake");
        Self { key: key.verifying_key().clone(), signature }
    }

    fn verify(&self, cache: &VerifyingKeyCache, count: usize) {
        for _ in 0..count {
            assert!(cache.verify(&self.key, b"m", &self.signature));
            assert!(!cache.verify(&self.key, b"n", &self.signature));
        }
    }
}

#[test]
fn a_registered_key_is_promoted_after_three_valid_signatures() {
    let cache = VerifyingKeyCache::new(1 << 20);
    let signer = Signer::number(1);
    assert!(cache.register(&signer.key).expect("a point"));
    assert!(!cache.register(&signer.key).expect("a point"));
    signer.verify(&cache, 2);
    assert_eq!(cache.statistics().expanded, 0);
    signer.verify(&cache, 1);
    let statistics = cache.statistics();
    assert_eq!((statistics.registered, statistics.expanded, statistics.promotions), (1, 1, 1));
    assert_eq!((statistics.decoded_hits, statistics.hits, statistics.used_len), (5, 1, KEY + TABLE));
    signer.verify(&cache, 1);
    assert_eq!((cache.statistics().hits, cache.statistics().misses), (3, 0));
}

#[test]
fn unregistered_keys_and_wrong_signatures_leave_nothing() {
    let cache = VerifyingKeyCache::new(1 << 20);
    let registered = Signer::number(1);
    assert!(cache.register(&registered.key).expect("a point"));
    for number in 2..50 {
        Signer::number(number).verify(&cache, 4);
        assert!(!cache.verify(&registered.key, b"n", &registered.signature));
    }
    let statistics = cache.statistics();
    assert_eq!((statistics.registered, statistics.expanded, statistics.used_len), (1, 0, KEY));
    assert_eq!((statistics.promotions, statistics.evictions, statistics.misses), (0, 0, 48 * 8));
}

#[test]
fn a_revoked_key_is_gone_at_once() {
    let cache = VerifyingKeyCache::new(1 << 20);
    let signers = [1, 2, 3].map(Signer::number);
    for signer in &signers {
        assert!(cache.register(&signer.key).expect("a point"));
        signer.verify(&cache, 3);
    }
    assert!(cache.revoke(&signers[0].key) && !cache.revoke(&signers[0].key));
    assert_eq!(cache.statistics().used_len, 2 * (KEY + TABLE));
    let hits = cache.statistics().hits;
    signers[0].verify(&cache, 4);
    assert_eq!((cache.statistics().hits, cache.statistics().registered), (hits, 2));
    assert!(cache.revoke(&signers[2].key) && cache.revoke(&signers[1].key));
    assert_eq!(cache.statistics().used_len, 0);
    // What it was counts for nothing when it comes back.
    assert!(cache.register(&signers[0].key).expect("a point"));
    signers[0].verify(&cache, 2);
    assert_eq!(cache.statistics().expanded, 0);
}

#[test]
fn a_table_takes_the_place_of_one_that_is_not_used() {
    let cache = VerifyingKeyCache::new(3 * KEY + 2 * TABLE);
    let signers = [1, 2, 3].map(Signer::number);
    for signer in &signers {
        assert!(cache.register(&signer.key).expect("a point"));
        signer.verify(&cache, 3);
    }
    assert_eq!((cache.statistics().expanded, cache.statistics().evictions), (2, 0));
    // No room: it has to be wanted more before it displaces another.
    signers[2].verify(&cache, 28);
    assert_eq!(cache.statistics().evictions, 0);
    signers[2].verify(&cache, 1);
    let statistics = cache.statistics();
    assert_eq!((statistics.expanded, statistics.promotions, statistics.evictions), (2, 3, 1));
    assert!(statistics.used_len <= cache.budget_len());
    assert_eq!(statistics.registered, 3);
}

#[test]
fn the_budget_holds_whatever_is_registered() {
    let cache = VerifyingKeyCache::new(5 * KEY + TABLE);
    for number in 0..100 {
        let signer = Signer::number(number);
        assert!(cache.register(&signer.key).expect("a point"));
        signer.verify(&cache, 3);
        assert!(cache.statistics().used_len <= cache.budget_len());
    }
    let statistics = cache.statistics();
    assert!(statistics.registered >= 5 && statistics.evictions > 0, "{statistics:?}");
    let none = VerifyingKeyCache::new(KEY - 1);
    assert!(none.register(&Signer::number(1).key).is_err());
    let no_table = VerifyingKeyCache::new(KEY + TABLE - 1);
    assert!(no_table.register(&Signer::number(1).key).expect("a point"));
    Signer::number(1).verify(&no_table, 100);
    assert_eq!(no_table.statistics().promotions, 0);
}

#[test]
fn a_batch_is_counted_and_promotes() {
    let cache = VerifyingKeyCache::new(1 << 20);
    let signers: Vec<Signer> = (0..20).map(Signer::number).collect();
    for signer in &signers[..10] {
        assert!(cache.register(&signer.key).expect("a point"));
    }
    let keys: Vec<KeyRef<'_>> = signers.iter().map(|signer| KeyRef::Raw(signer.key.as_bytes())).collect();
    let mut signatures: Vec<&[u8]> = signers.iter().map(|signer| &signer.signature[..]).collect();
    let off = [0; 64];
    (signatures[0], signatures[1]) = (&off, &off[..63]);
    let expected: Vec<bool> = (0..20).map(|n| n > 1).collect();
    for round in 0..5 {
        assert_eq!(cache.verify_many(&keys, &signatures, &[&b"m"[..]; 20]), expected);
        assert_eq!(cache.statistics().expanded, if round < 2 { 0 } else { 8 });
    }
    let statistics = cache.statistics();
    assert_eq!((statistics.hits, statistics.misses, statistics.decoded_hits), (16, 50, 34));
}

#[test]
fn threads_share_a_cache_while_keys_come_and_go() {
    let cache = VerifyingKeyCache::new(4 * KEY + 2 * TABLE);
    let signers: Vec<Signer> = (0..6).map(Signer::number).collect();
    std::thread::scope(|scope| {
        for first in 0..3 {
            let (cache, signers) = (&cache, &signers);
            scope.spawn(move || {
                for round in 0..150 {
                    let signer = &signers[(first + round) % signers.len()];
                    if round % 3 != 2 {
                        let _ = cache.register(&signer.key).expect("a point");
                    }
                    signer.verify(cache, 3);
                    if round % 7 == 0 {
                        cache.revoke(&signer.key);
                    }
                    assert!(cache.statistics().used_len <= cache.budget_len());
                }
            });
        }
    });
    for signer in &signers {
        cache.revoke(&signer.key);
    }
    let statistics = cache.statistics();
    assert_eq!((statistics.registered, statistics.expanded, statistics.used_len), (0, 0, 0));
    assert!(statistics.promotions > 0);
}
