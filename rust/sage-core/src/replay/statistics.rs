//! What a table holds at the moment.

use super::memory::Memory;
use super::slot::TAG_SPAN;

/// What a table holds. Counted slot by slot while others go on admitting, so it is exact only when
/// nobody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// How many entries there is room for, at least.
    pub capacity: u64,
    /// Bytes of memory, whatever it holds.
    pub memory_len: u64,
    /// Entries remembered.
    pub live: u64,
    /// Places that a claim left unused; free again when their generation is over.
    pub spent: u64,
    /// Everything to be remembered until a time before this is given up, in ms.
    pub given_up_before_ms: u64,
    /// The live entries by the time at which they are forgotten, soonest first.
    pub generations: Vec<GenerationCount>,
}

/// The live entries of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationCount {
    /// When they are forgotten, in ms.
    pub ends_ms: u64,
    /// How many there are.
    pub live: u64,
}

impl Memory {
    pub(crate) fn statistics(&self) -> Statistics {
        let table = self.table();
        let floor = table.floor();
        let generations = self.layout.generations;
        let mut counts = vec![0; TAG_SPAN as usize / 2];
        let mut spent = 0;
        table.for_each(|slot| {
            if slot.is_free(floor) {
                return;
            }
            if slot.is_spent() || !slot.is_final() {
                spent += 1;
            } else {
                counts[(slot.generation(floor) - floor) as usize] += 1;
            }
        });
        let by_generation = counts.iter().zip(floor..).filter(|(live, _)| **live > 0);
        Statistics {
            capacity: self.geometry.capacity,
            memory_len: self.geometry.word_count() as u64 * 8,
            live: counts.iter().sum(),
            spent,
            given_up_before_ms: generations.start_ms(floor),
            generations: by_generation
                .map(|(live, generation)| GenerationCount {
                    ends_ms: generations.start_ms(generation + 1),
                    live: *live,
                })
                .collect(),
        }
    }
}
