//! Links to charts, and to pages with charts, with the options of a chart.

use super::layout::Tab;
use super::links::Link;
use crate::http::api::pictures::options::{ALIGN, RANGE, SCALE, TYPE};
use crate::pictures::options::{Kind, Options, Range, Scale};

/// The link with the options that are not the default ones.
pub(super) fn with_options(mut link: Link, options: &Options) -> Link {
    let default = Options::default();
    let mut add = |name, is_default: bool, value: &'static str| {
        if !is_default {
            link = link.with(name, value);
        }
    };
    add(RANGE.name, options.range == default.range, options.range.into());
    add(TYPE.name, options.kind == default.kind, options.kind.into());
    add(SCALE.name, options.scale == default.scale, options.scale.into());
    add(ALIGN.name, options.align == default.align, options.align.into());
    link
}

/// The links to a page with a chart of other days, of other values, or on another scale.
pub(super) fn tabs(page: &Link, options: &Options) -> Vec<Tab> {
    let tab = |name, is_apart, own: Options| Tab {
        name,
        href: with_options(page.clone(), &own).to_string(),
        is_current: own == *options,
        is_apart,
    };
    let ranges = [
        (Range::Month, "30 days"),
        (Range::Quarter, "90 days"),
        (Range::Year, "1 year"),
        (Range::All, "all"),
    ];
    let mut tabs: Vec<Tab> =
        ranges.map(|(range, name)| tab(name, false, Options { range, ..*options })).into();
    tabs.push(tab("total", true, Options { kind: Kind::Total, ..*options }));
    tabs.push(tab("daily", false, Options { kind: Kind::Daily, ..*options }));
    tabs.push(tab("linear", false, Options { scale: Scale::Linear, ..*options }));
    tabs.push(tab("log", false, Options { scale: Scale::Log, ..*options }));
    tabs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::options::Align;

    #[test]
    fn links_have_the_options_that_are_not_the_default_ones() {
        let page = || Link::new("/r/a/b".to_owned());
        assert_eq!(with_options(page(), &Options::default()).to_string(), "/r/a/b");
        let options = Options {
            range: Range::Quarter,
            kind: Kind::Daily,
            scale: Scale::Log,
            align: Align::Start,
            ..Options::default()
        };
        let all = "/r/a/b?range=90d&type=daily&scale=log&align=start";
        assert_eq!(with_options(page(), &options).to_string(), all);
    }

    #[test]
    fn one_tab_of_each_group_is_the_present_page() {
        let options = Options { range: Range::Year, kind: Kind::Daily, ..Options::default() };
        let tabs = tabs(&Link::new("/r/a/b".to_owned()), &options);
        let current = tabs.iter().filter(|tab| tab.is_current).map(|tab| tab.name);
        assert_eq!(current.collect::<Vec<_>>(), ["1 year", "daily", "linear"]);
        assert_eq!(tabs[3].href, "/r/a/b?type=daily");
        assert_eq!(tabs[7].href, "/r/a/b?range=1y&type=daily&scale=log");
    }
}
