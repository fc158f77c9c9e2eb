//! Lines of a log that tell of answered records, in JSON. They are spelt here and kept elsewhere.
//!
//! A gateway writes thirty thousand of them a second, each of ten values, so that spelling them is
//! the larger part of what its log costs. The clock is the caller's, and so is whatever is random.

const US_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// What a line holds beside the texts that are handed in.
const NUMBERS_LEN: usize = 160;
const OPENING: &[u8; 29] = b"{\"time\":\"0000-00-00T00:00:00.";
const MOMENT_AT: usize = 9;

/// What a line says of a record that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// When, in seconds since the Unix epoch.
    pub at_s: f64,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// The length of the answer, in bytes.
    pub sent_len: u64,
    /// The name of the request.
    pub name: &'a str,
    /// What stands for its session.
    pub session: &'a str,
    /// The ids of its trace and its span, if it has one.
    pub span: Option<(&'a str, &'a str)>,
}

/// Spells lines: what is the same in all of them, and the text of the latest batch.
#[derive(Debug)]
pub struct RecordLines {
    text: Vec<u8>,
    line_len: usize,
    /// A line up to the fraction of its second, in the second that was spelt last.
    opening: [u8; OPENING.len()],
    second: i64,
    /// Between that fraction and the name of the request.
    before_name: String,
    /// Between that name and how long the request took.
    before_took: String,
}

impl RecordLines {
    /// Begins with no line.
    ///
    /// `first` and `then` are members of JSON objects with commas between them, as `"a":1,"b":2`:
    /// those between the time and the name of a request, and those between its name and how long
    /// it took.
    #[must_use]
    pub fn new(first: &str, then: &str) -> Self {
        Self {
            text: Vec::new(),
            line_len: first.len() + then.len() + NUMBERS_LEN,
            opening: *OPENING,
            second: i64::MIN,
            before_name: format!("Z\",{first},\"request_id\":\""),
            before_took: format!("\",{then},\"duration_ms\":"),
        }
    }

    /// Forgets all lines, and makes room for so many.
    pub fn begin(&mut self, count: usize) {
        self.text.clear();
        self.text.reserve(count * self.line_len);
    }

    /// Adds a line.
    pub fn add(&mut self, record: &Answered<'_>) {
        let at_us = whole(record.at_s * 1e6);
        let second = at_us.div_euclid(US_PER_SECOND);
        if second != self.second {
            self.second = second;
            self.opening[MOMENT_AT..MOMENT_AT + 19].copy_from_slice(&moment_of(second));
        }
        let text = &mut self.text;
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(&self.opening);
        text.extend_from_slice(&digits::<6>(at_us.rem_euclid(US_PER_SECOND)));
        text.extend_from_slice(self.before_name.as_bytes());
        put_text(text, record.name);
        text.extend_from_slice(self.before_took.as_bytes());
        let took_us = whole(record.took_s.max(0.0) * 1e6 + 0.5);
        put_number(text, took_us.unsigned_abs() / 1000);
        text.push(b'.');
        text.extend_from_slice(&digits::<3>(took_us % 1000));
        text.extend_from_slice(b",\"sent_len\":");
        put_number(text, record.sent_len);
        text.extend_from_slice(b",\"session\":\"");
        put_text(text, record.session);
        if let Some((trace, span)) = record.span {
            text.extend_from_slice(b"\",\"trace_id\":\"");
            put_text(text, trace);
            text.extend_from_slice(b"\",\"span_id\":\"");
            put_text(text, span);
        }
        text.extend_from_slice(b"\"}");
    }

    /// All lines, without a newline behind the last one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// Puts what stands between the quotes of a JSON text.
fn put_text(text: &mut Vec<u8>, value: &str) {
    // All of it, whatever the first byte is: that is done side by side.
    let is_odd = value.bytes().fold(false, |odd, byte| odd | must_be_escaped(byte));
    if is_odd {
        put_escaped(text, value);
    } else {
        text.extend_from_slice(value.as_bytes());
    }
}

fn must_be_escaped(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

#[cold]
fn put_escaped(text: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            0..b' ' => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => text.push(byte),
        }
    }
}

fn put_number(text: &mut Vec<u8>, number: u64) {
    let mut spelt = [0; 20];
    let mut at = spelt.len();
    let mut left = number;
    loop {
        at -= 1;
        spelt[at] = digit(left % 10);
        left /= 10;
        if left == 0 {
            return text.extend_from_slice(&spelt[at..]);
        }
    }
}

/// The whole part of a number; the nearest there is if it has none.
#[expect(clippy::cast_possible_truncation, reason = "to the nearest, and no number is 0")]
fn whole(number: f64) -> i64 {
    number as i64
}

#[expect(clippy::cast_possible_truncation, reason = "below 10")]
fn digit(number: u64) -> u8 {
    b'0' + number as u8
}

