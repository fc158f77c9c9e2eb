//! Records that a gateway has answered, kept until whoever watches is told of them.
//!
//! A gateway answers thirty thousand a second and tells of them a twentieth of a second later. What
//! is kept of each until then is a text and three numbers, one behind the other, so that neither
//! keeping nor letting go of them touches memory that is not in a cache.

/// One record that was answered. Times are those of one clock, whichever, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnsweredRecord<'a> {
    /// The id of its session.
    pub session_id: &'a str,
    /// The length of the answer, in bytes.
    pub sent_len: u64,
    /// When the request began.
    pub begun_s: f64,
    /// When it was over.
    pub ended_s: f64,
    /// The name of the request, if somebody gave it one.
    pub name: Option<&'a str>,
    /// The ids of its trace and its span, if it has one.
    pub span: Option<(&'a str, &'a str)>,
}

impl AnsweredRecord<'_> {
    /// How long it took, in seconds.
    #[must_use]
    pub fn took_s(&self) -> f64 {
        self.ended_s - self.begun_s
    }
}

/// Any number of them, in the order in which they were added.
#[derive(Debug, Default)]
pub struct AnsweredRecords {
    session_ids: String,
    notes: Vec<Note>,
    /// Of the few that have a name or a span, by their place.
    told: Vec<Told>,
}

#[derive(Debug)]
struct Note {
    /// Where its session id ends; it begins where that of the one before it ends.
    id_end: usize,
    sent_len: u64,
    begun_s: f64,
    ended_s: f64,
}

#[derive(Debug)]
struct Told {
    at: usize,
    name: Option<String>,
    span: Option<(String, String)>,
}

impl AnsweredRecords {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, record: &AnsweredRecord<'_>) {
        if record.name.is_some() || record.span.is_some() {
            self.told.push(Told {
                at: self.notes.len(),
                name: record.name.map(str::to_owned),
                span: record.span.map(|(trace, own)| (trace.to_owned(), own.to_owned())),
            });
        }
        self.session_ids.push_str(record.session_id);
        self.notes.push(Note {
            id_end: self.session_ids.len(),
            sent_len: record.sent_len,
            begun_s: record.begun_s,
            ended_s: record.ended_s,
        });
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Takes all of them out, and keeps room for as many.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let next = Self {
            session_ids: String::with_capacity(self.session_ids.len()),
            notes: Vec::with_capacity(self.notes.len()),
            told: Vec::new(),
        };
        std::mem::replace(self, next)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = AnsweredRecord<'_>> {
        let mut id_begin = 0;
        let mut told = self.told.iter().peekable();
        self.notes.iter().enumerate().map(move |(at, note)| {
            let session_id = &self.session_ids[id_begin..note.id_end];
            id_begin = note.id_end;
            let told = told.next_if(|one| one.at == at);
            AnsweredRecord {
                session_id,
                sent_len: note.sent_len,
                begun_s: note.begun_s,
                ended_s: note.ended_s,
                name: told.and_then(|one| one.name.as_deref()),
                span: told
                    .and_then(|one| one.span.as_ref())
                    .map(|(trace, own)| (trace.as_str(), own.as_str())),
            }
        })
    }

    /// How long they took: how many of them belong into each bucket, and the sum, in seconds.
    ///
    /// `bounds_s` are the upper bounds of the buckets, the smallest first. What is as long as a bound
    /// is within it; the bucket behind the last one has no bound.
    #[must_use]
    pub fn durations(&self, bounds_s: &[f64]) -> (Vec<u64>, f64) {
        let mut counts = vec![0; bounds_s.len() + 1];
        let mut total_s = 0.0;
        for note in &self.notes {
            let took_s = note.ended_s - note.begun_s;
            counts[bounds_s.partition_point(|bound_s| *bound_s < took_s)] += 1;
            total_s += took_s;
        }
        (counts, total_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: AnsweredRecord<'_> = AnsweredRecord {
        session_id: "session",
        sent_len: 112,
        begun_s: 1.0,
        ended_s: 1.5,
        name: None,
        span: None,
    };

    #[test]
    fn what_was_added_is_there_in_its_order() {
        let added = [
            PLAIN,
            AnsweredRecord { session_id: "", name: Some("named"), ..PLAIN },
            AnsweredRecord { session_id: "é", sent_len: u64::MAX, ..PLAIN },
            AnsweredRecord { span: Some(("trace", "own")), ended_s: 2.0, ..PLAIN },
            AnsweredRecord { name: Some("last"), span: Some(("t", "o")), ..PLAIN },
            PLAIN,
        ];
        let mut records = AnsweredRecords::default();
        assert!(records.is_empty());
        for one in &added {
            records.add(one);
        }
        assert_eq!(records.len(), added.len());
        assert!(records.iter().eq(added));
        assert!(records.iter().eq(added), "they are read, not taken");
    }

    #[test]
    fn who_takes_them_has_them_alone() {
        let mut records = AnsweredRecords::default();
        records.add(&AnsweredRecord { name: Some("named"), ..PLAIN });
        let taken = records.take();
        assert!(records.is_empty());
        records.add(&PLAIN);
        assert_eq!(taken.iter().map(|one| one.name).collect::<Vec<_>>(), [Some("named")]);
        assert!(records.iter().eq([PLAIN]));
        assert_eq!(records.take().len(), 1);
        assert!(records.take().is_empty());
    }

    #[test]
    fn what_is_as_long_as_a_bound_is_within_it() {
        let mut records = AnsweredRecords::default();
        for took_s in [0.0, 0.5, 0.75, 1.0, 1.25, f64::INFINITY] {
            records.add(&AnsweredRecord { begun_s: 0.0, ended_s: took_s, ..PLAIN });
        }
        let (counts, total_s) = records.durations(&[0.5, 1.0]);
        assert_eq!((counts, total_s), (vec![2, 2, 2], f64::INFINITY));
        assert_eq!(records.durations(&[]).0, [6]);
        assert_eq!(AnsweredRecords::default().durations(&[0.5]), (vec![0, 0], 0.0));
    }
}
