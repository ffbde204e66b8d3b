//! A repository as an item of GitHub's search results.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// A search item, and those of its fields that searches filter and sort by.
#[derive(Clone, Debug)]
pub struct Repository {
    /// GitHub's id, which a rename does not change.
    pub id: u64,
    /// The item's `owner/name` in lower case, since GitHub ignores the case of paths.
    pub path: String,
    pub stars: i64,
    pub forks: i64,
    pub created: DateTime<Utc>,
    pub updated: DateTime<Utc>,
    /// `pushed_at`, or `updated_at` if that is null.
    pub pushed: DateTime<Utc>,
    pub topics: Vec<String>,
    pub fork: bool,
    pub archived: bool,
    /// `language` in lower case.
    pub language: Option<String>,
    /// The item with every field that GitHub's schema requires.
    pub item: Map<String, Value>,
    /// The item as JSON text.
    pub text: String,
}

impl Repository {
    /// Reads a search item, and fills in the fields that GitHub's schema requires and that old
    /// recordings lack.
    ///
    /// # Errors
    /// One line that names the field, if `id`, `full_name` or a date is missing or of a wrong type.
    pub fn new(item: Map<String, Value>) -> Result<Self, String> {
        let id = item.get("id").and_then(Value::as_u64).ok_or("no numeric `id`")?;
        let full_name =
            item.get("full_name").and_then(Value::as_str).ok_or("no `full_name`")?.to_owned();
        let mut whole = template(id, &full_name);
        for (key, value) in item {
            match (whole.get_mut(&key), value) {
                // The owner in an old recording lacks fields too.
                (Some(Value::Object(filled)), Value::Object(own)) => filled.extend(own),
                // Some recordings are from the route of a single repository, which has this field
                // as null; searches leave it out.
                (None, Value::Null) if key == "temp_clone_token" => {}
                (_, value) => drop(whole.insert(key, value)),
            }
        }
        let date = |key: &str| match whole.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_str()
                .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
                .map(|date| Some(date.with_timezone(&Utc)))
                .ok_or(format!("`{key}` of {full_name} is not RFC 3339: {value}")),
        };
        let number = |key: &str| whole.get(key).and_then(Value::as_i64).unwrap_or(0);
        let flag = |key: &str| whole.get(key).and_then(Value::as_bool).unwrap_or(false);
        let updated = date("updated_at")?.ok_or(format!("no `updated_at` for {full_name}"))?;
        let topics = whole.get("topics").and_then(Value::as_array);
        Ok(Self {
            id,
            path: full_name.to_lowercase(),
            stars: number("stargazers_count"),
            forks: number("forks_count"),
            created: date("created_at")?.unwrap_or(updated),
            updated,
            pushed: date("pushed_at")?.unwrap_or(updated),
            topics: topics
                .map(|topics| topics.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
            fork: flag("fork"),
            archived: flag("archived"),
            language: whole.get("language").and_then(Value::as_str).map(str::to_lowercase),
            text: Value::Object(whole.clone()).to_string(),
            item: whole,
        })
    }

    /// The item's `owner/name`.
    #[must_use]
    pub fn full_name(&self) -> &str {
        self.item["full_name"].as_str().unwrap_or_default()
    }

