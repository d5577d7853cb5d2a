//! Links from one Markdown file to another file or heading of the checkout lead somewhere.
//!
//! Links to other sites are not followed. Headings get the anchors that code hosts give them: lower case, spaces as
//! hyphens, punctuation dropped, a number behind the second of the same name.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{BrokenLink, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pages: BTreeMap<&str, Page> = tree.with_extension("md").map(|(path, text)| (path, Page::read(text))).collect();
    let mut findings = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            if let Some(wrong) = what_is_wrong(tree, &pages, path, &link.target) {
                findings.push(Finding::error(path, link.line, format!("link to `{}`: {wrong}", link.target)));
            }
        }
        for link in &page.undefined {
            findings.push(Finding::error(
                path,
                link.line,
                format!("link to `[{}]`, which is not defined", link.target),
            ));
        }
    }
    findings
}

fn what_is_wrong(tree: &Tree, pages: &BTreeMap<&str, Page>, from: &str, target: &str) -> Option<String> {
    // Other sites, and paths of items in pages that rustdoc includes.
    if target.contains("://") || target.contains("::") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let place = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, path) };
    let Some(place) = place.filter(|place| tree.has(place)) else { return Some("no such file".to_owned()) };
    let page = pages.get(place.as_str())?;
    let anchor = anchor?;
    (!page.anchors.contains(anchor)).then(|| format!("no heading `#{anchor}` in {place}"))
}

/// The path from the root that `target` means in the file `from`; `None` when it leaves the checkout.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        return None;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// What a Markdown file points at and can be pointed at.
#[derive(Debug, Default)]
struct Page {
    links: Vec<Link>,
    /// Links to a `[name]` that the page does not define.
    undefined: Vec<Link>,
    anchors: BTreeSet<String>,
}

#[derive(Debug)]
struct Link {
    line: usize,
    target: String,
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let line_at = |place: usize| 1 + text[..place].matches('\n').count();
        let mut undefined = Vec::new();
        let mut note_undefined = |link: BrokenLink<'_>| {
            // `[word]` alone is often just that: a word in brackets.
            if !matches!(link.link_type, LinkType::Shortcut) && !link.reference.contains("::") {
                undefined.push(Link { line: line_at(link.span.start), target: link.reference.to_string() });
            }
            None
        };
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
        let parser = Parser::new_with_broken_link_callback(text, options, Some(&mut note_undefined));
        let mut heading: Option<String> = None;
        for (event, span) in parser.into_offset_iter() {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(Link { line: line_at(span.start), target: dest_url.into_string() });
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => page.add_heading(&heading.take().unwrap_or_default()),
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                Event::Html(html) | Event::InlineHtml(html) => page.anchors.extend(html_anchors(&html)),
                _ => {}
            }
        }
        page.undefined = undefined;
        page
    }

    fn add_heading(&mut self, text: &str) {
        let base: String = text
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                _ => c.is_alphanumeric().then_some(c),
            })
            .flat_map(char::to_lowercase)
            .collect();
        let mut anchor = base.clone();
        let mut more = 0;
        while !self.anchors.insert(anchor) {
            more += 1;
            anchor = format!("{base}-{more}");
        }
    }
}

/// The values of `id="..."` and `name="..."`.
fn html_anchors(html: &str) -> impl Iterator<Item = String> {
    [" id=\"", " name=\""]
        .into_iter()
        .flat_map(move |key| html.split(key).skip(1))
        .filter_map(|rest| rest.split_once('"').map(|(value, _)| value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(readme: &str) -> Vec<String> {
        let guide = "# The guide\n## Step `one`: go!\n## Step `one`: go!\n<a id=\"here\"></a>\n";
        let tree = Tree::from([("README.md", readme), ("docs/guide.md", guide), ("docs/img/a.svg", "")]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let readme = "# Read me\n[a](docs/guide.md) [b](docs/guide.md#the-guide) [c](docs/) [d](#read-me)\n\
            [e](docs/guide.md#step-one-go) [f](docs/guide.md#step-one-go-1) [g](docs/guide.md#here) [h][ref]\n\
            ![i](./docs/img/../img/a.svg) [j](https://example.com/x.md) <https://example.com>\n\n[ref]: docs/guide.md\n";
        assert_eq!(found(readme), [""; 0]);
    }

    #[test]
    fn links_into_nothing_are_named_with_their_line() {
        assert_eq!(found("one\n\n[a](docs/gone.md)"), ["error: README.md:3: link to `docs/gone.md`: no such file"]);
        assert_eq!(
            found("[a](docs/guide.md#gone)"),
            ["error: README.md:1: link to `docs/guide.md#gone`: no heading `#gone` in docs/guide.md"]
        );
        assert_eq!(found("[a][gone]"), ["error: README.md:1: link to `[gone]`, which is not defined"]);
        assert_eq!(found("![a](gone.png)").len(), 1);
        assert_eq!(found("[a](#gone)").len(), 1);
    }

    #[test]
    fn links_out_of_the_checkout_are_wrong() {
        assert_eq!(found("[a](../other/README.md)").len(), 1);
        assert_eq!(found("[a](/docs/guide.md)").len(), 1);
    }

    #[test]
    fn code_and_words_in_brackets_are_no_links() {
        assert_eq!(found("`[a](gone.md)`\n\n```\n[b](gone.md)\n```\n\n[MQTT-4.6.0-2] [x](crate::Item)\n"), [""; 0]);
    }
}
