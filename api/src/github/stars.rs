//! Pages of `GET /repos/{owner}/{repo}/stargazers/history`: GitHub's own history of stars.

use chrono::{DateTime, Days, NaiveDate};
use serde::Deserialize;
use tracing::warn;
use url::Url;

use super::link::next_page;
use super::search::endpoint;
use super::text::decode;
use crate::model::repository::MAX_COUNT;

/// GitHub's limit for the weeks of a page.
const MAX_WEEKS: usize = 30;

const DAY_SECONDS: i64 = 86_400;

/// A page of weeks, newest first.
#[derive(Debug, PartialEq)]
pub struct StarPage {
    pub weeks: Vec<StarWeek>,
    /// The address of the next page, at GITHUB_API_URL's origin.
    pub next: Option<Url>,
}

/// A week of a repository's stars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StarWeek {
    pub first: NaiveDate,
    /// The stars given on each day that are still held.
    pub days: [i64; 7],
}

pub(super) fn first_page(base: &Url, full_name: &str) -> Url {
    let mut url = endpoint(base, &format!("repos/{full_name}/stargazers/history"));
    url.set_query(Some(&format!("per_page={MAX_WEEKS}")));
    url
}

/// Reads a page. Its weeks must be over before a day, and none may overlap another.
pub(super) fn read_page<'a>(
    body: &[u8],
    mut links: impl Iterator<Item = &'a [u8]>,
    base: &Url,
    mut before: NaiveDate,
) -> Result<StarPage, String> {
    #[derive(Deserialize)]
    struct Wire {
        week: i64,
        days: [i64; 7],
    }
    let wire: Vec<Wire> = serde_json::from_str(&decode(body).0).map_err(|error| {
        warn!(%error, "a page of a star history cannot be read");
        "a star history that cannot be read".to_owned()
    })?;
    if wire.len() > MAX_WEEKS {
        return Err("a star history with too many weeks on a page".to_owned());
    }
    let mut weeks = Vec::new();
    for Wire { week, days } in wire {
        let first = first_day(week).ok_or("a star history whose week is no date")?;
        // mutant in github::stars: weeks of a star history do not overlap
        //     first + Days::new(7) > before => false
        if first + Days::new(7) > before {
            return Err("a star history whose weeks overlap, or are in the future".to_owned());
        }
        // mutant in github::stars: counts of stars that nobody can have are not believed
        //     !(0..=MAX_COUNT).contains(stars) => false
        if days.iter().any(|stars| !(0..=MAX_COUNT).contains(stars)) {
            return Err("a star history whose counts cannot be right".to_owned());
        }
        weeks.push(StarWeek { first, days });
        before = first;
    }
    Ok(StarPage { weeks, next: links.find_map(|link| next_page(link, base)) })
}

/// The day that begins at this Unix second, from 1970 to 9999.
fn first_day(second: i64) -> Option<NaiveDate> {
    const YEAR_10000: i64 = 253_402_300_800;
    let is_day = second % DAY_SECONDS == 0 && (0..YEAR_10000).contains(&second);
    is_day.then(|| Some(DateTime::from_timestamp(second, 0)?.date_naive())).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SUNDAY: i64 = 1_789_862_400;
    const WEEK: i64 = 7 * DAY_SECONDS;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn read(body: &Value) -> Result<StarPage, String> {
        let base = Url::parse("https://gateway/github").expect("an address");
        let link = br#"<https://api.github.com/repos/a/b/stargazers/history?page=2>; rel="next""#;
        let links = std::iter::once(&link[..]);
        read_page(body.to_string().as_bytes(), links, &base, day("2026-09-28"))
    }

    fn week(week: i64, stars: i64) -> Value {
        json!({ "week": week, "total": stars, "days": [0, 0, stars, 0, 0, 0, 0] })
    }

    #[test]
    fn page_has_its_weeks_and_the_next_pages_address() {
        let body = json!([week(SUNDAY, 3), week(SUNDAY - WEEK, 0), week(SUNDAY - 9 * WEEK, 4)]);
        let page = read(&body).expect("a page");
        let weeks: Vec<_> = page.weeks.iter().map(|week| (week.first, week.days[2])).collect();
        let expected = [(day("2026-09-20"), 3), (day("2026-09-13"), 0), (day("2026-07-19"), 4)];
        assert_eq!(weeks, expected);
        let next = "https://gateway/github/repos/a/b/stargazers/history?page=2";
        assert_eq!(page.next.as_ref().map(Url::as_str), Some(next));
        assert_eq!(read(&json!([])).expect("a page").weeks, []);
    }

    #[test]
    fn page_that_cannot_be_right_is_refused() {
        let six = json!([{ "week": SUNDAY, "days": [0, 0, 0, 0, 0, 0] }]);
        let many: Vec<Value> = (0..31).map(|number| week(SUNDAY - number * WEEK, 0)).collect();
        for (body, reason) in [
            (json!({ "message": "x" }), "cannot be read"),
            (json!([{ "week": SUNDAY }]), "cannot be read"),
            (six, "cannot be read"),
            (json!([week(SUNDAY + 3_600, 0)]), "no date"),
            (json!([week(-WEEK, 0)]), "no date"),
            (json!([week(i64::MAX - i64::MAX % DAY_SECONDS, 0)]), "no date"),
            (json!([week(SUNDAY + 2 * DAY_SECONDS, 0)]), "future"),
            (json!([week(SUNDAY, 0), week(SUNDAY, 0)]), "overlap"),
            (json!([week(SUNDAY, 0), week(SUNDAY - 6 * DAY_SECONDS, 0)]), "overlap"),
            (json!([week(SUNDAY - WEEK, 0), week(SUNDAY, 0)]), "overlap"),
            (json!([week(SUNDAY, -1)]), "counts"),
            (json!([week(SUNDAY, MAX_COUNT + 1)]), "counts"),
            (json!(many), "too many weeks"),
        ] {
            let refused = read(&body).expect_err("a page that cannot be right");
            assert!(refused.contains(reason), "{refused}: {body}");
        }
        assert!(read(&json!([week(SUNDAY + DAY_SECONDS, MAX_COUNT)])).is_ok());
        assert!(read(&json!(many[..30])).is_ok());
    }

    #[test]
    fn first_page_keeps_to_the_bases_path() {
        let base = Url::parse("https://h/api/v3").expect("an address");
        let page = |name| first_page(&base, name).to_string();
        let history = "/stargazers/history?per_page=30";
        assert_eq!(page("a/b"), format!("https://h/api/v3/repos/a/b{history}"));
        assert_eq!(page("a/b?c#d"), format!("https://h/api/v3/repos/a/b%3Fc%23d{history}"));
    }
}