/// The last digits of a number that is not negative.
fn digits<const COUNT: usize>(number: i64) -> [u8; COUNT] {
    let mut spelt = [0; COUNT];
    let mut left = number.unsigned_abs();
    for place in spelt.iter_mut().rev() {
        *place = digit(left % 10);
        left /= 10;
    }
    spelt
}

/// A second as `2027-01-15T08:00:00`, in UTC; of years of four digits.
fn moment_of(second: i64) -> [u8; 19] {
    let (year, month, day) = date_of(second.div_euclid(SECONDS_PER_DAY));
    let of_day = second.rem_euclid(SECONDS_PER_DAY);
    let mut moment = *b"0000-00-00T00:00:00";
    moment[..4].copy_from_slice(&digits::<4>(year));
    for (at, number) in [(5, month), (8, day), (11, of_day / 3600), (14, of_day / 60 % 60), (17, of_day % 60)]
    {
        moment[at..at + 2].copy_from_slice(&digits::<2>(number));
    }
    moment
}

/// Year, month and day of a day that is counted from 1970-01-01.
///
/// Years are counted from March, so that the day that some have more is their last one, and in
/// cycles of 400, which all have the same number of days.
fn date_of(day: i64) -> (i64, i64, i64) {
    const CYCLE: i64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const BEFORE: i64 = 719_468;
    let counted = day + BEFORE;
    let (cycle, of_cycle) = (counted.div_euclid(CYCLE), counted.rem_euclid(CYCLE));
    // Less a day for each fourth year, but not for each hundredth, yet for the last one.
    let of_years = of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / (CYCLE - 1);
    let year = of_years / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    // Five months from March on have 153 days, and so have the next five.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let from_january = if month < 10 { month + 3 } else { month - 9 };
    (year + 400 * cycle + i64::from(from_january <= 2), from_january, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: Answered<'_>) -> String {
        let mut lines = RecordLines::new("\"a\":1", "\"b\":2");
        lines.add(&record);
        String::from_utf8(lines.as_bytes().to_vec()).expect("it is UTF-8")
    }

    const RECORD: Answered<'_> = Answered {
        at_s: 1_800_000_000.25,
        took_s: 0.012_345_6,
        sent_len: 112,
        name: "named",
        session: "session~1",
        span: None,
    };

    #[test]
    fn a_line_is_an_object() {
        assert_eq!(
            line(RECORD),
            r#"{"time":"2027-01-15T08:00:00.250000Z","a":1,"request_id":"named","b":2,"duration_ms":12.346,"sent_len":112,"session":"session~1"}"#
        );
        assert!(
            line(Answered { span: Some(("t", "s")), ..RECORD })
                .ends_with(r#","session":"session~1","trace_id":"t","span_id":"s"}"#)
        );
    }

    #[test]
    fn lines_have_a_newline_between_them() {
        let mut lines = RecordLines::new("\"a\":1", "\"b\":2");
        lines.add(&Answered { at_s: 0.0, ..RECORD });
        lines.begin(2);
        assert_eq!(lines.as_bytes(), b"", "what was there is forgotten");
        lines.add(&RECORD);
        lines.add(&Answered { at_s: 1_800_000_001.5, ..RECORD });
        let found = String::from_utf8(lines.as_bytes().to_vec()).expect("it is UTF-8");
        let times: Vec<_> = found.split('\n').map(|one| &one[9..36]).collect();
        assert_eq!(times, ["2027-01-15T08:00:00.250000Z", "2027-01-15T08:00:01.500000Z"]);
    }

    #[test]
    fn whatever_a_text_holds_stays_in_it() {
        let found = line(Answered { name: "\"\\\n\u{1}é\u{7f}", ..RECORD });
        assert!(found.contains("\"request_id\":\"\\\"\\\\\\u000a\\u0001é\u{7f}\",\"b\""), "{found}");
    }

    #[test]
    fn numbers_at_their_ends() {
        let found = line(Answered { sent_len: u64::MAX, took_s: 0.0, ..RECORD });
        assert!(found.contains("\"duration_ms\":0.000,\"sent_len\":18446744073709551615,"), "{found}");
        for (took_s, spelt) in
            [(-1.0, "0.000"), (0.000_000_4, "0.000"), (0.000_000_6, "0.001"), (12.5, "12500.000")]
        {
            let found = line(Answered { took_s, ..RECORD });
            assert!(found.contains(&format!("\"duration_ms\":{spelt},")), "{found}");
        }
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(line(Answered { at_s: odd, took_s: odd, ..RECORD }).ends_with('}'));
        }
    }

    #[test]
    fn days_follow_each_other() {
        let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let (mut year, mut month, mut day) = (1600, 1, 1);
        for count in -135_140..=1_000_000 {
            assert_eq!(date_of(count), (year, month, day), "{count}");
            let days = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            day += 1;
            if day > days[usize::try_from(month).expect("it is small") - 1] {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
