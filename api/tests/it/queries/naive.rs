//! The parameters of lists, by a filter over the JSON of all rows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::NaiveDate;
use fastrand::Rng;
use serde_json::{Value, json};
use url::form_urlencoded;

/// A query with random parameters, each with values that some rows have.
pub(super) struct RandomQuery {
    pub(super) listing: &'static str,
    pub(super) path: String,
    conditions: Vec<Condition>,
    page: Option<(usize, usize)>,
}

enum Condition {
    /// The field has one of the wanted values, if there are any, and none of the others.
    Names(&'static str, Vec<String>, Vec<String>),
    Topics(Vec<String>, Vec<String>),
    Numbers(&'static str, i64, i64),
    Days(&'static str, NaiveDate, NaiveDate),
    Boolean(&'static str, bool),
    Words(Vec<String>),
}

impl RandomQuery {
    pub(super) fn new(seed: u64, all: &[Value], today: NaiveDate) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut parameters = Vec::new();
        let mut conditions = Vec::new();
        for (name, field) in [("language", "language"), ("license", "license"), ("owner", "owner")]
        {
            if random.u8(..) < 50 {
                let (wanted, unwanted) = names(&mut random, all, field);
                parameters.push((name, text_of(&mut random, &wanted, &unwanted)));
                conditions.push(Condition::Names(field, wanted, unwanted));
            }
        }
        if random.u8(..) < 50 {
            let topics = ["docker", "none", "kubernetes", "unheard-of", "cloud-native"];
            let wanted = vec![random.choice(topics).expect("a topic").to_owned()];
            let unwanted = vec![random.choice(topics).expect("a topic").to_owned()];
            let (wanted, unwanted) =
                if random.bool() { (wanted, vec![]) } else { (vec![], unwanted) };
            parameters.push(("topic", text_of(&mut random, &wanted, &unwanted)));
            conditions.push(Condition::Topics(wanted, unwanted));
        }
        for (name, field) in [("stars", "stargazers_count"), ("forks", "forks_count")] {
            if random.u8(..) < 60 {
                let value = |random: &mut Rng| row(random, all)[field].as_i64().expect("a count");
                let ends = [value(&mut random), value(&mut random)];
                let (text, from, to) = range(&mut random, ends, |count| count.to_string());
                parameters.push((name, text));
                let (from, to) = (from.unwrap_or(0), to.unwrap_or(i64::MAX));
                conditions.push(Condition::Numbers(field, from, to));
            }
        }
        for (name, field) in
            [("created", "created_at"), ("pushed", "pushed_at"), ("updated", "updated_at")]
        {
            if random.u8(..) < 40 {
                let value = |random: &mut Rng| day(&row(random, all)[field]).unwrap_or(today);
                let ends = [value(&mut random), value(&mut random)];
                let is_age = random.bool();
                let (text, from, to) = range(&mut random, ends, |day| {
                    let age = (today - day).num_days();
                    if is_age && age >= 0 { format!("{age}d") } else { day.to_string() }
                });
                parameters.push((name, text));
                let (from, to) = (from.unwrap_or(NaiveDate::MIN), to.unwrap_or(NaiveDate::MAX));
                conditions.push(Condition::Days(field, from, to));
            }
        }
        for (name, field) in [("archived", "archived"), ("template", "is_template")] {
            if random.u8(..) < 40 {
                let value = random.bool();
                parameters.push((name, value.to_string()));
                conditions.push(Condition::Boolean(field, value));
            }
        }
        if random.u8(..) < 90 {
            let words = words(&mut random, all);
            parameters.push(("q", words.join(" ")));
            conditions.push(Condition::Words(words));
        }
        let page = (random.u8(..) < 128).then(|| (random.usize(1..5), random.usize(1..150)));
        if let Some((number, size)) = page {
            parameters.push(("page", number.to_string()));
            parameters.push(("per_page", size.to_string()));
        }
        random.shuffle(&mut parameters);
        parameters.push(("fields", "full_name,id".to_owned()));
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let listing = random.choice(["popularity", "activity", "newest"]).expect("a list");
        let path = format!("/api/{listing}/kubernetes?{query}");
        Self { listing, path, conditions, page }
    }

    /// The ids of the rows on the page.
    pub(super) fn page_of(&self, rows: &[&Value]) -> Vec<i64> {
        let (number, size) = self.page.unwrap_or((1, 500));
        let page = rows.iter().skip((number - 1) * size).take(size);
        page.map(|row| row["id"].as_i64().expect("an id")).collect()
    }
}

fn row<'a>(random: &mut Rng, all: &'a [Value]) -> &'a Value {
    &all[random.usize(..all.len())]
}

/// The names of random rows, in changed case, `none` where they have none.
fn names(random: &mut Rng, all: &[Value], field: &str) -> (Vec<String>, Vec<String>) {
    let mut some = || -> Vec<String> {
        let number = random.usize(0..4);
        let name = |row: &Value| row[field].as_str().unwrap_or("none").to_owned();
        (0..number).map(|_| name(&all[random.usize(..all.len())])).collect()
    };
    let (mut wanted, unwanted) = (some(), some());
    if wanted.is_empty() && unwanted.is_empty() {
        wanted.push("None".to_owned());
    }
    (wanted, unwanted)
}

fn text_of(random: &mut Rng, wanted: &[String], unwanted: &[String]) -> String {
    let mut values: Vec<String> = wanted.to_vec();
    values.extend(unwanted.iter().map(|name| format!("-{name}")));
    random.shuffle(&mut values);
    let text = values.join(",");
    if random.bool() { text } else { text.to_uppercase() }
}

/// A range as text, and its ends.
fn range<T: Copy>(
    random: &mut Rng,
    [one, other]: [T; 2],
    text: impl Fn(T) -> String,
) -> (String, Option<T>, Option<T>) {
    let (first, second) = (text(one), text(other));
    match random.u8(..6) {
        0 => (first, Some(one), Some(one)),
        1 => (format!("{first}.."), Some(one), None),
        2 => (format!("{first}..*"), Some(one), None),
        3 => (format!("..{first}"), None, Some(one)),
        4 => (format!("*..{first}"), None, Some(one)),
        _ => (format!("{first}..{second}"), Some(one), Some(other)),
    }
}

/// Parts of the texts of random rows.
fn words(random: &mut Rng, all: &[Value]) -> Vec<String> {
    let mut words = Vec::new();
    for _ in 0..random.usize(1..3) {
        let row = row(random, all);
        let text = match random.u8(..3) {
            0 => row["full_name"].as_str().unwrap_or_default().to_owned(),
            1 => row["description"].as_str().unwrap_or_default().to_owned(),
            _ => row["topics"][0].as_str().unwrap_or_default().to_owned(),
        };
        let of_text: Vec<&str> = text.split_whitespace().collect();
        let word = random.choice(of_text).unwrap_or("missing");
        let characters: Vec<char> = word.chars().collect();
        let start = random.usize(..characters.len());
        let end = random.usize(start + 1..=characters.len());
        let word: String = characters[start..end].iter().collect();
        words.push(if random.bool() { word } else { word.to_uppercase() });
    }
    words
}

fn day(value: &Value) -> Option<NaiveDate> {
    value.as_str()?.get(..10)?.parse().ok()
}

pub(super) fn matches(row: &Value, query: &RandomQuery) -> bool {
    query.conditions.iter().all(|condition| match condition {
        Condition::Names(field, wanted, unwanted) => {
            let own = row[*field].as_str().unwrap_or("none").to_lowercase();
            let is = |name: &String| name.to_lowercase() == own;
            (wanted.is_empty() || wanted.iter().any(is)) && !unwanted.iter().any(is)
        }
        Condition::Topics(wanted, unwanted) => {
            let has =
                |topic: &String| row["topics"].as_array().expect("topics").contains(&json!(topic));
            wanted.iter().all(has) && !unwanted.iter().any(has)
        }
        Condition::Numbers(field, from, to) => {
            let own = row[*field].as_i64().expect("a number");
            *from <= own && own <= *to
        }
        Condition::Days(field, from, to) => {
            day(&row[*field]).is_some_and(|own| *from <= own && own <= *to)
        }
        Condition::Boolean(field, value) => row[*field] == *value,
        Condition::Words(words) => words.iter().all(|word| {
            let has = |text: &Value| {
                let text = text.as_str().unwrap_or_default().to_lowercase();
                text.contains(&word.to_lowercase())
            };
            has(&row["full_name"])
                || has(&row["description"])
                || row["topics"].as_array().expect("topics").iter().any(has)
        }),
    })
}

/// The rows in the order of a list.
pub(super) fn sorted<'a>(listing: &str, rows: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let mut rows: Vec<&Value> = rows.collect();
    let text = |row: &Value, field| row[field].as_str().unwrap_or_default().to_owned();
    rows.sort_by_key(|row| row["id"].as_i64());
    match listing {
        "popularity" => rows.sort_by_key(|row| Reverse(row["stargazers_count"].as_i64())),
        "activity" => rows.sort_by_key(|row| Reverse(text(row, "updated_at"))),
        _ => rows.sort_by_key(|row| Reverse(text(row, "created_at"))),
    }
    rows
}

/// The facets of rows: their name, and their values with the most first.
pub(super) fn facets(rows: &[Value]) -> Vec<(String, Value)> {
    let values = |facet: &str, row: &Value| -> Vec<String> {
        match facet {
            "topic" => {
                let topics = row["topics"].as_array().expect("topics").iter();
                topics.filter_map(|topic| topic.as_str().map(str::to_owned)).collect()
            }
            "created" => {
                row["created_at"].as_str().map(|text| text[..4].to_owned()).into_iter().collect()
            }
            field => vec![row[field].as_str().unwrap_or("none").to_owned()],
        }
    };
    let facet = |facet: &str| {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for value in rows.iter().flat_map(|row| values(facet, row)) {
            *counts.entry(value).or_default() += 1;
        }
        let mut counts: Vec<(String, u32)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        let counts = counts.into_iter().take(50);
        let values: Vec<Value> =
            counts.map(|(value, count)| json!({ "value": value, "count": count })).collect();
        (facet.to_owned(), json!(values))
    };
    ["language", "license", "owner", "topic", "created"].map(facet).to_vec()
}
