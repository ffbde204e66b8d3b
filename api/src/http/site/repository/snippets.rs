//! A repository's pictures as Markdown and HTML, for a README.

use super::super::words::Name;
use crate::model::repository::Places;

/// A picture that leads to the page of its repository.
pub(super) struct Snippet {
    pub(super) title: String,
    pub(super) markdown: String,
    pub(super) html: String,
}

/// The chart, and a badge of each topic that has the repository.
pub(super) fn snippets(base: &str, name: &Name<'_>, ranked: &[Places]) -> Vec<Snippet> {
    // The path of a name has no character with a meaning in Markdown or HTML.
    let path = &name.path;
    let page = format!("{base}/r/{path}");
    let snippet = |title: String, picture: String, words: String| Snippet {
        title,
        markdown: format!("[![{words}]({picture})]({page})"),
        html: format!(r#"<a href="{page}"><img src="{picture}" alt="{words}"></a>"#),
    };
    let chart = snippet(
        "Chart".to_owned(),
        format!("{base}/charts/{path}.svg"),
        format!("Stars of {path}"),
    );
    let badge = |Places { topic, .. }: &Places| {
        snippet(
            format!("Badge: place in {topic}"),
            format!("{base}/badges/{topic}/{path}.svg"),
            format!("Place in {topic}"),
        )
    };
    std::iter::once(chart).chain(ranked.iter().map(badge)).collect()
}