    /// The sort key of best match: a fixed order that follows neither stars nor ids.
    #[must_use]
    pub fn best_match_key(&self) -> u64 {
        // SplitMix64's finalizer, https://prng.di.unimi.it/splitmix64.c
        let mut z = self.id.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A date in GitHub's form of RFC 3339: UTC, whole seconds, `Z`.
pub(crate) fn rfc3339(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Every field that GitHub's `repo-search-result-item` requires, for the repository `full_name`.
fn template(id: u64, full_name: &str) -> Map<String, Value> {
    let (login, name) = full_name.split_once('/').unwrap_or((full_name, full_name));
    let api = format!("https://api.github.com/repos/{full_name}");
    let html = format!("https://github.com/{full_name}");
    let mut item = Map::new();
    let mut set = |key: &str, value: Value| item.insert(key.to_owned(), value);
    set("id", json!(id));
    set("node_id", json!(format!("R_{id}")));
    set("name", json!(name));
    set("full_name", json!(full_name));
    set("owner", owner(login));
    for (keys, value) in [
        (FALSE_FIELDS, json!(false)),
        (TRUE_FIELDS, json!(true)),
        (NULL_FIELDS, Value::Null),
        (ZERO_FIELDS, json!(0)),
    ] {
        for key in keys {
            set(key, value.clone());
        }
    }
    set("created_at", json!("2015-01-01T00:00:00Z"));
    set("default_branch", json!("main"));
    set("visibility", json!("public"));
    set("topics", json!([]));
    set("score", json!(1.0));
    set("html_url", json!(html));
    set("url", json!(api));
    set("git_url", json!(format!("git://github.com/{full_name}.git")));
    set("ssh_url", json!(format!("git@github.com:{full_name}.git")));
    set("clone_url", json!(format!("{html}.git")));
    set("svn_url", json!(html));
    for (key, path) in API_URLS {
        set(key, json!(format!("{api}/{path}")));
    }
    item
}

fn owner(login: &str) -> Value {
    let user = format!("https://api.github.com/users/{login}");
    json!({
        "login": login,
        "id": 1,
        "node_id": "U_1",
        "type": "User",
        "site_admin": false,
        "gravatar_id": "",
        "avatar_url": format!("https://avatars.githubusercontent.com/{login}"),
        "url": user,
        "html_url": format!("https://github.com/{login}"),
        "followers_url": format!("{user}/followers"),
        "following_url": format!("{user}/following{{/other_user}}"),
        "gists_url": format!("{user}/gists{{/gist_id}}"),
        "starred_url": format!("{user}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{user}/subscriptions"),
        "organizations_url": format!("{user}/orgs"),
        "repos_url": format!("{user}/repos"),
        "events_url": format!("{user}/events{{/privacy}}"),
        "received_events_url": format!("{user}/received_events"),
    })
}

const FALSE_FIELDS: &[&str] =
    &["private", "fork", "has_discussions", "has_pages", "archived", "disabled"];
const TRUE_FIELDS: &[&str] = &["has_issues", "has_projects", "has_wiki", "has_downloads"];
const NULL_FIELDS: &[&str] =
    &["description", "homepage", "language", "license", "mirror_url", "pushed_at"];
const ZERO_FIELDS: &[&str] = &[
    "size",
    "stargazers_count",
    "watchers_count",
    "watchers",
    "forks_count",
    "forks",
    "open_issues_count",
    "open_issues",
];

/// The fields that are addresses below the repository's own, and their paths.
const API_URLS: &[(&str, &str)] = &[
    ("forks_url", "forks"),
    ("keys_url", "keys{/key_id}"),
    ("collaborators_url", "collaborators{/collaborator}"),
    ("teams_url", "teams"),
    ("hooks_url", "hooks"),
    ("issue_events_url", "issues/events{/number}"),
    ("events_url", "events"),
    ("assignees_url", "assignees{/user}"),
    ("branches_url", "branches{/branch}"),
    ("tags_url", "tags"),
    ("blobs_url", "git/blobs{/sha}"),
    ("git_tags_url", "git/tags{/sha}"),
    ("git_refs_url", "git/refs{/sha}"),
    ("trees_url", "git/trees{/sha}"),
    ("statuses_url", "statuses/{sha}"),
    ("languages_url", "languages"),
    ("stargazers_url", "stargazers"),
    ("contributors_url", "contributors"),
    ("subscribers_url", "subscribers"),
    ("subscription_url", "subscription"),
    ("commits_url", "commits{/sha}"),
    ("git_commits_url", "git/commits{/sha}"),
    ("comments_url", "comments{/number}"),
    ("issue_comment_url", "issues/comments{/number}"),
    ("contents_url", "contents/{+path}"),
    ("compare_url", "compare/{base}...{head}"),
    ("merges_url", "merges"),
    ("archive_url", "{archive_format}{/ref}"),
    ("downloads_url", "downloads"),
    ("issues_url", "issues{/number}"),
    ("pulls_url", "pulls{/number}"),
    ("milestones_url", "milestones{/number}"),
    ("notifications_url", "notifications{?since,all,participating}"),
    ("labels_url", "labels{/name}"),
    ("releases_url", "releases{/id}"),
    ("deployments_url", "deployments"),
];
