//! The values of the parameters of lists.

use std::ops::RangeInclusive;
use std::str::FromStr;

use chrono::{Days, NaiveDate};

use crate::model::filter::{Choice, folded};
use crate::model::time::parse_day;
use crate::model::topic::Topic;

/// The most values of a parameter. Each is compared with every name that the topic has.
const MOST_VALUES: usize = 50;

/// The most words of a search, each of which takes a scan of all texts.
const MOST_WORDS: usize = 10;

/// The most digits of a number that a client writes.
const MOST_DIGITS: usize = 15;

/// The most digits of a number of days, which lead back 270 years.
const MOST_DAY_DIGITS: usize = 5;

/// Values with commas between them, and those of them with a hyphen before them.
fn values<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<(Vec<T>, Vec<T>)> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for value in text.split(',') {
        match value.strip_prefix('-') {
            Some(value) => unwanted.push(parse(value)?),
            None => wanted.push(parse(value)?),
        }
    }
    (wanted.len() + unwanted.len() <= MOST_VALUES).then_some((wanted, unwanted))
}

pub(super) fn choice(text: &str) -> Option<Choice> {
    let name = |name: &str| {
        // A plus sign that is not encoded stands for a space: `C++` is written `C%2B%2B`.
        let is_name = name.trim() == name
            && !name.is_empty()
            && !name.starts_with('-')
            && !name.contains(char::is_control);
        let name: String = folded(name).collect();
        is_name.then(|| (name != "none").then_some(name))
    };
    values(text, name).map(|(wanted, unwanted)| Choice { wanted, unwanted })
}

pub(super) fn topics(text: &str) -> Option<(Vec<Topic>, Vec<Topic>)> {
    values(text, |topic| topic.parse().ok())
}

pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let words = text.split(|char: char| char.is_whitespace() || char.is_control());
    let words: Vec<String> =
        words.filter(|word| !word.is_empty()).map(|word| folded(word).collect()).collect();
    (1..=MOST_WORDS).contains(&words.len()).then_some(words)
}

pub(super) fn numbers(text: &str) -> Option<RangeInclusive<i64>> {
    range(text, 0, i64::MAX, |text| digits(text, MOST_DIGITS))
}

pub(super) fn digits<T: FromStr>(text: &str, most: usize) -> Option<T> {
    let is_number = text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// One value, or a range with an end that is open, which `*` may stand for as well.
pub(super) fn range<T: Clone>(
    text: &str,
    least: T,
    most: T,
    mut parse: impl FnMut(&str) -> Option<T>,
) -> Option<RangeInclusive<T>> {
    let Some((from, to)) = text.split_once("..") else {
        return parse(text).map(|value| value.clone()..=value);
    };
    let is_open = |end: &str| end.is_empty() || end == "*";
    match (is_open(from), is_open(to)) {
        (true, true) => None,
        (true, false) => Some(least..=parse(to)?),
        (false, true) => Some(parse(from)?..=most),
        (false, false) => Some(parse(from)?..=parse(to)?),
    }
}

/// One day, or a range of them. `is_age` is set if a day is counted from today, if that is given.
pub(super) fn days(
    text: &str,
    today: Option<NaiveDate>,
    is_age: &mut bool,
) -> Option<RangeInclusive<NaiveDate>> {
    range(text, NaiveDate::MIN, NaiveDate::MAX, |text| match text.strip_suffix('d') {
        Some(number) => {
            *is_age = true;
            today?.checked_sub_days(Days::new(digits(number, MOST_DAY_DIGITS)?))
        }
        None => parse_day(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn ranges_have_both_ends_one_of_them_or_one_value() {
        assert_eq!(numbers("100"), Some(100..=100));
        assert_eq!(numbers("100..500"), Some(100..=500));
        for open in ["100..", "100..*"] {
            assert_eq!(numbers(open), Some(100..=i64::MAX), "{open}");
        }
        for open in ["..500", "*..500"] {
            assert_eq!(numbers(open), Some(0..=500), "{open}");
        }
        for wrong in ["", "..", "*..*", "-1", "+1", "1..2..3", "1e3", " 1", "1234567890123456"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn choices_have_names_to_take_and_names_to_leave_out() {
        let choice = choice("Go,-C++,none,-none,Jupyter Notebook").expect("names");
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(choice.wanted, [name("go"), None, name("jupyter notebook")]);
        assert_eq!(choice.unwanted, [name("c++"), None]);
        for wrong in ["", ",", "Go,", "-", "--x", " Go", "C  ", "a\u{7}b", &"a,".repeat(50)] {
            assert_eq!(super::choice(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_before_today_are_read_as_dates() {
        let day = |text: &str| -> NaiveDate { text.parse().expect("a day") };
        let today = day("2026-03-01");
        let read = |text: &str| {
            let mut is_age = false;
            days(text, Some(today), &mut is_age).map(|days| (days, is_age))
        };
        let since = day("2026-02-28")..=NaiveDate::MAX;
        assert_eq!(read("1d.."), Some((since.clone(), true)));
        assert_eq!(read("2026-02-28.."), Some((since, false)));
        assert_eq!(read("0d"), Some((today..=today, true)));
        assert_eq!(days("1d..", None, &mut false), None);
        for wrong in ["2026-02-30", "d", "-1d", "100000d", "2026-2-3", "20260203", "+1d"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
